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
    /// Whether a thread is waiting for the client to take replies.
    draining: bool,
    /// Replies that it is to send then.
    unsent: Vec<u8>,
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

    /// Sends replies of requests that did not have to wait, and waits for the client to take them:
    /// for the connection's own thread. False = the client is gone.
    #[must_use]
    pub fn send(&self, replies: &[u8]) -> bool {
        let mut state = lock(&self.state);
        while state.draining && !state.broken {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let left = self.try_send(&mut state, replies);
        if left.is_empty() || state.broken {
            return !state.broken;
        }
        // Others add to what is unsent meanwhile, and it follows.
        state.draining = true;
        drop(state);
        self.drain(left)
    }

    /// Waits until no request waits for a disk any more.
    pub fn settle(&self) {
        let mut state = lock(&self.state);
        while state.waiting > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends what the socket takes at once; returns the rest.
    fn try_send<'b>(&self, state: &mut State, mut bytes: &'b [u8]) -> &'b [u8] {
        while !bytes.is_empty() && !state.broken {
            match send(&*self.stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.abandon(state),
            }
        }
        bytes
    }

    fn push(self: &Arc<Self>, state: &mut State, bytes: &[u8]) {
        if state.draining {
            state.unsent.extend_from_slice(bytes);
            return;
        }
        let left = self.try_send(state, bytes).to_vec();
        if left.is_empty() || state.broken {
            return;
        }
        // No thread of the pool waits for a client: another one does.
        state.draining = true;
        let outbox = self.clone();
        let thread = thread::Builder::new().name("drain".into()).stack_size(STACK_BYTES);
        if thread.spawn(move || outbox.drain(&left)).is_err() {
            self.abandon(state);
        }
    }

    /// The client is gone or cannot be served: the reading thread sees the end.
    fn abandon(&self, state: &mut State) {
        state.broken = true;
        self.changed.notify_all();
        state.draining = false;
        state.unsent = Vec::new();
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Sends these bytes and all that is added meanwhile; false = the client is gone.
    fn drain(&self, first: &[u8]) -> bool {
        let mut sent = self.send_all(first);
        while sent {
            let more = {
                let mut state = lock(&self.state);
                state.draining = !state.unsent.is_empty();
                std::mem::take(&mut state.unsent)
            };
            self.changed.notify_all();
            if more.is_empty() {
                break;
            }
            sent = self.send_all(&more);
        }
        sent
    }

    /// Sends bytes as the client takes them.
    fn send_all(&self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let mut fds = [PollFd::new(&*self.stream, PollFlags::OUT)];
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match poll(&mut fds, None).and_then(|_| send(&*self.stream, bytes, flags)) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => {
                    self.abandon(&mut lock(&self.state));
                    return false;
                }
            }
        }
        true
    }
}
