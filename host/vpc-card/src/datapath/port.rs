//! A port's rings and stack.

use crate::{
    services::tcp::Stack,
    vhost_user::{QUEUES, ring::Ring},
};
use std::time::Instant;

/// What the data path has of a port, beside what the engine knows.
pub struct PortIo {
    /// Its running rings.
    pub rings: [Option<Ring>; QUEUES],
    /// What its QEMU agreed to.
    pub features: u64,
    /// Its TCP, while it has connections.
    pub stack: Option<Stack>,
    /// It is among the active ports.
    pub active: bool,
    /// It was given frames that it was not told of.
    pub delivered: bool,
    /// When it last sent something.
    pub worked: Instant,
}

impl Default for PortIo {
    fn default() -> Self {
        Self {
            rings: [None, None],
            features: 0,
            stack: None,
            active: false,
            delivered: false,
            worked: Instant::now(),
        }
    }
}
