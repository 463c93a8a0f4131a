//! The operations of IAM and STS: each row names a function of its resource's file.

use crate::{Request, credentials::UsedCodes, sts::web_identity::KeySet};
use session::SessionKey;
use shapes::{Fault, Operation};
use state::{Effects, State, Tx};

/// Takes the function behind an operation, with the types that it reads and answers.
pub trait Visitor: Sized {
    /// What visiting gives.
    type Out;

    /// An operation that only reads.
    fn read<O: Operation>(self, run: Read<O>) -> Self::Out;

    /// An operation that changes the state: one transaction, dropped if it fails.
    fn mutate<O: Operation>(self, run: Mutate<O>) -> Self::Out;
}

/// The function behind an operation that only reads.
pub type Read<O> =
    fn(&State, &Request, <O as Operation>::Input) -> Result<<O as Operation>::Output, Fault>;

/// The function behind an operation that changes the state.
pub type Mutate<O> =
    fn(&mut Tx, &Request, <O as Operation>::Input) -> Result<<O as Operation>::Output, Fault>;

/// Takes the functions of STS, some of which give out credentials.
pub trait Issues: Visitor {
    /// An operation that seals or opens what only the cloud's key does; it changes nothing.
    fn issue<O: Operation>(self, run: Issue<O>) -> Self::Out;

    /// An operation whose caller an issuer of tokens vouches for; it needs no signature.
    fn vouch<O: Operation>(self, run: Vouch<O>) -> Self::Out;
}

/// The function behind an operation that seals or opens what only the cloud's key does.
pub type Issue<O> = fn(
    &State,
    &Request,
    <O as Operation>::Input,
    &mut Issuer<'_>,
) -> Result<<O as Operation>::Output, Fault>;

/// The function behind an operation whose caller an issuer elsewhere vouches for: what it needs of the issuer's
/// is fetched, then it goes on. It changes nothing.
pub type Vouch<O> = fn(
    &State,
    &Request,
    <O as Operation>::Input,
) -> Result<Inquiry<<O as Operation>::Output>, Fault>;

/// Whose keys have to be fetched, and what makes the output with them.
pub struct Inquiry<T> {
    /// Whose keys.
    pub keys: KeysOf,
    /// Makes the output; the state may have changed meanwhile.
    pub finish: Vouched<T>,
}

/// Makes an operation's output with an issuer's keys.
pub type Vouched<T> =
    Box<dyn FnOnce(&State, Result<&KeySet, NoKeys>, &mut Issuer<'_>) -> Result<T, Fault> + Send>;

/// An issuer of tokens whose keys are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysOf {
    /// Its URL, which begins with `https://`.
    pub issuer: String,
    /// SHA-1 fingerprints, in hexadecimal digits, of certificates that are trusted beside the system's.
    pub thumbprints: Vec<String>,
    /// The key that is wanted: keys that are known and lack it are fetched again.
    pub key_id: Option<String>,
}

/// Why an issuer's keys are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKeys {
    /// It doesn't answer.
    Unreachable,
    /// Its certificate isn't trusted.
    Distrusted,
    /// What it answers is no set of keys.
    Unreadable,
}

/// What issuing needs beyond the state.
#[derive(Debug)]
pub struct Issuer<'a> {
    /// What seals tokens.
    pub key: &'a SessionKey,
    /// Time and chance.
    pub effects: &'a mut Effects,
    /// The codes of MFA devices that were shown.
    pub codes: &'a UsedCodes,
}

/// Makes `visit` from rows `kind Operation => function,` where kind is a method of the visitor.
/// The service's `ops` module must be in scope.
#[macro_export]
macro_rules! operations {
    ($visitor:path: $($kind:ident $name:ident => $($run:ident)::+,)*) => {
        /// Hands the function behind the named operation to the visitor; none if it isn't served.
        pub fn visit<V: $visitor>(name: &str, visitor: V) -> Option<V::Out> {
            Some(match name {
                $(stringify!($name) => visitor.$kind::<ops::$name>($($run)::+),)*
                _ => return None,
            })
        }
    };
}

/// The operations of STS.
pub mod of_sts {
    use super::Issues;
    use crate::sts;
    use shapes::sts::ops;

