//! The accounts of the cloud as an organization: its first account manages it, the others are its members.

use super::Account;
use crate::{Named, Permissions, PolicyText, Role, named::random_text, policies};
use policy::{Document, Kind};
use serde::{Deserialize, Serialize};
use state::{Row, State, Tx};
use types::{AccountId, Scope, Tags, Timestamp};

/// The most accounts of a cloud.
pub const MAX_ACCOUNTS: usize = 1000;
/// The role by which the management account gets into a member, if nobody asks for another.
const ACCESS_ROLE: &str = "OrganizationAccountAccessRole";
/// What that role may do in its account.
const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
/// How long its sessions last at most, in seconds.
const SESSION_S: i32 = 3600;

/// The organization that all accounts of the cloud are in; there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Organization {
    /// `o-…`
    pub id: String,
    /// `r-…`
    pub root: String,
    /// Its first account, which manages it.
    pub management: AccountId,
    /// When it was made.
    pub created: Timestamp,
}

impl Row for Organization {
    const TABLE: &'static str = "organization";
    type Key = String;
    fn key(&self) -> String {
        self.id.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
}

impl Organization {
    /// The cloud's organization; none before its first start has made it.
    #[must_use]
    pub fn of(state: &State) -> Option<&Self> {
        state.iter::<Self>().next().map(AsRef::as_ref)
    }

    /// Makes the organization, unless it exists.
    pub fn ensure(tx: &mut Tx, management: AccountId) {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        if Self::of(tx).is_some() {
            return;
        }
        let id = format!("o-{}", random_text(tx, LETTERS, 10));
        let root = format!("r-{}", random_text(tx, LETTERS, 4));
        let created = tx.now();
        tx.put(Self { id, root, management, created });
    }

    /// Where accounts are in it, as the condition key `aws:PrincipalOrgPaths` has it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}/", self.id, self.root)
    }

    /// The ARN of a part of it, such as `account/o-…/123456789012`.
    #[must_use]
    pub fn arn(&self, kind: &str, id: &str) -> String {
        let Self { management, id: organization, .. } = self;
        format!("arn:aws:organizations::{management}:{kind}/{organization}/{id}")
    }

    /// Its own ARN.
    #[must_use]
    pub fn own_arn(&self) -> String {
        format!("arn:aws:organizations::{}:organization/{}", self.management, self.id)
    }
}

/// What a new account is to have.
#[derive(Debug, Clone, Default)]
pub struct NewAccount {
    /// For people.
    pub name: String,
    /// For people, too, and its own among all accounts.
    pub email: Option<String>,
    /// The role by which the management account gets in; `OrganizationAccountAccessRole` if none is named.
    pub access_role: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// Why there is no new account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOpened {
    /// There are as many as there may be.
    TooMany,
    /// Another one has the e-mail address.
    EmailTaken,
}

/// Makes an account with a role that the management account's principals may assume.
///
/// # Errors
/// There are too many, or the e-mail address is taken.
pub fn open(tx: &mut Tx, new: NewAccount) -> Result<Account, NotOpened> {
    let NewAccount { name, email, access_role, tags } = new;
    if tx.count::<Account>() >= MAX_ACCOUNTS {
        return Err(NotOpened::TooMany);
    }
    if let Some(email) = &email
        && tx.find::<Account>("email", email.to_lowercase()).next().is_some()
    {
        return Err(NotOpened::EmailTaken);
    }
    let id = free_id(tx);
    let created = tx.now();
    let access_role = Some(access_role.unwrap_or_else(|| ACCESS_ROLE.to_owned()));
    let account = Account { email, access_role, tags, ..Account::new(id, name, created) };
    tx.put(account.clone());
    make_access_role(tx, &account);
    Ok(account)
}

/// Twelve digits that no account has, and that don't begin with a zero.
fn free_id(tx: &mut Tx) -> AccountId {
    loop {
        let digits = 100_000_000_000 + tx.effects().random() % 900_000_000_000;
        if let Ok(id) = digits.to_string().parse::<AccountId>()
            && tx.get::<Account>(&id).is_none()
        {
            return id;
        }
    }
}

