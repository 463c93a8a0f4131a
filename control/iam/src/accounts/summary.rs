//! What an account has of everything, and may have.

use crate::{
    AccessKey, Account, Group, InstanceProfile, ManagedPolicy, OidcProvider, Request, Role,
    SamlProvider, User,
    credentials::{MfaDevice, ServerCertificate},
    entity::Entity,
    policies::MAX_VERSIONS,
};
use shapes::{
    Fault,
    iam::{GetAccountSummaryRequest, GetAccountSummaryResponse},
};
use state::{Row, State};
use std::collections::BTreeMap;
use types::AccountId;

/// How many things the account has, and its quotas.
///
/// # Errors
/// None.
pub fn get_account_summary(
    state: &State,
    request: &Request,
    input: GetAccountSummaryRequest,
) -> Result<GetAccountSummaryResponse, Fault> {
    let GetAccountSummaryRequest {} = input;
    let account = request.caller.account;
    let policies = state.find::<ManagedPolicy>("account", account);
    let devices = || state.find::<MfaDevice>("account", account);
    let in_use = devices().filter(|device| device.enabled.is_some()).count();
    let root_has_keys = AccessKey::of_root(state, account).any(|key| !key.inactive);
    let row = state.get::<Account>(&account);
    let second = row.is_some_and(|account| account.second_token_version);
    let counted = [
        ("Users", count::<User>(state, account)),
        ("Groups", count::<Group>(state, account)),
        ("Roles", count::<Role>(state, account)),
        ("InstanceProfiles", count::<InstanceProfile>(state, account)),
        ("Policies", count::<ManagedPolicy>(state, account)),
        ("PolicyVersionsInUse", policies.map(|policy| policy.versions.len()).sum()),
        ("ServerCertificates", count::<ServerCertificate>(state, account)),
        (
            "Providers",
            count::<OidcProvider>(state, account) + count::<SamlProvider>(state, account),
        ),
        ("MFADevices", devices().count()),
        ("MFADevicesInUse", in_use),
        ("AccountMFAEnabled", 0),
        ("AccountAccessKeysPresent", usize::from(root_has_keys)),
        ("AccountPasswordPresent", 0),
        ("AccountSigningCertificatesPresent", 0),
        ("UsersQuota", User::QUOTA.1),
        ("GroupsQuota", Group::QUOTA.1),
        ("RolesQuota", Role::QUOTA.1),
        ("InstanceProfilesQuota", InstanceProfile::QUOTA.1),
        ("PoliciesQuota", 1500),
        ("PolicyVersionsInUseQuota", 10_000),
        ("VersionsPerPolicyQuota", MAX_VERSIONS),
        ("PolicySizeQuota", 6144),
        ("AssumeRolePolicySizeQuota", 2048),
        ("UserPolicySizeQuota", 2048),
        ("GroupPolicySizeQuota", 5120),
        ("RolePolicySizeQuota", 10_240),
        ("AttachedPoliciesPerUserQuota", 10),
        ("AttachedPoliciesPerGroupQuota", 10),
        ("AttachedPoliciesPerRoleQuota", 10),
        ("GroupsPerUserQuota", 10),
        ("AccessKeysPerUserQuota", 2),
        ("SigningCertificatesPerUserQuota", 2),
        ("ServerCertificatesQuota", 20),
        ("GlobalEndpointTokenVersion", if second { 2 } else { 1 }),
    ];
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let counted = counted.into_iter().map(|(name, count)| (name.to_owned(), number(count)));
    Ok(GetAccountSummaryResponse { summary_map: Some(counted.collect::<BTreeMap<_, _>>()) })
}

fn count<R: Row>(state: &State, account: AccountId) -> usize {
    state.find::<R>("account", account).count()
}
