//! Whose certificate is an issuer's: one that the system's authorities vouch for, or one whose chain has a
//! certificate that the provider's thumbprints name.

use ring::digest;
use std::{fs, sync::Arc};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{self, CryptoProvider},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use x509_cert::{Certificate, der::Decode as _};

/// Where systems keep the authorities that they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The authorities that this machine trusts; none if it keeps none.
#[derive(Debug, Clone)]
pub struct Authorities {
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
}

/// What an issuer's certificate is checked against.
#[derive(Debug)]
struct Verifier {
    authorities: Authorities,
    /// SHA-1, in lower case.
    thumbprints: Vec<String>,
}

impl Authorities {
    /// Those of this machine.
    pub fn of_system() -> Self {
        let mut roots = RootCertStore::empty();
        if let Some(bundle) = BUNDLES.iter().find_map(|path| fs::read(path).ok()) {
            let certificates = CertificateDer::pem_slice_iter(&bundle).filter_map(Result::ok);
            roots.add_parsable_certificates(certificates);
        }
        let provider = Arc::new(crypto::ring::default_provider());
        Self { provider, roots: Arc::new(roots) }
    }

    /// How to connect to an issuer whose certificates may have these thumbprints.
    pub fn client(&self, thumbprints: &[String]) -> Result<ClientConfig, Error> {
        let thumbprints = thumbprints.iter().map(|text| text.to_ascii_lowercase()).collect();
        let verifier = Verifier { authorities: self.clone(), thumbprints };
        let versions = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?;
        let config = versions
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(config)
    }

    /// Whether one of these authorities vouches for a certificate.
    fn vouch(
        &self,
        roots: Arc<RootCertStore>,
        (own, chain): (&CertificateDer<'_>, &[CertificateDer<'_>]),
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, self.provider.clone());
        let unknown = |_| Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let verifier = verifier.build().map_err(unknown)?;
        verifier.verify_server_cert(own, chain, name, &[], now)
    }
}

impl Verifier {
    fn is_named(&self, certificate: &CertificateDer<'_>) -> bool {
        let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate);
        let digits =
            sum.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        self.thumbprints.contains(&digits)
    }
}

/// Whether a certificate is good at this time.
fn is_good_now(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate) else { return false };
    let validity = certificate.tbs_certificate.validity;
    let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
    (seconds(validity.not_before)..=seconds(validity.not_after)).contains(&now.as_secs())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = (end_entity, intermediates);
        let by_system =
            self.authorities.vouch(self.authorities.roots.clone(), shown, server_name, now);
        if by_system.is_ok() {
            return by_system;
        }
        // An authority that the thumbprints name, from the top of the chain down.
        for authority in intermediates.iter().rev().filter(|one| self.is_named(one)) {
            let mut roots = RootCertStore::empty();
            if is_good_now(authority, now)
                && roots.add(authority.clone().into_owned()).is_ok()
                && let Ok(verified) =
                    self.authorities.vouch(Arc::new(roots), shown, server_name, now)
            {
                return Ok(verified);
            }
        }
        // Or the server's own, if it is named itself.
        if self.is_named(end_entity) && is_good_now(end_entity, now) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        by_system
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.authorities.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.authorities.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.provider.signature_verification_algorithms.supported_schemes()
    }
}