    operations! { Issues:
        issue AssumeRole => sts::assume_role::assume_role,
        vouch AssumeRoleWithWebIdentity => sts::web_identity::assume_role_with_web_identity,
        issue DecodeAuthorizationMessage => sts::decode_authorization_message,
        read GetAccessKeyInfo => sts::get_access_key_info,
        read GetCallerIdentity => sts::get_caller_identity,
        issue GetFederationToken => sts::tokens::get_federation_token,
        issue GetSessionToken => sts::tokens::get_session_token,
    }
}

/// The operations of IAM.
pub mod of_iam {
    use super::Visitor;
    use crate::{
        access_keys, accounts, credentials, groups, instance_profiles, policies, providers, roles,
        simulation, users,
    };
    use shapes::iam::ops;

    operations! { Visitor:
        // users
        mutate CreateUser => users::create_user,
        mutate DeleteUser => users::delete_user,
        read GetUser => users::get_user,
        read ListUsers => users::list_users,
        mutate UpdateUser => users::update_user,

        // users/policies
        mutate AttachUserPolicy => users::policies::attach_user_policy,
        mutate DeleteUserPolicy => users::policies::delete_user_policy,
        mutate DeleteUserPermissionsBoundary => users::policies::delete_user_permissions_boundary,
        mutate DetachUserPolicy => users::policies::detach_user_policy,
        read GetUserPolicy => users::policies::get_user_policy,
        read ListAttachedUserPolicies => users::policies::list_attached_user_policies,
        read ListUserPolicies => users::policies::list_user_policies,
        mutate PutUserPermissionsBoundary => users::policies::put_user_permissions_boundary,
        mutate PutUserPolicy => users::policies::put_user_policy,

        // users/tags
        read ListUserTags => users::tags::list_user_tags,
        mutate TagUser => users::tags::tag_user,
        mutate UntagUser => users::tags::untag_user,

        // access_keys
        mutate CreateAccessKey => access_keys::api::create_access_key,
        mutate DeleteAccessKey => access_keys::api::delete_access_key,
        read GetAccessKeyLastUsed => access_keys::api::get_access_key_last_used,
        read ListAccessKeys => access_keys::api::list_access_keys,
        mutate UpdateAccessKey => access_keys::api::update_access_key,

        // groups
        mutate AddUserToGroup => groups::add_user_to_group,
        mutate CreateGroup => groups::create_group,
        mutate DeleteGroup => groups::delete_group,
        read GetGroup => groups::get_group,
        read ListGroups => groups::list_groups,
        read ListGroupsForUser => groups::list_groups_for_user,
        mutate RemoveUserFromGroup => groups::remove_user_from_group,
        mutate UpdateGroup => groups::update_group,

        // groups/policies
        mutate AttachGroupPolicy => groups::policies::attach_group_policy,
        mutate DeleteGroupPolicy => groups::policies::delete_group_policy,
        mutate DetachGroupPolicy => groups::policies::detach_group_policy,
        read GetGroupPolicy => groups::policies::get_group_policy,
        read ListAttachedGroupPolicies => groups::policies::list_attached_group_policies,
        read ListGroupPolicies => groups::policies::list_group_policies,
        mutate PutGroupPolicy => groups::policies::put_group_policy,

        // roles
        mutate CreateRole => roles::create_role,
        mutate DeleteRole => roles::delete_role,
        read GetRole => roles::get_role,
        read ListRoles => roles::list_roles,
        mutate UpdateAssumeRolePolicy => roles::update_assume_role_policy,
        mutate UpdateRole => roles::update_role,
        mutate UpdateRoleDescription => roles::update_role_description,

        // roles/linked
        mutate CreateServiceLinkedRole => roles::linked::create_service_linked_role,
        mutate DeleteServiceLinkedRole => roles::linked::delete_service_linked_role,
        read GetServiceLinkedRoleDeletionStatus => roles::linked::get_service_linked_role_deletion_status,

        // roles/policies
        mutate AttachRolePolicy => roles::policies::attach_role_policy,
        mutate DeleteRolePolicy => roles::policies::delete_role_policy,
        mutate DeleteRolePermissionsBoundary => roles::policies::delete_role_permissions_boundary,
        mutate DetachRolePolicy => roles::policies::detach_role_policy,
        read GetRolePolicy => roles::policies::get_role_policy,
        read ListAttachedRolePolicies => roles::policies::list_attached_role_policies,
        read ListRolePolicies => roles::policies::list_role_policies,
        mutate PutRolePermissionsBoundary => roles::policies::put_role_permissions_boundary,
        mutate PutRolePolicy => roles::policies::put_role_policy,

        // roles/tags
        read ListRoleTags => roles::tags::list_role_tags,
        mutate TagRole => roles::tags::tag_role,
        mutate UntagRole => roles::tags::untag_role,

        // instance_profiles
        mutate AddRoleToInstanceProfile => instance_profiles::add_role_to_instance_profile,
        mutate CreateInstanceProfile => instance_profiles::create_instance_profile,
        mutate DeleteInstanceProfile => instance_profiles::delete_instance_profile,
        read GetInstanceProfile => instance_profiles::get_instance_profile,
        read ListInstanceProfiles => instance_profiles::list_instance_profiles,
        read ListInstanceProfilesForRole => instance_profiles::list_instance_profiles_for_role,
        mutate RemoveRoleFromInstanceProfile => instance_profiles::remove_role_from_instance_profile,

        // instance_profiles/tags
        read ListInstanceProfileTags => instance_profiles::tags::list_instance_profile_tags,
        mutate TagInstanceProfile => instance_profiles::tags::tag_instance_profile,
        mutate UntagInstanceProfile => instance_profiles::tags::untag_instance_profile,

        // policies
        mutate CreatePolicy => policies::create_policy,
        mutate DeletePolicy => policies::delete_policy,
        read GetPolicy => policies::get_policy,
        read ListPolicies => policies::list_policies,

        // policies/usage
        read ListEntitiesForPolicy => policies::usage::list_entities_for_policy,

        // policies/versions
        mutate CreatePolicyVersion => policies::versions::create_policy_version,
        mutate DeletePolicyVersion => policies::versions::delete_policy_version,
        read GetPolicyVersion => policies::versions::get_policy_version,
        read ListPolicyVersions => policies::versions::list_policy_versions,
        mutate SetDefaultPolicyVersion => policies::versions::set_default_policy_version,

        // policies/tags
        read ListPolicyTags => policies::tags::list_policy_tags,
        mutate TagPolicy => policies::tags::tag_policy,
        mutate UntagPolicy => policies::tags::untag_policy,

        // accounts
        mutate CreateAccountAlias => accounts::alias::create_account_alias,
        mutate DeleteAccountAlias => accounts::alias::delete_account_alias,
        read ListAccountAliases => accounts::alias::list_account_aliases,
        // accounts/password_policy
        mutate DeleteAccountPasswordPolicy => accounts::password_policy::delete_account_password_policy,
        read GetAccountPasswordPolicy => accounts::password_policy::get_account_password_policy,
        mutate UpdateAccountPasswordPolicy => accounts::password_policy::update_account_password_policy,
        // accounts, as a whole
        read GetAccountSummary => accounts::summary::get_account_summary,
        read GetAccountAuthorizationDetails => accounts::details::get_account_authorization_details,
        mutate GenerateCredentialReport => accounts::report::generate_credential_report,
        read GetCredentialReport => accounts::report::get_credential_report,
        mutate DisableOrganizationsRootCredentialsManagement => accounts::features::disable_organizations_root_credentials_management,
        mutate EnableOrganizationsRootCredentialsManagement => accounts::features::enable_organizations_root_credentials_management,
        read GetOutboundWebIdentityFederationInfo => accounts::features::get_outbound_web_identity_federation_info,
        read ListOrganizationsFeatures => accounts::features::list_organizations_features,
        mutate SetSecurityTokenServicePreferences => accounts::preferences::set_security_token_service_preferences,

        // credentials
        mutate CreateLoginProfile => credentials::login_profiles::create_login_profile,
        mutate DeleteLoginProfile => credentials::login_profiles::delete_login_profile,
        read GetLoginProfile => credentials::login_profiles::get_login_profile,
        mutate UpdateLoginProfile => credentials::login_profiles::update_login_profile,
        mutate CreateVirtualMFADevice => credentials::mfa::create_virtual_mfa_device,
        mutate DeactivateMFADevice => credentials::mfa::deactivate_mfa_device,
        mutate DeleteVirtualMFADevice => credentials::mfa::delete_virtual_mfa_device,
        mutate EnableMFADevice => credentials::mfa::enable_mfa_device,
        read ListMFADevices => credentials::mfa::list_mfa_devices,
        read ListVirtualMFADevices => credentials::mfa::list_virtual_mfa_devices,
        read ListMFADeviceTags => credentials::mfa::list_mfa_device_tags,
        mutate TagMFADevice => credentials::mfa::tag_mfa_device,
        mutate UntagMFADevice => credentials::mfa::untag_mfa_device,
        mutate DeleteServerCertificate => credentials::server_certificates::delete_server_certificate,
        read GetServerCertificate => credentials::server_certificates::get_server_certificate,
        read ListServerCertificateTags => credentials::server_certificates::list_server_certificate_tags,
        read ListServerCertificates => credentials::server_certificates::list_server_certificates,
        mutate TagServerCertificate => credentials::server_certificates::tag_server_certificate,
        mutate UntagServerCertificate => credentials::server_certificates::untag_server_certificate,
        mutate UpdateServerCertificate => credentials::server_certificates::update_server_certificate,
        mutate UploadServerCertificate => credentials::server_certificates::upload_server_certificate,
        mutate CreateServiceSpecificCredential => credentials::service_specific::create_service_specific_credential,
        mutate DeleteServiceSpecificCredential => credentials::service_specific::delete_service_specific_credential,
        read ListServiceSpecificCredentials => credentials::service_specific::list_service_specific_credentials,
        mutate ResetServiceSpecificCredential => credentials::service_specific::reset_service_specific_credential,
        mutate UpdateServiceSpecificCredential => credentials::service_specific::update_service_specific_credential,
        mutate DeleteSigningCertificate => credentials::signing_certificates::delete_signing_certificate,
        read ListSigningCertificates => credentials::signing_certificates::list_signing_certificates,
        mutate UpdateSigningCertificate => credentials::signing_certificates::update_signing_certificate,
        mutate UploadSigningCertificate => credentials::signing_certificates::upload_signing_certificate,
        mutate DeleteSSHPublicKey => credentials::ssh_keys::delete_ssh_public_key,
        read GetSSHPublicKey => credentials::ssh_keys::get_ssh_public_key,
        read ListSSHPublicKeys => credentials::ssh_keys::list_ssh_public_keys,
        mutate UpdateSSHPublicKey => credentials::ssh_keys::update_ssh_public_key,
        mutate UploadSSHPublicKey => credentials::ssh_keys::upload_ssh_public_key,

        // providers
        mutate AddClientIDToOpenIDConnectProvider => providers::oidc::add_client_id_to_open_id_connect_provider,
        mutate CreateOpenIDConnectProvider => providers::oidc::create_open_id_connect_provider,
        mutate DeleteOpenIDConnectProvider => providers::oidc::delete_open_id_connect_provider,
        read GetOpenIDConnectProvider => providers::oidc::get_open_id_connect_provider,
        read ListOpenIDConnectProviders => providers::oidc::list_open_id_connect_providers,
        mutate RemoveClientIDFromOpenIDConnectProvider => providers::oidc::remove_client_id_from_open_id_connect_provider,
        mutate UpdateOpenIDConnectProviderThumbprint => providers::oidc::update_open_id_connect_provider_thumbprint,
        read ListOpenIDConnectProviderTags => providers::oidc::tags::list_open_id_connect_provider_tags,
        mutate TagOpenIDConnectProvider => providers::oidc::tags::tag_open_id_connect_provider,
        mutate UntagOpenIDConnectProvider => providers::oidc::tags::untag_open_id_connect_provider,
        mutate CreateSAMLProvider => providers::saml::create_saml_provider,
        mutate DeleteSAMLProvider => providers::saml::delete_saml_provider,
        read GetSAMLProvider => providers::saml::get_saml_provider,
        read ListSAMLProviders => providers::saml::list_saml_providers,
        mutate UpdateSAMLProvider => providers::saml::update_saml_provider,
        read ListSAMLProviderTags => providers::saml::tags::list_saml_provider_tags,
        mutate TagSAMLProvider => providers::saml::tags::tag_saml_provider,
        mutate UntagSAMLProvider => providers::saml::tags::untag_saml_provider,

        // simulation
        read SimulateCustomPolicy => simulation::simulate_custom_policy,
        read SimulatePrincipalPolicy => simulation::simulate_principal_policy,
        read GetContextKeysForCustomPolicy => simulation::context::get_context_keys_for_custom_policy,
        read GetContextKeysForPrincipalPolicy => simulation::context::get_context_keys_for_principal_policy,
    }
}
