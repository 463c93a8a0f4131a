//! The protocols as clients meet them.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

mod cases;
mod corpus;
mod faults;
mod hostile;
mod json;
mod queries;
mod signatures;
