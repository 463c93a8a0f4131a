//! Flushes of one volume, off the threads that read and write, many waiters for one sync.

use super::Volume;
use crate::{lock, serve::pool::Pool};
use std::sync::{Arc, Mutex};

/// Called once with whether the flush succeeded.
pub type Done = Box<dyn FnOnce(bool) + Send>;

/// A volume's waiting flushes.
#[derive(Default)]
pub struct Flusher {
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    done: Vec<Done>,
    running: bool,
}

impl Flusher {
    /// Calls `done` when all that was acknowledged before this call is durable.
    pub fn flush(self: &Arc<Self>, volume: &Arc<Volume>, pool: &Pool, done: Done) {
        {
            let mut waiting = lock(&self.state);
            if waiting.running || volume.needs_flush() {
                waiting.done.push(done);
                if waiting.running {
                    return;
                }
                waiting.running = true;
            } else {
                // Nothing was written since the last flush, which is over.
                drop(waiting);
                return done(true);
            }
        }
        let (flusher, volume) = (self.clone(), volume.clone());
        pool.run(Box::new(move || flusher.run(&volume)));
    }

    fn run(&self, volume: &Volume) {
        // Whether there may be space to give back, when nobody waits.
        let mut more = false;
        loop {
            let waiters = {
                let mut waiting = lock(&self.state);
                if waiting.done.is_empty() && !more {
                    waiting.running = false;
                    return;
                }
                std::mem::take(&mut waiting.done)
            };
            if waiters.is_empty() {
                more = volume.give_back();
                continue;
            }
            // Whoever comes during this flush waits for the next one.
            let ok = volume.flush().is_ok();
            for done in waiters {
                done(ok);
            }
            more = true;
        }
    }
}
