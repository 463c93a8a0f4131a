//! X.509 certificates in PEM, as far as IAM looks into them.

use crate::errors;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use shapes::Fault;
use types::Timestamp;
use x509_cert::{Certificate, der::Decode as _};

/// The algorithm of RSA keys.
const RSA: &str = "1.2.840.113549.1.1.1";

/// What IAM needs of a certificate.
#[derive(Debug)]
pub(super) struct Read {
    /// When it ends.
    pub expires: Timestamp,
    /// What its private key has in it, too: modulus and exponent, or the point.
    public: Vec<u8>,
}

/// Reads a certificate in PEM.
///
/// # Errors
/// `MalformedCertificate`.
pub(super) fn certificate(text: &str) -> Result<Read, Fault> {
    let malformed = || {
        errors::malformed_certificate(
            "Unable to parse certificate. Please ensure the certificate is in PEM format.",
        )
    };
    let der = pem(text, "CERTIFICATE").ok_or_else(malformed)?;
    let read = Certificate::from_der(&der).map_err(|_| malformed())?.tbs_certificate;
    let seconds = read.validity.not_after.to_unix_duration().as_secs();
    let expires = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    let key = read.subject_public_key_info;
    let bits = key.subject_public_key.raw_bytes();
    let public = if key.algorithm.oid.to_string() == RSA { contents(bits) } else { Some(bits) };
    let public = public.ok_or_else(malformed)?.to_vec();
    Ok(Read { expires: Timestamp::from_millis(expires), public })
}

/// Checks that a text is a chain of certificates.
///
/// # Errors
/// `MalformedCertificate`.
pub(super) fn check_chain(text: &str) -> Result<(), Fault> {
    const END: &str = "-----END CERTIFICATE-----";
    let links = text.split_inclusive(END).filter(|link| !link.trim().is_empty());
    let mut count = 0;
    for link in links {
        certificate(link)?;
        count += 1;
    }
    if count == 0 {
        return Err(errors::malformed_certificate("The certificate chain is empty."));
    }
    Ok(())
}

/// Checks that a private key in PEM is a certificate's: the key files of RSA and of elliptic curves
/// repeat the public key.
///
/// # Errors
/// `MalformedCertificate`: it is none, or is encrypted. `KeyPairMismatch`.
pub(super) fn check_key(certificate: &Read, key: &str) -> Result<(), Fault> {
    let labels = ["RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"];
    let found = labels.iter().find_map(|label| pem(key, label));
    let found = found.ok_or_else(|| errors::malformed_certificate("Invalid Private Key."))?;
    let public = &certificate.public;
    if !public.is_empty() && found.windows(public.len()).any(|part| part == public) {
        Ok(())
    } else {
        Err(errors::key_mismatch())
    }
}

/// What is within the first block of this label.
fn pem(text: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body = body.chars().filter(|c| !c.is_ascii_whitespace()).collect::<String>();
    STANDARD.decode(body).ok()
}

/// What is within a sequence of DER.
fn contents(der: &[u8]) -> Option<&[u8]> {
    let length = *der.get(1)?;
    let header = if length < 0x80 { 2 } else { 2 + usize::from(length & 0x7f) };
    der.get(header..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        let block = |body: &str| {
            format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        };
        for text in ["", "x", &block(""), &block("????"), &block("MIIB"), &block("MAA=")] {
            assert_eq!(certificate(text).unwrap_err().code, "MalformedCertificate", "{text}");
            assert_eq!(check_chain(text).unwrap_err().code, "MalformedCertificate", "{text}");
        }
        let read = Read { expires: Timestamp::default(), public: vec![1, 2, 3] };
        assert_eq!(check_key(&read, "x").unwrap_err().code, "MalformedCertificate");
        let key =
            |body: &str| format!("-----BEGIN PRIVATE KEY-----{body}-----END PRIVATE KEY-----");
        assert_eq!(check_key(&read, &key("AAEC")).unwrap_err().code, "KeyPairMismatch");
        assert!(check_key(&read, &key("AAECAwQ=")).is_ok());
        assert_eq!(contents(&[0x30, 0x82, 1, 0, 9]), Some(&[9][..]));
        assert_eq!(contents(&[0x30]), None);
    }
}
