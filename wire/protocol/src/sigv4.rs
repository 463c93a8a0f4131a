//! Signature Version 4: who signed a request, and whether they did.
//!
//! In two steps, since the secret must be looked up between them: [`Request::claim`] reads what a request
//! says of its signer, [`Verifier::verify`] proves it. [`Signer`] makes what they read.

mod canonical;
mod error;
mod sign;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, Mac};
use http::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use types::Timestamp;

use crate::form::percent_decoded;
use crate::timestamp;
pub use error::SigV4Error;
pub use sign::{Body, Signer};

/// How far a clock may be off.
pub const MAX_SKEW_MS: i64 = 15 * 60 * 1000;
/// The longest life of a presigned URL: a week.
pub const MAX_EXPIRES_S: i64 = 604_800;
/// Signing keys kept; each is good for one key, day, region and service.
const MAX_CACHED_KEYS: usize = 4096;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A SHA-256 sum.
pub type Hash = [u8; 32];

/// The SHA-256 sum of a request's body.
#[must_use]
pub fn hash(body: &[u8]) -> Hash {
    Sha256::digest(body).into()
}

/// What of a request is signed, as it came.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    /// The path of the URL, still encoded.
    pub path: &'a str,
    /// What follows the `?`, still encoded.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
}

/// What a request says of its signer; true once [`Verifier::verify`] agrees.
#[derive(Debug, Clone)]
pub struct Claim {
    pub access_key_id: String,
    /// The day of the credential scope, as `20150830`.
    pub date: String,
    pub region: String,
    pub service: String,
    pub session_token: Option<String>,
    pub payload: Payload,
    /// When it was signed.
    pub time: Timestamp,
    /// Of a presigned URL.
    pub expires_s: Option<i64>,
    timestamp: String,
    signature: Hash,
    /// The canonical request but for the payload's hash, which closes it.
    canonical: String,
}

/// What the signature says of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The body's hash is part of the signature.
    Body,
    /// The hash is stated in a signed header.
    Stated(Hash),
    /// The body is not signed, or chunk by chunk: the header's own word.
    Unsigned(String),
}

/// Where a request carries its signature.
struct Signature<'a> {
    credential: String,
    signed_headers: String,
    signature: String,
    timestamp: String,
    expires_s: Option<i64>,
    session_token: Option<String>,
    query: &'a str,
}

impl<'a> Request<'a> {
    /// Reads the claim of a signed request.
    pub fn claim(&self) -> Result<Claim, SigV4Error> {
        if self.headers.get_all("authorization").iter().nth(1).is_some() {
            return Err(incomplete("The request must have one Authorization header only."));
        }
        let presigned = self.query_parameter("X-Amz-Algorithm").is_some();
        let signature = match self.header("authorization") {
            Some(authorization) => self.in_header(&authorization)?,
            None if presigned => self.in_query()?,
            None => return Err(SigV4Error::MissingToken),
        };
        let [access_key_id, date, region, service] = scope(&signature.credential)?;
        let time = timestamp::parse_basic(&signature.timestamp).ok_or_else(|| {
            incomplete("The date must be in ISO 8601 basic format, as 20150830T123600Z.")
        })?;
        if signature.timestamp.get(..8) != Some(date.as_str()) {
            return Err(SigV4Error::ScopeDate);
        }
        let names: Vec<&str> = signature.signed_headers.split(';').collect();
        self.require_signed(&names, presigned && signature.expires_s.is_some())?;
        let payload = self.payload(&names, &service, signature.expires_s.is_some())?;
        let canonical = canonical::request(self, &names, signature.query, service == "s3")?;
        Ok(Claim {
            access_key_id,
            date,
            region,
            service,
            session_token: signature.session_token,
            payload,
            time,
            expires_s: signature.expires_s,
            timestamp: signature.timestamp,
            signature: decode_hex(&signature.signature)
                .ok_or_else(|| incomplete("The signature must be 64 hexadecimal digits."))?,
            canonical,
        })
    }

