//! What s3s's answers lack, or say in other words than S3.

use crate::{access::parameter, addressed::Addressed, fault, store::objects::key_too_long};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use s3s::{Body, S3Error, S3ErrorCode};

/// The year 10000, in seconds since 1970.
const MAX_SECONDS: i64 = 253_402_300_800;

/// What of a request its answer depends on.
pub(crate) struct Question {
    method: Method,
    query: String,
    bucket: bool,
    object: bool,
    /// In bytes.
    key_len: usize,
}

impl Question {
    pub(crate) fn of(parts: &Parts, addressed: &Addressed) -> Self {
        Self {
            method: parts.method.clone(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            bucket: addressed.bucket.is_some(),
            object: !addressed.key.is_empty(),
            key_len: addressed.key.len(),
        }
    }

    /// Completes an answer to it.
    pub(crate) fn complete(&self, response: &mut Response<Body>, now_ms: u64) {
        if let Some(status) = response.headers_mut().remove(fault::STATUS)
            && let Some(status) = StatusCode::from_bytes(status.as_bytes()).ok()
        {
            *response.status_mut() = status;
        }
        if let Some(made) = response.headers_mut().remove(fault::MADE) {
            complete_form(response, made);
        }
        match response.status() {
            StatusCode::NOT_IMPLEMENTED => self.refuse_unknown(response),
            StatusCode::FORBIDDEN => self.date(response, now_ms),
            StatusCode::BAD_REQUEST => self.refuse(response),
            _ if parameter(&self.query, "attributes").is_some() => bare_etag(response),
            _ => {}
        }
    }

    fn refuse(&self, response: &mut Response<Body>) {
        let bare = !response.headers().contains_key(fault::DETAILS);
        if bare && says(response, "<Code>KeyTooLongError</Code>") {
            replace(response, key_too_long(self.key_len));
        } else {
            refuse_by_policy(response);
        }
    }

    /// There is no such method, rather than that it isn't implemented.
    fn refuse_unknown(&self, response: &mut Response<Body>) {
        if !says(response, "<Message>Unknown operation</Message>") {
            return;
        }
        let form = self.method == Method::POST && self.bucket && !self.object;
        replace(
            response,
            if form {
                let must = "Bucket POST must be of the enclosure-type multipart/form-data";
                fault::precondition_failed(must)
            } else {
                let what = match (self.bucket, self.object) {
                    (_, true) => "OBJECT",
                    (true, false) => "BUCKET",
                    (false, false) => "SERVICE",
                };
                fault::method_not_allowed(&self.method, what)
            },
        );
    }

    /// A presigned URL that has expired is told when.
    fn date(&self, response: &mut Response<Body>, now_ms: u64) {
        if says(response, "<Message>Request has expired</Message>") {
            let now = iso(i64::try_from(now_ms / 1000).unwrap_or(i64::MAX));
            let lasts = parameter(&self.query, "X-Amz-Expires");
            let until = match &lasts {
                Some(lasts) => parameter(&self.query, "X-Amz-Date")
                    .and_then(|date| seconds(&date)?.checked_add(lasts.parse().ok()?)),
                None => parameter(&self.query, "Expires").and_then(|until| until.parse().ok()),
            };
            let until = until.filter(|until| (0..MAX_SECONDS).contains(until));
            let Some(until) = until.map(iso) else { return expired_policy(response) };
            let mut elements: Vec<(&str, &str)> = Vec::new();
            elements.extend(lasts.as_deref().map(|lasts| ("X-Amz-Expires", lasts)));
            elements.extend([("Expires", until.as_str()), ("ServerTime", now.as_str())]);
            let message = "Request has expired";
            let refused = fault::fault(S3ErrorCode::AccessDenied, message);
            replace(response, fault::with(refused, &elements));
        }
    }
}

fn says(response: &Response<Body>, what: &str) -> bool {
    let body = response.body().bytes();
    body.is_some_and(|body| std::str::from_utf8(&body).is_ok_and(|text| text.contains(what)))
}

fn replace(response: &mut Response<Body>, refused: S3Error) {
    if let Ok(refused) = refused.to_http_response() {
        *response = refused;
    }
}

fn expired_policy(response: &mut Response<Body>) {
    let message = "Invalid according to Policy: Policy expired.";
    replace(response, fault::fault(S3ErrorCode::AccessDenied, message));
}

fn iso(seconds: i64) -> String {
    types::Timestamp::from_millis(seconds.saturating_mul(1000)).to_string().replace(".000Z", "Z")
}

/// The seconds since 1970 of `20260102T030405Z`.
fn seconds(date: &str) -> Option<i64> {
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let date = time::PrimitiveDateTime::parse(date, format).ok()?;
    Some(date.assume_utc().unix_timestamp())
}

/// The answer to a form that has made an object says where, and its ETag in quotes.
fn complete_form(response: &mut Response<Body>, made: HeaderValue) {
    let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
    let Some(bare) = etag.map(|etag| etag.trim_matches('"').to_owned()) else { return };
    if response.status() == StatusCode::SEE_OTHER {
        let there = response.headers().get(header::LOCATION).and_then(|there| there.to_str().ok());
        let quoted = there
            .map(|there| there.replace(&format!("etag={bare}"), &format!("etag=%22{bare}%22")));
        if let Some(there) = quoted.and_then(|there| there.parse().ok()) {
            response.headers_mut().insert(header::LOCATION, there);
        }
        return;
    }
    if response.status() == StatusCode::CREATED
        && let Some(body) = response.body().bytes()
        && let Ok(text) = std::str::from_utf8(&body)
        && let Ok(url) = made.to_str()
        && let Some(location) = between(text, "<Location>", "</Location>")
    {
        let text = text.replacen(location, &url.replace('&', "&amp;"), 1).replacen(
            &format!("<ETag>{bare}<"),
            &format!("<ETag>&quot;{bare}&quot;<"),
            1,
        );
        *response.body_mut() = Body::from(Bytes::from(text));
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response.headers_mut().insert(header::LOCATION, made);
}

/// A form that its policy doesn't allow is refused in S3's words, where s3s has its own.
fn refuse_by_policy(response: &mut Response<Body>) {
    if says(response, "<Code>InvalidPolicyDocument</Code><Message>Policy condition") {
        let message = "Invalid according to Policy: Policy Condition failed";
        replace(response, fault::fault(S3ErrorCode::AccessDenied, message));
    }
}

/// GetObjectAttributes gives the ETag without the quotes that s3s writes.
fn bare_etag(response: &mut Response<Body>) {
    let Some(body) = response.body().bytes() else { return };
    let Ok(text) = std::str::from_utf8(&body) else { return };
    let Some(etag) = between(text, "<ETag>", "</ETag>") else { return };
    let bare = etag.replace("&quot;", "").replace('"', "");
    let text = text.replacen(etag, &bare, 1);
    *response.body_mut() = Body::from(Bytes::from(text));
    response.headers_mut().remove(header::CONTENT_LENGTH);
}

/// What is between the first of two texts and the second after it.
pub(crate) fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(begin)?.1.split_once(end)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(seconds("20260102T030405Z"), Some(1_767_323_045));
        assert_eq!(seconds("2026"), None);
        assert_eq!(iso(1_767_323_045), "2026-01-02T03:04:05Z");
    }
}
