//! The faults that STS answers: AWS's code, HTTP status and message.

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
