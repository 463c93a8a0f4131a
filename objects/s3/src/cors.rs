//! Cross-origin requests: preflights are answered before anything is signed or looked up, and
//! actual requests get the headers that browsers ask for.

use crate::{
    Gateway,
    addressed::Addressed,
    configuration::cors::{self, Ask, Grant},
    fault,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use s3s::{Body, S3Error};

/// Answers `OPTIONS`.
pub(crate) async fn preflight(
    gateway: &Gateway,
    headers: &HeaderMap,
    addressed: &Addressed,
) -> http::Response<Body> {
    match granted(gateway, headers, addressed).await {
        Ok(grant) => {
            let mut response = http::Response::new(Body::empty());
            put(&grant, response.headers_mut(), true);
            response
        }
        Err(error) => {
            error.to_http_response().unwrap_or_else(|_| http::Response::new(Body::empty()))
        }
    }
}

async fn granted(
    gateway: &Gateway,
    headers: &HeaderMap,
    addressed: &Addressed,
) -> Result<Grant, S3Error> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let bad = |message: &str| fault::custom(StatusCode::BAD_REQUEST, "BadRequest", message);
    let origin = text(header::ORIGIN)
        .ok_or_else(|| bad("Insufficient information. Origin request header needed."))?;
    let method = text(header::ACCESS_CONTROL_REQUEST_METHOD).unwrap_or("null");
    if !["GET", "PUT", "HEAD", "POST", "DELETE"].contains(&method) {
        return Err(bad(&format!("Invalid Access-Control-Request-Method: {method}")));
    }
    let forbidden = |message: &str| {
        let error = fault::custom(StatusCode::FORBIDDEN, "AccessForbidden", message);
        let kind = if addressed.key.is_empty() { "BUCKET" } else { "OBJECT" };
        fault::with(error, &[("Method", method), ("ResourceType", kind)])
    };
    let bucket = match &addressed.bucket {
        Some(name) => gateway.store.bucket(name).await,
        None => Err(fault::internal()),
    };
    let Ok(bucket) = bucket else { return Err(forbidden("CORSResponse: Bucket not found")) };
    let row = bucket.row();
    let Some(configuration) = &row.configuration.cors else {
        return Err(forbidden("CORSResponse: CORS is not enabled for this bucket."));
    };
    let ask = Ask { origin, method, headers: text(header::ACCESS_CONTROL_REQUEST_HEADERS) };
    cors::matching(configuration, ask).ok_or_else(|| {
        forbidden(
            "CORSResponse: This CORS request is not allowed. This is usually because the \
             evalution of Origin, request method / Access-Control-Request-Method or \
             Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
        )
    })
}

/// What the answer to an actual request shall carry; none if it is not a cross-origin request, or
/// no rule matches.
pub(crate) async fn of_request(
    gateway: &Gateway,
    method: &Method,
    headers: &HeaderMap,
    addressed: &Addressed,
) -> Option<Grant> {
    let origin = headers.get(header::ORIGIN)?.to_str().ok()?;
    let bucket = gateway.store.bucket(addressed.bucket.as_deref()?).await.ok()?;
    let row = bucket.row();
    let ask = Ask { origin, method: method.as_str(), headers: None };
    cors::matching(row.configuration.cors.as_ref()?, ask)
}

/// Puts a grant on an answer.
pub(crate) fn put(grant: &Grant, headers: &mut HeaderMap, preflight: bool) {
    for (name, value) in grant.headers(preflight) {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}
