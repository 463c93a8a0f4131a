//! The engines behind the store trait.

#[cfg(test)]
mod memory;
mod seal;
mod sqlite;

#[cfg(test)]
pub use memory::Memory;
pub use seal::RowKey;
pub use sqlite::Sqlite;

#[cfg(test)]
mod tests;
