//! The object store's process.
