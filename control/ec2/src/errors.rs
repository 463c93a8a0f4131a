//! The faults that EC2 answers: AWS's code, HTTP status and message.

use shapes::Fault;
use std::fmt::Display;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),*) => $code:literal, $status:literal, $text:literal;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name($($arg: impl Display),*) -> Fault {
            Fault {
                code: $code.into(),
                status: $status,
                message: format!($text),
                sender: $status < 500,
            }
        }
    )*};
}

faults! {
    /// The call would have succeeded.
    dry_run() => "DryRunOperation", 412, "Request would have succeeded, but DryRun flag is set.";
    /// A parameter's value can't be.
    invalid_value(value, parameter, why) => "InvalidParameterValue", 400, "Value ({value}) for parameter {parameter} is invalid. {why}";
    /// A parameter's value can't be; the message is the caller's.
    invalid_parameter_value(message) => "InvalidParameterValue", 400, "{message}";
    /// Parameters contradict one another.
    combination(message) => "InvalidParameterCombination", 400, "{message}";
    /// A required parameter is missing.
    missing(parameter) => "MissingParameter", 400, "The request must contain the parameter {parameter}";
    /// A parameter that we don't serve: never ignored silently.
    unsupported(parameter) => "UnsupportedOperation", 400, "The parameter {parameter} is not supported by this cloud.";
    /// An unknown filter.
    unknown_filter(name) => "InvalidParameterValue", 400, "The filter '{name}' is invalid";
    /// A page token that isn't ours.
    invalid_next_token() => "InvalidNextToken", 400, "The token provided in NextToken is not valid.";
    /// A resource that others depend on.
    dependency(resource, id) => "DependencyViolation", 400, "The {resource} '{id}' has dependencies and cannot be deleted.";
    /// An instance in the wrong state.
    incorrect_instance_state(message) => "IncorrectInstanceState", 400, "{message}";
    /// The same idempotency token with other parameters.
    idempotent_mismatch() => "IdempotentParameterMismatch", 400, "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).";
    /// No host has room.
    insufficient_capacity(message) => "InsufficientInstanceCapacity", 500, "{message}";
    /// A subnet without free addresses.
    insufficient_addresses(subnet) => "InsufficientFreeAddressesInSubnet", 400, "The specified subnet '{subnet}' does not have enough free addresses to satisfy the request.";
    /// No more public addresses.
    address_limit() => "AddressLimitExceeded", 400, "The maximum number of addresses has been reached.";
    /// A key pair that doesn't exist.
    key_pair_not_found(name) => "InvalidKeyPair.NotFound", 400, "The key pair '{name}' does not exist";
    /// No default VPC to launch into.
    no_default_vpc() => "VPCIdNotSpecified", 400, "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.";
    /// No default subnet to launch into.
    no_default_subnet(zone) => "MissingInput", 400, "No default subnet for availability zone: '{zone}'.";

    // keys, images, types

    /// Instance types that AWS doesn't have.
    instance_types_not_found(names) => "InvalidInstanceType", 400, "The following supplied instance types do not exist: [{names}]";
}
