//! Keeps a cloud's processes alive on one machine.
//!
//! The roles run in sessions of their own. If the supervisor is killed they run on, and the next
//! supervisor finds and adopts them.

use crate::{
    egress,
    paths::Paths,
    process::Process,
    roles::{self, Held, Role},
    settings::Settings,
};
use anyhow::Context as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, flock},
};
use signal_hook::{
    consts::{SIGCHLD, SIGINT, SIGTERM},
    low_level::pipe,
};
use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    os::unix::net::UnixStream,
    process::Child,
    time::{Duration, Instant},
};

/// A process that ends sooner after its start is started again with growing pauses.
const STEADY: Duration = Duration::from_secs(10);
/// The longest pause before a start.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// How long a process may take to end when asked.
const GRACE: Duration = Duration::from_secs(10);

/// The lock that a cloud's one supervisor holds.
pub struct Lock(#[expect(dead_code, reason = "held")] fs::File);

/// Takes the lock; none if another supervisor has it.
pub fn lock(paths: &Paths) -> anyhow::Result<Option<Lock>> {
    let path = paths.data.join("supervisor.lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock(file))),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).context("lock the data folder"),
    }
}

struct Kept {
    role: Role,
    process: Option<Process>,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
}

/// Runs until it is told to end; then the cloud's processes end too.
pub fn run(paths: &Paths, _lock: &Lock) -> anyhow::Result<()> {
    let settings = Settings::load(paths)?.context("the cloud was never started: 'fogbank up'")?;
    let (mut signals, sender) = UnixStream::pair()?;
    signals.set_nonblocking(true)?;
    pipe::register(SIGTERM, sender.try_clone()?)?;
    pipe::register(SIGINT, sender)?;
    // Only so that children are reaped soon.
    let (child_signals, child_sender) = UnixStream::pair()?;
    child_signals.set_nonblocking(true)?;
    pipe::register(SIGCHLD, child_sender)?;
    let own = Process::of(std::process::id())?;
    own.note(&paths.run_file("supervisor.pid"))?;
    egress::open(paths, &settings);
    let held = Held {
        nbd: roles::listen(&roles::nbd_path(paths))?,
        endpoint: TcpListener::bind(settings.listen)
            .with_context(|| format!("listen on {}", settings.listen))?,
    };
    let mut kept = Role::all(&settings)
        .iter()
        .map(|role| Kept {
            role: *role,
            process: Process::noted(&pid_file(paths, *role)),
            child: None,
            started: Instant::now(),
            pause: Duration::ZERO,
        })
        .collect::<Vec<_>>();
    for one in kept.iter().filter(|one| one.process.is_some()) {
        log::info!("adopted the {}", one.role.name());
    }
    loop {
        let mut wait = None;
        for one in &mut kept {
            if let Some(pause) = one.keep(paths, &held) {
                wait = Some(wait.map_or(pause, |wait: Duration| wait.min(pause)));
            }
        }
        wait_for_news(&signals, &child_signals, &kept, wait)?;
        let mut bytes = [0; 64];
        if signals.read(&mut bytes).is_ok_and(|read| read > 0) {
            break;
        }
        while (&child_signals).read(&mut bytes).is_ok_and(|read| read > 0) {}
    }
    log::info!("told to end");
    // The agent and the server first: a card's end is no failure to mend then.
    for one in kept.iter_mut().rev() {
        if let Some(process) = &one.process {
            process.end(GRACE);
        }
        one.reap();
        let _ = fs::remove_file(pid_file(paths, one.role));
    }
    egress::close(paths);
    let _ = fs::remove_file(paths.run_file("supervisor.pid"));
    Ok(())
}

fn pid_file(paths: &Paths, role: Role) -> std::path::PathBuf {
    paths.run_file(&format!("{}.pid", role.name()))
}

fn wait_for_news(
    signals: &UnixStream,
    children: &UnixStream,
    kept: &[Kept],
    wait: Option<Duration>,
) -> anyhow::Result<()> {
    let mut fds = vec![PollFd::new(signals, PollFlags::IN), PollFd::new(children, PollFlags::IN)];
    let processes = kept.iter().filter_map(|one| one.process.as_ref());
    fds.extend(processes.map(|process| PollFd::new(process.fd(), PollFlags::IN)));
    let timeout = wait.map(|wait| Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    });
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("wait for the processes"),
    }
}

impl Kept {
    /// Starts the process if it doesn't run; gives the pause before the next try, if one is due.
    fn keep(&mut self, paths: &Paths, held: &Held) -> Option<Duration> {
        if self.process.as_ref().is_some_and(Process::ended) {
            let ran = self.started.elapsed();
            log::warn!("the {} ended after {} s", self.role.name(), ran.as_secs());
            self.reap();
            self.process = None;
            self.pause = if ran > STEADY {
                Duration::ZERO
            } else {
                (self.pause * 2).clamp(Duration::from_millis(50), MAX_PAUSE)
            };
            self.started = Instant::now();
        }
        if self.process.is_some() {
            return None;
        }
        let waited = self.started.elapsed();
        if waited < self.pause {
            return Some(self.pause.saturating_sub(waited));
        }
        match self.start(paths, held) {
            Ok(()) => None,
            Err(error) => {
                log::error!("{error:#}");
                self.started = Instant::now();
                self.pause = MAX_PAUSE;
                Some(MAX_PAUSE)
            }
        }
    }

    fn start(&mut self, paths: &Paths, held: &Held) -> anyhow::Result<()> {
        let child = self.role.start(paths, held)?;
        let process = Process::of(child.id())?;
        process.note(&pid_file(paths, self.role))?;
        log::info!("started the {} (process {})", self.role.name(), process.pid);
        self.process = Some(process);
        self.child = Some(child);
        self.started = Instant::now();
        Ok(())
    }

    fn reap(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}
