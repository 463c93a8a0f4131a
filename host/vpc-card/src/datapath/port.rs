//! A port's rings and stack.

use crate::{
    services::tcp::Stack,
    vhost_user::{QUEUES, ring::Ring},
};
use std::time::Instant;
use types::NetworkInterfaceId;

/// What the data path has of a port, beside what the engine knows.
pub struct PortIo {
    /// The port that all this is of: places are used again.
    pub id: Option<NetworkInterfaceId>,
    /// Its running rings.
    pub rings: [Option<Ring>; QUEUES],
    /// What its QEMU agreed to.
    pub features: u64,
    /// Its TCP, while it has connections.
    pub stack: Option<Stack>,
    /// Its TCP has got something new.
    pub stack_due: bool,
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
            id: None,
            rings: [None, None],
            features: 0,
            stack: None,
            stack_due: false,
            active: false,
            delivered: false,
            worked: Instant::now(),
        }
    }
}
