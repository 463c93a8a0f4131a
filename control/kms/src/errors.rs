//! The faults that KMS answers: AWS's code, HTTP status and message.

use shapes::Fault;
use std::fmt::Display;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),*) => $code:literal, $text:literal;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name($($arg: impl Display),*) -> Fault {
            Fault::sender($code, format!($text))
        }
    )*};
}

faults! {
    /// The call would have succeeded.
    dry_run() => "DryRunOperationException", "The request would have succeeded, but the DryRun option is set.";
    /// An input that can't be; the message is the caller's.
    validation(message) => "ValidationException", "{message}";
    /// A member that breaks a constraint of the model.
    constraint(value, member, constraint) => "ValidationException", "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: {constraint}";
    /// A parameter that isn't served: never ignored silently.
    unsupported(parameter) => "UnsupportedOperationException", "The parameter {parameter} is not supported by this cloud.";
    /// An operation that this kind of key doesn't have; the message is the caller's.
    unsupported_operation(message) => "UnsupportedOperationException", "{message}";

    /// A key that doesn't exist.
    key_not_found(arn) => "NotFoundException", "Key '{arn}' does not exist";
    /// Neither a key's ID nor an ARN.
    invalid_key_id(id) => "NotFoundException", "Invalid keyId '{id}'";
    /// An ARN of another region.
    foreign_arn(region) => "NotFoundException", "Invalid arn {region}";
    /// An ARN that names no key.
    invalid_arn(arn) => "InvalidArnException", "Invalid arn {arn}";
    /// An alias that doesn't exist.
    alias_not_found(arn) => "NotFoundException", "Alias {arn} is not found.";
    /// An alias that exists.
    alias_exists(arn) => "AlreadyExistsException", "An alias with the name {arn} already exists";
    /// A grant that doesn't exist.
    grant_not_found(id) => "NotFoundException", "Grant ID {id} not found";
    /// No such policy.
    no_such_policy() => "NotFoundException", "No such policy exists";

    /// A key that is disabled.
    disabled(arn) => "DisabledException", "{arn} is disabled.";
    /// A key that is in another state than the operation needs.
    invalid_state(arn, why) => "KMSInvalidStateException", "{arn} is {why}.";
    /// A key that is made for something else.
    key_usage(arn, usage, operation) => "InvalidKeyUsageException", "{arn} key usage is {usage} which is not valid for {operation}.";
    /// An algorithm that the key doesn't have.
    algorithm(algorithm, spec) => "InvalidKeyUsageException", "Algorithm {algorithm} is incompatible with key spec {spec}.";
    /// A ciphertext that isn't ours, was changed, or has another encryption context.
    invalid_ciphertext() => "InvalidCiphertextException", "";
    /// A ciphertext of another key than the one named.
    incorrect_key() => "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.";
    /// A signature that doesn't fit.
    invalid_signature() => "KMSInvalidSignatureException", "";
    /// A code that doesn't fit.
    invalid_mac() => "KMSInvalidMacException", "";
    /// Key material that can't be unwrapped or is not the one imported before.
    incorrect_material(why) => "IncorrectKeyMaterialException", "{why}";
    /// An import token that is not the key's.
    invalid_import_token() => "InvalidImportTokenException", "";
    /// An import token that is too old.
    expired_import_token() => "ExpiredImportTokenException", "";
    /// A grant's token that nobody was given.
    invalid_grant_token() => "InvalidGrantTokenException", "Invalid grant token";

    /// An alias that is reserved to AWS.
    reserved_alias() => "NotAuthorizedException", "";
    /// An alias without `alias/`.
    alias_prefix() => "ValidationException", "Invalid identifier";
    /// A name that no alias may have.
    invalid_alias_name() => "InvalidAliasNameException", "Alias must not end with '/' and may hold letters, digits, '/', '_' and '-' after 'alias/'.";
    /// A policy that means nothing.
    malformed_policy(why) => "MalformedPolicyDocumentException", "{why}";
    /// A page's marker that isn't ours.
    invalid_marker() => "InvalidMarkerException", "Could not deserialize marker";
    /// Tags that can't be.
    tag(why) => "TagException", "{why}";
    /// A limit of AWS's, reached.
    limit(what) => "LimitExceededException", "{what}";
    /// A replica that exists.
    already_exists(message) => "AlreadyExistsException", "{message}";
    /// A key store that doesn't exist.
    key_store_not_found(name) => "CustomKeyStoreNotFoundException", "The custom key store '{name}' does not exist.";
    /// What the policies don't allow.
    access_denied(caller, action, arn, because) => "AccessDeniedException", "User: {caller} is not authorized to perform: {action} on resource: {arn} {because}";
}

/// Key material that is there and can't be used: a fault of ours.
#[must_use]
pub fn internal() -> Fault {
    Fault::receiver("KMSInternalException", "The key's material could not be used.")
}
