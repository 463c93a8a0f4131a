//! Key material: made, kept as bytes, and its public half.

use rsa::{
    RsaPrivateKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey},
    rand_core::{CryptoRng, Error, RngCore},
};
use shapes::kms::KeySpec;
use state::Effects;
use zeroize::Zeroizing;

/// A transaction's randomness as the libraries of cryptography take it.
pub(crate) struct Random<'a>(pub(crate) &'a mut Effects);

impl RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.0.random().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
    fn next_u64(&mut self) -> u64 {
        self.0.random()
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

// The effects are a ChaCha generator with a seed of the system's.
impl CryptoRng for Random<'_> {}

/// Key material in the clear: it lives for one call and is never written or shown.
pub(crate) enum Material {
    /// 32 bytes.
    Symmetric(Zeroizing<Vec<u8>>),
    /// As many bytes as the hash gives.
    Mac(Zeroizing<Vec<u8>>),
    Rsa(Box<RsaPrivateKey>),
    P256(p256::SecretKey),
    P384(p384::SecretKey),
    P521(p521::SecretKey),
    K256(k256::SecretKey),
}

/// What material of a spec is made of.
pub(crate) enum Form {
    Symmetric,
    /// Bytes of an HMAC key.
    Mac(usize),
    /// Bits of an RSA key.
    Rsa(usize),
    P256,
    P384,
    P521,
    K256,
}

/// The form of a spec; none of those that aren't served (SM2, which only China's regions have, ML-DSA,
/// Ed25519).
pub(crate) fn form(spec: KeySpec) -> Option<Form> {
    Some(match spec {
        KeySpec::SymmetricDefault => Form::Symmetric,
        KeySpec::Hmac224 => Form::Mac(28),
        KeySpec::Hmac256 => Form::Mac(32),
        KeySpec::Hmac384 => Form::Mac(48),
        KeySpec::Hmac512 => Form::Mac(64),
        KeySpec::Rsa2048 => Form::Rsa(2048),
        KeySpec::Rsa3072 => Form::Rsa(3072),
        KeySpec::Rsa4096 => Form::Rsa(4096),
        KeySpec::EccNistP256 => Form::P256,
        KeySpec::EccNistP384 => Form::P384,
        KeySpec::EccNistP521 => Form::P521,
        KeySpec::EccSecgP256k1 => Form::K256,
        KeySpec::Sm2
        | KeySpec::MlDsa44
        | KeySpec::MlDsa65
        | KeySpec::MlDsa87
        | KeySpec::EccNistEdwards25519 => return None,
    })
}

impl Material {
    /// New material; none if the spec isn't served or the generator is broken.
    pub(crate) fn generate(spec: KeySpec, effects: &mut Effects) -> Option<Self> {
        let bytes = |effects: &mut Effects, length: usize| {
            let mut bytes = Zeroizing::new(vec![0; length]);
            effects.fill(&mut bytes);
            bytes
        };
        Some(match form(spec)? {
            Form::Symmetric => Self::Symmetric(bytes(effects, 32)),
            Form::Mac(length) => Self::Mac(bytes(effects, length)),
            Form::Rsa(bits) => {
                Self::Rsa(Box::new(RsaPrivateKey::new(&mut Random(effects), bits).ok()?))
            }
            Form::P256 => Self::P256(p256::SecretKey::random(&mut Random(effects))),
            Form::P384 => Self::P384(p384::SecretKey::random(&mut Random(effects))),
            Form::P521 => Self::P521(p521::SecretKey::random(&mut Random(effects))),
            Form::K256 => Self::K256(k256::SecretKey::random(&mut Random(effects))),
        })
    }

    /// The bytes of a symmetric key, or the DER of a private key in PKCS #8.
    pub(crate) fn to_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        let der = match self {
            Self::Symmetric(bytes) | Self::Mac(bytes) => return Some(bytes.clone()),
            Self::Rsa(key) => key.to_pkcs8_der(),
            Self::P256(key) => key.to_pkcs8_der(),
            Self::P384(key) => key.to_pkcs8_der(),
            Self::P521(key) => key.to_pkcs8_der(),
            Self::K256(key) => key.to_pkcs8_der(),
        };
        der.ok().map(|der| Zeroizing::new(der.as_bytes().to_vec()))
    }

    /// Reads what [`Self::to_bytes`] gives, or what was imported; none if it is no key of this spec.
    pub(crate) fn from_bytes(spec: KeySpec, bytes: &[u8]) -> Option<Self> {
        let of_length =
            |length: usize| (bytes.len() == length).then(|| Zeroizing::new(bytes.to_vec()));
        Some(match form(spec)? {
            Form::Symmetric => Self::Symmetric(of_length(32)?),
            Form::Mac(length) => Self::Mac(of_length(length)?),
            Form::Rsa(bits) => {
                use rsa::traits::PublicKeyParts as _;
                let key = RsaPrivateKey::from_pkcs8_der(bytes).ok()?;
                if key.n().bits() != bits {
                    return None;
                }
                Self::Rsa(Box::new(key))
            }
            Form::P256 => Self::P256(p256::SecretKey::from_pkcs8_der(bytes).ok()?),
            Form::P384 => Self::P384(p384::SecretKey::from_pkcs8_der(bytes).ok()?),
            Form::P521 => Self::P521(p521::SecretKey::from_pkcs8_der(bytes).ok()?),
            Form::K256 => Self::K256(k256::SecretKey::from_pkcs8_der(bytes).ok()?),
        })
    }

    /// The public half, as the DER of a SubjectPublicKeyInfo; none of symmetric material.
    pub(crate) fn public_der(&self) -> Option<Vec<u8>> {
        let der = match self {
            Self::Symmetric(_) | Self::Mac(_) => return None,
            Self::Rsa(key) => key.to_public_key().to_public_key_der(),
            Self::P256(key) => key.public_key().to_public_key_der(),
            Self::P384(key) => key.public_key().to_public_key_der(),
            Self::P521(key) => key.public_key().to_public_key_der(),
            Self::K256(key) => key.public_key().to_public_key_der(),
        };
        der.ok().map(|der| der.into_vec())
    }
}
