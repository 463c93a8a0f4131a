//! When access keys and roles were last used: noted once in a quarter of an hour, so that a call needs no
//! commit.

use crate::cloud::{self, Cloud};
use iam::{AccessKey, Role, UniqueId};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};
use types::Timestamp;

/// How old a note may be.
const STALE_MS: i64 = 15 * 60 * 1000;

/// The notes under way.
#[derive(Debug, Clone, Default)]
pub struct Uses(Arc<Mutex<BTreeSet<String>>>);

impl Uses {
    /// Notes that a key signed a call of a service in a region, and that a role was used if there is one of
    /// this ID, unless both are known or being noted.
    pub fn note(
        &self,
        cloud: &Arc<Cloud>,
        key: String,
        role: Option<UniqueId>,
        service: &'static str,
        region: String,
    ) {
        let (state, now) = (cloud.state(), cloud::now());
        let stale =
            |at: Option<Timestamp>| at.is_none_or(|at| now.millis() - at.millis() > STALE_MS);
        let role = role.and_then(|id| state.get::<Role>(&id));
        let of_role = role.filter(|role| stale(role.last_used.as_ref().map(|used| used.0)));
        let of_key = state.get::<AccessKey>(&key).filter(|row| !row.use_is_known(now));
        let name = match (of_key, of_role) {
            (Some(row), _) => row.id.clone(),
            (None, Some(role)) => role.named.id.to_string(),
            (None, None) => return,
        };
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !under_way.insert(name.clone()) {
            return;
        }
        drop(under_way);
        let role = of_role.map(|role| role.named.id.clone());
        let (cloud, under_way) = (cloud.clone(), self.0.clone());
        tokio::spawn(async move {
            let noted = cloud.mutate(false, move |tx| {
                AccessKey::note_use(tx, &key, service, &region);
                if let Some(role) = role {
                    tx.update::<Role>(&role, |row| row.last_used = Some((now, region)));
                }
                Ok(())
            });
            if let Err(fault) = noted.await {
                log::warn!("the use of a key was not noted: {fault}");
            }
            under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        });
    }
}
