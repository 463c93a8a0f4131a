//! Starts QEMU shut in: its own session, user and network, nothing inherited but what is named.
#![allow(unsafe_code, reason = "what happens between fork and exec is system calls")]

use anyhow::{Context, Result};
use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
};

/// How a process is shut in.
#[derive(Debug, Default)]
pub struct Confinement {
    /// User and group to become.
    pub uid: Option<u32>,
    /// A group that it is in besides: the one that may use KVM.
    pub group: Option<u32>,
    /// Whether to give it a network of its own, and to hide other processes from it.
    pub namespaces: bool,
    /// Files that it writes its own number to before anything else: `cgroup.procs`.
    pub groups: Vec<OwnedFd>,
    /// File that it writes its number to, so that it is found even if we die right now.
    pub pid_file: Option<OwnedFd>,
    /// Descriptors that it keeps.
    pub inherit: Vec<RawFd>,
}

/// Starts a program; its output goes to `log`. It outlives us.
///
/// # Errors
/// It cannot be started.
pub fn spawn(
    program: &Path,
    args: &[String],
    confinement: &Confinement,
    log: Option<&File>,
) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(args).current_dir("/").stdin(Stdio::null()).env_clear();
    match log {
        Some(log) => {
            command.stdout(log.try_clone()?).stderr(log.try_clone()?);
        }
        None => {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
    }
    let steps = Steps {
        uid: confinement.uid,
        group: confinement.group,
        namespaces: confinement.namespaces,
        groups: confinement.groups.iter().map(AsRawFd::as_raw_fd).collect(),
        pid_file: confinement.pid_file.as_ref().map(AsRawFd::as_raw_fd),
        inherit: confinement.inherit.clone(),
        proc: CString::new("/proc")?,
        root: CString::new("/")?,
        tmpfs: CString::new("tmpfs")?,
        options: CString::new("mode=555")?,
    };
    // SAFETY: the closure runs between fork and exec and makes system calls only: it neither
    // allocates nor takes a lock.
    unsafe {
        command.pre_exec(move || steps.run());
    }
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

/// Gives memory back that a large answer took: an agent that waits for months shall be small.
pub fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it only returns unused pages to the system.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What the child does before it becomes the program; all memory is allocated beforehand.
struct Steps {
    uid: Option<u32>,
    group: Option<u32>,
    namespaces: bool,
    groups: Vec<RawFd>,
    pid_file: Option<RawFd>,
    inherit: Vec<RawFd>,
    proc: CString,
    root: CString,
    tmpfs: CString,
    options: CString,
}

/// The last error unless a system call returned zero or more.
fn check(result: impl Into<i64>) -> io::Result<()> {
    if result.into() < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Steps {
    fn run(&self) -> io::Result<()> {
        // SAFETY: system calls on numbers and on strings that live in `self`.
        unsafe {
            check(libc::setsid())?;
            libc::umask(0o077);
            for group in &self.groups {
                // Zero means the writer itself. A group that refuses is one that we do without.
                libc::write(*group, c"0".as_ptr().cast(), 1);
            }
            if let Some(file) = self.pid_file {
                self.write_pid(file)?;
            }
            if self.namespaces {
                self.enter_namespaces()?;
            }
            // Whatever our parent left open is not for the guest's process.
            let close_on_exec = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
            libc::close_range(3, libc::c_uint::MAX, close_on_exec);
            for fd in &self.inherit {
                check(libc::fcntl(*fd, libc::F_SETFD, 0))?;
            }
            if let Some(uid) = self.uid {
                let count = usize::from(self.group.is_some());
                let groups = self.group.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
                check(libc::setgroups(count, groups))?;
                check(libc::setresgid(uid, uid, uid))?;
                // This also clears the capabilities.
                check(libc::setresuid(uid, uid, uid))?;
            }
            let (set, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
            check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, set, unused, unused, unused))?;
            // Memory of guests must not land in core files.
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            check(libc::setrlimit(libc::RLIMIT_CORE, &none))
        }
    }

    /// Writes our number in decimal, by hand: formatting could allocate.
    fn write_pid(&self, file: RawFd) -> io::Result<()> {
        let mut digits = [0_u8; 12];
        let mut at = digits.len();
        // SAFETY: getpid cannot fail.
        let mut left = unsafe { libc::getpid() }.unsigned_abs();
        while left > 0 && at > 0 {
            at -= 1;
            if let Some(digit) = digits.get_mut(at) {
                *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
            }
            left /= 10;
        }
        let text = digits.get(at..).unwrap_or_default();
        // SAFETY: the buffer is as long as said.
        check(
            i64::try_from(unsafe { libc::write(file, text.as_ptr().cast(), text.len()) })
                .unwrap_or(-1),
        )
    }

    /// No network but Unix sockets by path, and no sight of other processes: their command lines
    /// hold the secrets of other VMs' disks.
    fn enter_namespaces(&self) -> io::Result<()> {
        let none = std::ptr::null::<libc::c_char>();
        // SAFETY: the strings live in `self`; the calls change this process only.
        unsafe {
            check(libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS | libc::CLONE_NEWIPC))?;
            let private = libc::MS_REC | libc::MS_PRIVATE;
            check(libc::mount(none, self.root.as_ptr(), none, private, none.cast()))?;
            let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RDONLY;
            check(libc::mount(
                self.tmpfs.as_ptr(),
                self.proc.as_ptr(),
                self.tmpfs.as_ptr(),
                flags,
                self.options.as_ptr().cast(),
            ))
        }
    }
}
