//! The protocols as clients meet them.

mod cases;
mod signatures;
