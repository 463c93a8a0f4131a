//! DNS over one TCP connection: messages with their length before them, and limits to what waits.

/// The longest query that is taken.
const MAX_QUERY: usize = 4096;
/// Queries of a connection that are being answered; those behind them wait in the guest.
const MAX_WAITING: usize = 4;
/// A connection without a whole query and without an answer for so long is ended, in ms.
pub const IDLE_MS: u64 = 10_000;

/// The guest's bytes make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLength;

/// A connection's bytes that wait, and what they come to.
#[derive(Debug)]
pub struct DnsStream {
    input: Vec<u8>,
    output: Vec<u8>,
    waiting: usize,
    until_ms: u64,
}

impl DnsStream {
    /// A connection that was made now.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self { input: Vec::new(), output: Vec::new(), waiting: 0, until_ms: now + IDLE_MS }
    }

    /// Takes bytes of the guest's, as many as there is room for; says how many.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let room = (2 + MAX_QUERY).saturating_sub(self.input.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.input.extend_from_slice(taken);
        taken.len()
    }

    /// The next query, if it is whole and its turn has come.
    ///
    /// # Errors
    /// A message of no length, or one that is too long: the connection is of no more use.
    pub fn query(&mut self, now: u64) -> Result<Option<Vec<u8>>, BadLength> {
        let Some((length, rest)) = self.input.split_first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 || length > MAX_QUERY {
            return Err(BadLength);
        }
        // An answer that the guest doesn't read holds up what it asks next.
        if self.waiting >= MAX_WAITING || !self.output.is_empty() {
            return Ok(None);
        }
        let Some(query) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.input.drain(..2 + length);
        self.waiting += 1;
        self.until_ms = now + IDLE_MS;
        Ok(Some(query))
    }

    /// Has an answer sent.
    pub fn answer(&mut self, reply: &[u8]) {
        self.waiting = self.waiting.saturating_sub(1);
        // The resolver's message came with a length of as many bits, or in a datagram.
        let Ok(length) = u16::try_from(reply.len()) else { return };
        self.output.extend_from_slice(&length.to_be_bytes());
        self.output.extend_from_slice(reply);
    }

    /// What is to be sent to the guest.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// So many bytes were sent.
    pub fn sent(&mut self, length: usize, now: u64) {
        self.output.drain(..length.min(self.output.len()));
        if self.output.is_empty() {
            self.until_ms = now + IDLE_MS;
        }
    }

    /// Whether nothing is left to be done for a guest that sends no more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.waiting == 0 && self.output.is_empty()
    }

    /// When the connection has been idle for too long.
    #[must_use]
    pub fn until_ms(&self) -> u64 {
        self.until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &[u8]) -> Vec<u8> {
        [&u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
    }

    #[test]
    fn queries_come_in_any_pieces() {
        let bytes = [message(b"first"), message(&[7; MAX_QUERY]), message(b"x")].concat();
        for piece in [1, 2, 3, 7, 4096] {
            let mut stream = DnsStream::new(0);
            let mut queries = Vec::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let taken = stream.take(&rest[..piece.min(rest.len())]);
                rest = &rest[taken..];
                while let Some(query) = stream.query(0).unwrap() {
                    stream.answer(b"reply");
                    stream.sent(stream.output().len(), 0);
                    queries.push(query.len());
                }
            }
            assert_eq!(queries, [5, MAX_QUERY, 1], "in pieces of {piece}");
        }
    }

    #[test]
    fn what_waits_has_its_limit() {
        let mut stream = DnsStream::new(0);
        let many = message(b"query").repeat(5000);
        assert_eq!(stream.take(&many), 2 + MAX_QUERY);
        assert_eq!(stream.take(&many), 0);
        for _ in 0..MAX_WAITING {
            assert!(stream.query(0).unwrap().is_some());
        }
        assert_eq!(stream.query(0), Ok(None), "others are being answered");
        stream.answer(&[1; 600]);
        assert_eq!(stream.query(0), Ok(None), "the answer isn't read");
        assert_eq!(stream.output()[..3], [2, 88, 1]);
        stream.sent(601, 0);
        assert_eq!(stream.query(0), Ok(None), "nor is all of it");
        stream.sent(1, 0);
        assert!(stream.query(0).unwrap().is_some());
    }

    #[test]
    fn lengths_that_make_no_sense_are_refused() {
        for length in [0, 4097, u16::MAX] {
            let mut stream = DnsStream::new(0);
            stream.take(&length.to_be_bytes());
            assert_eq!(stream.query(0), Err(BadLength), "{length}");
        }
    }

    #[test]
    fn only_whole_queries_and_answers_keep_a_connection() {
        let mut stream = DnsStream::new(0);
        stream.take(&[0]);
        assert_eq!(stream.query(5000), Ok(None));
        assert_eq!(stream.until_ms(), IDLE_MS);
        stream.take(&[1, 9]);
        assert!(stream.query(6000).unwrap().is_some());
        assert_eq!(stream.until_ms(), 6000 + IDLE_MS);
        stream.answer(b"reply");
        stream.sent(6, 7000);
        assert_eq!(stream.until_ms(), 6000 + IDLE_MS);
        stream.sent(1, 8000);
        assert_eq!((stream.until_ms(), stream.is_done()), (8000 + IDLE_MS, true));
    }
}
