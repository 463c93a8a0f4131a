//! What an instance shows to prove who it is, and the credentials of its role: made by the server, which
//! has the keys, and held by the instance's host in memory alone.

use serde::{Deserialize, Serialize};
use std::fmt;
use types::{InstanceId, Timestamp};

/// All that proves an instance's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceIdentity {
    /// The instance.
    pub instance: InstanceId,
    /// Its document with signatures.
    pub signed: SignedDocument,
    /// Its instance profile, if it has one.
    pub profile: Option<Profile>,
}

/// An identity document and its signatures, in lines of base64 as the metadata service shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedDocument {
    /// The document, byte for byte as it was signed.
    pub document: String,
    /// RSA with SHA-256, PKCS #1.
    pub signature: String,
    /// A PKCS #7 message with the document in it, without certificates.
    pub pkcs7: String,
}

/// An instance profile as its instance sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Its ARN.
    pub arn: String,
    /// `AIPA…`.
    pub id: String,
    /// When this was last looked at.
    pub updated: Timestamp,
    /// What it gives.
    pub gives: Gives,
}

/// What an instance profile gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gives {
    /// Nothing: it was deleted.
    Deleted,
    /// Nothing: it has no role.
    NoRole,
    /// A role that EC2 may not assume.
    NotTrusted {
        /// The role's name.
        role: String,
    },
    /// A role.
    Role {
        /// Its name.
        role: String,
        /// Credentials of a session of it.
        credentials: Credentials,
    },
}

/// Temporary credentials.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// `ASIA…`.
    pub access_key_id: String,
    /// The secret that signs.
    pub secret: String,
    /// What has to come with each request.
    pub token: String,
    /// When they are no longer good.
    pub expires: Timestamp,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A log must not hold a secret.
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
