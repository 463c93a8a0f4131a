//! Who calls: identities behind access keys.

use async_trait::async_trait;
use policy::Compiled;
use std::{fmt, sync::Arc};

/// Whom an access key belongs to.
#[derive(Clone)]
pub struct Identity {
    pub access_key: String,
    pub secret: String,
    /// Of temporary credentials: requests must carry it.
    pub session_token: Option<String>,
    /// Twelve digits.
    pub account: String,
    pub arn: String,
    pub user_id: String,
    /// The account's ID in access control lists: 64 hexadecimal digits.
    pub canonical_id: String,
    pub display_name: String,
    /// The ID of the organization that the account is in.
    pub organization: Option<String>,
    /// The account itself, not one of its users.
    pub root: bool,
    /// What it may by policies of its own; none if it may do everything that its account may.
    pub own: Option<Arc<Own>>,
}

/// What narrows an identity within its account.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The policies of the user and its groups, or of the role.
    pub identity: Vec<Arc<Compiled>>,
    /// The permissions boundary.
    pub boundary: Option<Arc<Compiled>>,
    /// The policies of the session; none if it isn't narrowed.
    pub session: Option<Vec<Arc<Compiled>>>,
    /// Of a session of a role: the role's ARN.
    pub role_arn: Option<String>,
    /// Of a federated user: the ARN of who made it.
    pub maker_arn: Option<String>,
    /// Condition keys, such as tags of the principal.
    pub keys: Vec<(String, String)>,
}

/// Why a session token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    Invalid,
    Expired,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { access_key, arn, .. } = self;
        f.debug_struct("Identity").field("access_key", access_key).field("arn", arn).finish()
    }
}

/// Where identities are found.
#[async_trait]
pub trait Identities: fmt::Debug + Send + Sync + 'static {
    /// Whom an access key belongs to. Under [`Identities::trust_any_key`] every key belongs to
    /// somebody.
    async fn find(&self, access_key: &str) -> Option<Arc<Identity>>;

    /// Takes in the session token of a request, which comes with this access key: [`Self::find`]
    /// then knows whom the key belongs to.
    ///
    /// # Errors
    /// The token isn't the key's, or the session is over.
    fn present(&self, access_key: &str, token: &str) -> Result<(), TokenError> {
        let _ = (access_key, token);
        Ok(())
    }

    /// Takes note that a request was signed with an identity's key, for this region.
    fn used(&self, identity: &Identity, region: &str) {
        let _ = (identity, region);
    }

    /// Who S3 itself is while it acts by a role; none if there is no such role, or if it doesn't trust S3.
    async fn role(&self, arn: &str) -> Option<Arc<Identity>>;

    /// Whether there is a user or a role with this ARN. Where nobody knows, every one counts.
    async fn has_principal(&self, arn: &str) -> bool {
        let _ = arn;
        true
    }

    /// Whether signatures are taken for right whatever the secret.
    fn trust_any_key(&self) -> bool;
}

/// A fixed set of identities.
#[derive(Clone, Debug, Default)]
pub struct FixedIdentities {
    pub identities: Vec<Arc<Identity>>,
    pub trust_any_key: bool,
}

#[async_trait]
impl Identities for FixedIdentities {
    async fn find(&self, access_key: &str) -> Option<Arc<Identity>> {
        let known = self.identities.iter().find(|one| one.access_key == access_key);
        let trusted = || self.identities.first().filter(|_| self.trust_any_key);
        known.or_else(trusted).cloned()
    }

    async fn role(&self, arn: &str) -> Option<Arc<Identity>> {
        self.identities.iter().find(|one| one.arn == arn).cloned()
    }

    fn trust_any_key(&self) -> bool {
        self.trust_any_key
    }
}
