//! Who may do what.

pub mod acl;
mod authorize;
pub mod block;
mod context;
pub mod decide;
mod ownership;

pub(crate) use authorize::{
    ObjectFacts, authorize, block_of, enter, may_pass_role, not_found, service_may_put,
    without_bucket,
};
pub(crate) use context::{HEADERS as CONDITIONS, parameter};
pub(crate) use ownership::{headers_of, of_new_bucket, of_new_object};

use crate::{Gateway, Identity, fault, store::BucketEntry};
use http::HeaderMap;
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The connection that a request came on; an extension of every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer {
    pub address: Option<SocketAddr>,
    /// The VPC that it came from, if it came from inside one.
    pub vpc: Option<types::VpcId>,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// Says whether a request's signature was right; an extension of every request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passport(Arc<AtomicBool>);

impl Passport {
    pub(crate) fn is_stamped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Who asks, and how; an extension of every request that reaches an operation.
#[derive(Clone, Debug)]
pub struct Caller {
    /// None for anonymous requests.
    pub identity: Option<Arc<Identity>>,
    pub peer: Peer,
    /// The request's headers, for conditions of policies.
    pub headers: HeaderMap,
    pub query: String,
}

impl Caller {
    /// The caller of a request.
    ///
    /// # Errors
    /// The request did not pass the access check, which is a fault of ours.
    pub(crate) fn of<T>(req: &s3s::S3Request<T>) -> S3Result<Arc<Self>> {
        req.extensions.get::<Arc<Self>>().cloned().ok_or_else(fault::internal)
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// IAM's name of the action, such as `s3:GetObject`.
    pub action: &'static str,
    /// None for what concerns no bucket.
    pub bucket: Option<&'a BucketEntry>,
    /// The key; of a bucket to make, the bucket's name.
    pub key: Option<&'a str>,
}

#[async_trait::async_trait]
impl S3Auth for Gateway {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.identities.find(access_key).await {
            Some(identity) => Ok(SecretKey::from(identity.secret.as_str())),
            None => Err(fault::with(
                s3s::S3ErrorCode::InvalidAccessKeyId.into(),
                &[("AWSAccessKeyId", access_key)],
            )),
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Gateway {
    /// Only says who calls: each operation asks [`authorize`] once it knows what it touches.
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let identity = match cx.credentials() {
            None => None,
            Some(credentials) => {
                let found = self.identities.find(&credentials.access_key).await;
                Some(found.ok_or(s3s::S3ErrorCode::InvalidAccessKeyId)?)
            }
        };
        if let Some(passport) = cx.extensions_mut().get::<Passport>() {
            passport.0.store(true, Ordering::Relaxed);
        }
        let headers = cx.headers().clone();
        let query = cx.uri().query().unwrap_or_default().to_owned();
        if let Some(token) = identity.as_ref().and_then(|one| one.session_token.as_deref()) {
            check_session(token, &headers, &query)?;
        }
        if let Some(identity) = &identity {
            let region = region_of(&headers, &query);
            self.identities.used(identity, region.as_deref().unwrap_or(&self.settings.region));
        }
        let peer = cx.extensions_mut().get::<Peer>().copied().unwrap_or_default();
        let caller = Arc::new(Caller { identity, peer, headers, query });
        cx.extensions_mut().insert(caller);
        Ok(())
    }
}

/// The caller of a request that s3s hands to a route, which nobody has let in yet.
///
/// # Errors
/// It is nobody's, or its session's token isn't there.
pub(crate) async fn caller_of<T>(gateway: &Gateway, req: &s3s::S3Request<T>) -> S3Result<Caller> {
    let credentials = req.credentials.as_ref().ok_or_else(fault::access_denied)?;
    let identity = gateway.identities.find(&credentials.access_key).await;
    let identity = identity.ok_or_else(fault::access_denied)?;
    let query = req.uri.query().unwrap_or_default().to_owned();
    if let Some(token) = identity.session_token.as_deref() {
        check_session(token, &req.headers, &query)?;
    }
    if let Some(passport) = req.extensions.get::<Passport>() {
        passport.0.store(true, Ordering::Relaxed);
    }
    let peer = req.extensions.get::<Peer>().copied().unwrap_or_default();
    Ok(Caller { identity: Some(identity), peer, headers: req.headers.clone(), query })
}

const SESSION_TOKEN: &str = "x-amz-security-token";

/// The region of a signature of version 4: the third part of its credential.
fn region_of(headers: &HeaderMap, query: &str) -> Option<String> {
    let header = headers.get("authorization").and_then(|value| value.to_str().ok());
    let by_header =
        header.and_then(|header| header.split_once("Credential=")).map(|(_, rest)| rest);
    let credential =
        by_header.map(ToOwned::to_owned).or_else(|| parameter(query, "X-Amz-Credential"))?;
    let region = credential.split('/').nth(2)?;
    region.parse::<types::Region>().ok().map(|region| region.to_string())
}

/// The session token of a request with the access key that it comes with.
pub(crate) fn session_of(headers: &HeaderMap, query: &str) -> Option<(String, String)> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token = header(SESSION_TOKEN).map(ToOwned::to_owned);
    let token = token.or_else(|| {
        let given = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut given = given.filter(|(name, _)| name.eq_ignore_ascii_case(SESSION_TOKEN));
        let value = given.next()?.1;
        Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
    })?;
    let signed = header("authorization");
    let credential = match signed {
        Some(text) => match text.strip_prefix("AWS ") {
            Some(rest) => rest.split(':').next().map(ToOwned::to_owned),
            None => text.split_once("Credential=").map(|(_, rest)| rest.to_owned()),
        },
        None => parameter(query, "X-Amz-Credential").or_else(|| parameter(query, "AWSAccessKeyId")),
    };
    let access_key = credential?.split('/').next()?.trim().to_owned();
    Some((access_key, token))
}

fn check_session(token: &str, headers: &HeaderMap, query: &str) -> S3Result<()> {
    let in_header = headers.get(SESSION_TOKEN).is_some_and(|value| value == token);
    let in_query = || {
        query.split('&').filter_map(|pair| pair.split_once('=')).any(|(name, value)| {
            let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
            name.eq_ignore_ascii_case(SESSION_TOKEN) && value == token
        })
    };
    if in_header || in_query() {
        return Ok(());
    }
    let message = "The provided token is malformed or otherwise invalid.";
    Err(fault::custom(http::StatusCode::BAD_REQUEST, "InvalidToken", message))
}
