//! The key that signs instances' identity documents, and the certificate that others check them by.

use crate::cloud;
use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cms::{
    cert::IssuerAndSerialNumber,
    content_info::{CmsVersion, ContentInfo},
    signed_data::{EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos},
};
use contracts::instance_identity::SignedDocument;
use kms::{MasterKey, Sealed};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rsa::{
    RsaPrivateKey,
    pkcs8::EncodePrivateKey as _,
    rand_core::OsRng,
    traits::{PrivateKeyParts as _, PublicKeyParts as _},
};
use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, SystemTime},
};
use x509_cert::{
    Certificate,
    der::{
        Any, Decode as _, DecodePem as _, Encode as _,
        asn1::{Null, ObjectIdentifier, OctetString, SetOfVec},
    },
    spki::AlgorithmIdentifierOwned,
};

/// What the key is sealed for.
const PLACE: &str = "instance identity";
const RSA_BITS: usize = 2048;
const DAY: Duration = Duration::from_hours(24);
/// How long the certificate is good: programs keep it for as long as a cloud lives.
const VALID_DAYS: u32 = 20 * 365;
/// The length of a line of base64.
const LINE: usize = 64;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Signs identity documents.
pub struct Signer {
    key: RsaKeyPair,
    /// How messages name the certificate, which they don't carry.
    certificate: IssuerAndSerialNumber,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// The signer in this folder: `certificate.pem` for everybody, `key.sealed` under the master key;
    /// made at the first time, which takes a second.
    ///
    /// # Errors
    /// The files can't be read or made. A key that can't be read is never replaced: others keep its
    /// certificate.
    pub fn open(folder: &Path, master: &MasterKey) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let (key_path, certificate_path) =
            (folder.join("key.sealed"), folder.join("certificate.pem"));
        let der = match fs::read(&key_path) {
            Ok(sealed) => {
                let plain = master.open(PLACE, &Sealed::from_bytes(&sealed));
                let why = || format!("{} isn't sealed by this master key", key_path.display());
                plain.with_context(why)?.to_vec()
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let der = new_key()?;
                let mut effects = cloud::effects()?;
                let sealed = master.seal(&mut effects, PLACE, &der).context("seal the key")?;
                write(&key_path, &sealed.to_bytes(), 0o600)?;
                der
            }
            Err(error) => return Err(error).context(key_path.display().to_string()),
        };
        if !certificate_path.exists() {
            write(&certificate_path, certificate(&der)?.as_bytes(), 0o644)?;
        }
        let key = RsaKeyPair::from_pkcs8(&der)
            .map_err(|error| anyhow::anyhow!("read the key that signs identities: {error}"))?;
        let parsed = Certificate::from_pem(fs::read(&certificate_path)?)
            .with_context(|| format!("read {}", certificate_path.display()))?
            .tbs_certificate;
        let certificate =
            IssuerAndSerialNumber { issuer: parsed.issuer, serial_number: parsed.serial_number };
        Ok(Self { key, certificate })
    }

    /// Signs a document: the same each time.
    ///
    /// # Errors
    /// None but the encoder's own, which takes every document.
    pub fn sign(&self, document: String) -> anyhow::Result<SignedDocument> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), document.as_bytes(), &mut signature)
            .map_err(|_| anyhow::anyhow!("an identity document can't be signed"))?;
        let pkcs7 = self.message(document.as_bytes(), &signature).context("write PKCS #7")?;
        Ok(SignedDocument { document, signature: lines(&signature), pkcs7: lines(&pkcs7) })
    }

    /// A PKCS #7 message without signed attributes: the signature is the document's own.
    fn message(&self, document: &[u8], signature: &[u8]) -> x509_cert::der::Result<Vec<u8>> {
        let digest_alg = AlgorithmIdentifierOwned { oid: SHA_256, parameters: Some(Null.into()) };
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(self.certificate.clone()),
            digest_alg: digest_alg.clone(),
            signed_attrs: None,
            signature_algorithm: AlgorithmIdentifierOwned {
                oid: RSA,
                parameters: Some(Null.into()),
            },
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let signed = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![digest_alg])?,
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: DATA,
                econtent: Some(Any::encode_from(&OctetString::new(document)?)?),
            },
            certificates: None,
            crls: None,
            signer_infos: SignerInfos::try_from(vec![signer])?,
        };
        let content = Any::from_der(&signed.to_der()?)?;
        ContentInfo { content_type: SIGNED_DATA, content }.to_der()
    }
}

