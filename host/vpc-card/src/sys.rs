//! Waiting and waking: epoll and eventfd.

use anyhow::Context as _;
use rustix::{
    event::{EventfdFlags, Timespec, epoll, eventfd},
    io::Errno,
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

/// Waits for many descriptors.
#[derive(Debug)]
pub struct Poller(OwnedFd);

/// Events taken at once.
const EVENTS: usize = 64;

/// An event's key.
#[must_use]
pub fn epoll_key(event: &epoll::Event) -> u64 {
    event.data.u64()
}

impl Poller {
    /// A poller of nothing.
    ///
    /// # Errors
    /// The system gives no descriptor.
    pub fn new() -> anyhow::Result<Self> {
        epoll::create(epoll::CreateFlags::CLOEXEC).map(Self).context("epoll")
    }

    /// Waits for a descriptor to be readable; its events carry this key. Closing it ends that.
    ///
    /// # Errors
    /// The descriptor cannot be waited for.
    pub fn add(&self, file: impl AsFd, key: u64) -> anyhow::Result<()> {
        let data = epoll::EventData::new_u64(key);
        epoll::add(&self.0, file, data, epoll::EventFlags::IN).context("epoll add")
    }

    /// As `add`, for an eventfd that nobody reads: each write is told once.
    ///
    /// # Errors
    /// The descriptor cannot be waited for.
    pub fn add_edge(&self, file: impl AsFd, key: u64) -> anyhow::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(key);
        epoll::add(&self.0, file, data, flags).context("epoll add")
    }

    /// As `add`, for a socket whose connection and room are of interest too, told once each.
    ///
    /// # Errors
    /// The descriptor cannot be waited for.
    pub fn add_stream(&self, file: impl AsFd, key: u64) -> anyhow::Result<()> {
        use epoll::EventFlags;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = epoll::EventData::new_u64(key);
        epoll::add(&self.0, file, data, flags).context("epoll add")
    }

    /// Stops waiting for a descriptor that may live on elsewhere.
    pub fn remove(&self, file: impl AsFd) {
        if let Err(error) = epoll::delete(&self.0, file) {
            log::debug!("epoll delete: {error}");
        }
    }

    /// Waits for events, for ever or for a time.
    ///
    /// # Errors
    /// Waiting fails, which it does not.
    pub fn wait(&self, timeout: Option<Duration>) -> anyhow::Result<Vec<epoll::Event>> {
        let mut events = Vec::new();
        self.wait_into(timeout, &mut events)?;
        Ok(events)
    }

    /// As `wait`, into a vector that is used again.
    ///
    /// # Errors
    /// As `wait`.
    pub fn wait_into(
        &self,
        timeout: Option<Duration>,
        events: &mut Vec<epoll::Event>,
    ) -> anyhow::Result<()> {
        events.clear();
        events.reserve(EVENTS);
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        match epoll::wait(&self.0, rustix::buffer::spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("epoll wait"),
        }
    }
}

/// Wakes a thread that waits for it.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// A waker that nobody woke yet.
    ///
    /// # Errors
    /// The system gives no descriptor.
    pub fn new() -> anyhow::Result<Self> {
        let file = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).context("eventfd")?;
        Ok(Self(Arc::new(file)))
    }

    /// Wakes.
    pub fn wake(&self) {
        if let Err(error) = rustix::io::write(&*self.0, &1_u64.to_ne_bytes())
            && error != Errno::AGAIN
        {
            log::error!("wake: {error}");
        }
    }

    /// Forgets that it was woken.
    pub fn clear(&self) {
        drain(&*self.0);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Empties an eventfd that doesn't block.
pub fn drain(file: impl AsFd) {
    // Whether it was empty or not is the same.
    let _ = rustix::io::read(file, &mut [0; 8]);
}