    fn in_header(&self, authorization: &str) -> Result<Signature<'a>, SigV4Error> {
        let fields = authorization
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with(' '))
            .ok_or(SigV4Error::UnknownAlgorithm)?;
        let field = |name: &str| {
            let mut fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
            fields.find(|(given, _)| *given == name).map(|(_, value)| value.to_owned()).ok_or_else(
                || incomplete(&format!("Authorization header requires '{name}' parameter.")),
            )
        };
        Ok(Signature {
            credential: field("Credential")?,
            signed_headers: field("SignedHeaders")?,
            signature: field("Signature")?,
            timestamp: self.header("x-amz-date").ok_or_else(|| {
                incomplete("Authorization header requires existence of an 'X-Amz-Date' header.")
            })?,
            expires_s: None,
            session_token: self.header("x-amz-security-token"),
            query: self.query,
        })
    }

    fn in_query(&self) -> Result<Signature<'a>, SigV4Error> {
        if self.query_parameter("X-Amz-Algorithm").as_deref() != Some(ALGORITHM) {
            return Err(SigV4Error::UnknownAlgorithm);
        }
        let parameter = |name: &str| {
            self.query_parameter(name).ok_or_else(|| {
                incomplete(&format!("AWS query-string parameters must include '{name}'."))
            })
        };
        let expires = parameter("X-Amz-Expires")?;
        let expires_s =
            expires.parse().ok().filter(|expires| (1..=MAX_EXPIRES_S).contains(expires));
        Ok(Signature {
            credential: parameter("X-Amz-Credential")?,
            signed_headers: parameter("X-Amz-SignedHeaders")?,
            signature: parameter("X-Amz-Signature")?,
            timestamp: parameter("X-Amz-Date")?,
            expires_s: Some(expires_s.ok_or_else(|| {
                incomplete("X-Amz-Expires must be between 1 and 604800 seconds.")
            })?),
            session_token: self.query_parameter("X-Amz-Security-Token"),
            query: self.query,
        })
    }

    /// The host must be signed, and with a signature in a header what else decides about the request.
    fn require_signed(&self, names: &[&str], presigned: bool) -> Result<(), SigV4Error> {
        let required: &[&str] = if presigned {
            &["host"]
        } else {
            &["host", "x-amz-date", "x-amz-security-token", "x-amz-target"]
        };
        for name in required {
            let given = *name == "host" || self.headers.contains_key(*name);
            if given && !names.contains(name) {
                return Err(SigV4Error::NotSigned { header: (*name).to_owned() });
            }
        }
        Ok(())
    }

    fn payload(
        &self,
        names: &[&str],
        service: &str,
        presigned: bool,
    ) -> Result<Payload, SigV4Error> {
        let stated = self.header("x-amz-content-sha256");
        match stated.filter(|_| names.contains(&"x-amz-content-sha256")) {
            Some(word) if word == "UNSIGNED-PAYLOAD" => Ok(Payload::Unsigned(word)),
            Some(word) if word.starts_with("STREAMING-") && service == "s3" => {
                Ok(Payload::Unsigned(word))
            }
            Some(word) => decode_hex(&word).map(Payload::Stated).ok_or_else(|| {
                incomplete("x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value.")
            }),
            None if presigned && service == "s3" => {
                Ok(Payload::Unsigned("UNSIGNED-PAYLOAD".to_owned()))
            }
            None => Ok(Payload::Body),
        }
    }

    /// The only or first value of a header.
    fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
    }

    fn query_parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let (_, value) = pairs.into_iter().find(|(given, _)| *given == name)?;
        String::from_utf8(percent_decoded(value.as_bytes(), false)?).ok()
    }
}

/// `AKID/20150830/us-east-1/ec2/aws4_request` but for its end.
fn scope(credential: &str) -> Result<[String; 4], SigV4Error> {
    let mut parts = credential.rsplitn(5, '/');
    let mut part = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
    let (end, service, region, date, key) = (part(), part(), part(), part(), part());
    match (end.as_deref(), service, region, date, key) {
        (Some("aws4_request"), Some(service), Some(region), Some(date), Some(key)) => {
            Ok([key, date, region, service])
        }
        _ => Err(incomplete(
            "Credential must have exactly 5 slash-delimited elements, as \
                             keyid/date/region/service/aws4_request.",
        )),
    }
}

fn incomplete(detail: &str) -> SigV4Error {
    SigV4Error::Incomplete { detail: detail.to_owned() }
}

/// Verifies claims, and remembers the keys of those who were right.
#[derive(Default)]
pub struct Verifier {
    keys: Mutex<HashMap<KeyOf, CachedKey>>,
}

#[derive(PartialEq, Eq, Hash)]
struct KeyOf {
    access_key_id: String,
    date: String,
    region: String,
    service: String,
}

