//! What a packet passes on its way, one file a layer.

pub mod acl;
pub mod egress_only;
pub mod filter;
pub mod nat;
pub mod nat_gateway;
pub mod router;
pub mod spoof;
