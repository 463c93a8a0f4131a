//! The key under which tokens are sealed, and the credentials that it gives.

use crate::{Session, sealed};
use ring::hmac;
use std::fmt;
use types::{AccountId, Timestamp};

/// Bytes of chance for each token.
pub const SALT_BYTES: usize = 16;

/// Chance for one token: never the same twice.
pub type Salt = [u8; SALT_BYTES];

/// What IDs of temporary access keys begin with.
const PREFIX: &str = "ASIA";
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// 40 bits hold any 12 digits.
const ACCOUNT_LETTERS: usize = 8;
const TOKEN: &str = "token";
const KEY_ID: &str = "access key ID";
const SECRET: &str = "secret access key";
const MESSAGE: &str = "authorization message";

/// The key under which session tokens are sealed. Whoever has it can be anybody: it never enters the
/// state, nor a log.
#[derive(Clone)]
pub struct SessionKey {
    bytes: [u8; 32],
    key: hmac::Key,
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey")
    }
}

/// What signs for a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `ASIA…`.
    pub access_key_id: String,
    /// The secret that signs.
    pub secret: String,
    /// What has to come with each request.
    pub token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Why a token opens no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// It isn't one of ours, or another access key's.
    Invalid,
    /// The session is over.
    Expired,
}

impl SessionKey {
    /// The key with these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { bytes, key: hmac::Key::new(hmac::HMAC_SHA256, &bytes) }
    }

    /// The key's bytes, to hand it to a process that verifies tokens, too.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The credentials of a session; none of one far beyond every limit.
    #[must_use]
    pub fn seal(&self, session: &Session, salt: &Salt) -> Option<Credentials> {
        let plain = serde_json::to_vec(session).ok()?;
        let token = sealed::seal(&self.key, TOKEN, salt, &plain)?;
        let access_key_id = self.id(session.account, salt);
        Some(Credentials { access_key_id, secret: self.secret(salt), token })
    }

    /// The session of a token, and the secret that signs for it.
    ///
    /// # Errors
    /// The token isn't this access key's, or the session is over.
    pub fn open(
        &self,
        access_key_id: &str,
        token: &str,
        now: Timestamp,
    ) -> Result<(Session, String), OpenError> {
        let (salt, plain) = sealed::open(&self.key, TOKEN, token).ok_or(OpenError::Invalid)?;
        let session: Session = serde_json::from_slice(&plain).map_err(|_| OpenError::Invalid)?;
        if self.id(session.account, &salt) != access_key_id {
            return Err(OpenError::Invalid);
        }
        if session.expires <= now {
            return Err(OpenError::Expired);
        }
        Ok((session, self.secret(&salt)))
    }

    /// Seals the message about a refusal.
    #[must_use]
    pub fn seal_message(&self, salt: &Salt, message: &str) -> Option<String> {
        sealed::seal(&self.key, MESSAGE, salt, message.as_bytes())
    }

    /// Opens a message about a refusal; none if it isn't one of ours.
    #[must_use]
    pub fn open_message(&self, sealed: &str) -> Option<String> {
        let (_, plain) = sealed::open(&self.key, MESSAGE, sealed)?;
        String::from_utf8(plain).ok()
    }

    /// The account, in eight letters, and eight that the salt gives.
    fn id(&self, account: AccountId, salt: &Salt) -> String {
        let bytes = sealed::derive(&self.key, KEY_ID, salt);
        let letter = |number: u8| char::from(LETTERS[usize::from(number % 32)]);
        let account = account.to_string().parse::<u64>().unwrap_or_default();
        let digits = (0..ACCOUNT_LETTERS).rev().map(|at| (account >> (5 * at)) & 31);
        let digits = digits.map(|digit| u8::try_from(digit).unwrap_or_default());
        let chance = bytes.as_ref().iter().copied().take(8);
        PREFIX.chars().chain(digits.chain(chance).map(letter)).collect()
    }

    fn secret(&self, salt: &Salt) -> String {
        use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
        let bytes = sealed::derive(&self.key, SECRET, salt);
        STANDARD_NO_PAD.encode(bytes.as_ref().get(..30).unwrap_or_default())
    }
}