/// Makes the role by which the management account gets into a member; members have one.
pub(crate) fn make_access_role(tx: &mut Tx, account: &Account) {
    let (Some(name), Some(organization)) = (&account.access_role, Organization::of(tx)) else {
        return;
    };
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{}:root"}},"Action":"sts:AssumeRole"}}]}}"#,
        organization.management
    );
    let trust = match Document::parse(&trust, trust.len(), Kind::Trust) {
        Ok(document) => PolicyText::new(trust, &document),
        Err(invalid) => unreachable!("{invalid}"),
    };
    let named = Named::new(tx, account.id, "AROA", None, name.clone());
    let attached = policies::find(tx, ADMINISTRATOR).map(policies::ManagedPolicy::arn);
    tx.put(Role {
        named,
        permissions: Permissions {
            attached: attached.into_iter().collect(),
            ..Permissions::default()
        },
        trust,
        description: None,
        max_session_s: SESSION_S,
        tags: Tags::new(),
        linked_service: None,
        last_used: None,
    });
}

/// Closes an account: nobody signs for it from now on. Says whether it was open.
pub fn close(tx: &mut Tx, id: AccountId) -> bool {
    set_closed(tx, id, true)
}

/// Opens an account again that was closed. Says whether it was closed.
pub fn reopen(tx: &mut Tx, id: AccountId) -> bool {
    set_closed(tx, id, false)
}

fn set_closed(tx: &mut Tx, id: AccountId, closed: bool) -> bool {
    let now = tx.now();
    let mut changed = false;
    tx.update::<Account>(&id, |account| {
        changed = account.closed.is_some() != closed;
        if changed {
            account.closed = closed.then_some(now);
        }
    });
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccessKey, changed, testing};

    fn named(name: &str, email: &str) -> NewAccount {
        let email = Some(email.to_owned());
        NewAccount { name: name.to_owned(), email, ..NewAccount::default() }
    }

    #[test]
    fn accounts_open_with_a_way_in_and_close_with_all_that_is_theirs() {
        let mut tx = testing::tx();
        let management = AccountId::DEFAULT;
        Account::ensure(&mut tx, management, "admin");
        Organization::ensure(&mut tx, management);
        let id = Organization::of(&tx).unwrap().id.clone();
        Organization::ensure(&mut tx, management);
        assert_eq!((tx.count::<Organization>(), id.len()), (1, 12));
        let account = open(&mut tx, named("dev", "Dev@Example.com")).unwrap();
        assert_eq!(open(&mut tx, named("x", "dev@example.com")), Err(NotOpened::EmailTaken));
        let roles = tx.find::<Role>("account", account.id).collect::<Vec<_>>();
        assert_eq!(roles.len(), 1);
        assert_eq!(roles[0].arn(), format!("arn:aws:iam::{}:role/{ACCESS_ROLE}", account.id));
        assert_eq!(roles[0].permissions.attached.iter().collect::<Vec<_>>(), [ADMINISTRATOR]);
        let role = roles[0].named.id.to_string();

        let key = AccessKey::create(&mut tx, account.id);
        assert!(key.caller(&tx).is_some());
        let (state, _) = tx.finish();
        let mut tx = Tx::new(&state, state::Effects::new(Timestamp::from_millis(1), [1; 32]));
        assert!(close(&mut tx, account.id) && !close(&mut tx, account.id));
        assert!(key.caller(&tx).is_none());
        let (closed, changes) = tx.finish();
        assert_eq!(
            changed(&closed, &changes),
            [key.id.clone(), role, account.id.to_string()].into()
        );
        let mut tx = Tx::new(&closed, state::Effects::new(Timestamp::from_millis(2), [2; 32]));
        assert!(reopen(&mut tx, account.id));
        assert!(key.caller(&tx).is_some());
        assert!(!close(&mut tx, AccountId::SYSTEM));

        crate::reset(&mut tx);
        assert_eq!(tx.find::<Role>("account", account.id).count(), 1);
    }

    #[test]
    fn there_is_a_limit() {
        let mut tx = testing::tx();
        Organization::ensure(&mut tx, AccountId::DEFAULT);
        for _ in 0..MAX_ACCOUNTS {
            open(&mut tx, NewAccount::default()).unwrap();
        }
        assert_eq!(open(&mut tx, NewAccount::default()), Err(NotOpened::TooMany));
    }
}
