//! Threads for what has to wait for a disk; they come when needed and go when idle.

use crate::lock;
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// Requests that wait for disks at once, of all volumes.
const MAX_THREADS: usize = 32;
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(2);
/// The stack of the card's threads: the deepest call chain needs a fraction of it.
pub const STACK_BYTES: usize = 256 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// The pool; clones share it.
#[derive(Clone, Default)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Pool {
    /// Runs a job on some thread, soon; on this one if no thread can be made.
    pub fn run(&self, job: Job) {
        let spawn = {
            let mut queue = lock(&self.shared.queue);
            queue.jobs.push_back(job);
            let spawn = queue.idle < queue.jobs.len() && queue.threads < MAX_THREADS;
            if spawn {
                queue.threads += 1;
            }
            spawn
        };
        if !spawn {
            self.shared.work.notify_one();
            return;
        }
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name("disk".into()).stack_size(STACK_BYTES);
        if let Err(error) = thread.spawn(move || shared.work(true)) {
            log::warn!("no thread for the disk: {error}");
            self.shared.work(false);
        }
    }
}

impl Shared {
    /// Works until there is nothing to do: for long if `stay`, else now.
    fn work(&self, stay: bool) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job();
                queue = lock(&self.queue);
                continue;
            }
            if !stay {
                break;
            }
            queue.idle += 1;
            let (waited, timeout) =
                self.work.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue = waited;
            queue.idle -= 1;
            if timeout.timed_out() && queue.jobs.is_empty() {
                break;
            }
        }
        queue.threads -= 1;
    }
}
