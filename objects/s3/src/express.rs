//! S3 Express: there are no directory buckets here, and who asks for them is told so.
//!
//! Its requests are signed for a service of its own, which s3s doesn't know. They are verified here, and
//! signed anew for S3, so that all else goes its ordinary way.

use crate::{
    Gateway, Identities,
    access::{Ask, caller_of, without_bucket},
    fault, resign,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use ring::hmac;
use s3s::{Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use time::{OffsetDateTime, PrimitiveDateTime};

const SERVICE: &str = "s3express";
/// How far a client's clock may be off, in seconds.
const MAX_SKEW_S: i64 = 900;

/// Says that a request is for S3 Express; an extension of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Express;

/// A signature and what it is over.
struct Signed<'a> {
    access_key: &'a str,
    day: &'a str,
    region: &'a str,
    headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Signed<'a> {
    /// None unless it is one for S3 Express.
    fn of(headers: &'a HeaderMap) -> Option<Self> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let rest = value.strip_prefix("AWS4-HMAC-SHA256")?;
        let part = |name: &str| {
            rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let mut scope = part("Credential")?.split('/');
        let (access_key, day, region) = (scope.next()?, scope.next()?, scope.next()?);
        (scope.next()? == SERVICE).then_some(())?;
        let headers = part("SignedHeaders")?.split(';').collect();
        Some(Self { access_key, day, region, headers, signature: part("Signature")? })
    }

    /// Whether this is what a secret signs.
    fn is_by(&self, secret: &str, parts: &Parts) -> bool {
        let Some(text) =
            resign::text_to_sign(parts, &self.headers, (self.day, self.region), SERVICE)
        else {
            return false;
        };
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [self.day, self.region, SERVICE, "aws4_request"] {
            let signer = hmac::Key::new(hmac::HMAC_SHA256, &key);
            key = hmac::sign(&signer, part.as_bytes()).as_ref().to_vec();
        }
        let given = hex::decode(self.signature).unwrap_or_default();
        let signer = hmac::Key::new(hmac::HMAC_SHA256, &key);
        self.headers.contains(&"host") && hmac::verify(&signer, text.as_bytes(), &given).is_ok()
    }
}

/// Takes in a request for S3 Express: verifies its signature, and signs it for S3.
///
/// # Errors
/// The signature isn't right.
pub(crate) async fn take_in(parts: &mut Parts, identities: &dyn Identities) -> S3Result<()> {
    let Some(signed) = Signed::of(&parts.headers) else { return Ok(()) };
    if !identities.trust_any_key() {
        let known = identities.find(signed.access_key).await;
        let known = known.ok_or_else(|| {
            let unknown: S3Error = S3ErrorCode::InvalidAccessKeyId.into();
            fault::with(unknown, &[("AWSAccessKeyId", signed.access_key)])
        })?;
        if !signed.is_by(&known.secret, parts) {
            return Err(S3ErrorCode::SignatureDoesNotMatch.into());
        }
        check_date(&parts.headers)?;
    }
    resign::resign(parts, identities).await;
    parts.extensions.insert(Express);
    Ok(())
}

fn check_date(headers: &HeaderMap) -> S3Result<()> {
    let date = headers.get(resign::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| PrimitiveDateTime::parse(date, resign::ISO).ok());
    let now = OffsetDateTime::now_utc();
    let near = |date: PrimitiveDateTime| (now - date.assume_utc()).whole_seconds().abs();
    match date.map(near) {
        Some(skew_s) if skew_s <= MAX_SKEW_S => Ok(()),
        Some(_) | None => Err(fault::fault(
            S3ErrorCode::RequestTimeTooSkewed,
            "The difference between the request time and the current time is too large.",
        )),
    }
}

/// Answers a request for S3 Express.
///
/// # Errors
/// It isn't `ListDirectoryBuckets`, or the caller may not.
pub(crate) async fn answer(gateway: &Gateway, req: &S3Request<Body>) -> S3Result<S3Response<Body>> {
    let caller = caller_of(gateway, req).await?;
    let bucket = bucket_of(&req.uri);
    if req.method != Method::GET || !bucket.is_empty() {
        return Err(fault::no_such_bucket(bucket));
    }
    let ask = Ask { action: "s3express:ListAllMyDirectoryBuckets", bucket: None, key: None };
    without_bucket(gateway, &caller, ask)?;
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListAllMyDirectoryBucketsResult \
                xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Buckets></Buckets>\
                </ListAllMyDirectoryBucketsResult>";
    let mut response = S3Response::with_status(Body::from(text.to_owned()), StatusCode::OK);
    let kind = HeaderValue::from_static("application/xml");
    response.headers.insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn bucket_of(uri: &Uri) -> &str {
    uri.path().trim_start_matches('/').split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FixedIdentities, Identity};
    use std::sync::Arc;

    fn request(secret_signature: &str, date: &str) -> Parts {
        let value = format!(
            "AWS4-HMAC-SHA256 Credential=AK/{}/us-east-1/s3express/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={secret_signature}",
            date.get(..8).unwrap_or_default()
        );
        http::Request::get("/?x-id=ListDirectoryBuckets")
            .header("host", "127.0.0.1")
            .header("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            .header("x-amz-date", date)
            .header("authorization", value)
            .body(())
            .expect("a request")
            .into_parts()
            .0
    }

    fn identities() -> FixedIdentities {
        let one = Identity {
            access_key: "AK".to_owned(),
            secret: "secret".to_owned(),
            session_token: None,
            account: "111111111111".to_owned(),
            arn: "arn:aws:iam::111111111111:root".to_owned(),
            user_id: "111111111111".to_owned(),
            canonical_id: "1".repeat(64),
            display_name: "one".to_owned(),
            organization: None,
            root: true,
            own: None,
        };
        FixedIdentities { identities: vec![Arc::new(one)], trust_any_key: false }
    }

    fn sign(parts: &Parts, day: &str) -> String {
        let headers = ["host", "x-amz-content-sha256", "x-amz-date"];
        let text = resign::text_to_sign(parts, &headers, (day, "us-east-1"), SERVICE);
        let text = text.expect("a text");
        let mut key = b"AWS4secret".to_vec();
        for part in [day, "us-east-1", SERVICE, "aws4_request", &text] {
            let signer = hmac::Key::new(hmac::HMAC_SHA256, &key);
            key = hmac::sign(&signer, part.as_bytes()).as_ref().to_vec();
        }
        hex::encode(key)
    }

    #[tokio::test]
    async fn signatures_are_verified() {
        let now = OffsetDateTime::now_utc().format(resign::ISO).expect("a date");
        let day = &now[..8];
        let mut good = request(&sign(&request("", &now), day), &now);
        take_in(&mut good, &identities()).await.expect("it is right");
        assert!(good.extensions.get::<Express>().is_some());
        let now_for = good.headers[header::AUTHORIZATION].to_str().expect("text");
        assert!(now_for.contains("/us-east-1/s3/aws4_request"), "{now_for}");

        let refused = |mut parts: Parts| async move {
            let refused = take_in(&mut parts, &identities()).await.expect_err("refused");
            assert!(parts.extensions.get::<Express>().is_none());
            refused.code().as_str().to_owned()
        };
        assert_eq!(refused(request(&"0".repeat(64), &now)).await, "SignatureDoesNotMatch");
        assert_eq!(refused(request("", &now)).await, "SignatureDoesNotMatch");
        let old = "20200101T000000Z";
        let late = request(&sign(&request("", old), "20200101"), old);
        assert_eq!(refused(late).await, "RequestTimeTooSkewed");
        let mut other = request("x", &now);
        let value = other.headers[header::AUTHORIZATION].to_str().expect("text");
        let value = value.replace(SERVICE, "s3").parse().expect("a value");
        other.headers.insert(header::AUTHORIZATION, value);
        take_in(&mut other, &identities()).await.expect("none of ours");
        assert!(other.extensions.get::<Express>().is_none());
    }
}