struct CachedKey {
    /// The key is good for this secret only, of which there may be a new one tomorrow.
    secret: Hash,
    key: Hash,
}

impl Verifier {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the claim was signed with this secret, over a body of this hash, and is in time.
    /// The hash is not looked at where the payload is unsigned.
    pub fn verify(
        &self,
        claim: &Claim,
        secret: &str,
        body: &Hash,
        now: Timestamp,
    ) -> Result<(), SigV4Error> {
        if matches!(&claim.payload, Payload::Stated(stated) if stated != body) {
            return Err(SigV4Error::BodyMismatch);
        }
        let (key, cached) = self.signing_key(claim, secret);
        if !is_signed(claim, &key, body) {
            return Err(SigV4Error::Mismatch);
        }
        if !cached {
            self.remember(claim, secret, key);
        }
        // Only who holds the secret learns that a request is late.
        in_time(claim, now)
    }

    /// Does the work of [`Self::verify`] for a key that nobody has: how long an answer takes doesn't
    /// tell which keys there are.
    pub fn refuse(&self, claim: &Claim, body: &Hash) {
        let (key, _) = self.signing_key(claim, "");
        std::hint::black_box(is_signed(claim, &key, body));
    }

    fn signing_key(&self, claim: &Claim, secret: &str) -> (Hash, bool) {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = keys.get(&KeyOf::from(claim))
            && bool::from(cached.secret.ct_eq(&hash(secret.as_bytes())))
        {
            return (cached.key, true);
        }
        drop(keys);
        (signing_key(secret, &claim.date, &claim.region, &claim.service), false)
    }

    fn remember(&self, claim: &Claim, secret: &str, key: Hash) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MAX_CACHED_KEYS {
            keys.clear();
        }
        keys.insert(KeyOf::from(claim), CachedKey { secret: hash(secret.as_bytes()), key });
    }
}

impl From<&Claim> for KeyOf {
    fn from(claim: &Claim) -> Self {
        Self {
            access_key_id: claim.access_key_id.clone(),
            date: claim.date.clone(),
            region: claim.region.clone(),
            service: claim.service.clone(),
        }
    }
}

/// Whether the claim was signed with this signing key, over a body of this hash.
fn is_signed(claim: &Claim, key: &Hash, body: &Hash) -> bool {
    let payload = match &claim.payload {
        Payload::Unsigned(word) => word.clone(),
        Payload::Stated(_) | Payload::Body => encode_hex(body),
    };
    let canonical = Sha256::new().chain_update(&claim.canonical).chain_update(payload).finalize();
    let Claim { timestamp, date, region, service, .. } = claim;
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = string_to_sign(timestamp, &scope, &canonical.into());
    hmac(key, to_sign.as_bytes()).ct_eq(&claim.signature).into()
}

fn string_to_sign(timestamp: &str, scope: &str, canonical: &Hash) -> String {
    format!("{ALGORITHM}\n{timestamp}\n{scope}\n{}", encode_hex(canonical))
}

fn signing_key(secret: &str, date: &str, region: &str, service: &str) -> Hash {
    let key = hmac(format!("AWS4{secret}").as_bytes(), date.as_bytes());
    [region, service, "aws4_request"].iter().fold(key, |key, part| hmac(&key, part.as_bytes()))
}

fn in_time(claim: &Claim, now: Timestamp) -> Result<(), SigV4Error> {
    let signed = claim.time.millis();
    if signed > now.millis() + MAX_SKEW_MS {
        return Err(SigV4Error::NotYetValid { signed: claim.time, now });
    }
    let life_ms = claim.expires_s.map_or(MAX_SKEW_MS, |expires_s| expires_s * 1000);
    if now.millis() > signed + life_ms {
        return Err(SigV4Error::Expired { signed: claim.time, now });
    }
    Ok(())
}

fn hmac(key: &[u8], text: &[u8]) -> Hash {
    // HMAC takes keys of any length.
    Hmac::<Sha256>::new_from_slice(key)
        .map_or([0; 32], |mac| mac.chain_update(text).finalize().into_bytes().into())
}

fn encode_hex(hash: &Hash) -> String {
    use std::fmt::Write;
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn decode_hex(text: &str) -> Option<Hash> {
    let digits: Option<Vec<u8>> = text.bytes().map(crate::form::hex_digit).collect();
    let (pairs, []) = digits.as_ref()?.as_chunks::<2>() else { return None };
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    bytes.try_into().ok()
}
