//! What the planes say to each other: desired state, observations, card configuration.
//!
//! Everything here is plain data with serde; sent as JSON, one value a line, over Unix sockets.

pub mod audit;
pub mod card;
pub mod host;
pub mod identity;
pub mod instance_identity;
pub mod keys;
pub mod link;
pub mod machine;
pub mod metadata;
pub mod network;
pub mod objects;
pub mod storage;
