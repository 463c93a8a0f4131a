//! Answers a website's request: each object is read as S3's API gives it to an anonymous caller,
//! and errors become pages.

use super::routing::{self, Origin, Redirect, Route};
use crate::{Gateway, Peer, addressed::Addressed};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{Body, dto::WebsiteConfiguration, service::S3Service};
use std::fmt::Write as _;

/// Headers of a website's request that reach the object.
const PASSED: [header::HeaderName; 7] = [
    header::RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::REFERER,
    header::USER_AGENT,
];

/// An error, as a page shows it.
struct Fault {
    status: StatusCode,
    code: String,
    message: String,
    /// Such as the key.
    details: Vec<(&'static str, String)>,
}

struct Site<'a> {
    s3: &'a S3Service,
    bucket: &'a str,
    peer: Peer,
    head: &'a Parts,
}

/// Answers a request to a website.
pub(crate) async fn serve(
    gateway: &Gateway,
    s3: &S3Service,
    addressed: &Addressed,
    head: &Parts,
    peer: Peer,
) -> Response<Body> {
    let name = addressed.bucket.as_deref().unwrap_or_default();
    let site = Site { s3, bucket: name, peer, head };
    if head.method != Method::GET && head.method != Method::HEAD {
        return site.page(&Fault {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "MethodNotAllowed".to_owned(),
            message: "The specified method is not allowed against this resource.".to_owned(),
            details: vec![("Method", head.method.to_string()), ("ResourceType", "OBJECT".into())],
        });
    }
    let missing = |code: &str, message: &str| Fault {
        status: StatusCode::NOT_FOUND,
        code: code.to_owned(),
        message: message.to_owned(),
        details: vec![("BucketName", name.to_owned())],
    };
    let Ok(bucket) = gateway.store.bucket(name).await else {
        return site.page(&missing("NoSuchBucket", "The specified bucket does not exist"));
    };
    let row = bucket.row();
    let Some(website) = &row.configuration.website else {
        let message = "The specified bucket does not have a website configuration";
        return site.page(&missing("NoSuchWebsiteConfiguration", message));
    };
    let protocol = if peer.secure { "https" } else { "http" };
    site.answer(website, &addressed.key, Origin { protocol, host: &addressed.host }).await
}

impl Site<'_> {
    async fn answer(
        &self,
        website: &WebsiteConfiguration,
        key: &str,
        origin: Origin<'_>,
    ) -> Response<Body> {
        let object = match routing::route(website, key, origin) {
            Route::Redirect(redirect) => return elsewhere(&redirect),
            Route::Object(object) => object,
        };
        let response = self.get(&object).await;
        if !is_error(response.status()) {
            return redirected(response);
        }
        let fault = fault_of(response, &object);
        if fault.status == StatusCode::NOT_FOUND
            && let Some(index) = routing::folder_index(website, key)
            && !is_error(self.get(&index).await.status())
        {
            let path = utf8_percent_encode(key, PATH);
            return elsewhere(&Redirect { status: 302, location: format!("/{path}/") });
        }
        let status = fault.status.as_u16();
        if let Some(redirect) = routing::after_error(website, key, status, origin) {
            return elsewhere(&redirect);
        }
        let Some(document) = &website.error_document else { return self.page(&fault) };
        let mut response = self.get(&document.key).await;
        if is_error(response.status()) {
            return self.nested(&fault, fault_of(response, &document.key));
        }
        *response.status_mut() = fault.status;
        response
    }

    /// An object, as anybody gets it.
    async fn get(&self, key: &str) -> Response<Body> {
        let path = format!("/{}/{}", self.bucket, utf8_percent_encode(key, PATH));
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.head.method.clone();
        let Ok(uri) = path.parse() else { return internal() };
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        // An address is never taken for a bucket's host.
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1"));
        for name in PASSED {
            if let Some(value) = self.head.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        request.extensions_mut().insert(self.peer);
        self.s3.call(request).await.unwrap_or_else(|_| internal())
    }

    fn page(&self, fault: &Fault) -> Response<Body> {
        self.html(fault, "")
    }

    fn nested(&self, fault: &Fault, other: Fault) -> Response<Body> {
        let mut more = String::from(
            "<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n",
        );
        list(&mut more, &other);
        self.html(fault, &more)
    }

    fn html(&self, fault: &Fault, more: &str) -> Response<Body> {
        let title = format!(
            "{} {}",
            fault.status.as_u16(),
            fault.status.canonical_reason().unwrap_or_default()
        );
        let mut text =
            format!("<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n");
        list(&mut text, fault);
        text.push_str(more);
        text.push_str("<hr/>\n</body>\n</html>\n");
        let body = if self.head.method == Method::HEAD { String::new() } else { text };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = fault.status;
        let headers = response.headers_mut();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, html);
        insert(headers, "x-amz-error-code", &fault.code);
        insert(headers, "x-amz-error-message", &fault.message);
        response
    }
}

/// What a path keeps of itself.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn internal() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

fn elsewhere(redirect: &Redirect) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let status = StatusCode::from_u16(redirect.status);
    *response.status_mut() = status.unwrap_or(StatusCode::MOVED_PERMANENTLY);
    insert(response.headers_mut(), "location", &redirect.location);
    response
}

/// An object may say itself that it is elsewhere.
fn redirected(response: Response<Body>) -> Response<Body> {
    match response.headers().get("x-amz-website-redirect-location") {
        Some(location) => {
            let location = location.to_str().unwrap_or_default().to_owned();
            elsewhere(&Redirect { status: 301, location })
        }
        None => response,
    }
}

fn fault_of(response: Response<Body>, key: &str) -> Fault {
    let status = response.status();
    let body = response.body().bytes().unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let find = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    let by_status = match status {
        StatusCode::NOT_FOUND => "NoSuchKey",
        StatusCode::FORBIDDEN => "AccessDenied",
        _ => "InternalError",
    };
    let code = find("Code").unwrap_or_else(|| by_status.to_owned());
    let message = find("Message").or_else(|| crate::fault::default_message(&code).map(Into::into));
    let details = match code.as_str() {
        "NoSuchKey" => vec![("Key", key.to_owned())],
        _ => Vec::new(),
    };
    Fault { status, message: message.unwrap_or_default(), code, details }
}

fn list(text: &mut String, fault: &Fault) {
    text.push_str("<ul>\n");
    let details = fault.details.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in
        [("Code", fault.code.as_str()), ("Message", &fault.message)].into_iter().chain(details)
    {
        let _ = writeln!(text, "<li>{name}: {}</li>", escape(value));
    }
    text.push_str("</ul>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
