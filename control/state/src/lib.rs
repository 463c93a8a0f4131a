//! Control state: rows in memory, transactions, change sets.
