//! Instances, and what they are launched from.

pub mod images;
pub mod key_pairs;
