//! One issuer's keys, by OpenID Connect's discovery: two documents over HTTPS.

use super::{addresses::may_be_issuers, trust::Authorities};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use iam::{KeySet, NoKeys};
use serde::Deserialize;
use std::sync::Arc;
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, Error, pki_types::ServerName},
};

/// The largest document that an issuer may send, in bytes.
const MAX_DOCUMENT: usize = 256 << 10;
/// The largest head of an answer, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// How many of a host's addresses are tried.
const MAX_ADDRESSES: usize = 4;

/// Fetches issuers' keys.
#[derive(Debug)]
pub struct Fetcher {
    authorities: Authorities,
    loopback: bool,
}

/// What counts of an issuer's description of itself.
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    /// With the authorities that this machine trusts.
    pub fn new(loopback: bool) -> Self {
        Self { authorities: Authorities::of_system(), loopback }
    }

    /// The keys that an issuer publishes.
    pub async fn keys(&self, issuer: &str, thumbprints: &[String]) -> Result<KeySet, NoKeys> {
        let client = self.authorities.client(thumbprints).map_err(|_| NoKeys::Distrusted)?;
        let client = Arc::new(client);
        let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let text = self.document(&place, &client).await?;
        let description: Description =
            serde_json::from_slice(&text).map_err(|_| NoKeys::Unreadable)?;
        if description.issuer != issuer {
            return Err(NoKeys::Unreadable);
        }
        let text = self.document(&description.jwks_uri, &client).await?;
        KeySet::parse(&text).ok_or(NoKeys::Unreadable)
    }

    async fn document(&self, url: &str, client: &Arc<ClientConfig>) -> Result<Bytes, NoKeys> {
        let uri: Uri = url.parse().map_err(|_| NoKeys::Unreadable)?;
        let authority = uri.authority().ok_or(NoKeys::Unreadable)?;
        if uri.scheme_str() != Some("https") || authority.as_str().contains('@') {
            return Err(NoKeys::Unreadable);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let stream = self.connect(&host, authority.port_u16().unwrap_or(443)).await?;
        let name = ServerName::try_from(host).map_err(|_| NoKeys::Unreadable)?;
        let connecting = TlsConnector::from(client.clone()).connect(name, stream);
        let stream = connecting.await.map_err(|error| refusal(&error))?;

        let unreachable = |_| NoKeys::Unreachable;
        let mut builder = http1::Builder::new();
        let builder = builder.max_buf_size(MAX_HEAD);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
        // It ends with this function.
        let mut driving = JoinSet::new();
        driving.spawn(connection);
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let request = Request::get(path)
            .header(header::HOST, authority.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "fogbank")
            .body(Empty::<Bytes>::new())
            .map_err(|_| NoKeys::Unreadable)?;
        let response = sender.send_request(request).await.map_err(unreachable)?;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(NoKeys::Unreachable);
        }
        if status != StatusCode::OK {
            // A redirect, too: it could lead anywhere.
            return Err(NoKeys::Unreadable);
        }
        let body = Limited::new(response.into_body(), MAX_DOCUMENT).collect().await;
        Ok(body.map_err(|_| NoKeys::Unreadable)?.to_bytes())
    }

    /// Connects to the address that was checked, and to no other that the name may lead to later.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, NoKeys> {
        let found = lookup_host((host, port)).await.map_err(|_| NoKeys::Unreachable)?;
        let allowed = found.filter(|at| may_be_issuers(at.ip(), self.loopback));
        for address in allowed.take(MAX_ADDRESSES) {
            if let Ok(stream) = TcpStream::connect(address).await {
                return Ok(stream);
            }
        }
        Err(NoKeys::Unreachable)
    }
}

/// Why a handshake failed.
fn refusal(error: &std::io::Error) -> NoKeys {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(_)) => NoKeys::Distrusted,
        _ => NoKeys::Unreachable,
    }
}
