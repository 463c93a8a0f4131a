//! Instances, and what they are launched from.

pub mod credits;
pub mod images;
pub mod instance_profiles;
pub mod instance_types;
pub mod instances;
pub mod key_pairs;
pub mod metadata_defaults;
