//! A JSON web token: header, claims and signature, each in base64.

use super::{
    claims::Claims,
    keys::{Algorithm, KeySet},
};
use crate::sts::errors;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use shapes::Fault;
use types::Timestamp;

/// How far an issuer's clock may be ahead of ours, in seconds.
const SKEW_S: i64 = 300;

/// A token that was read, and isn't proven before [`Token::verify`].
#[derive(Debug, Clone)]
pub struct Token {
    pub claims: Claims,
    pub key_id: Option<String>,
    algorithm: Algorithm,
    message: String,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    /// It isn't one, lacks a claim, or isn't signed by an issuer's key pair.
    pub fn read(text: &str) -> Result<Self, Fault> {
        let (message, signature) = text.rsplit_once('.').ok_or_else(errors::not_a_token)?;
        let (header, payload) = message.split_once('.').ok_or_else(errors::not_a_token)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| errors::not_a_token());
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| errors::not_a_token())?;
        let claims = Claims::read(&decode(payload)?)?;
        let algorithm = Algorithm::named(&header.alg);
        let algorithm = algorithm.ok_or_else(|| {
            errors::invalid_token("The signing algorithm of the token is not supported")
        })?;
        if header.crit.is_some() {
            return Err(errors::invalid_token("The token has a critical header that is not known"));
        }
        Ok(Self {
            claims,
            key_id: header.kid,
            algorithm,
            message: message.to_owned(),
            signature: decode(signature)?,
        })
    }

    /// Whether the token is its issuer's, for one of these audiences, and good now.
    ///
    /// # Errors
    /// It isn't.
    pub fn verify(&self, keys: &KeySet, audiences: &[String], now: Timestamp) -> Result<(), Fault> {
        let (id, message) = (self.key_id.as_deref(), self.message.as_bytes());
        if id.is_some_and(|id| !keys.has(id)) {
            return Err(errors::no_verification_key());
        }
        if !keys.signed(id, self.algorithm, message, &self.signature) {
            return Err(errors::invalid_token(
                "The web identity token's signature could not be verified",
            ));
        }
        let claims = &self.claims;
        let now_s = now.millis().div_euclid(1000);
        if claims.expires_s <= now_s {
            return Err(errors::expired_token(now_s, claims.expires_s));
        }
        if claims.issued_s > now_s + SKEW_S {
            return Err(errors::invalid_token("Token must be issued in the past"));
        }
        if claims.not_before_s.is_some_and(|from_s| from_s > now_s + SKEW_S) {
            return Err(errors::invalid_token("Token is not valid yet"));
        }
        let taken = |audience: &String| audiences.contains(audience);
        let fits = match &claims.authorized_party {
            Some(party) => taken(party),
            None => claims.audiences.iter().any(taken),
        };
        if fits { Ok(()) } else { Err(errors::invalid_token("Incorrect token audience")) }
    }
}
