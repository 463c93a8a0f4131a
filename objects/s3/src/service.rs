//! HTTP: connections in, answers out, with what S3 puts on every answer.

use crate::{
    Gateway, TokenError,
    access::{self, Passport, Peer},
    answers::{Question, between},
    around::{Around, broken},
    audit::Tracing,
    control::Control,
    digest, express, fault, form, head,
    host::Domains,
    resign,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use ring::digest::{Context as Context256, SHA256};
use s3s::{
    Body, S3Error, S3ErrorCode,
    config::{S3Config, StaticConfigProvider},
    service::{S3Service, S3ServiceBuilder},
};
use std::{
    convert::Infallible,
    fmt::Write as _,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// How long a client may take for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest head of a request: metadata, a policy's token and a long key fit in. Of headers,
/// hyper takes 100.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// The longest document in a request: 10,000 parts with their checksums fit in.
const MAX_XML_BYTES: usize = 8 << 20;
/// The longest file of a form. s3s holds it in memory, so it is far less than S3's 5 GiB.
const MAX_FORM_FILE_BYTES: u64 = 64 << 20;

/// Looks at each request before S3 does.
#[async_trait::async_trait]
pub trait Front: Send + Sync + 'static {
    /// Answers a request that isn't S3's, or passes it on.
    async fn look(&self, request: Request<Incoming>) -> Passed;
}

/// What [`Front::look`] made of a request.
pub enum Passed {
    /// It is S3's.
    On(Request<Incoming>),
    Answered(Response<Body>),
}

/// The S3 service. Clones share it.
#[derive(Clone)]
pub struct Service {
    gateway: Gateway,
    s3: S3Service,
    domains: Domains,
    front: Option<Arc<dyn Front>>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl Service {
    /// The service of a gateway.
    #[must_use]
    pub fn new(gateway: Gateway) -> Self {
        let mut builder = S3ServiceBuilder::new(gateway.clone());
        builder.set_auth(gateway.clone());
        builder.set_access(gateway.clone());
        let domains = Domains::new(&gateway.settings.domains);
        builder.set_host(domains.clone());
        builder.set_route(Control(gateway.clone()));
        let mut config = S3Config::default();
        config.xml_max_body_size = MAX_XML_BYTES;
        config.post_object_max_file_size = MAX_FORM_FILE_BYTES;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        Self { s3: builder.build(), gateway, domains, front: None }
    }

    /// Lets something else look at each request first.
    #[must_use]
    pub fn with_front(mut self, front: Arc<dyn Front>) -> Self {
        self.front = Some(front);
        self
    }

    /// Serves a connection until it ends. The caller has set `TCP_NODELAY`.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn serve(
        &self,
        connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
    ) -> hyper::Result<()> {
        let service =
            service_fn(
                |request| async move { Ok::<_, Infallible>(self.pass(request, peer).await) },
            );
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(connection), service)
            .with_upgrades()
            .await
    }

    async fn pass(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let request = match &self.front {
            Some(front) => match front.look(request).await {
                Passed::On(request) => request,
                Passed::Answered(answer) => return answer,
            },
            None => request,
        };
        self.answer(request.map(Body::from), peer).await
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Body>, peer: Peer) -> Response<Body> {
        let Some(_under_way) = self.gateway.enter().await else { return ending(&request) };
        let (mut parts, body) = request.into_parts();
        let passed = Passport::default();
        parts.extensions.insert(peer);
        parts.extensions.insert(passed.clone());
        let (path, head) = (parts.uri.path().to_owned(), parts.method == Method::HEAD);
        if let Some(mut response) = self.not_signed_for_us(&mut parts).await {
            sign_off(&mut response, &path, head);
            return response;
        }
        let mut around = Around::of(&self.gateway, &self.domains, &parts, peer).await;
        if let Some(refused) = head::refusal(&parts, around.addressed()) {
            return unread(refused, &path, head);
        }
        let question = Question::of(&parts, around.addressed());
        let trace =
            Tracing::begin(&self.gateway, (&parts, around.addressed()), peer, &passed).await;
        let expects = parts.headers.contains_key(header::EXPECT);
        let again = is_odd_read(&parts).then(|| parts.clone());
        let query = parts.uri.query().unwrap_or_default();
        let promised = promised_sha256(&parts.headers, query);
        let (body, rest) = Watched::watch(body, promised);
        let (body, digests) = match digest::watch(&parts, body) {
            Ok(watched) => watched,
            Err(refused) => return unread(refused, &path, head),
        };
        let answered = around.answer(&self.gateway, &self.s3, &parts, peer).await;
        let ours = answered.is_some();
        let mut response = match answered {
            Some(answered) => {
                drop(body);
                answered
            }
            None => self.call_form(parts, body).await,
        };
        // Signed as it was, but nothing that S3 takes notice of.
        if let Some(parts) = again
            && !ours
            && passed.is_stamped()
            && response.status() == StatusCode::BAD_REQUEST
        {
            response = self.call_without_oddities(parts).await;
        }
        if let Some(wrong) = digests.take() {
            response = wrong.to_http_response().unwrap_or_default();
        }
        // The client's own failure, which s3s takes for ours.
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR
            && let Some(fault) = rest.as_ref().and_then(Rest::fault)
            && let Ok(refused) = fault.to_http_response()
        {
            response = refused;
        }
        around.complete(&mut response);
        question.complete(&mut response, self.gateway.store.now_ms());
        sign_off(&mut response, &path, head);
        around.log(&self.gateway, &response);
        trace.end(&response);
        let usable = match rest {
            Some(rest) => rest.drain(expects).await,
            // Who waited to be told to go on was not told, and botocore for one takes what comes
            // next on the connection for part of this answer.
            None => !expects,
        };
        if !usable {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }

    /// Refuses what no signature could save. Under `--trust-any-key`, signs as we would.
    async fn not_signed_for_us(&self, parts: &mut Parts) -> Option<Response<Body>> {
        // As if it weren't there.
        if parts.headers.get(header::AUTHORIZATION).is_some_and(HeaderValue::is_empty) {
            parts.headers.remove(header::AUTHORIZATION);
        }
        if let Err(refused) = express::take_in(parts, &*self.gateway.identities).await {
            return refused.to_http_response().ok();
        }
        let query = parts.uri.query().unwrap_or_default();
        let without_session = self.in_no_session(&parts.headers, query);
        if self.gateway.identities.trust_any_key() {
            resign::resign(parts, &*self.gateway.identities).await;
        }
        let query = parts.uri.query().unwrap_or_default();
        without_session
            .or_else(|| outlives_a_week(query))
            .or_else(|| self.in_no_region(&parts.headers))
    }

    /// Refuses a scope whose region isn't one, and names ours: clients such as s3cmd then sign again.
    fn in_no_region(&self, headers: &HeaderMap) -> Option<Response<Body>> {
        let signed = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let region = signed.split_once("Credential=")?.1.split('/').nth(2)?;
        if s3s::region::Region::new(region.into()).is_ok() {
            return None;
        }
        let ours = &self.gateway.settings.region;
        let message = format!(
            "The authorization header is malformed; the region '{region}' is wrong; expecting \
             '{ours}'"
        );
        let refused =
            fault::custom(StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed", message);
        fault::with(refused, &[("Region", ours)]).to_http_response().ok()
    }

    async fn call_without_oddities(&self, mut parts: Parts) -> Response<Body> {
        if has_odd_range(&parts.headers) {
            parts.headers.remove(header::RANGE);
        }
        head::drop_empty_numbers(&mut parts);
        resign::resign(&mut parts, &*self.gateway.identities).await;
        self.call(Request::from_parts(parts, Body::empty())).await
    }

    /// Takes in the session that a request is of; refuses it if the token is no good.
    fn in_no_session(&self, headers: &HeaderMap, query: &str) -> Option<Response<Body>> {
        self.no_session(&access::session_of(headers, query)?)
    }

    fn no_session(&self, (access_key, token): &(String, String)) -> Option<Response<Body>> {
        let (code, message) = match self.gateway.identities.present(access_key, token) {
            Ok(()) => return None,
            Err(TokenError::Expired) => ("ExpiredToken", "The provided token has expired."),
            Err(TokenError::Invalid) => {
                ("InvalidToken", "The provided token is malformed or otherwise invalid.")
            }
        };
        fault::custom(StatusCode::BAD_REQUEST, code, message).to_http_response().ok()
    }

    /// Calls what may be a form.
    async fn call_form(&self, mut parts: Parts, body: Body) -> Response<Body> {
        match form::fill_in(&mut parts, body).await {
            Ok((body, session)) => match session.and_then(|session| self.no_session(&session)) {
                Some(refused) => refused,
                None => self.call(Request::from_parts(parts, body)).await,
            },
            Err(refused) => refused.to_http_response().unwrap_or_default(),
        }
    }

    async fn call(&self, request: Request<Body>) -> Response<Body> {
        self.s3.call(request).await.unwrap_or_else(|error| broken(&error))
    }
}

/// The answer when the process is about to end: clients try again.
fn ending(request: &Request<Body>) -> Response<Body> {
    let refused = fault::fault(S3ErrorCode::ServiceUnavailable, "Please try again.");
    unread(refused, request.uri().path(), *request.method() == Method::HEAD)
}

/// Refuses a request whose body was not read: nothing else may come on its connection.
fn unread(refused: S3Error, path: &str, head: bool) -> Response<Body> {
    let mut response = refused.to_http_response().unwrap_or_default();
    sign_off(&mut response, path, head);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// The longest life of a presigned URL, in seconds: a week.
const MAX_PRESIGNED_S: i64 = 604_800;
/// The most of an unread body that is read so that the connection can be used again.
const MAX_DRAINED_BYTES: u64 = 1 << 20;
/// How long that may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A request's body, which comes back if it was not read to its end: what follows on the
/// connection would be taken for the rest of it, or the rest of it for what follows.
struct Watched {
    body: Option<Body>,
    rest: Rest,
    /// What came so far, where the client has said what it comes to.
    digest: Option<(Context256, [u8; 32])>,
    broken: bool,
}

/// What is left of a body, and what was wrong with it.
#[derive(Clone, Default)]
struct Rest(Arc<Mutex<Left>>);

#[derive(Default)]
struct Left {
    body: Option<Body>,
    broken: bool,
    differs: bool,
}

impl Watched {
    fn watch(body: Body, promised: Option<[u8; 32]>) -> (Body, Option<Rest>) {
        if http_body::Body::is_end_stream(&body) {
            return (body, None);
        }
        let rest = Rest::default();
        let digest = promised.map(|promised| (Context256::new(&SHA256), promised));
        let watched = Self { body: Some(body), rest: rest.clone(), digest, broken: false };
        (Body::http_body(watched), Some(rest))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let whole = http_body::Body::is_end_stream(self);
        let digest = self.digest.take().filter(|_| whole);
        let differs = digest.is_some_and(|(digest, promised)| digest.finish().as_ref() != promised);
        *self.rest.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Left { broken: self.broken, differs, body: self.body.take() };
    }
}

/// The SHA-256 that a client has announced of a document; what objects and parts come to is
/// verified where they are taken in.
fn promised_sha256(headers: &HeaderMap, query: &str) -> Option<[u8; 32]> {
    if query.is_empty() || access::parameter(query, "partNumber").is_some() {
        return None;
    }
    let mut promised = [0; 32];
    hex::decode_to_slice(headers.get("x-amz-content-sha256")?.as_bytes(), &mut promised).ok()?;
    Some(promised)
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            None => self.body = None,
            Some(Err(_)) => self.broken = true,
            Some(Ok(frame)) => {
                if let (Some(data), Some((digest, _))) = (frame.data_ref(), &mut self.digest) {
                    digest.update(data);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let none = || http_body::SizeHint::with_exact(0);
        self.body.as_ref().map_or_else(none, http_body::Body::size_hint)
    }
}

impl Rest {
    /// What was wrong with the body as far as it was read.
    fn fault(&self) -> Option<s3s::S3Error> {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if left.broken {
            return Some(s3s::S3ErrorCode::IncompleteBody.into());
        }
        left.differs.then(fault::sha256_mismatch)
    }

    /// Reads what is left if it is little; false if the connection can't be used again. A client
    /// that waits to be told to go on was not told.
    async fn drain(&self, expects: bool) -> bool {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).body.take();
        let Some(rest) = rest.filter(|rest| !http_body::Body::is_end_stream(rest)) else {
            return true;
        };
        let least = http_body::Body::size_hint(&rest).lower();
        if expects || least > MAX_DRAINED_BYTES {
            return false;
        }
        let limited = Limited::new(rest, usize::try_from(MAX_DRAINED_BYTES).unwrap_or_default());
        let read = tokio::time::timeout(DRAIN_TIMEOUT, discard(limited)).await;
        read.unwrap_or(false)
    }
}

async fn discard(mut body: Limited<Body>) -> bool {
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return false;
        }
    }
    true
}

/// Whether a read says something that S3 takes no notice of.
fn is_odd_read(parts: &Parts) -> bool {
    let odd = has_odd_range(&parts.headers) || head::has_empty_numbers(parts);
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    reads && odd
}

/// S3 takes no notice of a range that it can't read, nor of several.
fn has_odd_range(headers: &HeaderMap) -> bool {
    let plain = |value: &HeaderValue| {
        value.to_str().is_ok_and(|range| s3s::dto::Range::parse(range).is_ok())
    };
    headers.get(header::RANGE).is_some_and(|value| !plain(value))
}

/// Puts on what all of S3's answers have.
fn sign_off(response: &mut Response<Body>, path: &str, head: bool) {
    let request_id = format!("{:016X}", rand::random::<u64>());
    let host_id = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 32]>())
    };
    let status = response.status();
    if status.is_client_error() || status.is_server_error() || status == StatusCode::NOT_MODIFIED {
        complete_error(response, path, head, &request_id, &host_id);
    }
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("AmazonS3"));
    for (name, value) in [("x-amz-request-id", request_id), ("x-amz-id-2", host_id)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// Refuses a presigned request that would be good for more than a week: s3s doesn't.
fn outlives_a_week(query: &str) -> Option<Response<Body>> {
    let expires = access::parameter(query, "X-Amz-Expires")?;
    let good = expires.parse::<i64>().is_ok_and(|seconds| seconds <= MAX_PRESIGNED_S);
    if good {
        return None;
    }
    let message = "X-Amz-Expires must be less than a week (in seconds); that is, the given \
                   X-Amz-Expires must be less than 604800 seconds";
    let code = "AuthorizationQueryParametersError";
    fault::custom(StatusCode::BAD_REQUEST, code, message).to_http_response().ok()
}

/// Completes an error's XML. An answer to HEAD, and 304, have no body.
fn complete_error(
    response: &mut Response<Body>,
    path: &str,
    head: bool,
    request_id: &str,
    host_id: &str,
) {
    let details = response.headers_mut().remove(fault::DETAILS);
    if head || response.status() == StatusCode::NOT_MODIFIED {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        return;
    }
    let Some(body) = response.body().bytes() else { return };
    let Ok(text) = std::str::from_utf8(&body) else { return };
    let Some(front) = text.strip_suffix("</Error>") else { return };
    let mut xml = front.to_owned();
    if !text.contains("<Message>")
        && let Some(code) = between(text, "<Code>", "</Code>")
        && let Some(message) = fault::default_message(code)
    {
        element(&mut xml, "Message", message);
    }
    let details = details.as_ref().and_then(|details| details.to_str().ok()).unwrap_or_default();
    for (name, value) in details.split('&').filter_map(|pair| pair.split_once('=')) {
        element(&mut xml, name, &percent_decode_str(value).decode_utf8_lossy());
    }
    element(&mut xml, "Resource", &percent_decode_str(path).decode_utf8_lossy());
    element(&mut xml, "RequestId", request_id);
    element(&mut xml, "HostId", host_id);
    xml.push_str("</Error>");
    *response.body_mut() = Body::from(Bytes::from(xml));
    let xml = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(header::CONTENT_TYPE, xml);
    response.headers_mut().remove(header::CONTENT_LENGTH);
}

fn element(xml: &mut String, name: &str, value: &str) {
    let _ = write!(xml, "<{name}>");
    for c in value.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '\t' | '\n' => xml.push(c),
            c if c.is_control() => xml.push('\u{fffd}'),
            c => xml.push(c),
        }
    }
    let _ = write!(xml, "</{name}>");
}
