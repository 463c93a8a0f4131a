//! The card as a process, with QEMU's tools and a client of our own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod control;
mod crash;
mod host;
mod hostile;
mod protocol;
mod tools;
