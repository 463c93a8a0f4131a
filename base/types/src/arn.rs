//! Amazon Resource Names.

use crate::{AccountId, Region};
use std::fmt;

/// An ARN of the `aws` partition: `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arn {
    /// The service, such as `ec2`.
    pub service: &'static str,
    /// The region; none for global services such as IAM.
    pub region: Option<Region>,
    /// The owning account; none where the resource belongs to nobody in particular.
    pub account: Option<AccountId>,
    /// The resource, such as `instance/i-…`.
    pub resource: String,
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:{}:", self.service)?;
        if let Some(region) = &self.region {
            write!(f, "{region}")?;
        }
        f.write_str(":")?;
        if let Some(account) = self.account {
            write!(f, "{account}")?;
        }
        write!(f, ":{}", self.resource)
    }
}
