//! What is wrong with a request's head, in S3's words, where s3s has its own or lets it pass.

use crate::{
    access::parameter,
    addressed::{Addressed, Face},
    api::convert::invalid_digest,
    digest::{is_document, text},
    fault,
    store::checksum::Algorithm,
};
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use s3s::S3Error;

/// Parameters that are numbers, with the message for what is none.
const NUMBERS: [(&str, &str); 5] = [
    ("max-keys", "Provided max-keys not an integer or within integer range"),
    ("max-parts", "Provided max-parts not an integer or within integer range"),
    ("max-uploads", "Provided max-uploads not an integer or within integer range"),
    ("part-number-marker", "Provided part-number-marker not an integer or within integer range"),
    ("partNumber", "Part number must be an integer between 1 and 10000, inclusive"),
];

/// Algorithms that AWS has beside ours: not to be taken for headers that mean nothing.
const UNSERVED_CHECKSUMS: [&str; 5] = ["SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"];

const CHECKSUM_ALGORITHM: &str = "x-amz-sdk-checksum-algorithm";

/// Parameters that make a request be about something else than the bucket or the object itself. A
/// method that such a thing doesn't have must not be taken for one of the bucket or object.
const ASPECTS: [&str; 35] = [
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploads",
    "versioning",
    "versions",
    "website",
    "abac",
    "metadataConfiguration",
    "renameObject",
];
/// Those of buckets that DELETE is for.
const DELETED_OF_BUCKETS: [&str; 13] = [
    "analytics",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "lifecycle",
    "metrics",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "replication",
    "tagging",
    "website",
];
/// What of them isn't served at all.
const UNSERVED: [(&str, &str); 3] = [
    ("abac", "Access control by a bucket's tags"),
    ("metadataConfiguration", "S3 Metadata"),
    ("renameObject", "RenameObject"),
];

/// Why a request is refused by its head alone, if it is.
pub(crate) fn refusal(parts: &Parts, addressed: &Addressed) -> Option<S3Error> {
    let query = parts.uri.query().unwrap_or_default();
    let wrong_number = NUMBERS.iter().find_map(|(name, message)| {
        let given = parameter(query, name).filter(|given| !given.is_empty())?;
        let good = given.parse::<i32>().is_ok();
        (!good).then(|| fault::invalid_argument(message, name, &given))
    });
    wrong_number
        .or_else(|| by_authorization(&parts.headers))
        .or_else(|| by_digest(&parts.headers))
        .or_else(|| by_namespace(&parts.headers))
        .or_else(|| by_conditions(parts, query))
        .or_else(|| by_aspect(&parts.method, query, addressed))
}

fn by_authorization(headers: &HeaderMap) -> Option<S3Error> {
    let given = text(headers, "authorization").filter(|given| !given.is_empty())?;
    if let Some(rest) = given.strip_prefix("AWS4-HMAC-SHA256") {
        let three = ["Credential=", "SignedHeaders=", "Signature="];
        if three.iter().all(|part| rest.contains(part)) {
            return None;
        }
        let message = "The authorization header is malformed; the authorization header requires \
                       three components: Credential, SignedHeaders, and Signature.";
        let code = "AuthorizationHeaderMalformed";
        return Some(fault::custom(StatusCode::BAD_REQUEST, code, message));
    }
    let message = match given.strip_prefix("AWS ") {
        Some(rest) if rest.contains(':') => return None,
        Some(_) => "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
        None => "Unsupported Authorization Type",
    };
    Some(fault::invalid_argument(message, "Authorization", given))
}

fn by_aspect(method: &Method, query: &str, addressed: &Addressed) -> Option<S3Error> {
    if addressed.bucket.is_none() || addressed.face == Face::Website {
        return None;
    }
    let object = !addressed.key.is_empty();
    let aspect = ASPECTS.into_iter().find(|name| parameter(query, name).is_some())?;
    if let Some((_, what)) = UNSERVED.iter().find(|(name, _)| *name == aspect) {
        return Some(fault::not_implemented(what));
    }
    let allowed: &[&str] = match (method, object) {
        (&Method::PUT, true) if aspect == "encryption" => {
            return Some(fault::not_implemented("UpdateObjectEncryption"));
        }
        (&Method::PUT, true) => &["acl", "legal-hold", "retention", "tagging"],
        (&Method::PUT, false) => &ASPECTS,
        (&Method::DELETE, true) => &["tagging"],
        (&Method::DELETE, false) => &DELETED_OF_BUCKETS,
        // S3 Select is closed to new customers: they are told that there is no such method.
        (&Method::POST, true) => &["restore", "uploads"],
        (&Method::POST, false) => &["delete"],
        _ => return None,
    };
    (!allowed.contains(&aspect)).then(|| fault::method_not_allowed(method, &aspect.to_uppercase()))
}

