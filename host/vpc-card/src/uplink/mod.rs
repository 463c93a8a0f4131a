//! The way out of the VPCs: to the host, and by it to the rest of the world.

pub mod tun;
