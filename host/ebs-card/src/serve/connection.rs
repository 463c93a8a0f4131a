//! One client's connection: a thread that reads requests and does at once what needs no disk.
//!
//! Reads of what is in memory and writes (which go to the page cache) are done here, replies go
//! out in batches; what has to wait for a disk goes to the pool, so that nothing waits behind it.

use super::{outbox::Outbox, pool::Pool};
use crate::{
    counters::add,
    nbd::{
        Errno, MAX_EXTENTS, reply,
        request::{Decoder, Request, Work, check},
    },
    volume::{Flusher, Volume},
};
use std::{
    io::{self, Read as _},
    os::unix::net::UnixStream,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// Replies are sent once so many bytes of them are there, or no request is.
const BATCH: usize = 64 * 1024;
/// A connection that is quiet for so long gives its buffers back.
const QUIET: Duration = Duration::from_secs(1);

/// A volume's errors that are logged; all are counted.
const LOGGED: u64 = 20;

/// What a connection serves.
#[derive(Clone)]
pub struct Export {
    /// The volume.
    pub volume: Arc<Volume>,
    /// Its flushes.
    pub flusher: Arc<Flusher>,
}

/// A connection after its handshake.
pub struct Connection {
    /// The socket.
    pub stream: Arc<UnixStream>,
    /// What is served.
    pub export: Export,
    /// Whether replies are structured.
    pub structured: bool,
    /// Whether block status may be asked.
    pub allocation: bool,
    /// Where to wait for disks.
    pub pool: Pool,
}

enum Flow {
    Goes,
    Ends,
}

impl Connection {
    /// Serves until the client leaves; `early` came with its handshake.
    ///
    /// # Errors
    /// The socket's, or the client broke the protocol.
    pub fn serve(&self, early: Vec<u8>) -> anyhow::Result<()> {
        let outbox = Outbox::new(self.stream.clone());
        let result = self.requests(&outbox, Decoder::new(early));
        outbox.settle();
        result
    }

    fn requests(&self, outbox: &Arc<Outbox>, mut decoder: Decoder) -> anyhow::Result<()> {
        let mut replies = Vec::new();
        let mut watched = false;
        loop {
            while let Some((request, payload)) = decoder.advance()? {
                if let Flow::Ends = self.request(outbox, &request, payload, &mut replies) {
                    return Ok(());
                }
                if replies.len() >= BATCH {
                    if !outbox.send(&replies) {
                        return Ok(());
                    }
                    replies.clear();
                }
            }
            if !outbox.send(&replies) {
                return Ok(());
            }
            replies.clear();
            match (&*self.stream).read(decoder.space()) {
                Ok(0) => return Ok(()),
                Ok(count) => decoder.filled(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if decoder.rest() {
                        replies = Vec::new();
                        self.stream.set_read_timeout(None)?;
                        watched = false;
                        // One byte wakes the thread with nothing allocated for the wait.
                        let Some(first) = self.first_byte()? else { return Ok(()) };
                        decoder = Decoder::new(vec![first]);
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            if !watched {
                self.stream.set_read_timeout(Some(QUIET))?;
                watched = true;
            }
        }
    }

    fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        loop {
            match (&*self.stream).read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn request(
        &self,
        outbox: &Arc<Outbox>,
        request: &Request,
        payload: &[u8],
        replies: &mut Vec<u8>,
    ) -> Flow {
        let volume = &self.export.volume;
        let counters = &volume.counters;
        let (offset, length) = (request.offset, u64::from(request.length));
        let work = match check(request, volume.size_bytes(), self.allocation) {
            Ok(work) => work,
            Err(errno) => {
                add(&counters.invalid, 1);
                reply::error(replies, self.structured, request.cookie, errno);
                return Flow::Goes;
            }
        };
        match work {
            Work::Disconnect => return Flow::Ends,
            Work::Read => {
                add(&counters.reads, 1);
                add(&counters.read_bytes, length);
                return self.read(outbox, request, replies);
            }
            Work::Write { durable } => {
                add(&counters.writes, 1);
                add(&counters.write_bytes, length);
                let result = volume.write(offset, payload);
                return self.wrote(outbox, request, durable, result, replies);
            }
            Work::Trim { durable } => {
                add(&counters.discards, 1);
                add(&counters.discard_bytes, length);
                let result = volume.discard(offset, length);
                return self.wrote(outbox, request, durable, result, replies);
            }
            Work::Zero { durable } => {
                add(&counters.discards, 1);
                add(&counters.discard_bytes, length);
                let result = volume.zero(offset, length);
                return self.wrote(outbox, request, durable, result, replies);
            }
            Work::Flush => return self.flush(outbox, request.cookie),
            Work::Status { one } => self.status(request, one, replies),
        }
        Flow::Goes
    }

    fn read(&self, outbox: &Arc<Outbox>, request: &Request, replies: &mut Vec<u8>) -> Flow {
        let (cookie, offset, length) = (request.cookie, request.offset, request.length);
        let volume = &self.export.volume;
        if self.structured
            && matches!(volume.extents(offset, u64::from(length), 1).as_deref(),
                Ok([(hole, true)]) if *hole == u64::from(length))
        {
            reply::read_hole(replies, cookie, offset, length);
            return Flow::Goes;
        }
        let start = replies.len();
        reply::read_header(replies, self.structured, cookie, offset, length);
        let content = replies.len();
        replies.resize(content + length as usize, 0);
        match volume.read_cached(offset, &mut replies[content..]) {
            Ok(true) => return Flow::Goes,
            Ok(false) => replies.truncate(start),
            Err(error) => {
                replies.truncate(start);
                self.failed(cookie, &error, replies);
                return Flow::Goes;
            }
        }
        let (connection, request) = (self.portable(), *request);
        let size = length as usize;
        // What is ready must not wait behind the limit that begin may wait for.
        if !outbox.send(replies) || !outbox.begin(size) {
            return Flow::Ends;
        }
        replies.clear();
        let outbox = outbox.clone();
        self.pool.run(Box::new(move || {
            let mut reply = Vec::with_capacity(size + 32);
            reply::read_header(&mut reply, connection.structured, cookie, offset, length);
            let content = reply.len();
            reply.resize(content + size, 0);
            if let Err(error) = connection.export.volume.read(request.offset, &mut reply[content..])
            {
                reply.clear();
                connection.failed(cookie, &error, &mut reply);
            }
            outbox.finish(size, &reply);
        }));
        Flow::Goes
    }

    /// Replies to a write, after a flush if it has to be durable.
    fn wrote(
        &self,
        outbox: &Arc<Outbox>,
        request: &Request,
        durable: bool,
        result: io::Result<()>,
        replies: &mut Vec<u8>,
    ) -> Flow {
        match result {
            Err(error) => self.failed(request.cookie, &error, replies),
            Ok(()) if durable => return self.flush(outbox, request.cookie),
            Ok(()) => reply::done(replies, self.structured, request.cookie),
        }
        Flow::Goes
    }

    fn flush(&self, outbox: &Arc<Outbox>, cookie: u64) -> Flow {
        add(&self.export.volume.counters.flushes, 1);
        if !outbox.begin(0) {
            return Flow::Ends;
        }
        let (structured, outbox) = (self.structured, outbox.clone());
        let volume = self.export.volume.clone();
        let done = Box::new(move |ok: bool| {
            let mut bytes = Vec::with_capacity(32);
            if ok {
                reply::done(&mut bytes, structured, cookie);
            } else {
                add(&volume.counters.errors, 1);
                reply::error(&mut bytes, structured, cookie, Errno::Io);
            }
            outbox.finish(0, &bytes);
        });
        self.export.flusher.flush(&self.export.volume, &self.pool, done);
        Flow::Goes
    }

    fn status(&self, request: &Request, one: bool, replies: &mut Vec<u8>) {
        let max = if one { 1 } else { MAX_EXTENTS };
        let extents = self.export.volume.extents(request.offset, u64::from(request.length), max);
        match extents {
            Ok(extents) => {
                let extents = extents
                    .into_iter()
                    // No longer than the request.
                    .map(|(length, hole)| {
                        let flags = if hole { reply::HOLE_AND_ZERO } else { 0 };
                        (u32::try_from(length).unwrap_or(u32::MAX), flags)
                    })
                    .collect::<Vec<_>>();
                reply::block_status(replies, request.cookie, &extents);
            }
            Err(error) => self.failed(request.cookie, &error, replies),
        }
    }

    fn failed(&self, cookie: u64, error: &io::Error, replies: &mut Vec<u8>) {
        let errors = &self.export.volume.counters.errors;
        add(errors, 1);
        // A guest may go on for ever.
        if errors.load(Ordering::Relaxed) <= LOGGED {
            log::warn!("a request failed: {error}");
        }
        let errno =
            if error.kind() == io::ErrorKind::StorageFull { Errno::NoSpace } else { Errno::Io };
        reply::error(replies, self.structured, cookie, errno);
    }

    fn portable(&self) -> Self {
        Self {
            stream: self.stream.clone(),
            export: self.export.clone(),
            structured: self.structured,
            allocation: self.allocation,
            pool: self.pool.clone(),
        }
    }
}