fn is_empty_number(pair: &str) -> bool {
    let name = pair.strip_suffix('=').unwrap_or(pair);
    NUMBERS.iter().any(|(number, _)| *number == name)
}

/// Whether a query has numbers that are empty: S3 takes no notice of them.
pub(crate) fn has_empty_numbers(parts: &Parts) -> bool {
    parts.uri.query().is_some_and(|query| query.split('&').any(is_empty_number))
}

/// Takes empty numbers out of a query.
pub(crate) fn drop_empty_numbers(parts: &mut Parts) {
    let query = parts.uri.query().unwrap_or_default();
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_empty_number(pair)).collect();
    let changed = match kept.is_empty() {
        true => parts.uri.path().to_owned(),
        false => format!("{}?{}", parts.uri.path(), kept.join("&")),
    };
    if let Ok(uri) = changed.parse() {
        parts.uri = uri;
    }
}

fn by_digest(headers: &HeaderMap) -> Option<S3Error> {
    if text(headers, "content-md5") == Some("") {
        return Some(invalid_digest(""));
    }
    let given = text(headers, CHECKSUM_ALGORITHM);
    let named = |name: &&str| {
        let header = format!("x-amz-checksum-{}", name.to_ascii_lowercase());
        headers.contains_key(header) || given.is_some_and(|given| given.eq_ignore_ascii_case(name))
    };
    if let Some(name) = UNSERVED_CHECKSUMS.into_iter().find(named) {
        return Some(fault::not_implemented(&format!("The checksum algorithm {name}")));
    }
    let given = given?;
    let Some(algorithm) = Algorithm::of_name(given) else {
        let message = format!("Value for {CHECKSUM_ALGORITHM} header is invalid.");
        return Some(fault::invalid_request(message));
    };
    let trailed = text(headers, "x-amz-trailer")
        .is_some_and(|names| names.to_ascii_lowercase().contains(algorithm.header()));
    if trailed || headers.contains_key(algorithm.header()) {
        return None;
    }
    let message = format!(
        "{CHECKSUM_ALGORITHM} specified, but no corresponding x-amz-checksum-* or x-amz-trailer \
         headers were found."
    );
    Some(fault::invalid_request(message))
}

fn by_namespace(headers: &HeaderMap) -> Option<S3Error> {
    let given = text(headers, "x-amz-bucket-namespace")?;
    (given != "global").then(|| fault::not_implemented("A namespace of buckets but the global one"))
}

