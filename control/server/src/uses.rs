//! When access keys and roles were last used: noted once in a quarter of an hour, so that a call needs no
//! commit.

use crate::cloud::Cloud;
use iam::{AccessKey, Principal, Request, Role};
use shapes::Service;
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
    /// Notes that a key signed a call, unless that is known or being noted.
    pub fn note(
        &self,
        cloud: &Arc<Cloud>,
        key: &str,
        request: &Request,
        service: &'static Service,
    ) {
        let state = cloud.state();
        let now = request.caller.circumstances.at;
        let stale =
            |at: Option<Timestamp>| at.is_none_or(|at| now.millis() - at.millis() > STALE_MS);
        let role = match &request.caller.principal {
            Principal::Role(id) => state.get::<Role>(id),
            Principal::Root(_) | Principal::User(_) => None,
        };
        let of_role = role.filter(|role| stale(role.last_used.as_ref().map(|used| used.0)));
        let of_key = state.get::<AccessKey>(&key.to_owned());
        let of_key = of_key.filter(|row| !row.use_is_known(now));
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
        let (key, region) = (key.to_owned(), request.scope.region.to_string());
        let service = service.name;
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
