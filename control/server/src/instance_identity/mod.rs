//! What instances prove their identity by: signed documents, and credentials of their roles.
//!
//! ```text
//! ec2: what is to be given ──┐
//! session key, clock, chance ├─▶ Keeper ──▶ the host's agent, which holds it in memory
//! signing key ───────────────┘
//! ```
//! Nothing of it is stored: a server that starts anew makes new credentials, and the ones that were given
//! out go on being good until they expire, or their role is gone.

mod signer;

pub use signer::Signer;

use crate::cloud;
use contracts::instance_identity::{Credentials, Gives, InstanceIdentity, Profile, SignedDocument};
use ec2::compute::instance_profiles::{self, Given, Identity};
use iam::Role;
use kms::MasterKey;
use session::{Salt, SessionKey};
use state::State;
use std::{collections::HashMap, path::PathBuf, sync::Arc};
use tokio::sync::OnceCell;
use types::{InstanceId, Timestamp};

/// How long credentials are good.
const VALID_MS: i64 = 6 * 3600 * 1000;
/// When others take their place, before they expire: clients ask for new ones in the last quarter of an
/// hour.
const RENEW_MS: i64 = 3600 * 1000;

/// What makes identities.
pub struct Maker {
    folder: PathBuf,
    master: MasterKey,
    sessions: SessionKey,
    signer: OnceCell<Arc<Signer>>,
}

impl std::fmt::Debug for Maker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maker").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Maker {
    /// A maker whose key and certificate are in this folder: made when they are first needed.
    #[must_use]
    pub fn new(folder: PathBuf, master: MasterKey, sessions: SessionKey) -> Self {
        Self { folder, master, sessions, signer: OnceCell::new() }
    }

    async fn signer(&self) -> anyhow::Result<&Arc<Signer>> {
        let open = || async {
            let (folder, master) = (self.folder.clone(), self.master.clone());
            let opening = tokio::task::spawn_blocking(move || Signer::open(&folder, &master));
            opening.await?.map(Arc::new)
        };
        self.signer.get_or_try_init(open).await
    }

    async fn sign(&self, document: String) -> anyhow::Result<SignedDocument> {
        let signer = self.signer().await?.clone();
        tokio::task::spawn_blocking(move || signer.sign(document)).await?
    }
}

/// What one host has of its instances' identities.
#[derive(Debug)]
pub struct Keeper {
    maker: Arc<Maker>,
    host: String,
    sent: HashMap<InstanceId, Sent>,
}

/// What was made of which wishes.
#[derive(Debug)]
struct Sent {
    wanted: Identity,
    made: InstanceIdentity,
    /// When its credentials are to be followed by others.
    renew: Option<Timestamp>,
}

impl Keeper {
    /// A keeper for a host that has nothing yet.
    #[must_use]
    pub fn new(maker: Arc<Maker>, host: &str) -> Self {
        Self { maker, host: host.to_owned(), sent: HashMap::new() }
    }

    /// The instances whose credentials are to be followed by others.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<InstanceId> {
        let due = self.sent.iter().filter(|(_, sent)| sent.renew.is_some_and(|at| at <= now));
        due.map(|(instance, _)| *instance).collect()
    }

    /// What the host is to be sent of an instance now; none if it has that.
    ///
    /// # Errors
    /// The signing key can't be had, or the system gives no randomness.
    pub async fn news(
        &mut self,
        state: &State,
        instance: InstanceId,
        now: Timestamp,
    ) -> anyhow::Result<Option<InstanceIdentity>> {
        let Some(wanted) = instance_profiles::identity(state, &self.host, instance) else {
            self.sent.remove(&instance);
            return Ok(None);
        };
        let before = self.sent.remove(&instance);
        let old = before.as_ref();
        let signed = match old.filter(|sent| sent.wanted.document == wanted.document) {
            Some(sent) => sent.made.signed.clone(),
            None => self.maker.sign(wanted.document.clone()).await?,
        };
        let kept = old.filter(|sent| sent.wanted.given == wanted.given);
        let kept = kept.filter(|sent| sent.renew.is_none_or(|at| at > now));
        let profile = match &wanted.given {
            None => None,
            Some(given) => {
                let kept = kept.and_then(|sent| sent.made.profile.as_ref());
                Some(self.profile(state, instance, given, kept, now)?)
            }
        };
        let renew = profile.as_ref().and_then(renewal);
        let made = InstanceIdentity { instance, signed, profile };
        let news = (old.map(|sent| &sent.made) != Some(&made)).then(|| made.clone());
        self.sent.insert(instance, Sent { wanted, made, renew });
        Ok(news)
    }

    /// What an instance's profile gives it now: what was given before, where that is as good.
    fn profile(
        &self,
        state: &State,
        instance: InstanceId,
        given: &Given,
        kept: Option<&Profile>,
        now: Timestamp,
    ) -> anyhow::Result<Profile> {
        let gives = self.gives(state, instance, given, kept, now)?;
        Ok(match kept.filter(|kept| kept.gives == gives) {
            Some(kept) => kept.clone(),
            None => {
                Profile { arn: given.arn.clone(), id: given.id.to_string(), updated: now, gives }
            }
        })
    }

    fn gives(
        &self,
        state: &State,
        instance: InstanceId,
        given: &Given,
        kept: Option<&Profile>,
        now: Timestamp,
    ) -> anyhow::Result<Gives> {
        if !given.exists {
            return Ok(Gives::Deleted);
        }
        let Some(role) = given.role.as_ref().and_then(|role| state.get::<Role>(role)) else {
            return Ok(Gives::NoRole);
        };
        let name = role.named.name.clone();
        let expires = now.plus_millis(VALID_MS);
        let begun = iam::instance_session(role, instance, given.origin.clone(), now, expires);
        let Ok(session) = begun else { return Ok(Gives::NotTrusted { role: name }) };
        if let Some(Profile { gives: kept @ Gives::Role { .. }, .. }) = kept {
            return Ok(kept.clone());
        }
        let mut salt = Salt::default();
        cloud::effects()?.fill(&mut salt);
        let sealed = self.maker.sessions.seal(&session, &salt);
        let sealed = sealed.ok_or_else(|| anyhow::anyhow!("a session can't be sealed"))?;
        let credentials = Credentials {
            access_key_id: sealed.access_key_id,
            secret: sealed.secret,
            token: sealed.token,
            expires,
        };
        Ok(Gives::Role { role: name, credentials })
    }
}

fn renewal(profile: &Profile) -> Option<Timestamp> {
    match &profile.gives {
        Gives::Role { credentials, .. } => Some(credentials.expires.plus_millis(-RENEW_MS)),
        Gives::Deleted | Gives::NoRole | Gives::NotTrusted { .. } => None,
    }
}

#[cfg(test)]
mod tests;