/// A new key in PKCS #8.
fn new_key() -> anyhow::Result<Vec<u8>> {
    let key = RsaPrivateKey::new(&mut OsRng, RSA_BITS).context("make an RSA key")?;
    // The larger prime first, as those who read it expect.
    let mut primes = key.primes().to_vec();
    primes.sort_unstable_by(|a, b| b.cmp(a));
    let (n, e, d) = (key.n().clone(), key.e().clone(), key.d().clone());
    let key = RsaPrivateKey::from_components(n, e, d, primes).context("make an RSA key")?;
    Ok(key.to_pkcs8_der().context("write an RSA key")?.as_bytes().to_vec())
}

/// A key's certificate, signed by itself, in PEM.
fn certificate(der: &[u8]) -> anyhow::Result<String> {
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&der.into(), &PKCS_RSA_SHA256)?;
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Fogbank instance identity");
    params.distinguished_name = name;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let yesterday = SystemTime::now() - DAY;
    params.not_before = yesterday.into();
    params.not_after = (yesterday + DAY * VALID_DAYS).into();
    Ok(params.self_signed(&key)?.pem())
}

fn lines(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let lines = text.as_bytes().chunks(LINE).map(|line| String::from_utf8_lossy(line).into_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Whole and durable before it has its name.
fn write(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::{Pkcs1v15Sign, pkcs8::DecodePublicKey as _};
    use std::os::unix::fs::PermissionsExt as _;

    fn unlined(text: &str) -> Vec<u8> {
        STANDARD.decode(text.replace('\n', "")).unwrap()
    }

    #[test]
    fn documents_are_signed_by_one_key_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity");
        let master = MasterKey::new([4; 32]);
        let signer = Signer::open(&path, &master).unwrap();
        let document = "{\n  \"accountId\" : \"123456789012\"\n}".to_owned();
        let signed = signer.sign(document.clone()).unwrap();
        assert_eq!(signed.document, document);
        assert!(signed.pkcs7.lines().all(|line| line.len() <= LINE));

        let pem = fs::read(path.join("certificate.pem")).unwrap();
        let certificate = Certificate::from_pem(&pem).unwrap().tbs_certificate;
        let public = certificate.subject_public_key_info.to_der().unwrap();
        let public = rsa::RsaPublicKey::from_public_key_der(&public).unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, document.as_bytes());
        // The prefix of SHA-256 in PKCS #1, by hand: the crate's own needs another version of it.
        let prefix = [
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x01, 0x05, 0x00, 0x04, 0x20,
        ];
        let scheme = Pkcs1v15Sign { hash_len: Some(32), prefix: prefix.into() };
        public.verify(scheme, digest.as_ref(), &unlined(&signed.signature)).unwrap();

        let message = ContentInfo::from_der(&unlined(&signed.pkcs7)).unwrap();
        let message = SignedData::from_der(&message.content.to_der().unwrap()).unwrap();
        let content = message.encap_content_info.econtent.unwrap();
        assert_eq!(content.value(), document.as_bytes());

        let mode = fs::metadata(path.join("key.sealed")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Signer::open(&path, &master).unwrap();
        assert_eq!(again.sign(document).unwrap(), signed);
        assert_eq!(fs::read(path.join("certificate.pem")).unwrap(), pem);

        let sealed = fs::read(path.join("key.sealed")).unwrap();
        assert!(Signer::open(&path, &MasterKey::new([5; 32])).is_err());
        assert_eq!(fs::read(path.join("key.sealed")).unwrap(), sealed);
    }
}
