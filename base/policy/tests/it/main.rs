//! Tests of the crate from outside: a table of cases, and properties that hold for any policy.

mod properties;
mod table;
