//! One client's HTTP/1.1 connection, without I/O: bytes in, answers out.
//!
//! ```text
//! Head ──whole head──▶ answer ──body announced──▶ Body(n) ──n bytes read──▶ Head
//!   └─ malformed, too large, or the last request ──▶ Closed
//! ```
//! Like EC2's own service, a connection is closed after the answer unless its client asks to keep it.

use crate::response::Response;
use types::Timestamp;

/// The longest request line and headers, in bytes.
pub const MAX_HEAD: usize = 8 * 1024;
/// Headers a request may have.
pub const MAX_HEADERS: usize = 64;
/// The longest body that is read and thrown away; no request has use for one.
pub const MAX_BODY: u64 = 64 * 1024;
/// Requests that are answered for one call of [`Connection::feed`]; then the connection is closed.
pub const MAX_PIPELINED: usize = 64;

/// A request's method, as far as it makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// PUT
    Put,
    /// OPTIONS
    Options,
    /// Any other.
    Other,
}

/// A request's head.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The request target as it was sent.
    pub target: &'a str,
    headers: &'a [httparse::Header<'a>],
}

impl<'a> Request<'a> {
    /// A request that did not come through a [`Connection`].
    #[must_use]
    pub fn new(method: Method, target: &'a str, headers: &'a [httparse::Header<'a>]) -> Self {
        Self { method, target, headers }
    }

    /// The first header of this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.all(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }
}

/// What the caller does after [`Connection::feed`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Bytes to send.
    pub bytes: Vec<u8>,
    /// Whether the connection is closed once they are sent.
    pub close: bool,
}

/// One connection's state.
#[derive(Debug, Default)]
pub struct Connection {
    /// An unfinished head.
    head: Vec<u8>,
    /// What is left of a body.
    body: u64,
    closed: bool,
}

/// What a head asks of the connection.
struct Framing {
    body: u64,
    expects_continue: bool,
    keep: bool,
}

impl Connection {
    /// A fresh connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a request has begun and is not complete: such a client may be timed out sooner.
    #[must_use]
    pub fn mid_request(&self) -> bool {
        self.body > 0 || !self.head.is_empty()
    }

    /// Takes what came from the client; each complete request is answered by `respond`.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        now: Timestamp,
        mut respond: impl FnMut(&Request<'_>) -> Response,
    ) -> Output {
        let mut out = Vec::new();
        let mut answered = 0;
        while !self.closed {
            bytes = self.skip_body(bytes);
            let room = MAX_HEAD - self.head.len().min(MAX_HEAD);
            let (taken, rest) = bytes.split_at(bytes.len().min(room));
            self.head.extend_from_slice(taken);
            bytes = rest;
            answered += 1;
            let head = std::mem::take(&mut self.head);
            match step(&head, now, answered >= MAX_PIPELINED, &mut respond, &mut out) {
                Step::Partial if head.len() >= MAX_HEAD => self.refuse(400, now, &mut out),
                Step::Partial => {
                    self.head = head;
                    break;
                }
                Step::Refused(status) => self.refuse(status, now, &mut out),
                Step::Answered { used, body, keep } => {
                    self.closed = !keep;
                    self.body = body;
                    let after = self.skip_body(&head[used..]);
                    self.head = after.to_vec();
                    if self.head.is_empty() && bytes.is_empty() {
                        break;
                    }
                }
            }
        }
        Output { bytes: out, close: self.closed }
    }

    fn skip_body<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let skipped = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len());
        self.body -= skipped as u64;
        &bytes[skipped..]
    }

    fn refuse(&mut self, status: u16, now: Timestamp, out: &mut Vec<u8>) {
        self.closed = true;
        Response::error(status).write(now, false, true, out);
    }
}

/// What became of the bytes of a head.
enum Step {
    Partial,
    Refused(u16),
    Answered { used: usize, body: u64, keep: bool },
}

fn step(
    head: &[u8],
    now: Timestamp,
    last: bool,
    respond: &mut impl FnMut(&Request<'_>) -> Response,
    out: &mut Vec<u8>,
) -> Step {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let used = match parsed.parse(head) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Step::Partial,
        Err(httparse::Error::Version) => return Step::Refused(505),
        Err(_) => return Step::Refused(400),
    };
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Step::Refused(400);
    };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "PUT" => Method::Put,
        "OPTIONS" => Method::Options,
        _ => Method::Other,
    };
    let request = Request { method, target, headers: parsed.headers };
    let framing = match framing(&request, minor) {
        Ok(framing) => framing,
        Err(status) => return Step::Refused(status),
    };
    let keep = framing.keep && !last;
    if framing.expects_continue && framing.body > 0 && keep {
        out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    respond(&request).write(now, method == Method::Head, !keep, out);
    Step::Answered { used, body: framing.body, keep }
}

/// Where the request ends, and whether another may follow.
fn framing(request: &Request<'_>, minor: u8) -> Result<Framing, u16> {
    // Nothing here takes a body, so that no other coding than a length is needed.
    if request.all("transfer-encoding").next().is_some() {
        return Err(501);
    }
    let mut lengths = request.all("content-length");
    let body = match lengths.next() {
        None => 0,
        Some(text) => parse_length(text).ok_or(400_u16)?,
    };
    if lengths.next().is_some() {
        return Err(400);
    }
    if body > MAX_BODY {
        return Err(413);
    }
    let expects_continue = match request.header("expect") {
        None => false,
        Some(text) if text.trim().eq_ignore_ascii_case("100-continue") => minor > 0,
        Some(_) => return Err(417),
    };
    let keep = request.all("connection").any(|value| {
        value
            .split(|b| *b == b',')
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(b"keep-alive"))
    });
    Ok(Framing { body, expects_continue, keep })
}

fn parse_length(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
