//! What the audit log is told of requests: of those that are somebody's, once they are answered.

use crate::{
    Gateway, Identity, Peer,
    access::Passport,
    addressed::{Addressed, Face},
    answers::between,
    around::{code_of, credentials},
    express::Express,
};
use http::{Response, header, request::Parts};
use s3s::Body;
use std::{fmt, sync::Arc};

/// Takes what is told.
pub trait Audit: fmt::Debug + Send + Sync {
    /// Whether it wants to hear of objects, too, and not of buckets alone.
    fn wants_objects(&self) -> bool;

    /// Takes in a request that was answered; must not wait.
    fn take(&self, trace: Trace);
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Who asked.
    pub identity: Arc<Identity>,
    /// As `PutBucketPolicy`.
    pub operation: String,
    /// Whether it is about a bucket, and not about what is in it.
    pub management: bool,
    pub read_only: bool,
    pub bucket: Option<String>,
    pub key: Option<String>,
    /// Of the URL, without what signs it.
    pub parameters: Vec<(String, String)>,
    pub region: String,
    /// When it was answered.
    pub at_ms: u64,
    pub peer: Peer,
    pub user_agent: Option<String>,
    pub host: String,
    /// The error's code and message, if it was refused.
    pub error: Option<(String, String)>,
    pub request_id: String,
    pub host_id: String,
    /// Whether the client was there to be answered.
    pub was_sent: bool,
    /// A random UUID.
    pub event_id: String,
}

/// The subresources of buckets, each as its operations' names have it.
const OF_BUCKETS: &[(&str, &str)] = &[
    ("accelerate", "BucketAccelerateConfiguration"),
    ("acl", "BucketAcl"),
    ("analytics", "BucketAnalyticsConfiguration"),
    ("cors", "BucketCors"),
    ("encryption", "BucketEncryption"),
    ("inventory", "BucketInventoryConfiguration"),
    ("lifecycle", "BucketLifecycle"),
    ("location", "BucketLocation"),
    ("logging", "BucketLogging"),
    ("metrics", "BucketMetricsConfiguration"),
    ("notification", "BucketNotification"),
    ("object-lock", "BucketObjectLockConfiguration"),
    ("ownershipControls", "BucketOwnershipControls"),
    ("policy", "BucketPolicy"),
    ("policyStatus", "BucketPolicyStatus"),
    ("publicAccessBlock", "BucketPublicAccessBlock"),
    ("replication", "BucketReplication"),
    ("requestPayment", "BucketRequestPayment"),
    ("tagging", "BucketTagging"),
    ("versioning", "BucketVersioning"),
    ("website", "BucketWebsite"),
];
/// The subresources of objects.
const OF_OBJECTS: &[(&str, &str)] = &[
    ("acl", "ObjectAcl"),
    ("attributes", "ObjectAttributes"),
    ("legal-hold", "ObjectLegalHold"),
    ("retention", "ObjectRetention"),
    ("tagging", "ObjectTagging"),
];

/// A request's operation, and whether it is about a bucket rather than about what is in it.
fn operation(
    method: &str,
    (has_bucket, has_key): (bool, bool),
    has: impl Fn(&str) -> bool,
    copies: bool,
) -> (String, bool) {
    let verb = match method {
        "GET" => "Get",
        "HEAD" => "Head",
        "PUT" => "Put",
        "DELETE" => "Delete",
        _ => "Post",
    };
    let named = |table: &[(&str, &str)]| {
        let found = table.iter().find(|(parameter, _)| has(parameter));
        found.map(|(_, name)| format!("{verb}{name}"))
    };
    if !has_bucket {
        return ("ListBuckets".to_owned(), true);
    }
    if !has_key {
        if let Some(name) = named(OF_BUCKETS) {
            return (name, true);
        }
        return match method {
            "PUT" => ("CreateBucket".to_owned(), true),
            "DELETE" => ("DeleteBucket".to_owned(), true),
            "HEAD" => ("HeadBucket".to_owned(), true),
            "POST" if has("delete") => ("DeleteObjects".to_owned(), false),
            "POST" => ("PostObject".to_owned(), false),
            _ if has("uploads") => ("ListMultipartUploads".to_owned(), false),
            _ if has("versions") => ("ListObjectVersions".to_owned(), false),
            _ => ("ListObjects".to_owned(), false),
        };
    }
    let name = match method {
        "PUT" if has("partNumber") && copies => "UploadPartCopy",
        "PUT" if has("partNumber") => "UploadPart",
        "POST" if has("uploads") => "CreateMultipartUpload",
        "POST" if has("uploadId") => "CompleteMultipartUpload",
        "POST" if has("restore") => "RestoreObject",
        "POST" if has("select") => "SelectObjectContent",
        "GET" if has("uploadId") => "ListParts",
        "DELETE" if has("uploadId") => "AbortMultipartUpload",
        "PUT" if copies => "CopyObject",
        _ => return (named(OF_OBJECTS).unwrap_or_else(|| format!("{verb}Object")), false),
    };
    (name.to_owned(), false)
}

/// Whether a parameter of the URL signs it.
fn signs(name: &str) -> bool {
    let begins = name.get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case("X-Amz-"));
    begins || ["Signature", "AWSAccessKeyId", "Expires"].contains(&name)
}

