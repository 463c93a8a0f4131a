//! How the process's memory is kept small.
#![allow(unsafe_code, reason = "the allocator's settings are calls of the C library")]

/// Buffers of this size and more are given back to the system as soon as they are free.
const GIVEN_BACK: libc::c_int = 64 * 1024;
/// Heaps that threads share; by default each of the many mostly idle threads gets its own.
const HEAPS: libc::c_int = 2;

/// Lets idle connections cost little: their buffers go back to the system.
pub fn give_back_early() {
    // SAFETY: mallopt only changes the allocator's settings.
    let set = unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, GIVEN_BACK) != 0
            && libc::mallopt(libc::M_ARENA_MAX, HEAPS) != 0
    };
    if !set {
        log::warn!("the allocator keeps its settings");
    }
}
