//! The owner's accounts: made, listed, closed, and their root users' keys.

use crate::cloud::Cloud;
use iam::{
    AccessKey, Account,
    membership::{self, NewAccount, NotOpened},
};
use serde::{Deserialize, Serialize};
use shapes::Fault;
use state::{State, Tx};
use types::AccountId;

/// The longest name of an account, as AWS has it.
const MAX_NAME: usize = 50;
/// The longest e-mail address, as AWS has it.
const MAX_EMAIL: usize = 64;

/// An account for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountStatus {
    /// 12 digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its address, if it has one.
    pub email: Option<String>,
    /// Whether nobody may act for it any more.
    pub closed: bool,
}

/// A key of an account's root user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootKey {
    /// `AKIA…`.
    pub id: String,
    /// What signs.
    pub secret: String,
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RootKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// All accounts, by their IDs.
pub fn all(state: &State) -> Vec<AccountStatus> {
    let accounts = state.iter::<Account>().map(|account| AccountStatus {
        id: account.id.to_string(),
        name: account.name.clone(),
        email: account.email.clone(),
        closed: account.closed.is_some(),
    });
    accounts.collect()
}

fn fault(text: impl Into<String>) -> Fault {
    Fault::sender("Owner", text)
}

async fn change<T: Send + 'static>(
    cloud: &Cloud,
    run: impl FnOnce(&mut Tx) -> Result<T, Fault> + Send + 'static,
) -> Result<T, String> {
    cloud.mutate(false, run).await.map_err(|fault| fault.message.to_string())
}

/// Makes an account. Its name is no other's, so that it can be told by it.
pub async fn create(cloud: &Cloud, name: String, email: Option<String>) -> Result<(), String> {
    let plain = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    };
    if !plain(&name, MAX_NAME) || name.parse::<AccountId>().is_ok() {
        return Err(format!(
            "an account's name has 1 to {MAX_NAME} characters of ASCII, and isn't 12 digits"
        ));
    }
    if email.as_ref().is_some_and(|email| !plain(email, MAX_EMAIL) || !email.contains('@')) {
        return Err("that is no e-mail address".to_owned());
    }
    let made = change(cloud, move |tx| {
        if tx.iter::<Account>().any(|account| account.name == name) {
            return Err(fault(format!("there is an account named '{name}'")));
        }
        let new = NewAccount { name, email, ..NewAccount::default() };
        let account = membership::open(tx, new).map_err(|why| match why {
            NotOpened::TooMany => {
                fault(format!("there are {} accounts, as many as may be", membership::MAX_ACCOUNTS))
            }
            NotOpened::EmailTaken => fault("another account has this e-mail address"),
        })?;
        AccessKey::create(tx, account.id);
        Ok(())
    });
    made.await
}

fn find(state: &State, named: &str) -> Result<AccountId, Fault> {
    let by_id = named.parse::<AccountId>().ok().filter(|id| state.get::<Account>(id).is_some());
    if let Some(id) = by_id {
        return Ok(id);
    }
    let mut found = state.iter::<Account>().filter(|account| account.name == named);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.id),
        (None, _) => Err(fault(format!("there is no account '{named}'"))),
        (Some(_), Some(_)) => {
            Err(fault(format!("there are several accounts named '{named}': use the ID of one")))
        }
    }
}

/// The first key of an account's root user that is switched on; a new one if there is none.
pub async fn key(cloud: &Cloud, account: String) -> Result<RootKey, String> {
    let found = change(cloud, move |tx| {
        let id = find(tx, &account)?;
        if !Account::is_open(tx, id) {
            return Err(fault(format!("the account {id} is closed")));
        }
        let known = AccessKey::of_root(tx, id).find(|key| !key.inactive).cloned();
        Ok(known.unwrap_or_else(|| AccessKey::create(tx, id)))
    });
    found.await.map(|key| RootKey { id: key.id, secret: key.secret })
}

/// Closes an account, or opens it again.
pub async fn close(cloud: &Cloud, account: String, closed: bool) -> Result<(), String> {
    let done = change(cloud, move |tx| {
        let id = find(tx, &account)?;
        if id == AccountId::DEFAULT {
            return Err(fault("the first account can't be closed"));
        }
        let changed = if closed { membership::close(tx, id) } else { membership::reopen(tx, id) };
        if !changed {
            let state = if closed { "closed" } else { "open" };
            return Err(fault(format!("the account {id} is {state}")));
        }
        ec2::compute::instances::stop_closed(tx);
        Ok(())
    });
    done.await
}
