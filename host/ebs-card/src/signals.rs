//! SIGTERM and SIGINT as a call on a thread of its own.
#![allow(unsafe_code, reason = "the standard library knows no signals")]

use anyhow::{Result, ensure};
use std::{mem::MaybeUninit, ptr, thread};

/// Calls `end` on the first SIGTERM or SIGINT; to be called before any other thread is made, since
/// threads inherit that these signals are blocked.
///
/// # Errors
/// The system's.
pub fn on_end(end: impl FnOnce() + Send + 'static) -> Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset makes the set valid before anything reads it, and the set outlives the
    // calls; a null pointer for the old mask is allowed.
    let (set, blocked) = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        let blocked = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
        (set.assume_init(), blocked)
    };
    ensure!(blocked == 0, "signals cannot be blocked: error {blocked}");
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut signal = 0;
        // SAFETY: the set is valid, and so is the place for the signal's number.
        while unsafe { libc::sigwait(&raw const set, &raw mut signal) } != 0 {}
        log::info!("signal {signal}: ending");
        end();
    })?;
    Ok(())
}
