//! virtio-net over vhost-user: the protocol, the guest's memory, the rings.
//!
//! All three face bytes that a guest, or a QEMU that a guest has taken over, may choose. Numbers
//! are checked before they become addresses, what is read is copied first, and guest memory is
//! never referenced as Rust data.

pub mod frontend;
pub mod memory;
pub mod message;
pub mod ring;
pub mod server;

/// `VIRTIO_NET_F_CSUM`: the card takes packets with partial checksums.
pub const F_CSUM: u64 = 1;
/// `VIRTIO_NET_F_GUEST_CSUM`: so does the guest.
pub const F_GUEST_CSUM: u64 = 1 << 1;
/// `VIRTIO_NET_F_MTU`: QEMU tells the guest the MTU.
pub const F_MTU: u64 = 1 << 3;
/// `VIRTIO_NET_F_MRG_RXBUF`: a frame may fill several of the guest's buffers.
pub const F_MRG_RXBUF: u64 = 1 << 15;
/// `VIRTIO_F_RING_INDIRECT_DESC`.
pub const F_INDIRECT: u64 = 1 << 28;
/// `VIRTIO_F_RING_EVENT_IDX`.
pub const F_EVENT_IDX: u64 = 1 << 29;
/// `VHOST_USER_F_PROTOCOL_FEATURES`.
pub const F_PROTOCOL: u64 = 1 << 30;
/// `VIRTIO_F_VERSION_1`.
pub const F_VERSION_1: u64 = 1 << 32;

/// What the card offers.
pub const FEATURES: u64 = F_CSUM
    | F_GUEST_CSUM
    | F_MTU
    | F_MRG_RXBUF
    | F_INDIRECT
    | F_EVENT_IDX
    | F_PROTOCOL
    | F_VERSION_1;

/// The queue towards the guest.
pub const RX: usize = 0;
/// The queue from the guest.
pub const TX: usize = 1;
/// Queues of a port.
pub const QUEUES: usize = 2;
