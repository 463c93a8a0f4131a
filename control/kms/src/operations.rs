//! The operations of KMS: each row names a function of its resource's file.

use crate::master::Work;
use crate::{
    aliases, data_keys, encryption, grants, import,
    keys::{create, lifecycle, policies, queries, rotation, tagging},
    macs, regions, shared_secrets, signatures, stores,
};
use iam::{Request, operations};
use shapes::{Fault, Operation, kms::ops};
use state::{State, Tx};

/// Takes the function behind an operation, with the types that it reads and answers.
pub trait Visitor: iam::Visitor {
    /// An operation that computes with keys or chance, and may change the state after that.
    fn compute<O: Operation>(self, run: Compute<O>) -> Self::Out;
}

/// The function behind an operation that computes with keys or chance: it runs beside the one
/// writer, which only runs the mutation that it may give. The state may have changed in between.
pub type Compute<O> = fn(
    &State,
    &Request,
    <O as Operation>::Input,
    &mut Work<'_>,
) -> Result<Computed<<O as Operation>::Output>, Fault>;

/// What came of computing.
pub enum Computed<T> {
    /// The answer: nothing changes.
    Done(T),
    /// A change of the state, which gives the answer.
    Change(Mutation<T>),
}

/// A change of the state, ready to run.
pub type Mutation<T> = Box<dyn FnOnce(&mut Tx) -> Result<T, Fault> + Send>;

operations! { Visitor:
    // keys
    compute CreateKey => create::create_key,
    compute DescribeKey => queries::describe_key,
    read ListKeys => queries::list_keys,
    mutate UpdateKeyDescription => lifecycle::update_key_description,
    mutate EnableKey => lifecycle::enable_key,
    mutate DisableKey => lifecycle::disable_key,
    mutate ScheduleKeyDeletion => lifecycle::schedule_key_deletion,
    mutate CancelKeyDeletion => lifecycle::cancel_key_deletion,
    read GetPublicKey => signatures::get_public_key,

    // policies, tags
    read GetKeyPolicy => policies::get_key_policy,
    mutate PutKeyPolicy => policies::put_key_policy,
    read ListKeyPolicies => policies::list_key_policies,
    mutate TagResource => tagging::tag_resource,
    mutate UntagResource => tagging::untag_resource,
    read ListResourceTags => tagging::list_resource_tags,

    // rotation
    mutate EnableKeyRotation => rotation::enable_key_rotation,
    mutate DisableKeyRotation => rotation::disable_key_rotation,
    read GetKeyRotationStatus => rotation::get_key_rotation_status,
    compute RotateKeyOnDemand => rotation::rotate_key_on_demand,
    read ListKeyRotations => rotation::list_key_rotations,

    // imported key material
    compute GetParametersForImport => import::get_parameters_for_import,
    compute ImportKeyMaterial => import::import_key_material,
    mutate DeleteImportedKeyMaterial => import::delete_imported_key_material,

    // regions
    compute ReplicateKey => regions::replicate_key,
    mutate UpdatePrimaryRegion => regions::update_primary_region,

    // aliases
    mutate CreateAlias => aliases::create_alias,
    mutate UpdateAlias => aliases::update_alias,
    mutate DeleteAlias => aliases::delete_alias,
    read ListAliases => aliases::list_aliases,

    // grants
    mutate CreateGrant => grants::create_grant,
    read ListGrants => grants::list_grants,
    read ListRetirableGrants => grants::list_retirable_grants,
    mutate RetireGrant => grants::retire_grant,
    mutate RevokeGrant => grants::revoke_grant,

    // cryptography
    compute Encrypt => encryption::encrypt,
    compute Decrypt => encryption::decrypt,
    compute ReEncrypt => encryption::re_encrypt,
    compute GenerateDataKey => data_keys::generate_data_key,
    compute GenerateDataKeyWithoutPlaintext => data_keys::generate_data_key_without_plaintext,
    compute GenerateDataKeyPair => data_keys::generate_data_key_pair,
    compute GenerateDataKeyPairWithoutPlaintext => data_keys::generate_data_key_pair_without_plaintext,
    compute GenerateRandom => data_keys::generate_random,
    compute GenerateMac => macs::generate_mac,
    compute VerifyMac => macs::verify_mac,
    compute Sign => signatures::sign,
    compute Verify => signatures::verify,
    compute DeriveSharedSecret => shared_secrets::derive_shared_secret,

    // custom key stores
    read DescribeCustomKeyStores => stores::describe_custom_key_stores,
}
