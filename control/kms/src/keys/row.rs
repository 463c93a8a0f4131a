//! The row of a key.

use crate::{master::Sealed, word};
use policy::{Compiled, Document, Kind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shapes::kms::{KeyManagerType, KeySpec, KeyState, KeyUsageType, OriginType, RotationType};
use state::{Effects, Row};
use std::{
    fmt::{self, Display},
    str::FromStr,
    sync::{Arc, OnceLock},
};
use types::{Arn, Region, Scope, Tags, Timestamp};

/// The most bytes of a key policy.
pub(crate) const MAX_POLICY_BYTES: usize = 32 << 10;

/// A key's ID: a UUID, or `mrk-` and 32 digits of a multi-Region key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    /// The bytes of the UUID.
    pub uuid: [u8; 16],
    /// Whether keys of other regions may have the same ID and material.
    pub multi_region: bool,
}

/// The text is no key's ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoKeyId;

impl KeyId {
    /// A new ID: a random UUID.
    pub fn new(effects: &mut Effects, multi_region: bool) -> Self {
        let mut uuid = [0; 16];
        effects.fill(&mut uuid);
        uuid[6] = uuid[6] & 0x0f | 0x40;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        Self { uuid, multi_region }
    }
}

impl Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = hex::encode(self.uuid);
        if self.multi_region {
            return write!(f, "mrk-{digits}");
        }
        let (a, rest) = digits.split_at(8);
        let (b, rest) = rest.split_at(4);
        let (c, rest) = rest.split_at(4);
        let (d, e) = rest.split_at(4);
        write!(f, "{a}-{b}-{c}-{d}-{e}")
    }
}

impl FromStr for KeyId {
    type Err = NoKeyId;
    fn from_str(text: &str) -> Result<Self, NoKeyId> {
        let multi_region = text.starts_with("mrk-");
        let digits = text.strip_prefix("mrk-").unwrap_or(text).replace('-', "");
        let mut uuid = [0; 16];
        hex::decode_to_slice(digits, &mut uuid).map_err(|_| NoKeyId)?;
        let id = Self { uuid, multi_region };
        // One text for one ID: in lower case, with its hyphens.
        if id.to_string() == text { Ok(id) } else { Err(NoKeyId) }
    }
}

/// A key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Its ID; the replicas of a multi-Region key have the same.
    #[serde(with = "word")]
    pub id: KeyId,
    pub scope: Scope,
    pub created: Timestamp,
    pub description: String,
    #[serde(with = "word")]
    pub spec: KeySpec,
    #[serde(with = "word")]
    pub usage: KeyUsageType,
    #[serde(with = "word")]
    pub origin: OriginType,
    #[serde(with = "word")]
    pub manager: KeyManagerType,
    pub enabled: bool,
    pub deletion: Option<Deletion>,
    pub policy: KeyPolicy,
    pub tags: Tags,
    /// All that ever was, oldest first: old ciphertexts are opened with old material. The last makes
    /// new ones.
    pub materials: Vec<KeyMaterial>,
    /// The DER of the public half, in base64; none of a symmetric key.
    pub public: Option<String>,
    /// Automatic rotation; none if it is off.
    pub rotation: Option<Rotation>,
    /// Where the primary of a multi-Region key is.
    pub primary: Option<Region>,
}

/// A key that is to be deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deletion {
    /// When; none while replicas are left.
    pub date: Option<Timestamp>,
    pub window_days: i32,
}

/// Material of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyMaterial {
    /// 64 hexadecimal digits.
    pub id: String,
    /// None while it is to be imported.
    pub sealed: Option<Sealed>,
    pub since: Timestamp,
    /// Why it became the current one; none of the first.
    pub rotation: Option<Turn>,
    /// When it expires, if it was imported so.
    pub valid_to: Option<Timestamp>,
}

/// What made material the current one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Turn(#[serde(with = "word")] pub RotationType);

/// Automatic rotation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rotation {
    pub period_days: i32,
    pub next: Timestamp,
}

impl Row for Key {
    const TABLE: &'static str = "kms-key";
    type Key = String;
    fn key(&self) -> String {
        row_key(&self.scope.region, self.id)
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        if self.id.multi_region {
            add("multi-region", &self.id);
        }
        if self.deletion.is_some() || self.rotation.is_some() || self.expires().is_some() {
            // What the clock has to look at.
            add("timed", &"");
        }
    }
}

/// What finds a key's row.
pub(crate) fn row_key(region: &Region, id: KeyId) -> String {
    format!("{region}/{id}")
}

impl Key {
    /// The key's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        arn(&self.scope, self.id)
    }

    /// The state at a time.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        match &self.deletion {
            Some(Deletion { date: None, .. }) => KeyState::PendingReplicaDeletion,
            Some(Deletion { date: Some(_), .. }) => KeyState::PendingDeletion,
            None if !self.has_material(now) => KeyState::PendingImport,
            None if self.enabled => KeyState::Enabled,
            None => KeyState::Disabled,
        }
    }

    fn has_material(&self, now: Timestamp) -> bool {
        self.current().is_some_and(|material| {
            let expired = material.valid_to.is_some_and(|valid_to| valid_to <= now);
            material.sealed.is_some() && !expired
        })
    }

    /// When imported material expires, if it does.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        let current = self.current().filter(|material| material.sealed.is_some())?;
        current.valid_to
    }

    /// The material that new ciphertexts are made with.
    #[must_use]
    pub fn current(&self) -> Option<&KeyMaterial> {
        self.materials.last()
    }

    /// What this material is sealed for.
    pub(crate) fn place(&self, material: &str) -> String {
        format!("kms-key/{}/{material}", self.key())
    }

    /// Whether it is the primary of a multi-Region key.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.primary.as_ref() == Some(&self.scope.region)
    }
}

/// The ARN of a key.
pub(crate) fn arn(scope: &Scope, id: KeyId) -> String {
    let (region, account) = (Some(scope.region.clone()), Some(scope.account));
    Arn { service: "kms", region, account, resource: format!("key/{id}") }.to_string()
}

/// A key's policy: the text as it was put, and what it means.
#[derive(Clone)]
pub struct KeyPolicy {
    text: String,
    compiled: OnceLock<Option<Arc<Compiled>>>,
}

impl KeyPolicy {
    /// A policy whose text was checked.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self { text, compiled: OnceLock::new() }
    }

    /// As it was put.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Ready for decisions; compiled at its first use. None of a text that means nothing, which
    /// nothing stores.
    #[must_use]
    pub fn compiled(&self) -> Option<&Arc<Compiled>> {
        let compile = || {
            let document = Document::parse(&self.text, MAX_POLICY_BYTES, Kind::Resource);
            document.ok().map(|document| document.compile())
        };
        self.compiled.get_or_init(compile).as_ref()
    }
}

impl fmt::Debug for KeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for KeyPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Serialize for KeyPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for KeyPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_text() {
        let mut effects = Effects::new(Timestamp::default(), [1; 32]);
        for multi_region in [false, true] {
            let id = KeyId::new(&mut effects, multi_region);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert!(id.to_string().to_uppercase().parse::<KeyId>().is_err());
        }
        let text = "1234abcd-12ab-34cd-56ef-1234567890ab";
        assert_eq!(text.parse::<KeyId>().map(|id| id.to_string()), Ok(text.to_owned()));
        for bad in [
            "",
            "mrk-",
            "1234abcd12ab34cd56ef1234567890ab",
            "é",
            "mrk-1234abcd-12ab-34cd-56ef-1234567890ab",
        ] {
            assert_eq!(bad.parse::<KeyId>(), Err(NoKeyId), "{bad}");
        }
    }
}
