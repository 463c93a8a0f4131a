//! The faults that STS answers: AWS's code, HTTP status and message.

use crate::operations::NoKeys;
use shapes::Fault;
use std::fmt::Display;

fn denied(message: String) -> Fault {
    Fault::sender("AccessDenied", message).with_status(403)
}

pub(super) fn validation(message: impl Into<String>) -> Fault {
    Fault::sender("ValidationError", message)
}

pub(super) fn invalid_parameter(message: impl Into<String>) -> Fault {
    Fault::sender("InvalidParameterValue", message)
}

/// What a role's trust or the caller's policies don't allow.
pub(super) fn not_authorized(caller: &str, action: &str, resource: &str) -> Fault {
    denied(format!("User: {caller} is not authorized to perform: {action} on resource: {resource}"))
}

pub(super) fn root_assumes() -> Fault {
    denied("Roles may not be assumed by root accounts.".to_owned())
}

/// An operation that takes long-lived credentials.
pub(super) fn with_session(operation: &str) -> Fault {
    denied(format!("Cannot call {operation} with session credentials"))
}

pub(super) fn wrong_mfa_code() -> Fault {
    denied("MultiFactorAuthentication failed with invalid MFA one time pass code. ".to_owned())
}

pub(super) fn malformed_policy(why: impl Display) -> Fault {
    Fault::sender("MalformedPolicyDocument", why.to_string())
}

pub(super) fn packed_too_large(percent: usize) -> Fault {
    Fault::sender(
        "PackedPolicyTooLarge",
        format!(
            "Packed size of session policies and session tags consumes {percent}% of allotted space."
        ),
    )
}

/// A token that isn't taken for one; the message is AWS's.
pub(super) fn invalid_token(message: impl Into<String>) -> Fault {
    Fault::sender("InvalidIdentityToken", message)
}

pub(super) fn not_a_token() -> Fault {
    invalid_token(
        "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
    )
}

pub(super) fn no_provider(issuer: &str) -> Fault {
    // A token's word is cut before it is said again.
    let issuer = issuer.chars().take(256).collect::<String>();
    invalid_token(format!("No OpenIDConnect provider found in your account for {issuer}"))
}

pub(super) fn no_verification_key() -> Fault {
    invalid_token(
        "Couldn't retrieve verification key from your identity provider,  please reference \
         AssumeRoleWithWebIdentity documentation for requirements",
    )
}

/// Why an issuer's keys are not there.
pub(super) fn no_keys(why: NoKeys) -> Fault {
    match why {
        NoKeys::Unreachable => Fault::sender(
            "IDPCommunicationError",
            "The request could not be fulfilled because the identity provider could not be reached.",
        ),
        NoKeys::Distrusted => invalid_token(
            "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint",
        ),
        NoKeys::Unreadable => no_verification_key(),
    }
}

pub(super) fn expired_token(now_s: i64, expires_s: i64) -> Fault {
    Fault::sender(
        "ExpiredTokenException",
        format!(
            "Token expired: current date/time {now_s} must be before the expiration date/time {expires_s}"
        ),
    )
}

pub(super) fn rejected_claim(message: String) -> Fault {
    Fault::sender("IDPRejectedClaim", message).with_status(403)
}

/// What a role's trust policy doesn't allow to whom an issuer vouches for.
pub(super) fn not_trusted(action: &str) -> Fault {
    denied(format!("Not authorized to perform {action}"))
}

pub(super) fn unknown_key(id: &str) -> Fault {
    validation(format!("The access key {id} is not known."))
}

pub(super) fn invalid_message() -> Fault {
    Fault::sender(
        "InvalidAuthorizationMessageException",
        "The message that was provided is not a valid encoded authorization message.",
    )
}

pub(super) fn unsupported(parameter: &str) -> Fault {
    validation(format!("The parameter {parameter} is not supported by this cloud."))
}
