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

    // tags

    /// A tag specification about a resource that the call doesn't make.
    not_taggable(resource) => "InvalidParameterValue", 400, "'{resource}' is not a valid taggable resource type for this operation.";
    /// Two tag specifications about one type of resource.
    duplicate_tag_specification(resource) => "InvalidParameterValue", 400, "The same resource type may not be specified more than once in tag specifications: '{resource}'.";
    /// A tag's key or value that is too long.
    tag_too_long(part, limit) => "InvalidParameterValue", 400, "Tag {part} exceeds the maximum length of {limit} characters";
    /// A tag's key that callers may not set.
    reserved_tag_key() => "InvalidParameterValue", 400, "Tag keys starting with 'aws:' are reserved for internal use";
    /// A tag's key that comes twice in one call.
    duplicate_tag_key(key) => "InvalidParameterValue", 400, "Duplicate tag key '{key}' specified.";
    /// Too many tags for one resource.
    tag_limit() => "TagLimitExceeded", 400, "The maximum number of Tags for a resource has been reached.";

    // vpc

    // keys, images, types

    /// Instance types that AWS doesn't have.
    instance_types_not_found(names) => "InvalidInstanceType", 400, "The following supplied instance types do not exist: [{names}]";
    /// An account that a call names by something else than its 12 digits.
    invalid_user_id(id) => "InvalidUserID.Malformed", 400, "Invalid user id: \"{id}\"";
    /// An image's attributes, which only its owner sees.
    image_not_yours(id) => "AuthFailure", 403, "Not authorized for image:{id}";
    /// A key pair's name that is taken.
    key_pair_exists(name) => "InvalidKeyPair.Duplicate", 400, "The keypair '{name}' already exists.";
    /// No more key pairs.
    key_pair_limit(limit) => "KeyPairLimitExceeded", 400, "Maximum of {limit} keypairs reached.";
    /// What is imported is no public key, or not one of those that EC2 takes.
    invalid_key_format() => "InvalidKey.Format", 400, "Key is not in valid OpenSSH public key format";
    /// A volume's parameter that its type doesn't have.
    not_of_volume_type(parameter, kind) => "InvalidParameterCombination", 400, "The parameter {parameter} is not supported for {kind} volumes.";
    /// A volume's parameter that its type needs.
    volume_type_needs(parameter, kind) => "MissingParameter", 400, "The parameter {parameter} must be specified for {kind} volumes.";
    /// A volume that is too small for its type.
    volume_too_small(size, kind, low) => "InvalidParameterValue", 400, "Volume of {size}GiB is too small for volume type {kind}; minimum is {low}GiB";
    /// A volume that is too large for its type.
    volume_too_large(size, kind, high) => "InvalidParameterValue", 400, "Volume of {size}GiB is too large for volume type {kind}; maximum is {high}GiB";
    /// A volume that is too small for its snapshot.
    smaller_than_snapshot(size, snapshot, low) => "InvalidBlockDeviceMapping", 400, "Volume of size {size}GB is smaller than snapshot '{snapshot}', expect size >= {low}GB";
    /// IOPS or throughput below what the volume's type allows.
    volume_too_low(what, value, low) => "InvalidParameterValue", 400, "Volume {what} of {value} is too low; minimum is {low}.";
    /// IOPS or throughput above what the volume's type allows.
    volume_too_high(what, value, high) => "InvalidParameterValue", 400, "Volume {what} of {value} is too high; maximum is {high}.";
    /// More IOPS than the volume's size allows; the ratio has six decimals.
    iops_ratio(ratio, high) => "InvalidParameterValue", 400, "Iops to volume size ratio of {ratio} is too high; maximum is {high}";
    /// More throughput than the volume's IOPS allow; the ratio has six decimals.
    throughput_ratio(ratio) => "InvalidParameterValue", 400, "Throughput (MiBps) to iops ratio of {ratio} is too high; maximum is 0.250000 MiBps per iops";
    /// An ID of no kind of resource that can have tags.
    invalid_id(id) => "InvalidID", 400, "The ID '{id}' is not valid";
    /// Regions that don't exist.
    invalid_regions(names) => "InvalidParameterValue", 400, "Invalid region names: [{names}]";
    /// Zones that the region doesn't have.
    invalid_zones(names) => "InvalidParameterValue", 400, "Invalid availability zone: [{names}]";
    /// Zone IDs that the region doesn't have.
    invalid_zone_ids(ids) => "InvalidParameterValue", 400, "Invalid availability zone-id: [{ids}]";
    /// An association of an instance profile that doesn't exist.
    no_profile_association(id) => "InvalidAssociationID.NotFound", 400, "An invalid association-id of '{id}' was given";
    /// An instance that has no CPU credits.
    not_burstable(id) => "InvalidParameterValue", 400, "The instance '{id}' is not a burstable performance instance.";
}