/// What is known of a request that the audit log may be told of; none if it won't be.
async fn begin(
    gateway: &Gateway,
    head: &Parts,
    addressed: &Addressed,
    peer: Peer,
) -> Option<Box<Trace>> {
    let audit = gateway.audit.as_ref().filter(|_| addressed.face == Face::Api)?;
    let query = head.uri.query().unwrap_or_default();
    let (key_id, ..) = credentials(&head.headers, query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs: Vec<(&str, &str)> =
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let has = |name: &str| pairs.iter().any(|(given, _)| *given == name);
    let method = head.method.as_str();
    let has_key = !addressed.key.is_empty();
    let copies = head.headers.contains_key("x-amz-copy-source");
    let (operation, management) =
        operation(method, (addressed.bucket.is_some(), has_key), has, copies);
    let operation = match head.extensions.get::<Express>() {
        Some(_) if addressed.bucket.is_none() => "ListDirectoryBuckets".to_owned(),
        Some(_) | None => operation,
    };
    if method == "OPTIONS" || !(management || audit.wants_objects()) {
        return None;
    }
    let identity = gateway.identities.find(&key_id?).await?;
    let user_agent = head.headers.get(header::USER_AGENT);
    let own = pairs.iter().filter(|(name, _)| !signs(name));
    let decoded =
        |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some(Box::new(Trace {
        identity,
        operation,
        management,
        read_only: method == "GET" || method == "HEAD",
        bucket: addressed.bucket.clone(),
        key: has_key.then(|| addressed.key.clone()),
        parameters: own.map(|(name, value)| (decoded(name), decoded(value))).collect(),
        region: gateway.settings.region.clone(),
        at_ms: 0,
        peer,
        user_agent: user_agent.and_then(|agent| agent.to_str().ok()).map(str::to_owned),
        host: addressed.host.clone(),
        error: None,
        request_id: String::new(),
        host_id: String::new(),
        was_sent: false,
        event_id: uuid(),
    }))
}

/// A request that the audit log hears of, once it is answered: also if its client goes away before,
/// since what it asked may be done nevertheless.
#[derive(Debug)]
pub(crate) struct Tracing {
    gateway: Gateway,
    passport: Passport,
    /// None once it is told, or if it isn't to be.
    trace: Option<Box<Trace>>,
}

impl Tracing {
    /// A request whose passport says whether it is somebody's.
    pub(crate) async fn begin(
        gateway: &Gateway,
        (head, addressed): (&Parts, &Addressed),
        peer: Peer,
        passport: &Passport,
    ) -> Self {
        let trace = begin(gateway, head, addressed, peer).await;
        Self { gateway: gateway.clone(), passport: passport.clone(), trace }
    }

    /// Tells the audit log, once the answer has all of its headers.
    pub(crate) fn end(mut self, response: &Response<Body>) {
        let Some(trace) = &mut self.trace else { return };
        let text = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        trace.request_id = text("x-amz-request-id");
        trace.host_id = text("x-amz-id-2");
        trace.was_sent = true;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            let body = response.body().bytes();
            let body = body.as_deref().and_then(|body| std::str::from_utf8(body).ok());
            let message = body.and_then(|body| between(body, "<Message>", "</Message>"));
            // An answer to HEAD says no more than its status.
            let code = code_of(response).unwrap_or_else(|| status.as_u16().to_string());
            trace.error = Some((code, message.unwrap_or_default().to_owned()));
        }
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        let (Some(mut trace), Some(audit)) = (self.trace.take(), &self.gateway.audit) else {
            return;
        };
        if self.passport.is_stamped() {
            trace.at_ms = self.gateway.store.now_ms();
            audit.take(*trace);
        }
    }
}

fn uuid() -> String {
    let bits = rand::random::<u128>() & !(0xf000 << 64) & !(0xc000 << 48);
    let hex = format!("{:032x}", bits | (0x4000 << 64) | (0x8000 << 48));
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_cloudtrails_names() {
        let table = [
            ("GET", "", false, false, "ListBuckets", true),
            ("PUT", "", true, false, "CreateBucket", true),
            ("PUT", "policy", true, false, "PutBucketPolicy", true),
            ("DELETE", "policy", true, false, "DeleteBucketPolicy", true),
            ("GET", "policyStatus", true, false, "GetBucketPolicyStatus", true),
            ("GET", "list-type", true, false, "ListObjects", false),
            ("POST", "delete", true, false, "DeleteObjects", false),
            ("PUT", "", true, true, "PutObject", false),
            ("GET", "tagging", true, true, "GetObjectTagging", false),
            ("POST", "uploads", true, true, "CreateMultipartUpload", false),
            ("DELETE", "uploadId", true, true, "AbortMultipartUpload", false),
        ];
        for (method, parameter, bucket, key, name, management) in table {
            let found = operation(method, (bucket, key), |asked| asked == parameter, false);
            assert_eq!(found, (name.to_owned(), management), "{method} {parameter}");
        }
    }

    #[test]
    fn an_events_id_is_a_uuid() {
        let id = uuid();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
        assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
    }

    #[test]
    fn what_signs_is_left_out() {
        for name in ["X-Amz-Signature", "x-amz-security-token", "Signature", "AWSAccessKeyId"] {
            assert!(signs(name), "{name}");
        }
        assert!(!signs("policy") && !signs("prefix"));
    }
}
