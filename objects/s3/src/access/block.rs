//! The public-access block: four switches of an account and of a bucket; either one counts.

use s3s::dto;
use serde::{Deserialize, Serialize};

/// The switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "S3 has these four switches")]
pub struct PublicBlock {
    /// Refuse access control lists that grant something to everybody.
    pub block_acls: bool,
    /// Let such lists count for nothing.
    pub ignore_acls: bool,
    /// Refuse policies that grant something to everybody.
    pub block_policy: bool,
    /// Let such policies count for the bucket's own account only.
    pub restrict_buckets: bool,
}

impl PublicBlock {
    /// What a new bucket has.
    pub const ALL: Self =
        Self { block_acls: true, ignore_acls: true, block_policy: true, restrict_buckets: true };

    /// From the API: what isn't said is off.
    #[must_use]
    pub fn from_api(block: &dto::PublicAccessBlockConfiguration) -> Self {
        Self {
            block_acls: block.block_public_acls.unwrap_or(false),
            ignore_acls: block.ignore_public_acls.unwrap_or(false),
            block_policy: block.block_public_policy.unwrap_or(false),
            restrict_buckets: block.restrict_public_buckets.unwrap_or(false),
        }
    }

    /// To the API.
    #[must_use]
    pub fn to_api(self) -> dto::PublicAccessBlockConfiguration {
        dto::PublicAccessBlockConfiguration {
            block_public_acls: Some(self.block_acls),
            ignore_public_acls: Some(self.ignore_acls),
            block_public_policy: Some(self.block_policy),
            restrict_public_buckets: Some(self.restrict_buckets),
        }
    }

    /// Both together.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            block_acls: self.block_acls || other.block_acls,
            ignore_acls: self.ignore_acls || other.ignore_acls,
            block_policy: self.block_policy || other.block_policy,
            restrict_buckets: self.restrict_buckets || other.restrict_buckets,
        }
    }
}
