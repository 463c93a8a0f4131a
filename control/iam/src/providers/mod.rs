//! Identity providers: whose word about who somebody is an account takes.

pub mod oidc;
pub mod saml;

use serde::{Deserialize, Serialize};
use state::Row;
use std::fmt::Display;
use types::{AccountId, Scope, Tags, Timestamp};

/// An issuer of OpenID Connect tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OidcProvider {
    /// The owning account.
    pub account: AccountId,
    /// The issuer's URL without `https://`.
    pub url: String,
    /// The audiences that are taken.
    pub client_ids: Vec<String>,
    /// SHA-1 fingerprints of the issuer's certificates.
    pub thumbprints: Vec<String>,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created: Timestamp,
}

impl OidcProvider {
    /// `arn:aws:iam::ACCOUNT:oidc-provider/URL`.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:oidc-provider/{}", self.account, self.url)
    }
}

impl Row for OidcProvider {
    const TABLE: &'static str = "iam-oidc-provider";
    /// The ARN.
    type Key = String;
    fn key(&self) -> String {
        self.arn()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("account", &self.account);
    }
}

/// A SAML 2.0 identity provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamlProvider {
    /// The owning account.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Its metadata document.
    pub metadata: String,
    /// Its tags.
    pub tags: Tags,
    /// When it was made.
    pub created: Timestamp,
}

impl SamlProvider {
    /// `arn:aws:iam::ACCOUNT:saml-provider/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:saml-provider/{}", self.account, self.name)
    }
}

impl Row for SamlProvider {
    const TABLE: &'static str = "iam-saml-provider";
    /// The ARN.
    type Key = String;
    fn key(&self) -> String {
        self.arn()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("account", &self.account);
    }
}
