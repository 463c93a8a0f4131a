//! Values that every plane shares: IDs, accounts, regions, CIDRs, time.

mod account;
mod arn;
mod id;
mod mac;
mod time;

pub use account::{
    AccountId, AvailabilityZone, ParseAccountError, ParseRegionError, Region, Scope,
};
pub use arn::Arn;
pub use id::*;
pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
pub use mac::Mac;
pub use time::{ParseTimestampError, Timestamp};

/// Tags of one resource: key to value, in key order (AWS: at most 50, 128 and 256 characters).
pub type Tags = std::collections::BTreeMap<String, String>;
