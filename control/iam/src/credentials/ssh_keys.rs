//! SSH public keys of users, which `CodeCommit` takes.

use crate::{
    Request, UniqueId, User,
    credentials::{status, to_inactive},
    entity, errors,
    page::{Asked, Page, page},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use rsa::{BigUint, RsaPublicKey, pkcs8::EncodePublicKey as _, traits::PublicKeyParts as _};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        DeleteSSHPublicKeyRequest, DeleteSSHPublicKeyResponse, EncodingType,
        GetSSHPublicKeyRequest, GetSSHPublicKeyResponse, ListSSHPublicKeysRequest,
        ListSSHPublicKeysResponse, SSHPublicKey, SSHPublicKeyMetadata, UpdateSSHPublicKeyRequest,
        UpdateSSHPublicKeyResponse, UploadSSHPublicKeyRequest, UploadSSHPublicKeyResponse,
    },
};
use state::{Row, State, Tx};
use std::fmt::{Display, Write as _};
use types::{Scope, Timestamp};

/// How many a user may have.
const PER_USER: usize = 5;
/// The least length of a key, in bytes of its modulus.
const MIN_MODULUS: usize = 256;

/// A user's SSH public key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SshPublicKey {
    /// `APKA…`.
    pub id: UniqueId,
    /// Whose it is.
    pub user: UniqueId,
    /// As OpenSSH writes it, without a comment.
    pub body: String,
    /// MD5 of the key in hexadecimal, with colons.
    pub fingerprint: String,
    /// Whether it is switched off.
    pub inactive: bool,
    /// When it was uploaded.
    pub uploaded: Timestamp,
}

impl Row for SshPublicKey {
    const TABLE: &'static str = "iam-ssh-public-key";
    type Key = UniqueId;
    fn key(&self) -> UniqueId {
        self.id.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("user", &self.user);
    }
}

/// The next field of a key in OpenSSH's form, and the rest.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    rest.split_at_checked(length)
}

/// The RSA key of a blob in OpenSSH's form.
fn parse(blob: &[u8]) -> Option<RsaPublicKey> {
    let (kind, rest) = field(blob)?;
    let (exponent, rest) = field(rest)?;
    let (modulus, rest) = field(rest)?;
    if kind != b"ssh-rsa" || !rest.is_empty() {
        return None;
    }
    let key = RsaPublicKey::new(BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent))
        .ok()?;
    (key.size() >= MIN_MODULUS).then_some(key)
}

/// The blob of a public key's text.
fn blob(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_ascii_whitespace();
    (words.next() == Some("ssh-rsa")).then(|| STANDARD.decode(words.next()?).ok())?
}

impl SshPublicKey {
    /// The key's text in an encoding.
    fn encoded(&self, encoding: Option<EncodingType>) -> Result<String, Fault> {
        match encoding {
            Some(EncodingType::Ssh) => Ok(self.body.clone()),
            Some(EncodingType::Pem) => {
                let key = blob(&self.body).and_then(|blob| parse(&blob));
                let pem =
                    key.and_then(|key| key.to_public_key_pem(rsa::pkcs8::LineEnding::LF).ok());
                pem.ok_or_else(errors::invalid_public_key)
            }
            None => Err(errors::unrecognized_encoding()),
        }
    }

    fn to_api(&self, user: &User, body: String) -> SSHPublicKey {
        SSHPublicKey {
            user_name: Some(user.named.name.clone()),
            ssh_public_key_id: Some(self.id.to_string()),
            fingerprint: Some(self.fingerprint.clone()),
            ssh_public_key_body: Some(body),
            status: status(self.inactive),
            upload_date: Some(self.uploaded),
        }
    }
}

fn take(state: &State, user: &User, id: Option<String>) -> Result<SshPublicKey, Fault> {
    let id = id.unwrap_or_default();
    let row = state.get::<SshPublicKey>(&UniqueId::from_text(&id));
    let row = row.filter(|row| row.user == user.named.id).map(|row| SshPublicKey::clone(row));
    row.ok_or_else(|| errors::id_not_found("SSH Public Key", id))
}

/// Deletes a key.
///
/// # Errors
/// The user doesn't exist or has no such key.
pub fn delete_ssh_public_key(
    tx: &mut Tx,
    request: &Request,
    input: DeleteSSHPublicKeyRequest,
) -> Result<DeleteSSHPublicKeyResponse, Fault> {
    let DeleteSSHPublicKeyRequest { user_name, ssh_public_key_id } = input;
    let user = entity::find::<User>(tx, request.caller.account, user_name.as_deref())?;
    let row = take(tx, user, ssh_public_key_id)?;
    tx.delete::<SshPublicKey>(&row.id);
    Ok(DeleteSSHPublicKeyResponse {})
}

