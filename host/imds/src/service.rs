//! Who may ask what: the endpoint's options, session tokens, methods and paths.

use crate::{
    connection::{Method, Request},
    response::{Response, http_date},
    token,
    tree::{Found, find},
};
use contracts::{instance_identity::InstanceIdentity, metadata::Metadata};
use types::Timestamp;

/// Requests a token, with this life in seconds; also sent back, with what is left.
const TTL_HEADER: &str = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds";
const TOKEN_PATH: &str = "/latest/api/token";

/// What an instance's service answers from.
#[derive(Debug, Clone, Copy)]
pub struct Documents<'a> {
    /// Its metadata.
    pub metadata: &'a Metadata,
    /// What it proves its identity by; none until the server has sent it.
    pub identity: Option<&'a InstanceIdentity>,
}

/// The service: everything but the documents and the connections.
#[derive(Clone)]
pub struct Service {
    secret: [u8; 32],
}

impl Service {
    /// A service whose tokens are keyed by a secret: the same secret, the same tokens.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// Answers one request of the instance that the metadata is about.
    #[must_use]
    pub fn respond(
        &self,
        documents: Documents<'_>,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Response {
        let metadata = documents.metadata;
        if !metadata.options.enabled {
            return Response::error(403);
        }
        let Some(path) = decode_path(request.target) else {
            return Response::error(400);
        };
        if is_token_path(&path) {
            return self.token(metadata, request, &path, now);
        }
        match request.method {
            Method::Get | Method::Head => self.get(documents, request, &path, now),
            Method::Options => Response::allow(200, "OPTIONS, GET, HEAD"),
            Method::Put | Method::Other => Response::allow(405, "OPTIONS, GET, HEAD"),
        }
    }

    fn token(
        &self,
        metadata: &Metadata,
        request: &Request<'_>,
        path: &str,
        now: Timestamp,
    ) -> Response {
        match request.method {
            Method::Put => {}
            Method::Options => return Response::allow(200, "OPTIONS, PUT"),
            Method::Get | Method::Head | Method::Other => {
                return Response::allow(405, "OPTIONS, PUT");
            }
        }
        // A proxy adds this header: a token must not leave through one.
        if path != TOKEN_PATH || request.header("x-forwarded-for").is_some() {
            return Response::error(403);
        }
        let Some(ttl_s) = request.header(TTL_HEADER).and_then(token::parse_ttl) else {
            return Response::error(400);
        };
        match token::issue(&self.secret, metadata.instance, now, ttl_s) {
            Some(token) => Response::text(token).with(TTL_HEADER, ttl_s.to_string()),
            None => Response::error(500),
        }
    }

    fn get(
        &self,
        documents: Documents<'_>,
        request: &Request<'_>,
        path: &str,
        now: Timestamp,
    ) -> Response {
        let metadata = documents.metadata;
        let left = match request.header("x-aws-ec2-metadata-token") {
            // A token that is not good is refused even where none is needed.
            Some(token) => {
                match token::seconds_left(&self.secret, metadata.instance, now, token.trim()) {
                    Some(left) => Some(left),
                    None => return Response::error(401),
                }
            }
            None if metadata.options.token_required => return Response::error(401),
            None => None,
        };
        let mut response = match find(documents, path) {
            Some(Found::Text(text)) => Response::text(text),
            Some(Found::UserData(bytes)) => {
                Response { content_type: "application/octet-stream", ..Response::text(bytes) }
            }
            None => Response::error(404),
        };
        if let Some(left) = left {
            response = response.with(TTL_HEADER, left.to_string());
        }
        if response.status == 200 {
            response = response
                .with("Accept-Ranges", "none".to_owned())
                .with("Last-Modified", http_date(metadata.launch_time));
        }
        response
    }
}

/// The path of a request target, decoded and with single slashes.
fn decode_path(target: &str) -> Option<String> {
    // An absolute target, as sent to a proxy, names the server first.
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let raw = target.split(['?', '#']).next().unwrap_or_default();
    if !raw.starts_with('/') {
        return None;
    }
    let text = percent_encoding::percent_decode_str(raw).decode_utf8().ok()?;
    let mut path = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '/' || !path.ends_with('/') {
            path.push(c);
        }
    }
    Some(path)
}

fn is_token_path(path: &str) -> bool {
    let mut parts = path.split('/').skip(2);
    path.starts_with('/') && parts.next() == Some("api") && parts.next() == Some("token")
}
