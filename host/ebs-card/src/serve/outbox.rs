//! Replies on their way to a client, from any thread, none of which ever waits for the client.

use crate::{lock, serve::pool::STACK_BYTES};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{SendFlags, send},
};
use std::{
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

/// Requests of one connection that wait for a disk at once.
const MAX_WAITING: usize = 128;
/// Bytes of replies that are made or wait to be sent, of one connection, but for one request.
const MAX_BYTES: usize = 32 << 20;

/// A connection's replies.
pub struct Outbox {
    stream: Arc<UnixStream>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Replies that the socket did not take yet, and how much of them it took.
    unsent: Vec<u8>,
    sent: usize,
    /// Whether a thread is there that sends them.
    draining: bool,
    /// Requests that wait for a disk, and the bytes of their replies.
    waiting: usize,
    waiting_bytes: usize,
    /// The client takes no more replies.
    broken: bool,
}

impl Outbox {
    /// The outbox of a connection.
    #[must_use]
    pub fn new(stream: Arc<UnixStream>) -> Arc<Self> {
        Arc::new(Self { stream, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Waits until the client has taken enough of its replies that another request may begin;
    /// false = the client is gone.
    #[must_use]
    pub fn begin(&self, bytes: usize) -> bool {
        let mut state = lock(&self.state);
        while !state.broken
            && (state.waiting >= MAX_WAITING
                || (state.unsent.len() + state.waiting_bytes > 0
                    && state.unsent.len() + state.waiting_bytes + bytes > MAX_BYTES))
        {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.broken {
            return false;
        }
        state.waiting += 1;
        state.waiting_bytes += bytes;
        true
    }

    /// A request that had begun is replied to.
    pub fn finish(self: &Arc<Self>, bytes: usize, reply: &[u8]) {
        let mut state = lock(&self.state);
        state.waiting -= 1;
        state.waiting_bytes -= bytes;
        self.push(&mut state, reply);
        drop(state);
        self.changed.notify_all();
    }

    /// Sends replies of requests that did not have to wait; false = the client is gone.
    #[must_use]
    pub fn send(self: &Arc<Self>, replies: &[u8]) -> bool {
        let mut state = lock(&self.state);
        self.push(&mut state, replies);
        // A client that does not take its replies may not ask on.
        while !state.broken && state.unsent.len() > MAX_BYTES {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.broken
    }

    /// Waits until no request waits for a disk any more.
    pub fn settle(&self) {
        let mut state = lock(&self.state);
        while state.waiting > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn push(self: &Arc<Self>, state: &mut State, mut bytes: &[u8]) {
        while !bytes.is_empty() && state.unsent.is_empty() && !state.broken {
            match send(&*self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.abandon(state),
            }
        }
        if bytes.is_empty() || state.broken {
            return;
        }
        state.unsent.extend_from_slice(bytes);
        if !state.draining {
            let outbox = self.clone();
            let thread = thread::Builder::new().name("drain".into()).stack_size(STACK_BYTES);
            state.draining = thread.spawn(move || outbox.drain()).is_ok();
            if !state.draining {
                self.abandon(state);
            }
        }
    }

    /// The client is gone or cannot be served: the reading thread sees the end.
    fn abandon(&self, state: &mut State) {
        state.broken = true;
        state.unsent = Vec::new();
        state.sent = 0;
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Sends what could not be sent at once, until nothing is left.
    fn drain(&self) {
        loop {
            let mut fds = [PollFd::new(&*self.stream, PollFlags::OUT)];
            let polled = poll(&mut fds, None);
            let mut state = lock(&self.state);
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let outcome = match polled {
                Ok(_) => send(&*self.stream, &state.unsent[state.sent..], flags),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(count) => state.sent += count,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => self.abandon(&mut state),
            }
            if state.sent == state.unsent.len() {
                state.unsent = Vec::new();
                state.sent = 0;
                state.draining = false;
            }
            let over = !state.draining;
            drop(state);
            self.changed.notify_all();
            if over {
                return;
            }
        }
    }
}