/// A key, as OpenSSH or as OpenSSL writes it.
///
/// # Errors
/// The user doesn't exist or has no such key.
pub fn get_ssh_public_key(
    state: &State,
    request: &Request,
    input: GetSSHPublicKeyRequest,
) -> Result<GetSSHPublicKeyResponse, Fault> {
    let GetSSHPublicKeyRequest { user_name, ssh_public_key_id, encoding } = input;
    let user = entity::find::<User>(state, request.caller.account, user_name.as_deref())?;
    let row = take(state, user, ssh_public_key_id)?;
    let body = row.encoded(encoding)?;
    Ok(GetSSHPublicKeyResponse { ssh_public_key: Some(row.to_api(user, body)) })
}

/// A user's keys.
///
/// # Errors
/// There is no such user, or the page is invalid.
pub fn list_ssh_public_keys(
    state: &State,
    request: &Request,
    input: ListSSHPublicKeysRequest,
) -> Result<ListSSHPublicKeysResponse, Fault> {
    let ListSSHPublicKeysRequest { user_name, marker, max_items } = input;
    let user = entity::user_of(state, request, user_name.as_deref())?;
    let rows = state.find::<SshPublicKey>("user", &user.named.id);
    let Page { items, is_truncated, marker } =
        page(rows, |row| row.id.to_string(), Asked { marker, max_items })?;
    let rows = items.into_iter().map(|row| SSHPublicKeyMetadata {
        user_name: Some(user.named.name.clone()),
        ssh_public_key_id: Some(row.id.to_string()),
        status: status(row.inactive),
        upload_date: Some(row.uploaded),
    });
    Ok(ListSSHPublicKeysResponse {
        ssh_public_keys: Some(rows.collect()),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// Switches a key on or off.
///
/// # Errors
/// The user doesn't exist or has no such key.
pub fn update_ssh_public_key(
    tx: &mut Tx,
    request: &Request,
    input: UpdateSSHPublicKeyRequest,
) -> Result<UpdateSSHPublicKeyResponse, Fault> {
    let UpdateSSHPublicKeyRequest { user_name, ssh_public_key_id, status } = input;
    let user = entity::find::<User>(tx, request.caller.account, user_name.as_deref())?;
    let row = take(tx, user, ssh_public_key_id)?;
    tx.put(SshPublicKey { inactive: to_inactive(status)?, ..row });
    Ok(UpdateSSHPublicKeyResponse {})
}

/// Gives a user a key: RSA of 2048 bits at least.
///
/// # Errors
/// There is no such user, the text is no such key, the user has it, or the quota is reached.
pub fn upload_ssh_public_key(
    tx: &mut Tx,
    request: &Request,
    input: UploadSSHPublicKeyRequest,
) -> Result<UploadSSHPublicKeyResponse, Fault> {
    let UploadSSHPublicKeyRequest { user_name, ssh_public_key_body } = input;
    let user = entity::take::<User>(tx, request, user_name.as_deref())?;
    let blob = blob(&ssh_public_key_body.unwrap_or_default());
    let blob = blob.ok_or_else(errors::unrecognized_encoding)?;
    parse(&blob).ok_or_else(errors::invalid_public_key)?;
    let body = format!("ssh-rsa {}", STANDARD.encode(&blob));
    let own = tx.find::<SshPublicKey>("user", &user.named.id).collect::<Vec<_>>();
    if own.iter().any(|row| row.body == body) {
        return Err(errors::duplicate_public_key());
    }
    if own.len() >= PER_USER {
        return Err(errors::quota("SSHPublicKeysPerUser", PER_USER));
    }
    let mut fingerprint = String::new();
    for byte in Md5::digest(&blob) {
        let colon = if fingerprint.is_empty() { "" } else { ":" };
        let _ = write!(fingerprint, "{colon}{byte:02x}");
    }
    let row = SshPublicKey {
        id: UniqueId::new(tx, "APKA"),
        user: user.named.id.clone(),
        body,
        fingerprint,
        inactive: false,
        uploaded: tx.now(),
    };
    let answer = row.to_api(&user, row.body.clone());
    tx.put(row);
    Ok(UploadSSHPublicKeyResponse { ssh_public_key: Some(answer) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &[&[u8]]) -> Vec<u8> {
        let mut blob = Vec::new();
        for field in fields {
            blob.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            blob.extend_from_slice(field);
        }
        blob
    }

    #[test]
    fn blobs_are_whole_keys_of_enough_bits() {
        let modulus = [0xff; 256];
        let blob = written(&[b"ssh-rsa", &[1, 0, 1], &modulus]);
        assert!(parse(&blob).is_some());
        for end in 0..blob.len() {
            assert!(parse(&blob[..end]).is_none(), "{end}");
        }
        assert!(parse(&[blob.as_slice(), &[0]].concat()).is_none());
        assert!(parse(&written(&[b"ssh-rsa", &[1, 0, 1], &modulus[..128]])).is_none());
        assert!(parse(&written(&[b"ssh-dss", &[1, 0, 1], &modulus])).is_none());
        assert!(parse(&written(&[b"ssh-rsa", &[], &modulus])).is_none());
        assert!(parse(&[0xff; 64]).is_none());
    }
}
