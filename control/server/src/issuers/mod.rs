//! The keys of issuers of web identities: fetched when a token of theirs comes, and kept for a while.
//!
//! Anybody may send a token, without a signature, and a customer says where an issuer is. So nothing is
//! fetched but for an issuer that an account has registered, seldom, by few at once, in a limited time and of
//! limited size, without redirects, and from no address that only this machine reaches.

mod addresses;
mod fetch;
mod trust;

use fetch::Fetcher;
use iam::{KeySet, KeysOf, NoKeys};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

/// How long keys are good.
const GOOD_FOR: Duration = Duration::from_hours(1);
/// How long what came is taken for what would come again, keys or none.
const AT_LEAST: Duration = Duration::from_secs(5);
/// How long an issuer may take for all that it is asked.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How many issuers are asked at once.
const MAX_FETCHES: usize = 8;
/// How many issuers' keys are kept.
const MAX_KEPT: usize = 256;

/// An issuer, and what its certificate may be trusted by: who trusts others keeps keys of their own.
type Place = (String, Vec<String>);

/// What came, and when.
#[derive(Debug, Clone)]
struct Came {
    at: Instant,
    keys: Result<Arc<KeySet>, NoKeys>,
}

/// One asks, and the others wait for the answer.
type Kept = Arc<tokio::sync::Mutex<Option<Came>>>;

/// The issuers whose keys are known.
#[derive(Debug)]
pub struct Issuers {
    kept: Mutex<HashMap<Place, Kept>>,
    room: Semaphore,
    fetcher: Fetcher,
}

impl Came {
    /// Whether this does for a token that names this key.
    fn does(&self, key_id: Option<&str>) -> bool {
        let age = self.at.elapsed();
        age < AT_LEAST
            || (age < GOOD_FOR
                && self.keys.as_ref().is_ok_and(|keys| key_id.is_none_or(|id| keys.has(id))))
    }
}

impl Issuers {
    /// No issuers yet; on this machine itself there may be some if `loopback` says so.
    pub fn new(loopback: bool) -> Self {
        Self {
            kept: Mutex::default(),
            room: Semaphore::new(MAX_FETCHES),
            fetcher: Fetcher::new(loopback),
        }
    }

    /// The keys of an issuer, with the one that is wanted if the issuer has it.
    pub async fn keys(&self, wanted: &KeysOf) -> Result<Arc<KeySet>, NoKeys> {
        let kept = self.place(wanted);
        let mut kept = kept.lock().await;
        if let Some(came) = kept.as_ref().filter(|came| came.does(wanted.key_id.as_deref())) {
            return came.keys.clone();
        }
        let fetching = async {
            let _place = self.room.acquire().await.map_err(|_| NoKeys::Unreachable)?;
            self.fetcher.keys(&wanted.issuer, &wanted.thumbprints).await
        };
        let keys = timeout(FETCH_TIMEOUT, fetching).await.unwrap_or(Err(NoKeys::Unreachable));
        if let Err(why) = &keys {
            log::info!("no keys of the issuer {}: {why:?}", wanted.issuer);
        }
        let keys = keys.map(Arc::new);
        *kept = Some(Came { at: Instant::now(), keys: keys.clone() });
        keys
    }

    fn place(&self, wanted: &KeysOf) -> Kept {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (wanted.issuer.clone(), wanted.thumbprints.clone());
        if all.len() >= MAX_KEPT && !all.contains_key(&place) {
            // They come again with the next token.
            all.clear();
        }
        all.entry(place).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_came_is_kept_and_asked_for_again_when_a_key_is_missing() {
        let text = br#"{"keys": [{"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"}]}"#;
        let keys = KeySet::parse(text).map(Arc::new).ok_or(NoKeys::Unreadable);
        let came = Came { at: Instant::now(), keys };
        let failed = Came { at: Instant::now(), keys: Err(NoKeys::Unreachable) };
        assert!(came.does(Some("a")) && came.does(Some("b")) && failed.does(None));
        tokio::time::advance(AT_LEAST).await;
        assert!(came.does(Some("a")) && came.does(None));
        assert!(!came.does(Some("b")) && !failed.does(None));
        tokio::time::advance(GOOD_FOR).await;
        assert!(!came.does(Some("a")));
    }

    #[test]
    fn no_more_issuers_are_kept_than_the_limit() {
        let issuers = Issuers::new(false);
        for number in 0..3 * MAX_KEPT {
            issuers.place(&KeysOf {
                issuer: format!("https://{number}.example"),
                thumbprints: Vec::new(),
                key_id: None,
            });
        }
        assert!(issuers.kept.lock().unwrap().len() <= MAX_KEPT);
    }
}
