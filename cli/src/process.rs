//! Processes that outlive their starter: found again by their ID and start time.

use anyhow::Context as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{fs, path::Path, time::Duration};

/// A running process.
#[derive(Debug)]
pub struct Process {
    /// Its ID.
    pub pid: u32,
    fd: OwnedFd,
}

fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 22, counted behind the name, which may hold anything.
    stat.rsplit_once(") ")?.1.split(' ').nth(19).map(str::to_owned)
}

impl Process {
    /// The process with this ID.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process ID")?;
        let fd = pidfd_open(raw, PidfdFlags::empty()).context("watch the process")?;
        Ok(Self { pid, fd })
    }

    /// Notes the process in a file.
    pub fn note(&self, path: &Path) -> anyhow::Result<()> {
        let start = start_time(self.pid).context("the process is gone")?;
        let new = path.with_extension("new");
        fs::write(&new, format!("{} {start}\n", self.pid))?;
        fs::rename(&new, path).with_context(|| format!("write {}", path.display()))
    }

    /// The process noted in a file, if it still runs.
    pub fn noted(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let (pid, start) = text.trim().split_once(' ')?;
        let process = Self::of(pid.parse().ok()?).ok()?;
        // Looked at after the descriptor was opened, so it is about the same process.
        (start_time(process.pid).as_deref() == Some(start) && !process.ended()).then_some(process)
    }

    /// Its descriptor, readable once it has ended.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for its end; says whether it came in time.
    pub fn wait(&self, at_most: Duration) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: at_most.subsec_nanos().into(),
        };
        matches!(poll(&mut fds, Some(&timeout)), Ok(ready) if ready > 0)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.fd, signal);
    }

    /// Ends it: asks, and kills it after a while.
    pub fn end(&self, grace: Duration) {
        self.signal(Signal::TERM);
        if !self.wait(grace) {
            self.signal(Signal::KILL);
            self.wait(Duration::from_secs(5));
        }
    }
}
