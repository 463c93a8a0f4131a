//! SIGTERM and SIGINT as a call on a thread of its own.
#![allow(unsafe_code, reason = "the standard library knows no signals")]

use anyhow::{Result, ensure};
use std::{
    io::{ErrorKind, Read as _, pipe},
    mem,
    os::fd::IntoRawFd as _,
    ptr,
    sync::atomic::{AtomicI32, Ordering},
    thread,
};

/// The pipe that the handler writes to.
static PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn handler(_signal: libc::c_int) {
    let byte = [1_u8];
    // SAFETY: write is allowed in a signal handler; the descriptor is never closed, and one byte
    // is readable at the pointer.
    unsafe { libc::write(PIPE.load(Ordering::Relaxed), byte.as_ptr().cast(), 1) };
}

/// Calls `end` on the first SIGTERM or SIGINT, whichever thread they come to.
///
/// # Errors
/// The system's.
pub fn on_end(end: impl FnOnce() + Send + 'static) -> Result<()> {
    let (mut reader, writer) = pipe()?;
    PIPE.store(writer.into_raw_fd(), Ordering::Relaxed);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: all zeros is a valid sigaction: no flags but the one set, an empty mask.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = handler as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the action is valid, its handler does only what handlers may; a null pointer
        // for the old action is allowed.
        let result = unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
        ensure!(result == 0, "a handler for signal {signal} cannot be set");
    }
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut byte = [0];
        loop {
            match reader.read(&mut byte) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        log::info!("a signal asks to end");
        end();
    })?;
    Ok(())
}
