//! What is done around each request to S3: preflights and websites are answered here, answers get
//! their cross-origin headers, and requests are logged.

use crate::{
    Gateway, Peer,
    addressed::{Addressed, Face},
    configuration::cors::Grant,
    cors, fault,
    host::Domains,
    logs::{Line, operation},
    store::Bucket,
    website,
};
use http::{HeaderMap, Method, Response, header, request::Parts};
use s3s::{Body, service::S3Service};
use std::sync::Arc;

/// What is known of a request once it has come.
pub(crate) struct Around {
    addressed: Addressed,
    grant: Option<Grant>,
    /// Of a bucket that has logging.
    line: Option<Box<(Arc<Bucket>, Line)>>,
}

impl Around {
    /// Looks at a request.
    pub(crate) async fn of(gateway: &Gateway, domains: &Domains, head: &Parts, peer: Peer) -> Self {
        let addressed = Addressed::of(&head.uri, &head.headers, domains);
        let preflight = head.method == Method::OPTIONS;
        let grant = if preflight {
            None
        } else {
            cors::of_request(gateway, &head.method, &head.headers, &addressed).await
        };
        let line = match &addressed.bucket {
            Some(name) => match gateway.store.bucket(name).await {
                Ok(entry) if entry.row().configuration.logging.is_some() => {
                    let row = entry.row();
                    let line = line_of(gateway, &addressed, head, peer, &row).await;
                    Some(Box::new((row, line)))
                }
                Ok(_) | Err(_) => None,
            },
            None => None,
        };
        Self { addressed, grant, line }
    }

    /// What it is about.
    pub(crate) fn addressed(&self) -> &Addressed {
        &self.addressed
    }

    /// Answers what isn't for S3's API.
    pub(crate) async fn answer(
        &self,
        gateway: &Gateway,
        s3: &S3Service,
        head: &Parts,
        peer: Peer,
    ) -> Option<Response<Body>> {
        if head.method == Method::OPTIONS {
            return Some(cors::preflight(gateway, &head.headers, &self.addressed).await);
        }
        match self.addressed.face {
            Face::Website => Some(website::serve(gateway, s3, &self.addressed, head, peer).await),
            Face::Api => None,
        }
    }

    /// Completes an answer, before S3's own headers are put on it; the error's code, if it is one.
    pub(crate) fn complete(&mut self, response: &mut Response<Body>) {
        if let Some(grant) = &self.grant {
            cors::put(grant, response.headers_mut(), false);
        }
        let Some(line) = &mut self.line else { return };
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            line.1.error = code_of(response);
        }
    }

    /// Logs the request, once the answer has all of its headers.
    pub(crate) fn log(self, gateway: &Gateway, response: &Response<Body>) {
        let Some(line) = self.line else { return };
        let (row, mut line) = *line;
        let Some(logging) = &row.configuration.logging else { return };
        let text = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        line.status = response.status().as_u16();
        line.bytes_sent = match response.body().bytes() {
            Some(bytes) => Some(bytes.len() as u64),
            None => text("content-length").and_then(|length| length.parse().ok()),
        };
        if line.operation.ends_with(".GET.OBJECT") || line.operation.ends_with(".HEAD.OBJECT") {
            let range = text("content-range");
            let whole = range.as_deref().and_then(|range| range.rsplit_once('/'));
            line.object_size = whole.and_then(|(_, size)| size.parse().ok()).or(line.bytes_sent);
        }
        line.request_id = text("x-amz-request-id").unwrap_or_default();
        line.host_id = text("x-amz-id-2").unwrap_or_default();
        line.version_id = text("x-amz-version-id");
        let now_ms = i64::try_from(gateway.store.now_ms()).unwrap_or(i64::MAX);
        line.total_ms = u64::try_from(now_ms - line.at_ms).unwrap_or_default();
        gateway.logs.take(&row, logging, &line);
    }
}

/// The code in an error's XML.
pub(crate) fn code_of(response: &Response<Body>) -> Option<String> {
    let body = response.body().bytes()?;
    let text = std::str::from_utf8(&body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    Some(rest.split_once("</Code>")?.0.to_owned())
}

async fn line_of(
    gateway: &Gateway,
    addressed: &Addressed,
    head: &Parts,
    peer: Peer,
    row: &Bucket,
) -> Line {
    let text = |name: header::HeaderName| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let query = head.uri.query().unwrap_or_default();
    let (key_id, version, kind) = credentials(&head.headers, query);
    let requester = match key_id {
        Some(key_id) => gateway
            .identities
            .find(&key_id)
            .await
            .map(|one| if one.root { one.canonical_id.clone() } else { one.arn.clone() }),
        None => None,
    };
    let has_key = !addressed.key.is_empty();
    let operation = match addressed.face {
        Face::Api => operation(head.method.as_str(), query, has_key),
        Face::Website => format!("WEBSITE.{}.OBJECT", head.method),
    };
    Line {
        owner_id: row.owner.canonical_id.clone(),
        bucket: row.name.clone(),
        at_ms: i64::try_from(gateway.store.now_ms()).unwrap_or(i64::MAX),
        remote_ip: peer.address.map(|address| address.ip().to_canonical().to_string()),
        requester,
        operation,
        key: has_key.then(|| addressed.key.clone()),
        request_uri: format!("{} {} HTTP/1.1", head.method, head.uri),
        referer: text(header::REFERER),
        user_agent: text(header::USER_AGENT),
        signature_version: version,
        auth_type: kind,
        host: text(header::HOST),
        ..Line::default()
    }
}

/// The access key that a request names, and how it is signed.
pub(crate) fn credentials(
    headers: &HeaderMap,
    query: &str,
) -> (Option<String>, Option<&'static str>, Option<&'static str>) {
    let signed = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(text) = signed {
        let after =
            |mark: &str, end: char| Some(text.split_once(mark)?.1.split(end).next()?.to_owned());
        return match text.strip_prefix("AWS ") {
            Some(old) => {
                (old.split(':').next().map(str::to_owned), Some("SigV2"), Some("AuthHeader"))
            }
            None => (after("Credential=", '/'), Some("SigV4"), Some("AuthHeader")),
        };
    }
    if let Some(credential) = crate::access::parameter(query, "X-Amz-Credential") {
        let key = credential.split('/').next().map(str::to_owned);
        return (key, Some("SigV4"), Some("QueryString"));
    }
    match crate::access::parameter(query, "AWSAccessKeyId") {
        Some(key) => (Some(key), Some("SigV2"), Some("QueryString")),
        None => (None, None, None),
    }
}

/// An answer for a service that broke.
pub(crate) fn broken(error: &s3s::HttpError) -> Response<Body> {
    log::error!("answering a request: {error:?}");
    fault::internal().to_http_response().unwrap_or_else(|_| Response::new(Body::empty()))
}
