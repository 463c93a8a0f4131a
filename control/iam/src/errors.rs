//! The faults that IAM answers: AWS's code, HTTP status and message.

use shapes::Fault;
use std::fmt::Display;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),*) => $code:literal, $status:literal, $text:literal;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub(crate) fn $name($($arg: impl Display),*) -> Fault {
            Fault { code: $code.into(), status: $status, message: format!($text), sender: true }
        }
    )*};
}

faults! {
    /// Something of this kind and name that doesn't exist: `user`, `role policy` …
    not_found(kind, name) => "NoSuchEntity", 404, "The {kind} with name {name} cannot be found.";
    /// Something that is named by its ID.
    id_not_found(kind, id) => "NoSuchEntity", 404, "The {kind} with id {id} cannot be found.";
    no_entity(message) => "NoSuchEntity", 404, "{message}";
    profile_not_found(name) => "NoSuchEntity", 404, "Instance Profile {name} cannot be found.";
    policy_not_found(arn) => "NoSuchEntity", 404, "Policy {arn} was not found.";
    not_attachable(arn) => "NoSuchEntity", 404, "Policy {arn} does not exist or is not attachable.";
    /// A policy of service-linked roles.
    service_policy() => "PolicyNotAttachable", 400, "Cannot attach a Service Role Policy to a Customer Role.";
    version_not_found(arn, version) => "NoSuchEntity", 404, "Policy {arn} version {version} does not exist or is not attachable.";
    boundary_not_found(arn) => "NoSuchEntity", 404, "Scope ARN: {arn} does not exist or is not attachable.";
    login_profile_not_found(user) => "NoSuchEntity", 404, "Login Profile for User {user} cannot be found.";
    mfa_not_found(serial) => "NoSuchEntity", 404, "VirtualMFADevice with serial number {serial} doesn't exist.";
    oidc_not_found(arn) => "NoSuchEntity", 404, "OpenIDConnect Provider not found for arn {arn}";
    saml_not_found(arn) => "NoSuchEntity", 404, "Manifest not found for arn {arn}";

    /// A name that is taken.
    exists(kind, name) => "EntityAlreadyExists", 409, "{kind} with name {name} already exists.";
    already(message) => "EntityAlreadyExists", 409, "{message}";
    policy_exists(name) => "EntityAlreadyExists", 409, "A policy called {name} already exists. Duplicate names are not allowed.";

    /// What has parts that must go first: `must detach all policies first.`
    delete_conflict(must) => "DeleteConflict", 409, "Cannot delete entity, {must}";
    policy_in_use() => "DeleteConflict", 409, "Cannot delete a policy attached to entities.";
    policy_has_versions() => "DeleteConflict", 409, "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.";
    default_version() => "DeleteConflict", 409, "Cannot delete the default version of a policy.";

    /// A quota by its name, such as `AccessKeysPerUser`.
    quota(name, limit) => "LimitExceeded", 409, "Cannot exceed quota for {name}: {limit}";
    too_many_versions() => "LimitExceeded", 409, "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.";
    policy_size(limit, kind, name) => "LimitExceeded", 409, "Maximum policy size of {limit} bytes exceeded for {kind} {name}";
    too_many_tags() => "LimitExceeded", 409, "The number of tags has reached the maximum limit.";

    invalid_input(message) => "InvalidInput", 400, "{message}";
    duplicate_tags() => "InvalidInput", 400, "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
    reserved_tag() => "InvalidInput", 400, "Tag keys that begin with 'aws:' are reserved for internal use.";
    invalid_arn(arn) => "InvalidInput", 400, "ARN {arn} is not valid.";
    validation(message) => "ValidationError", 400, "{message}";
    invalid_marker() => "ValidationError", 400, "Invalid Marker.";
    needs_user_name() => "ValidationError", 400, "Must specify userName when calling with non-User credentials";
    malformed_policy(message) => "MalformedPolicyDocument", 400, "{message}";
    protected_role(name) => "UnmodifiableEntity", 400, "Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS";
    access_denied(message) => "AccessDenied", 403, "{message}";
    password_policy(message) => "PasswordPolicyViolation", 400, "{message}";
    wrong_code() => "InvalidAuthenticationCode", 403, "Authentication code for device is not valid.";
    report_missing() => "ReportNotPresent", 410, "No report has been generated. Please generate a report first.";
    malformed_certificate(message) => "MalformedCertificate", 400, "{message}";
    duplicate_certificate() => "DuplicateCertificate", 409, "The certificate is associated with another user.";
    key_mismatch() => "KeyPairMismatch", 400, "The public key certificate and the private key do not match.";
    invalid_public_key() => "InvalidPublicKey", 400, "The SSH public key is not valid.";
    duplicate_public_key() => "DuplicateSSHPublicKey", 400, "The SSH public key is already associated with the user.";
    unrecognized_encoding() => "UnrecognizedPublicKeyEncoding", 400, "The public key encoding format is unsupported or unrecognized.";
    /// A service that takes no credentials of its own.
    no_service_credentials(service) => "NotSupportedService", 404, "No such service {service} is supported for Service Specific Credentials";
    no_organization() => "OrganizationNotFoundException", 400, "The account is not a member of an organization.";
    feature_disabled() => "FeatureDisabled", 404, "Outbound web identity federation is not enabled for this account.";
    unsupported(parameter) => "UnsupportedOperation", 400, "The parameter {parameter} is not supported by this cloud.";
}
