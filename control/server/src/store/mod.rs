//! The engines behind the store trait.

mod memory;
mod sqlite;

pub use memory::Memory;
pub use sqlite::Sqlite;
