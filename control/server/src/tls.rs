//! TLS: a certificate authority of the cloud's own, and a certificate for each name that clients
//! ask for.
//!
//! Whoever trusts `ca.pem` reaches the endpoint under any name: that of the host, an address, or one
//! of Amazon's that the VPC's resolver leads here. The keys never leave the data folder.

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use relay::Connection;
use std::{
    collections::HashMap,
    fs,
    io::{ErrorKind, Write as _},
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use tokio_rustls::{
    LazyConfigAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::PrivatePkcs8KeyDer,
        server::{Acceptor, ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
    server::TlsStream,
};

/// Where guests reach the endpoint who ask for no name.
const GUESTS_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 250);
const DAY: Duration = Duration::from_hours(24);
/// How long the authority's own certificate is good.
const AUTHORITY_DAYS: u32 = 20 * 365;
/// How long an endpoint's certificate is good.
const ENDPOINT_DAYS: u32 = 90;
/// How long one is handed out before it is made anew.
const RENEW_AFTER: Duration = Duration::from_hours(30 * 24);
/// How many names' certificates are kept.
const MAX_KEPT: usize = 1024;

/// The cloud's certificate authority, and the certificates that it made.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// All endpoints' key, made anew at each start.
    endpoint_key: KeyPair,
    config: ServerConfig,
    kept: Mutex<HashMap<String, (Instant, Arc<CertifiedKey>)>>,
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl Authority {
    /// The authority in this folder: `ca.pem` for everybody, `ca.key` for its owner; made at the first
    /// start.
    ///
    /// # Errors
    /// The files can't be read or made. A key that can't be read is never replaced: clients trust its
    /// certificate.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let (key_path, certificate_path) = (folder.join("ca.key"), folder.join("ca.pem"));
        let key = match fs::read_to_string(&key_path) {
            Ok(text) => KeyPair::from_pem(&text)
                .with_context(|| format!("read the key in {}", key_path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                write(&key_path, &key.serialize_pem(), 0o600)?;
                key
            }
            Err(error) => return Err(error).context(key_path.display().to_string()),
        };
        let params = authority_params(&key);
        if !certificate_path.exists() {
            write(&certificate_path, &params.self_signed(&key)?.pem(), 0o644)?;
        }
        let provider = Arc::new(ring::default_provider());
        let endpoint_key = KeyPair::generate()?;
        let issuer = Issuer::new(params, key);
        let first = certify(&issuer, &endpoint_key, "localhost")?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(Arc::new(first))));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { issuer, endpoint_key, config, kept: Mutex::default() })
    }

    /// Does the handshake, with a certificate for the name that the client asks for; for the address
    /// that it came to if it asks for none.
    ///
    /// # Errors
    /// The client doesn't speak TLS 1.2 or 1.3, or breaks off.
    pub async fn accept(&self, connection: Connection) -> anyhow::Result<TlsStream<Connection>> {
        let address = match &connection {
            Connection::Tcp(stream) => stream.local_addr()?.ip().to_canonical(),
            Connection::Unix(_) => IpAddr::V4(GUESTS_ADDRESS),
        };
        let begun = LazyConfigAcceptor::new(Acceptor::default(), connection).await?;
        let hello = begun.client_hello();
        let name = hello.server_name().map_or_else(|| address.to_string(), str::to_owned);
        let mut config = self.config.clone();
        config.cert_resolver = Arc::new(Always(self.certificate(&name)?));
        Ok(begun.into_stream(Arc::new(config)).await?)
    }

    fn certificate(&self, name: &str) -> anyhow::Result<Arc<CertifiedKey>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, certificate)) = kept.get(name)
            && made.elapsed() < RENEW_AFTER
        {
            return Ok(certificate.clone());
        }
        let certificate = Arc::new(certify(&self.issuer, &self.endpoint_key, name)?);
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(name.to_owned(), (Instant::now(), certificate.clone()));
        Ok(certificate)
    }
}

/// The same for the same key, but for the times: the issuer is known by its name and key alone.
fn authority_params(key: &KeyPair) -> CertificateParams {
    use std::fmt::Write as _;
    let mut params = CertificateParams::default();
    let tag = params.key_identifier(key).iter().take(4).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    params.distinguished_name = named(&format!("Fogbank CA {tag}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, AUTHORITY_DAYS);
    params
}

fn certify(
    issuer: &Issuer<'static, KeyPair>,
    key: &KeyPair,
    name: &str,
) -> anyhow::Result<CertifiedKey> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = named("Fogbank");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    valid_for(&mut params, ENDPOINT_DAYS);
    let certificate = params.signed_by(key, issuer)?;
    let signer = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let signer = ring::sign::any_supported_type(&signer)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signer))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// From yesterday on: clocks differ.
fn valid_for(params: &mut CertificateParams, days: u32) {
    let yesterday = SystemTime::now() - DAY;
    params.not_before = yesterday.into();
    params.not_after = (yesterday + DAY * days).into();
}

/// Whole and durable before it has its name.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::{
        TlsConnector,
        rustls::{
            ClientConfig, RootCertStore,
            pki_types::{CertificateDer, ServerName, pem::PemObject as _},
        },
    };

    fn client(folder: &Path) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    async fn says_hello(authority: &Arc<Authority>, folder: &Path, name: &'static str) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let serving = tokio::spawn({
            let authority = authority.clone();
            async move {
                let mut stream = authority.accept(Connection::Tcp(accepted)).await.unwrap();
                stream.write_all(b"hello").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        let name = ServerName::try_from(name).unwrap();
        let mut stream = client(folder).connect(name, stream).await.unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "hello");
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn any_name_and_the_address_are_certified_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls");
        let authority = Arc::new(Authority::open(&path).unwrap());
        for name in ["localhost", "127.0.0.1", "b.s3.us-east-1.amazonaws.com", "localhost"] {
            says_hello(&authority, &path, name).await;
        }
        let (key, certificate) =
            (fs::read(path.join("ca.key")).unwrap(), fs::read(path.join("ca.pem")).unwrap());
        let mode = fs::metadata(path.join("ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(authority);

        let authority = Arc::new(Authority::open(&path).unwrap());
        assert_eq!(fs::read(path.join("ca.key")).unwrap(), key);
        assert_eq!(fs::read(path.join("ca.pem")).unwrap(), certificate);
        says_hello(&authority, &path, "ec2.eu-west-1.amazonaws.com").await;
    }

    #[tokio::test]
    async fn what_is_no_handshake_is_refused_and_a_broken_key_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let (mut ours, theirs) = tokio::net::UnixStream::pair().unwrap();
        ours.write_all(&[22, 3, 1, 0, 4, 9, 9, 9, 9]).await.unwrap();
        assert!(authority.accept(Connection::Unix(theirs)).await.is_err());
        fs::write(folder.path().join("ca.key"), "no key").unwrap();
        assert!(Authority::open(folder.path()).is_err());
        assert_eq!(fs::read_to_string(folder.path().join("ca.key")).unwrap(), "no key");
    }

    #[test]
    fn no_more_certificates_are_kept_than_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        for at in 0..MAX_KEPT + 10 {
            authority.certificate(&format!("b{at}.localhost")).unwrap();
        }
        assert!(authority.kept.lock().unwrap().len() <= MAX_KEPT);
    }
}
