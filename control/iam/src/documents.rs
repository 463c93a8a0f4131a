//! Policy documents as rows keep them: the text, and beside it what was compiled of it.

use policy::{Compiled, Document, Kind};
use serde::{Deserialize, Serialize};
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
