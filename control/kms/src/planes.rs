//! What other planes ask of KMS: data keys for what they store, on behalf of their own callers.

use crate::{
    EncryptionContext, data_keys,
    encryption::{self, Envelope, Use},
    managed::{self, Made, Service},
    master::Work,
};
use iam::Request;
use shapes::Fault;
use state::State;
use std::fmt;
use types::Scope;
use zeroize::Zeroizing;

/// Bytes of a data key of another plane: AES-256.
const DATA_KEY_BYTES: usize = 32;

/// A data key: its plaintext to encrypt with and to forget, its ciphertext to keep beside the data.
pub struct DataKey {
    /// 32 bytes.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// What [`decrypt`] opens with the same encryption context; 110 bytes.
    pub ciphertext: Vec<u8>,
    /// The ARN of the key that seals it.
    pub key_arn: String,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey of {}", self.key_arn)
    }
}

/// Makes a data key for a service whose caller is `request`'s; the caller has to be allowed
/// `kms:GenerateDataKey` on the key. `key_id` is an ID, an ARN or an alias; none stands for the service's
/// managed key, which [`provide`] makes first.
///
/// # Errors
/// KMS's own: the key isn't there, can't be used, or the caller may not.
pub fn generate_data_key(
    state: &State,
    request: &Request,
    service: Service,
    key_id: Option<&str>,
    context: &EncryptionContext,
    work: &mut Work<'_>,
) -> Result<DataKey, Fault> {
    let via = service.via(&request.scope);
    let how = Use { state, request, action: "kms:GenerateDataKey", via: Some(&via) };
    let key_id = Some(key_id.unwrap_or(service.alias()));
    let made = data_keys::make(how, work, key_id, context, DATA_KEY_BYTES, None)?;
    Ok(DataKey { plaintext: made.plaintext, ciphertext: made.sealed.blob, key_arn: made.key.arn() })
}

/// Opens a data key for a service whose caller is `request`'s; the caller has to be allowed
/// `kms:Decrypt` on the key, which the ciphertext names.
///
/// # Errors
/// KMS's own: the ciphertext was changed or has another context, the key can't be used, or the caller
/// may not.
pub fn decrypt(
    state: &State,
    request: &Request,
    service: Service,
    ciphertext: &[u8],
    context: &EncryptionContext,
    work: &mut Work<'_>,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let via = service.via(&request.scope);
    let how = Use { state, request, action: "kms:Decrypt", via: Some(&via) };
    let envelope = Envelope { blob: ciphertext, context, key_id: None, algorithm: None };
    Ok(encryption::open(how, work, &envelope, None)?.plaintext)
}

/// A service's managed key, if the scope has none yet: to be put into the state by a transaction.
///
/// # Errors
/// The generator is broken.
pub fn provide(
    state: &State,
    scope: &Scope,
    service: Service,
    work: &mut Work<'_>,
) -> Result<Option<Made>, Fault> {
    match managed::missing(state, scope, service.alias()) {
        Some(service) => managed::prepare(work, scope, service).map(Some),
        None => Ok(None),
    }
}
