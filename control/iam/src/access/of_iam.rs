//! What each operation of IAM asks: the resources that it names, with their condition keys.

use crate::{
    AccessKey, Group, InstanceProfile, KeyOwner, Named, Permissions, Principal, Request, Role,
    User,
    access::{Check, members::Input},
    place, policies,
};
use state::{Row, State};
use types::{AccountId, Tags};

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// No resource.
    Nothing,
    /// The user `UserName`; without it, the caller's own.
    User,
    /// The group `GroupName`.
    Group,
    /// The role `RoleName`.
    Role,
    /// The instance profile `InstanceProfileName`.
    Profile,
    /// The managed policy `PolicyArn`.
    Policy,
    /// A managed policy to make.
    NewPolicy,
    /// What the ARN in this member names.
    Arn(&'static str),
    /// A thing of this kind with the name in this member.
    Called(&'static str, &'static str),
    /// The things of a kind, beneath `PathPrefix`.
    Listed(&'static str),
    /// Whose the access key `AccessKeyId` is.
    KeyOwner,
    /// The service-linked role of `AWSServiceName`.
    LinkedRole,
    /// An OIDC provider to make.
    NewOidc,
}

use About::{
    Arn, Called, Group as G, KeyOwner as OfKey, LinkedRole, Listed, NewOidc, NewPolicy, Nothing,
    Policy, Profile, Role as R, User as U,
};

const OIDC: About = Arn("OpenIDConnectProviderArn");
const SAML: About = Arn("SAMLProviderArn");
const SERIAL: About = Arn("SerialNumber");
const CERTIFICATE: About = Called("server-certificate", "ServerCertificateName");

/// The operations, by what they are about.
const TABLE: &[(About, &[&str])] = &[
    (
        Nothing,
        &[
            "CreateAccountAlias",
            "DeleteAccountAlias",
            "DeleteAccountPasswordPolicy",
            "DisableOrganizationsRootCredentialsManagement",
            "EnableOrganizationsRootCredentialsManagement",
            "GenerateCredentialReport",
            "GetAccountAuthorizationDetails",
            "GetAccountPasswordPolicy",
            "GetAccountSummary",
            "GetContextKeysForCustomPolicy",
            "GetCredentialReport",
            "GetOutboundWebIdentityFederationInfo",
            "ListAccountAliases",
            "ListOpenIDConnectProviders",
            "ListOrganizationsFeatures",
            "ListSAMLProviders",
            "ListVirtualMFADevices",
            "SetSecurityTokenServicePreferences",
            "SimulateCustomPolicy",
            "UpdateAccountPasswordPolicy",
        ],
    ),
    (
        U,
        &[
            "AttachUserPolicy",
            "ChangePassword",
            "CreateAccessKey",
            "CreateLoginProfile",
            "CreateServiceSpecificCredential",
            "CreateUser",
            "DeactivateMFADevice",
            "DeleteAccessKey",
            "DeleteLoginProfile",
            "DeleteSSHPublicKey",
            "DeleteServiceSpecificCredential",
            "DeleteSigningCertificate",
            "DeleteUser",
            "DeleteUserPermissionsBoundary",
            "DeleteUserPolicy",
            "DetachUserPolicy",
            "EnableMFADevice",
            "GetLoginProfile",
            "GetMFADevice",
            "GetSSHPublicKey",
            "GetUser",
            "GetUserPolicy",
            "ListAccessKeys",
            "ListAttachedUserPolicies",
            "ListGroupsForUser",
            "ListMFADevices",
            "ListSSHPublicKeys",
            "ListServiceSpecificCredentials",
            "ListSigningCertificates",
            "ListUserPolicies",
            "ListUserTags",
            "PutUserPermissionsBoundary",
            "PutUserPolicy",
            "ResetServiceSpecificCredential",
            "ResyncMFADevice",
            "TagUser",
            "UntagUser",
            "UpdateAccessKey",
            "UpdateLoginProfile",
            "UpdateSSHPublicKey",
            "UpdateServiceSpecificCredential",
            "UpdateSigningCertificate",
            "UpdateUser",
            "UploadSSHPublicKey",
            "UploadSigningCertificate",
        ],
    ),
    (
        G,
        &[
            "AddUserToGroup",
            "AttachGroupPolicy",
            "CreateGroup",
            "DeleteGroup",
            "DeleteGroupPolicy",
            "DetachGroupPolicy",
            "GetGroup",
            "GetGroupPolicy",
            "ListAttachedGroupPolicies",
            "ListGroupPolicies",
            "PutGroupPolicy",
            "RemoveUserFromGroup",
            "UpdateGroup",
        ],
    ),
    (
        R,
        &[
            "AttachRolePolicy",
            "CreateRole",
            "DeleteRole",
            "DeleteRolePermissionsBoundary",
            "DeleteRolePolicy",
            "DeleteServiceLinkedRole",
            "DetachRolePolicy",
            "GetRole",
            "GetRolePolicy",
            "ListAttachedRolePolicies",
            "ListInstanceProfilesForRole",
            "ListRolePolicies",
            "ListRoleTags",
            "PutRolePermissionsBoundary",
            "PutRolePolicy",
            "TagRole",
            "UntagRole",
            "UpdateAssumeRolePolicy",
            "UpdateRole",
            "UpdateRoleDescription",
        ],
    ),
    (
        Profile,
        &[
            "AddRoleToInstanceProfile",
            "CreateInstanceProfile",
            "DeleteInstanceProfile",
            "GetInstanceProfile",
            "ListInstanceProfileTags",
            "RemoveRoleFromInstanceProfile",
            "TagInstanceProfile",
            "UntagInstanceProfile",
        ],
    ),
    (
        Policy,
        &[
            "CreatePolicyVersion",
            "DeletePolicy",
            "DeletePolicyVersion",
            "GetPolicy",
            "GetPolicyVersion",
            "ListEntitiesForPolicy",
            "ListPolicyTags",
            "ListPolicyVersions",
            "SetDefaultPolicyVersion",
            "TagPolicy",
            "UntagPolicy",
        ],
    ),
    (NewPolicy, &["CreatePolicy"]),
    (OfKey, &["GetAccessKeyLastUsed"]),
    (LinkedRole, &["CreateServiceLinkedRole"]),
    (NewOidc, &["CreateOpenIDConnectProvider"]),
    (Called("saml-provider", "Name"), &["CreateSAMLProvider"]),
    (Called("mfa", "VirtualMFADeviceName"), &["CreateVirtualMFADevice"]),
    (
        OIDC,
        &[
            "AddClientIDToOpenIDConnectProvider",
            "DeleteOpenIDConnectProvider",
            "GetOpenIDConnectProvider",
            "ListOpenIDConnectProviderTags",
            "RemoveClientIDFromOpenIDConnectProvider",
            "TagOpenIDConnectProvider",
            "UntagOpenIDConnectProvider",
            "UpdateOpenIDConnectProviderThumbprint",
        ],
    ),
    (
        SAML,
        &[
            "DeleteSAMLProvider",
            "GetSAMLProvider",
            "ListSAMLProviderTags",
            "TagSAMLProvider",
            "UntagSAMLProvider",
            "UpdateSAMLProvider",
        ],
    ),
    (SERIAL, &["DeleteVirtualMFADevice", "ListMFADeviceTags", "TagMFADevice", "UntagMFADevice"]),
    (
        CERTIFICATE,
        &[
            "DeleteServerCertificate",
            "GetServerCertificate",
            "ListServerCertificateTags",
            "TagServerCertificate",
            "UntagServerCertificate",
            "UpdateServerCertificate",
            "UploadServerCertificate",
        ],
    ),
    (Arn("PolicySourceArn"), &["GetContextKeysForPrincipalPolicy", "SimulatePrincipalPolicy"]),
    (Listed("user"), &["ListUsers"]),
    (Listed("group"), &["ListGroups"]),
    (Listed("role"), &["ListRoles"]),
    (Listed("instance-profile"), &["ListInstanceProfiles"]),
    (Listed("policy"), &["ListPolicies"]),
    (Listed("server-certificate"), &["ListServerCertificates"]),
    (Called("role", "DeletionTaskId"), &["GetServiceLinkedRoleDeletionStatus"]),
];

fn about(operation: &str) -> Option<About> {
    let row = TABLE.iter().find(|(_, operations)| operations.contains(&operation));
    row.map(|(about, _)| *about)
}

/// The member in which an operation names what it is about.
#[cfg(test)]
pub(super) fn member(operation: &str) -> Option<&'static str> {
    Some(match about(operation)? {
        Nothing | Listed(_) => return None,
        U => match operation {
            // Those are the caller's own matter.
            "ChangePassword" => return None,
            _ => "UserName",
        },
        G => "GroupName",
        R => "RoleName",
        Profile => "InstanceProfileName",
        Policy => "PolicyArn",
        NewPolicy => "PolicyName",
        Arn(member) | Called(_, member) => member,
        OfKey => "AccessKeyId",
        LinkedRole => "AWSServiceName",
        NewOidc => "Url",
    })
}

