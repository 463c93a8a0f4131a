//! Wiping IAM: everything but the accounts and their root users' keys.

use crate::{
    AccessKey, Account, Group, InstanceProfile, KeyOwner, ManagedPolicy, OidcProvider, Role,
    SamlProvider, User,
    accounts::{membership, report::CredentialReport},
    credentials::{
        LoginProfile, MfaDevice, ServerCertificate, ServiceCredential, SigningCertificate,
        SshPublicKey,
    },
    roles::linked::RoleDeletion,
};
use state::{Row, Tx};

fn clear<R: Row>(tx: &mut Tx, gone: impl Fn(&R) -> bool) {
    let keys = tx.iter::<R>().filter(|row| gone(row)).map(|row| row.key()).collect::<Vec<_>>();
    for key in keys {
        tx.delete::<R>(&key);
    }
}

/// Wipes the identities of all accounts, but for the way in that the organization's members were made
/// with; root users sign on with the keys that they have.
pub fn reset(tx: &mut Tx) {
    clear::<AccessKey>(tx, |key| key.owner != KeyOwner::Root);
    clear::<CredentialReport>(tx, |_| true);
    clear::<Group>(tx, |_| true);
    clear::<InstanceProfile>(tx, |_| true);
    clear::<LoginProfile>(tx, |_| true);
    clear::<ManagedPolicy>(tx, |_| true);
    clear::<MfaDevice>(tx, |_| true);
    clear::<OidcProvider>(tx, |_| true);
    clear::<Role>(tx, |_| true);
    clear::<RoleDeletion>(tx, |_| true);
    clear::<SamlProvider>(tx, |_| true);
    clear::<ServerCertificate>(tx, |_| true);
    clear::<ServiceCredential>(tx, |_| true);
    clear::<SigningCertificate>(tx, |_| true);
    clear::<SshPublicKey>(tx, |_| true);
    clear::<User>(tx, |_| true);
    for account in tx.iter::<Account>().cloned().collect::<Vec<_>>() {
        tx.put(Account {
            alias: None,
            password_policy: None,
            second_token_version: false,
            ..Account::clone(&account)
        });
        membership::make_access_role(tx, &account);
    }
}
