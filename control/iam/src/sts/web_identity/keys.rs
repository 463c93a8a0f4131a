//! An issuer's public keys, and what they signed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p521::ecdsa::signature::Verifier as _;
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// How many keys of a set are looked at.
pub const MAX_KEYS: usize = 100;

/// How a token is signed. There is no other way: neither none at all, nor with a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
}

/// A public key; its numbers are big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PublicKey {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Uncompressed: 4, x, y.
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    algorithm: Option<String>,
    key: PublicKey,
}

/// The keys of an issuer with which it signs tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

#[derive(Deserialize)]
struct Listed {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Algorithm {
    /// The algorithm of this name; none if tokens can't be signed by it.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
        }
    }
}

fn number(text: Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok()
}

/// A point of coordinates that have this many bytes.
fn point(bytes: usize, x: Option<String>, y: Option<String>) -> Option<Vec<u8>> {
    let (x, y) = (number(x)?, number(y)?);
    (x.len() == bytes && y.len() == bytes).then(|| [&[4][..], &x, &y].concat())
}

impl Key {
    /// A key that verifies; none of a kind that isn't served.
    fn read(jwk: Jwk) -> Option<Self> {
        let Jwk { kty, kid, alg, usage, crv, n, e, x, y } = jwk;
        if usage.is_some_and(|usage| usage != "sig") {
            return None;
        }
        let key = match (kty.as_str(), crv.as_deref()) {
            ("RSA", _) => PublicKey::Rsa { modulus: number(n)?, exponent: number(e)? },
            ("EC", Some("P-256")) => PublicKey::P256(point(32, x, y)?),
            ("EC", Some("P-384")) => PublicKey::P384(point(48, x, y)?),
            ("EC", Some("P-521")) => PublicKey::P521(point(66, x, y)?),
            _ => return None,
        };
        Some(Self { id: kid, algorithm: alg, key })
    }

    fn signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let rsa = |parameters: &'static RsaParameters| match &self.key {
            PublicKey::Rsa { modulus, exponent } => {
                let n = modulus.get(modulus.iter().take_while(|byte| **byte == 0).count()..);
                let key = RsaPublicKeyComponents { n: n.unwrap_or_default(), e: exponent };
                key.verify(parameters, message, signature).is_ok()
            }
            PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_) => false,
        };
        match (algorithm, &self.key) {
            (Algorithm::Rs256, _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::Rs384, _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            (Algorithm::Rs512, _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            (Algorithm::Es256, PublicKey::P256(point)) => {
                let key = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
                key.verify(message, signature).is_ok()
            }
            (Algorithm::Es384, PublicKey::P384(point)) => {
                let key = UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point);
                key.verify(message, signature).is_ok()
            }
            (Algorithm::Es512, PublicKey::P521(point)) => {
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok();
                let signature = p521::ecdsa::Signature::from_slice(signature).ok();
                key.zip(signature).is_some_and(|(key, sig)| key.verify(message, &sig).is_ok())
            }
            (Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512, _) => false,
        }
    }
}

impl KeySet {
    /// Reads a set as RFC 7517 has it; keys of kinds that aren't served are passed over. None if it isn't a
    /// set of keys.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let listed: Listed = serde_json::from_slice(text).ok()?;
        let keys = listed.keys.into_iter().take(MAX_KEYS);
        let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Some(Self(keys.filter_map(Key::read).collect()))
    }

    /// Whether a key has this ID.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Whether a key of the set signed a message so: the one with this ID, if an ID is given.
    pub(super) fn signed(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let named = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id);
        let mut fitting = named
            .filter(|key| key.algorithm.as_deref().is_none_or(|name| name == algorithm.name()));
        fitting.any(|key| key.signed(algorithm, message, signature))
    }
}