/// What an operation of IAM asks; none if this table doesn't know it.
#[must_use]
pub fn checks(
    state: &State,
    request: &Request,
    operation: &str,
    input: Input<'_>,
) -> Option<Vec<Check>> {
    let about = about(operation)?;
    let subject = subject(state, request, about, input);
    let mut check = Check::new(format!("iam:{operation}"), subject.arn);
    if let Some(tags) = &subject.tags {
        check.set_resource_tags("iam", tags);
    }
    let tags = input.tags("Tags");
    check.set_request_tags(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    if tags.is_empty()
        && let keys @ [_, ..] = &input.texts("TagKeys")[..]
    {
        check.set_all("aws:TagKeys", keys.to_vec());
    }
    if (operation.starts_with("Attach") || operation.starts_with("Detach"))
        && let Some(arn) = input.text("PolicyArn")
    {
        check.set("iam:PolicyARN", arn);
    }
    // Of what is made or given a boundary, the new one; else the one that is there.
    if let Some(boundary) = input.text("PermissionsBoundary").or(subject.boundary) {
        check.set("iam:PermissionsBoundary", boundary);
    }
    if let Some(name) = input.text("AWSServiceName") {
        check.set("iam:AWSServiceName", name);
    }
    let mut checks = vec![check];
    if operation == "AddRoleToInstanceProfile" {
        checks.extend(pass_role(state, request, input));
    }
    Some(checks)
}

/// To put a role into an instance profile is to pass it on to EC2.
fn pass_role(state: &State, request: &Request, input: Input<'_>) -> Option<Check> {
    let role = subject(state, request, R, input);
    Some(Check::new("iam:PassRole", role.arn).with("iam:PassedToService", "ec2.amazonaws.com"))
}

/// What passing an instance profile (by its name or its ARN) on to an instance asks: to pass on its role.
/// None if there is no such profile, or it has no role.
#[must_use]
pub fn pass_profile(state: &State, account: AccountId, profile: &str) -> Option<Check> {
    let name = profile.rsplit('/').next().unwrap_or(profile).to_owned();
    let profile = named::<InstanceProfile>(state, account, Some(name)).ok()?;
    let role = state.get::<Role>(profile.role.as_ref()?)?;
    Some(Check::new("iam:PassRole", role.arn()).with("iam:PassedToService", "ec2.amazonaws.com"))
}

/// What a call is about, with what is known of it.
#[derive(Default)]
struct Subject {
    arn: String,
    tags: Option<Tags>,
    boundary: Option<String>,
}

impl Subject {
    fn of(arn: impl Into<String>) -> Self {
        Self { arn: arn.into(), ..Self::default() }
    }
}

fn subject(state: &State, request: &Request, about: About, input: Input<'_>) -> Subject {
    let account = request.caller.account;
    match about {
        Nothing => Subject::of("*"),
        U => user(state, request, input),
        G => {
            let found = named::<Group>(state, account, input.text("GroupName"));
            match found {
                Ok(group) => Subject::of(group.arn()),
                Err(name) => made(account, "group", &name, input),
            }
        }
        R => {
            let found = named::<Role>(state, account, input.text("RoleName"));
            match found {
                Ok(role) => with(role.arn(), &role.tags, Some(&role.permissions)),
                Err(name) => made(account, "role", &name, input),
            }
        }
        Profile => {
            let name = input.text("InstanceProfileName");
            match named::<InstanceProfile>(state, account, name) {
                Ok(profile) => with(profile.arn(), &profile.tags, None),
                Err(name) => made(account, "instance-profile", &name, input),
            }
        }
        Policy => {
            let arn = input.text("PolicyArn").unwrap_or_default();
            match policies::find(state, &arn) {
                Some(policy) => with(policy.arn(), &policy.tags, None),
                None => Subject::of(arn),
            }
        }
        NewPolicy => {
            let name = input.text("PolicyName").unwrap_or_default();
            made(account, "policy", &name, input)
        }
        Arn(member) => Subject::of(input.text(member).unwrap_or_default()),
        Called(kind, member) => {
            let name = input.text(member).unwrap_or_default();
            let name = name.strip_prefix("task/").unwrap_or(&name);
            made(account, kind, name, input)
        }
        Listed(kind) => {
            let prefix = input.text("PathPrefix").unwrap_or_else(|| "/".to_owned());
            Subject::of(format!("arn:aws:iam::{account}:{kind}{prefix}"))
        }
        OfKey => {
            let key = state.get::<AccessKey>(&input.text("AccessKeyId").unwrap_or_default());
            let key = key.filter(|key| key.account == account);
            match key.map(|key| &key.owner) {
                Some(KeyOwner::User(id)) => state.get::<User>(id).map(|user| of_user(user)),
                Some(KeyOwner::Root) | None => None,
            }
            .unwrap_or_else(|| Subject::of("*"))
        }
        LinkedRole => {
            let service = input.text("AWSServiceName").unwrap_or_default();
            Subject::of(format!("arn:aws:iam::{account}:role/aws-service-role/{service}/*"))
        }
        NewOidc => {
            let url = input.text("Url").unwrap_or_default();
            let url = url.strip_prefix("https://").unwrap_or(&url);
            Subject::of(format!("arn:aws:iam::{account}:oidc-provider/{url}"))
        }
    }
}

fn with(arn: String, tags: &Tags, permissions: Option<&Permissions>) -> Subject {
    let boundary = permissions.and_then(|permissions| permissions.boundary.clone());
    Subject { arn, tags: Some(tags.clone()), boundary }
}

fn of_user(user: &User) -> Subject {
    with(user.arn(), &user.tags, Some(&user.permissions))
}

/// The named user; without a name, the caller, who is no user where it is a role or the root user.
fn user(state: &State, request: &Request, input: Input<'_>) -> Subject {
    let account = request.caller.account;
    let name = input.text("UserName");
    if name.is_none() {
        return match &request.caller.principal {
            Principal::User(id) => {
                state.get::<User>(id).map_or_else(Subject::default, |user| of_user(user))
            }
            Principal::Root(_) | Principal::Role(_) => Subject::of(request.caller.arn.clone()),
        };
    }
    match named::<User>(state, account, name) {
        Ok(user) => of_user(user),
        Err(name) => made(account, "user", &name, input),
    }
}

/// The ARN that what a call names has, or would have.
fn made(account: AccountId, kind: &str, name: &str, input: Input<'_>) -> Subject {
    let path = input.text("Path").unwrap_or_else(|| "/".to_owned());
    Subject::of(format!("arn:aws:iam::{account}:{kind}{path}{name}"))
}

/// An account's resource by its name, or the name.
fn named<R: Row + HasName>(
    state: &State,
    account: AccountId,
    name: Option<String>,
) -> Result<&R, String> {
    let name = name.unwrap_or_default();
    let found = state.find::<R>("name", place(account, &name)).next();
    found.map(|row| &**row).filter(|row| row.named().account == account).ok_or(name)
}

/// A row with a name in an account.
trait HasName {
    fn named(&self) -> &Named;
}

macro_rules! has_name {
    ($($row:ident),*) => {$(
        impl HasName for $row {
            fn named(&self) -> &Named {
                &self.named
            }
        }
    )*};
}

has_name!(User, Group, Role, InstanceProfile);
