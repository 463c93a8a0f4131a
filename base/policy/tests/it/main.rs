//! Tests of the crate from outside: a table of cases, properties that hold for any policy,
//! and the fuzz corpus.

mod corpus;
mod hostile;
mod oracle;
mod properties;
mod table;
