//! Policy documents as rows keep them: the text, and beside it what was compiled of it.

use crate::errors;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use policy::{Compiled, Document, Invalid, Kind};
use serde::{Deserialize, Serialize};
use shapes::Fault;
use std::{
    fmt,
    sync::{Arc, LazyLock, OnceLock},
};

/// A document's text with its compiled form, which is made once and not stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyText {
    text: String,
    #[serde(skip)]
    compiled: OnceLock<Arc<Compiled>>,
}

/// What a document becomes that was valid when it was stored and can't be read now: it denies all.
static UNREADABLE: LazyLock<Arc<Compiled>> = LazyLock::new(|| {
    const DENY: &str =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    match Document::parse(DENY, DENY.len(), Kind::Identity) {
        Ok(document) => document.compile(),
        Err(invalid) => unreachable!("{invalid}"),
    }
});

/// The same for a trust policy.
static TRUSTS_NOBODY: LazyLock<Arc<Compiled>> = LazyLock::new(|| {
    const DENY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"sts:*"}}"#;
    match Document::parse(DENY, DENY.len(), Kind::Trust) {
        Ok(document) => document.compile(),
        Err(invalid) => unreachable!("{invalid}"),
    }
});

impl PolicyText {
    /// The text of a document that was parsed.
    #[must_use]
    pub fn new(text: String, document: &Document) -> Self {
        Self { text, compiled: OnceLock::from(document.compile()) }
    }

    /// A text that is parsed when it is first asked for.
    #[must_use]
    pub fn unread(text: String) -> Self {
        Self { text, compiled: OnceLock::new() }
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The document of an identity or a boundary, compiled.
    pub fn identity(&self) -> &Arc<Compiled> {
        self.compiled.get_or_init(|| self.read(Kind::Identity, &UNREADABLE))
    }

    /// The document of a role's trust, compiled.
    pub fn trust(&self) -> &Arc<Compiled> {
        self.compiled.get_or_init(|| self.read(Kind::Trust, &TRUSTS_NOBODY))
    }

    fn read(&self, kind: Kind, otherwise: &Arc<Compiled>) -> Arc<Compiled> {
        let document = Document::parse(&self.text, self.text.len(), kind);
        document.map_or_else(|_| otherwise.clone(), |document| document.compile())
    }
}

/// What RFC 3986 leaves as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl PolicyText {
    /// The text as IAM answers it: percent-encoded by RFC 3986.
    #[must_use]
    pub fn encoded(&self) -> String {
        utf8_percent_encode(&self.text, RESERVED).to_string()
    }
}

/// A valid document for an identity.
///
/// # Errors
/// `MalformedPolicyDocument`.
pub(crate) fn identity(text: Option<String>) -> Result<PolicyText, Fault> {
    read(text.unwrap_or_default(), Kind::Identity).map(|(text, _)| text)
}

/// A document for an identity, read.
///
/// # Errors
/// `MalformedPolicyDocument`.
pub(crate) fn parsed(text: &str) -> Result<Document, Fault> {
    Document::parse(text, text.len(), Kind::Identity)
        .map_err(|invalid: Invalid| errors::malformed_policy(invalid))
}

/// A valid document of who may assume a role, and what was read of it.
///
/// # Errors
/// `MalformedPolicyDocument`.
pub(crate) fn trust(text: Option<String>) -> Result<(PolicyText, Document), Fault> {
    read(text.unwrap_or_default(), Kind::Trust)
}

fn read(text: String, kind: Kind) -> Result<(PolicyText, Document), Fault> {
    let document = Document::parse(&text, text.len(), kind)
        .map_err(|invalid: Invalid| errors::malformed_policy(invalid))?;
    Ok((PolicyText::new(text, &document), document))
}

/// How long a document is by IAM's quotas, which leave white space out.
pub(crate) fn size(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

impl PartialEq for PolicyText {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PolicyText {}

impl fmt::Debug for PolicyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
