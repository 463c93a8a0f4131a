//! What the store keeps for an account rather than for a bucket.

use crate::{access::block::PublicBlock, fault, store::Store};
use cluster::{Changes, Place, Record, Table};
use s3s::S3Result;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

/// An account's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Account {
    pub public_block: Option<PublicBlock>,
}

/// How many accounts' rows are kept at hand.
const ACCOUNTS_AT_HAND: usize = 10_000;

/// Accounts' rows, as far as they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    known: RwLock<HashMap<String, Account>>,
}

fn place_of(account: &str) -> Place {
    Place::new(0, format!("account/{account}").into_bytes())
}

impl Accounts {
    /// An account's row; that of an account without one is empty.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub(crate) async fn get(&self, store: &Store, account: &str) -> S3Result<Account> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(account).copied();
        if let Some(row) = known {
            return Ok(row);
        }
        // Under the place's lock, so that a row read before a change isn't remembered after it.
        let update = store.cluster().update(place_of(account)).await;
        let found = update.get(Table::Settings, &[]).await.map_err(|e| fault::storage(&e))?;
        let row = match found {
            Some(record) => {
                serde_json::from_slice(&record.value).map_err(s3s::S3Error::internal_error)?
            }
            None => Account::default(),
        };
        self.remember(account, row);
        Ok(row)
    }

    /// Changes an account's row.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub(crate) async fn put(&self, store: &Store, account: &str, row: Account) -> S3Result<()> {
        let place = place_of(account);
        let value = serde_json::to_vec(&row).map_err(s3s::S3Error::internal_error)?;
        let record = Record { blobs: Vec::new(), value: value.into() };
        let key = place.record(Table::Settings, &[]);
        let mut update = store.cluster().update(place).await;
        let changes = Changes { records: vec![(key, Some(record))], blobs: Vec::new() };
        update.commit(changes).await.map_err(|e| fault::storage(&e))?;
        self.remember(account, row);
        Ok(())
    }

    /// Forgets what was asked for: all rows were removed.
    pub(crate) fn forget(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn remember(&self, account: &str, row: Account) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ACCOUNTS_AT_HAND {
            known.clear();
        }
        known.insert(account.to_owned(), row);
    }
}
