//! Tests that use the crate as others do.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod key_pairs;
mod simulation;
mod termination;