/// A write takes one condition, and of those only some.
fn by_conditions(parts: &Parts, query: &str) -> Option<S3Error> {
    let uploads = |name| parameter(query, name).is_some();
    let writes = match parts.method {
        Method::PUT => !is_document(parts) && !uploads("partNumber"),
        Method::POST => uploads("uploadId"),
        _ => false,
    };
    if !writes {
        return None;
    }
    let given = |name: header::HeaderName| text(&parts.headers, name.as_str());
    let (name, more) = match (given(header::IF_MATCH), given(header::IF_NONE_MATCH)) {
        (Some(_), Some(_)) => (
            "If-Match,If-None-Match",
            "Multiple conditional request headers present in the request",
        ),
        (Some("*"), None) => {
            ("If-Match", "We don't accept the provided value of If-Match header for this API")
        }
        (None, Some(value)) if value != "*" => (
            "If-None-Match",
            "We don't accept the provided value of If-None-Match header for this API",
        ),
        (Some(_) | None, None) | (None, Some(_)) => return None,
    };
    let message = "A header you provided implies functionality that is not implemented";
    let refused = fault::custom(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message);
    Some(fault::with(refused, &[("Header", name), ("additionalMessage", more)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Domains;

    type Headers = &'static [(&'static str, &'static str)];

    fn parts(method: Method, uri: &str, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn heads() {
        let code = |method, uri, headers: &[_]| {
            let parts = parts(method, uri, headers);
            let domains = Domains::new(&["localhost".to_owned()]);
            let addressed = Addressed::of(&parts.uri, &parts.headers, &domains);
            refusal(&parts, &addressed).map(|error| error.code().as_str().to_owned())
        };
        let (get, put) = (Method::GET, Method::PUT);
        assert_eq!(code(get.clone(), "/b?max-keys=7&prefix=x", &[]), None);
        assert_eq!(code(get.clone(), "/b?max-keys=", &[]), None);
        for bad in ["/b?max-keys=blah", "/b?x&max-keys=2147483648", "/b/k?partNumber=one"] {
            assert_eq!(code(get.clone(), bad, &[]).as_deref(), Some("InvalidArgument"), "{bad}");
        }
        let refused: [(Headers, Option<&str>); 12] = [
            (&[("content-md5", "")], Some("InvalidDigest")),
            (&[(CHECKSUM_ALGORITHM, "CRC99")], Some("InvalidRequest")),
            (&[(CHECKSUM_ALGORITHM, "CRC32")], Some("InvalidRequest")),
            (&[(CHECKSUM_ALGORITHM, "CRC32"), ("x-amz-checksum-crc32", "AA")], None),
            (&[(CHECKSUM_ALGORITHM, "crc32"), ("x-amz-trailer", "x-amz-checksum-crc32")], None),
            (&[(CHECKSUM_ALGORITHM, "SHA512")], Some("NotImplemented")),
            (&[("x-amz-checksum-xxhash3", "AA")], Some("NotImplemented")),
            (&[("x-amz-bucket-namespace", "account-regional")], Some("NotImplemented")),
            (&[("if-none-match", "*")], None),
            (&[("if-match", "*")], Some("NotImplemented")),
            (&[("if-none-match", "\"a\"")], Some("NotImplemented")),
            (&[("if-match", "\"a\""), ("if-none-match", "*")], Some("NotImplemented")),
        ];
        for (headers, expected) in refused {
            assert_eq!(code(put.clone(), "/b/k", headers).as_deref(), expected, "{headers:?}");
        }
        assert_eq!(code(get.clone(), "/b/k", &[("if-none-match", "\"a\"")]), None);
        let key = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request";
        let signed: [(&str, Option<&str>); 6] = [
            ("AWS4-HMAC-SHA256 Credential=a,SignedHeaders=b,Signature=c", None),
            (key, Some("AuthorizationHeaderMalformed")),
            ("AWS key:signature", None),
            ("AWS HAHAHA", Some("InvalidArgument")),
            ("Bearer token", Some("InvalidArgument")),
            ("", None),
        ];
        for (header, expected) in signed {
            let header = Box::leak(header.to_owned().into_boxed_str());
            let found = code(get.clone(), "/b/k", &[("authorization", header)]);
            assert_eq!(found.as_deref(), expected, "{header}");
        }
    }

    #[test]
    fn nothing_is_taken_for_the_bucket_or_object_itself() {
        let code = |method, uri| {
            let parts = parts(method, uri, &[]);
            let domains = Domains::new(&["localhost".to_owned()]);
            let addressed = Addressed::of(&parts.uri, &parts.headers, &domains);
            refusal(&parts, &addressed).map(|error| error.code().as_str().to_owned())
        };
        let (not_allowed, unserved) = (Some("MethodNotAllowed"), Some("NotImplemented"));
        for (method, uri, expected) in [
            (Method::PUT, "/b/k", None),
            (Method::PUT, "/b/k?acl", None),
            (Method::PUT, "/b/k?uploadId=x&partNumber=1", None),
            (Method::PUT, "/b/k?cors", not_allowed),
            (Method::PUT, "/b/k?encryption", unserved),
            (Method::PUT, "/b/k?renameObject", unserved),
            (Method::PUT, "/b?encryption", None),
            (Method::GET, "/b?abac", unserved),
            (Method::GET, "/b/k?attributes", None),
            (Method::DELETE, "/b", None),
            (Method::DELETE, "/b?cors", None),
            (Method::DELETE, "/b?versioning", not_allowed),
            (Method::DELETE, "/b/k?tagging", None),
            (Method::DELETE, "/b/k?versionId=1", None),
            (Method::DELETE, "/b/k?retention", not_allowed),
            (Method::POST, "/b?delete", None),
            (Method::POST, "/b/k?uploads", None),
            (Method::POST, "/b/k?acl", not_allowed),
            (Method::POST, "/b/k?select&select-type=2", not_allowed),
        ] {
            assert_eq!(code(method.clone(), uri).as_deref(), expected, "{method} {uri}");
        }
    }

    #[test]
    fn empty_numbers_go() {
        for (before, after) in [
            ("/b?max-keys=&prefix=a%20b", "/b?prefix=a%20b"),
            ("/b?max-keys", "/b"),
            ("/b?prefix=", "/b?prefix="),
        ] {
            let mut head = parts(Method::GET, before, &[]);
            assert_eq!(has_empty_numbers(&head), before != after);
            drop_empty_numbers(&mut head);
            assert_eq!(head.uri.to_string(), after);
        }
    }
}