/// The account that temporary credentials with this access key ID act for; none if it isn't the ID of
/// such.
#[must_use]
pub fn account_of(access_key_id: &str) -> Option<AccountId> {
    let letters = access_key_id.strip_prefix(PREFIX).filter(|rest| rest.len() == 16)?;
    let mut account = 0_u64;
    for letter in letters.bytes().take(ACCOUNT_LETTERS) {
        let digit = LETTERS.iter().position(|known| *known == letter)?;
        account = account << 5 | u64::try_from(digit).ok()?;
    }
    format!("{account:012}").parse().ok()
}

/// The bytes that a session's policies and tags take in its token.
#[must_use]
pub fn packed_bytes(session: &Session) -> usize {
    let parts = (&session.policy, &session.policy_arns, &session.tags);
    serde_json::to_vec(&parts).map_or(usize::MAX, |plain| sealed::packed_bytes(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Subject;

    fn session() -> Session {
        Session {
            account: AccountId::DEFAULT,
            subject: Subject::Role {
                id: "AROA1".to_owned(),
                name: "ops".to_owned(),
                session_name: "me".to_owned(),
            },
            issued: Timestamp::from_millis(1000),
            expires: Timestamp::from_millis(5000),
            policy: Some("{}".to_owned()),
            policy_arns: Vec::new(),
            tags: [("team".to_owned(), "blue".to_owned())].into(),
            transitive: ["team".to_owned()].into(),
            source_identity: Some("alice".to_owned()),
            mfa_at: None,
            provider: None,
            instance: None,
        }
    }

    #[test]
    fn a_token_opens_until_it_expires_and_for_its_own_key_alone() {
        let key = SessionKey::new([7; 32]);
        let sealed = key.seal(&session(), &[1; 16]).unwrap();
        let other = key.seal(&session(), &[2; 16]).unwrap();
        assert!(sealed.access_key_id.starts_with("ASIA") && sealed.access_key_id.len() == 20);
        assert_eq!(sealed.secret.len(), 40);
        assert_eq!(account_of(&sealed.access_key_id), Some(AccountId::DEFAULT));
        assert_eq!(account_of("AKIAAAAAAAAAAAAAAAAA"), None);
        assert_ne!(sealed.access_key_id, other.access_key_id);
        assert_ne!(sealed.secret, other.secret);
        let open = |key: &SessionKey, id: &str, token: &str, at| {
            key.open(id, token, Timestamp::from_millis(at))
        };
        let id = &sealed.access_key_id;
        assert_eq!(open(&key, id, &sealed.token, 4999), Ok((session(), sealed.secret.clone())));
        assert_eq!(open(&key, id, &sealed.token, 5000), Err(OpenError::Expired));
        assert_eq!(open(&key, &other.access_key_id, &sealed.token, 0), Err(OpenError::Invalid));
        let foreign = SessionKey::new([8; 32]);
        assert_eq!(open(&foreign, id, &sealed.token, 0), Err(OpenError::Invalid));
        assert_eq!(session().arn().unwrap(), "arn:aws:sts::123456789012:assumed-role/ops/me");
    }

    #[test]
    fn no_changed_token_opens() {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let key = SessionKey::new([7; 32]);
        let sealed = key.seal(&session(), &[1; 16]).unwrap();
        let mut bytes = STANDARD.decode(&sealed.token).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let opened =
                key.open(&sealed.access_key_id, &STANDARD.encode(&bytes), Timestamp::default());
            assert_eq!(opened, Err(OpenError::Invalid), "byte {at}");
            bytes[at] ^= 1;
        }
        for text in ["", "AQ==", "no base64", &sealed.token[..40]] {
            let opened = key.open(&sealed.access_key_id, text, Timestamp::default());
            assert_eq!(opened, Err(OpenError::Invalid));
        }
        // One purpose's text is nothing to the other.
        assert!(key.open_message(&sealed.token).is_none());
        let message = key.seal_message(&[3; 16], "{}").unwrap();
        assert_eq!(key.open_message(&message).as_deref(), Some("{}"));
        assert!(key.open("ASIA", &message, Timestamp::default()).is_err());
    }

    #[test]
    fn no_secret_is_in_a_debug_form() {
        let key = SessionKey::new([7; 32]);
        let sealed = key.seal(&session(), &[1; 16]).unwrap();
        let shown = format!("{key:?} {sealed:?}");
        assert!(!shown.contains(&sealed.secret) && !shown.contains(&sealed.token));
    }
}
