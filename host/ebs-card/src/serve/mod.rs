//! The sockets and threads around the protocol and the volumes.

pub mod connection;
pub mod listener;
pub mod outbox;
pub mod pool;
