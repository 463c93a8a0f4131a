//! Idempotency tokens: the same call with the same token gives the first call's resource.

use crate::errors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shapes::Fault;
use state::{Row, Tx};
use types::{Scope, Timestamp};

/// A token that was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientToken {
    scope: Scope,
    operation: String,
    token: String,
    parameters: String,
    result: String,
    used: Timestamp,
}

impl ClientToken {
    fn key_of(scope: &Scope, operation: &str, token: &str) -> String {
        format!("{}/{}/{operation}/{token}", scope.account, scope.region)
    }
}

impl Row for ClientToken {
    const TABLE: &'static str = "client-token";
    type Key = String;
    fn key(&self) -> String {
        Self::key_of(&self.scope, &self.operation, &self.token)
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
}

/// The resource that this token's first call made, if it was used before.
///
/// `parameters` is the call's input in full (its Debug text).
///
/// # Errors
/// The token was used with other parameters, or is too long.
pub fn earlier(
    tx: &Tx,
    scope: &Scope,
    operation: &str,
    token: Option<&str>,
    parameters: &str,
) -> Result<Option<String>, Fault> {
    let Some(token) = token else { return Ok(None) };
    if token.len() > 64 || !token.is_ascii() {
        let why = "The token may have up to 64 ASCII characters.";
        return Err(errors::invalid_value(token, "clientToken", why));
    }
    match tx.get::<ClientToken>(&ClientToken::key_of(scope, operation, token)) {
        None => Ok(None),
        Some(used) if used.parameters == digest(parameters) => Ok(Some(used.result.clone())),
        Some(_) => Err(errors::idempotent_mismatch()),
    }
}

/// Remembers what a call with this token made.
pub fn remember(
    tx: &mut Tx,
    scope: &Scope,
    operation: &str,
    token: Option<&str>,
    parameters: &str,
    result: String,
) {
    if let Some(token) = token {
        let used = tx.now();
        tx.put(ClientToken {
            scope: scope.clone(),
            operation: operation.to_owned(),
            token: token.to_owned(),
            parameters: digest(parameters),
            result,
            used,
        });
    }
}

/// Forgets the tokens that were used a day ago.
pub fn forget_old(tx: &mut Tx) {
    const DAY_MS: i64 = 86_400_000;
    let now = tx.now();
    let old = tx.iter::<ClientToken>().filter(|row| row.used.plus_millis(DAY_MS) < now);
    for key in old.map(|row| row.key()).collect::<Vec<_>>() {
        tx.delete::<ClientToken>(&key);
    }
}

fn digest(parameters: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
    STANDARD_NO_PAD.encode(&Sha256::digest(parameters)[..16])
}
