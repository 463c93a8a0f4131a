//! What a token says of whom it is about.

use crate::sts::errors;
use serde::Deserialize;
use serde_json::Value;
use shapes::Fault;
use std::collections::{BTreeMap, BTreeSet};

/// The longest subject and audience that are taken, in bytes: AWS's own limit.
const MAX_TEXT: usize = 255;
/// How many audiences or methods a token may name.
const MAX_LISTED: usize = 50;
/// AWS's limits of session tags and of their keys and values, in characters.
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;

/// The claims that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `aud`.
    pub audiences: Vec<String>,
    /// `azp`.
    pub authorized_party: Option<String>,
    /// `amr`.
    pub methods: Vec<String>,
    /// `exp`, in seconds since 1970.
    pub expires_s: i64,
    /// `iat`, in seconds since 1970.
    pub issued_s: i64,
    /// `nbf`, in seconds since 1970.
    pub not_before_s: Option<i64>,
    /// Session tags.
    pub tags: BTreeMap<String, String>,
    /// The keys of those that go on.
    pub transitive: BTreeSet<String>,
    /// The source identity.
    pub source_identity: Option<String>,
}

/// One text, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

#[derive(Deserialize)]
struct Payload {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Texts>,
    azp: Option<String>,
    amr: Option<Texts>,
    exp: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
    #[serde(rename = "https://aws.amazon.com/tags")]
    tags: Option<TagClaim>,
    #[serde(rename = "https://aws.amazon.com/source_identity")]
    source_identity: Option<String>,
}

#[derive(Deserialize)]
struct TagClaim {
    #[serde(default)]
    principal_tags: BTreeMap<String, Texts>,
    #[serde(default)]
    transitive_tag_keys: Vec<String>,
}

/// Seconds: a number, whole or not, that a time can be.
fn seconds(value: &Value) -> Option<i64> {
    /// The year 9999.
    const LAST: f64 = 253_402_300_799.0;
    let number = value.as_f64().filter(|number| (0.0..=LAST).contains(number))?;
    #[expect(clippy::cast_possible_truncation, reason = "it is within the years to 9999")]
    let whole = number.floor() as i64;
    Some(whole)
}

fn required<T>(claim: Option<T>, name: &str) -> Result<T, Fault> {
    claim.ok_or_else(|| errors::invalid_token(format!("Missing a required claim: {name}")))
}

fn rejected(what: &str) -> Fault {
    errors::rejected_claim(format!("The claim {what} of the token is not valid."))
}

impl Claims {
    /// Reads a token's payload. Nothing of it is proven yet.
    ///
    /// # Errors
    /// It isn't JSON, or lacks a claim.
    pub fn read(payload: &[u8]) -> Result<Self, Fault> {
        let read: Payload = serde_json::from_slice(payload).map_err(|_| errors::not_a_token())?;
        let Payload { iss, sub, aud, azp, amr, exp, iat, nbf, tags, source_identity } = read;
        let time = |claim: Option<Value>, name: &str| {
            seconds(&required(claim, name)?)
                .ok_or_else(|| errors::invalid_token(format!("The claim {name} is not a time")))
        };
        let (tags, transitive) = match tags {
            None => Default::default(),
            Some(claim) => session_tags(claim)?,
        };
        let claims = Self {
            issuer: required(iss, "iss")?,
            subject: required(sub, "sub")?,
            audiences: required(aud, "aud")?.into_vec(),
            authorized_party: azp,
            methods: amr.map(Texts::into_vec).unwrap_or_default(),
            expires_s: time(exp, "exp")?,
            issued_s: time(iat, "iat")?,
            not_before_s: nbf.map(|nbf| time(Some(nbf), "nbf")).transpose()?,
            tags,
            transitive,
            source_identity,
        };
        claims.check()?;
        Ok(claims)
    }

    fn check(&self) -> Result<(), Fault> {
        let texts = [&self.subject].into_iter().chain(&self.audiences);
        let texts = texts.chain(&self.authorized_party).chain(&self.methods);
        let within = |text: &String| (1..=MAX_TEXT).contains(&text.len());
        if !texts.clone().all(within) || self.audiences.is_empty() {
            return Err(errors::invalid_token("A claim of the token is empty or too long"));
        }
        if self.audiences.len() > MAX_LISTED || self.methods.len() > MAX_LISTED {
            return Err(errors::invalid_token("A claim of the token has too many values"));
        }
        let source = self.source_identity.as_ref();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if source.is_some_and(|text| !(2..=64).contains(&text.len()) || !text.bytes().all(plain)) {
            return Err(rejected("https://aws.amazon.com/source_identity"));
        }
        Ok(())
    }

    /// For whom the token was made: the authorized party if it names one, else its audience.
    pub fn audience(&self) -> &str {
        self.authorized_party.as_ref().or(self.audiences.first()).map_or("", String::as_str)
    }
}

fn session_tags(claim: TagClaim) -> Result<(BTreeMap<String, String>, BTreeSet<String>), Fault> {
    const CLAIM: &str = "https://aws.amazon.com/tags";
    let mut tags = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (key, value) in claim.principal_tags {
        let mut values = value.into_vec().into_iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(rejected(CLAIM));
        };
        let reserved = key.to_ascii_lowercase().starts_with("aws:");
        let fits = (1..=MAX_TAG_KEY).contains(&key.chars().count())
            && value.chars().count() <= MAX_TAG_VALUE;
        if reserved || !fits || !seen.insert(key.to_lowercase()) {
            return Err(rejected(CLAIM));
        }
        tags.insert(key, value);
    }
    let transitive = claim.transitive_tag_keys.into_iter().collect::<BTreeSet<_>>();
    if tags.len() > MAX_TAGS || !transitive.iter().all(|key| tags.contains_key(key)) {
        return Err(rejected(CLAIM));
    }
    Ok((tags, transitive))
}
