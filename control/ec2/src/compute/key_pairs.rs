//! Key pairs.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use std::fmt::Display;
use types::{KeyPairId, Scope, Tags, Timestamp};

/// A key pair: the public half; the private one is never kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyPair {
    pub id: KeyPairId,
    pub scope: Scope,
    pub name: String,
    /// `rsa` or `ed25519`.
    pub kind: String,
    pub fingerprint: String,
    /// In OpenSSH's form, with a comment.
    pub public_key: String,
    pub create_time: Timestamp,
    pub tags: Tags,
}

impl Row for KeyPair {
    const TABLE: &'static str = "key-pair";
    type Key = KeyPairId;
    fn key(&self) -> KeyPairId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("name", &format_args!("{}/{}/{}", self.scope.account, self.scope.region, self.name));
    }
}

impl Resource for KeyPair {
    const TYPE: ResourceType = ResourceType::KeyPair;
    const NOUN: &'static str = "key pair";
    const CODE: &'static str = "InvalidKeyPair";
    const MALFORMED: &'static str = "InvalidKeyPair";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
