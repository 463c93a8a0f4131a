//! Accounts, identities and their policies, credentials, and STS.
//!
//! IAM is global to an account: its rows have no scope, and are found by the index `account`.

pub mod access;
mod access_keys;
mod accounts;
mod changed;
mod credentials;
mod documents;
mod entity;
mod errors;
mod groups;
mod instance_profiles;
mod named;
mod operations;
mod page;
mod permissions;
mod policies;
mod providers;
mod request;
mod reset;
mod roles;
mod sessions;
mod simulation;
mod sts;
mod tags;
#[cfg(test)]
mod testing;
mod users;

pub use access_keys::{AccessKey, KeyOwner, LastUsed, authenticate};
pub use accounts::{Account, membership, membership::Organization};
pub use changed::changed;
pub use credentials::UsedCodes;
pub use documents::PolicyText;
pub use groups::Group;
pub use instance_profiles::InstanceProfile;
pub use named::{Named, UniqueId, place};
pub use operations::{
    Inquiry, Issue, Issuer, Issues, KeysOf, Mutate, NoKeys, Read, Visitor, Vouch, of_iam, of_sts,
};
pub use permissions::{Permissions, Principal, PrincipalPolicies, Source, policies_of};
pub use policies::{ManagedPolicy, PolicyVersion, aws_policies, find as find_policy};
pub use providers::{OidcProvider, SamlProvider};
pub use request::{ActiveSession, Caller, Circumstances, Request};
pub use reset::reset;
pub use roles::{Role, unknown_principal};
pub use session::InstanceOrigin;
pub use sessions::{NotTrusted, caller_of, instance_session};
pub use sts::web_identity::KeySet;
pub use users::User;

/// The tables of this crate's rows.
#[must_use]
pub fn tables() -> Vec<state::TableDef> {
    vec![
        state::table::<Account>(),
        state::table::<Organization>(),
        state::table::<AccessKey>(),
        state::table::<User>(),
        state::table::<Group>(),
        state::table::<Role>(),
        state::table::<roles::linked::RoleDeletion>(),
        state::table::<InstanceProfile>(),
        state::table::<ManagedPolicy>(),
        state::table::<OidcProvider>(),
        state::table::<accounts::report::CredentialReport>(),
        state::table::<credentials::LoginProfile>(),
        state::table::<credentials::MfaDevice>(),
        state::table::<credentials::ServerCertificate>(),
        state::table::<credentials::ServiceCredential>(),
        state::table::<credentials::SigningCertificate>(),
        state::table::<credentials::SshPublicKey>(),
        state::table::<SamlProvider>(),
    ]
}
