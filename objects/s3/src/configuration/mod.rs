//! What a bucket is set to: the parts of its row that the owner configures, each checked as S3
//! checks it before it is kept.

pub mod cors;
pub mod encryption;
pub mod lifecycle;
pub mod listed;
pub mod logging;
pub mod notification;
pub mod replication;
pub mod tags;
pub mod website;

use crate::access::{acl::Acl, block::PublicBlock, decide::BucketPolicy};
use s3s::{S3Error, S3ErrorCode, dto};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

/// All of a bucket's configuration. What is absent was never set, or deleted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// None: private.
    pub acl: Option<Acl>,
    pub ownership: Option<Ownership>,
    pub public_block: Option<PublicBlock>,
    pub policy: Option<PolicyText>,
    pub tags: BTreeMap<String, String>,
    pub cors: Option<dto::CORSConfiguration>,
    /// None: SSE-S3, as S3 applies to each bucket.
    pub encryption: Option<dto::ServerSideEncryptionConfiguration>,
    pub lifecycle: Option<Lifecycle>,
    pub website: Option<dto::WebsiteConfiguration>,
    pub notification: Option<dto::NotificationConfiguration>,
    pub logging: Option<logging::Logging>,
    pub accelerate: Option<String>,
    pub requester_pays: bool,
    pub replication: Option<dto::ReplicationConfiguration>,
    pub inventory: BTreeMap<String, dto::InventoryConfiguration>,
    /// When each of them was last written, in milliseconds since 1970.
    pub inventory_written_ms: BTreeMap<String, u64>,
    pub metrics: BTreeMap<String, dto::MetricsConfiguration>,
    pub analytics: BTreeMap<String, dto::AnalyticsConfiguration>,
    pub tiering: BTreeMap<String, dto::IntelligentTieringConfiguration>,
}

impl Configuration {
    /// What S3 gives a new bucket: no lists, nothing public.
    #[must_use]
    pub fn of_new_bucket() -> Self {
        Self {
            ownership: Some(Ownership::BucketOwnerEnforced),
            public_block: Some(PublicBlock::ALL),
            ..Self::default()
        }
    }

    /// Forgets when inventories were written that are no more.
    pub fn forget_inventories(&mut self) {
        let Self { inventory, inventory_written_ms, .. } = self;
        inventory_written_ms.retain(|id, _| inventory.contains_key(id));
    }

    /// Who owns what is put into the bucket; without controls it is the writer.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        self.ownership.unwrap_or(Ownership::ObjectWriter)
    }
}

/// A policy as it was put, and in the form that decisions take, which is made when first needed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct PolicyText {
    text: String,
    read: OnceLock<Option<Arc<BucketPolicy>>>,
}

impl PolicyText {
    /// The text as it was put.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The policy; none if a text can't be read that could when it was put.
    #[must_use]
    pub fn policy(&self) -> Option<&Arc<BucketPolicy>> {
        self.read.get_or_init(|| BucketPolicy::read(&self.text).map(Arc::new)).as_ref()
    }
}

impl From<String> for PolicyText {
    fn from(text: String) -> Self {
        Self { text, read: OnceLock::new() }
    }
}

impl From<PolicyText> for String {
    fn from(policy: PolicyText) -> Self {
        policy.text
    }
}

impl PartialEq for PolicyText {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Who owns what is put into the bucket, and whether access control lists count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ownership {
    /// The bucket's owner, always; lists are disabled.
    #[default]
    BucketOwnerEnforced,
    /// The bucket's owner, if the writer asks for `bucket-owner-full-control`.
    BucketOwnerPreferred,
    /// The writer.
    ObjectWriter,
}

impl Ownership {
    /// S3's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }

    /// By S3's name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::BucketOwnerEnforced, Self::BucketOwnerPreferred, Self::ObjectWriter]
            .into_iter()
            .find(|ownership| ownership.as_str() == name)
    }
}

/// The lifecycle's rules, and from which size on objects change their storage class by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lifecycle {
    pub rules: Vec<dto::LifecycleRule>,
    /// `all_storage_classes_128K` or `varies_by_storage_class`.
    pub minimum_size: String,
}

/// The most rules of one lifecycle, of one CORS configuration, and so on.
pub(crate) const MAX_RULES: usize = 1000;

pub(crate) fn malformed_xml() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

pub(crate) fn invalid_argument(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidArgument, message)
}

pub(crate) fn invalid_request(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidRequest, message)
}
