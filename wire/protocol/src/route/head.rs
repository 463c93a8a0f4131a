//! Whether a request is S3's, by its head alone: S3 shares the one port, and its bytes go another way.

use http::{HeaderMap, header, request::Parts};

/// The most bytes of a request's head that are looked at to sort it, in bytes.
pub const MAX_HEAD: usize = 16 << 10;

/// The type of TLS's first record.
const TLS_HANDSHAKE: u8 = 22;

/// What a request's head says of the service that it is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head<'a> {
    pub method: &'a str,
    /// Still encoded.
    pub path: &'a str,
    /// What follows the `?`, still encoded.
    pub query: &'a str,
    pub host: &'a str,
    pub authorization: &'a str,
    pub content_type: &'a str,
    /// Whether it names an operation of a JSON service.
    pub target: bool,
}

/// For whom a new connection is, as far as can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sorted {
    /// Its first request is S3's.
    S3,
    /// It begins with a handshake of TLS.
    Tls,
    /// Its first request is another service's, or none at all.
    Other,
    /// Its first request's head isn't complete yet.
    More,
}

/// Sorts a connection by its first bytes.
#[must_use]
pub fn sort(bytes: &[u8]) -> Sorted {
    if bytes.first() == Some(&TLS_HANDSHAKE) {
        return Sorted::Tls;
    }
    // Methods are in capitals: what begins otherwise is no request.
    if bytes.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
        return Sorted::Other;
    }
    let end = bytes.windows(4).position(|at| at == b"\r\n\r\n");
    if end.is_none() && bytes.len() < MAX_HEAD {
        return Sorted::More;
    }
    let head = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    match Head::parse(head) {
        Some(head) if head.is_s3() => Sorted::S3,
        Some(_) | None => Sorted::Other,
    }
}

impl<'a> Head<'a> {
    /// The head of a request that was read.
    #[must_use]
    pub fn of(parts: &'a Parts) -> Self {
        let text = |name| text(&parts.headers, name);
        let authority = parts.uri.authority().map_or("", http::uri::Authority::as_str);
        Self {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            host: if authority.is_empty() { text(header::HOST) } else { authority },
            authorization: text(header::AUTHORIZATION),
            content_type: text(header::CONTENT_TYPE),
            target: parts.headers.contains_key("x-amz-target"),
        }
    }

    /// A head as it came, or its beginning.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // What isn't text names no service.
            std::str::from_utf8(line).unwrap_or_default()
        });
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let mut head = Self { method, ..Self::default() };
        let target = match target.split_once("://") {
            Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                let path = rest.find(['/', '?']).unwrap_or(rest.len());
                head.host = &rest[..path];
                &rest[path..]
            }
            Some(_) | None => target,
        };
        (head.path, head.query) = target.split_once('?').unwrap_or((target, ""));
        if head.path.is_empty() {
            head.path = "/";
        }
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            let named = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            if named("host") && head.host.is_empty() {
                head.host = value;
            } else if named("authorization") {
                head.authorization = value;
            } else if named("content-type") {
                head.content_type = value;
            } else if named("x-amz-target") {
                head.target = true;
            }
        }
        Some(head)
    }

    /// Whether the request is for S3: what its signer says; else what the host's name says; else
    /// whatever isn't in the form of another service's call.
    #[must_use]
    pub fn is_s3(&self) -> bool {
        // No bucket's name begins with `_`.
        if self.path.starts_with("/_fogbank/") || !self.path.starts_with('/') {
            return false;
        }
        match self.signed_for() {
            Some(service) => matches!(service, "s3" | "s3express" | "s3-object-lambda"),
            None => self.has_s3_host() || !self.is_a_call(),
        }
    }

    /// The service that the signature is for; none without a signature that says so.
    fn signed_for(&self) -> Option<&'a str> {
        if let Some(fields) = self.authorization.strip_prefix("AWS4-") {
            let (_, credential) = fields.split_once("Credential=")?;
            let credential = credential.split([',', ' ']).next().unwrap_or(credential);
            return scope_service(credential, "/");
        }
        // Signature version 2 is S3's in a header, and everybody's in the query.
        if self.authorization.starts_with("AWS ") {
            return Some("s3");
        }
        if let Some(credential) = self.parameter("X-Amz-Credential") {
            let service = scope_service(credential, "/");
            return service.or_else(|| scope_service(credential, "%2F"));
        }
        let signed = self.parameter("AWSAccessKeyId").and(self.parameter("Signature"));
        signed.filter(|_| self.parameter("Action").is_none()).map(|_| "s3")
    }

    /// Hosts such as `s3.us-east-1.…`, `bucket.s3.…` and `bucket.s3-website-us-east-1.…`.
    fn has_s3_host(&self) -> bool {
        let host = self.host.rsplit_once(':').map_or(self.host, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { self.host }
        });
        host.split('.').any(|label| label == "s3" || label.starts_with("s3-"))
    }

    /// Whether it has the form of a call of a query or JSON service: all of those go to `/`.
    fn is_a_call(&self) -> bool {
        if self.path != "/" {
            return false;
        }
        let form = |kind: &str| {
            let given = self.content_type.get(..kind.len());
            given.is_some_and(|given| given.eq_ignore_ascii_case(kind))
        };
        let posted = self.method == "POST"
            && (self.content_type.is_empty()
                || form("application/x-www-form-urlencoded")
                || form("application/x-amz-json"));
        posted || self.target || self.parameter("Action").is_some()
    }

    /// A parameter of the query, still encoded.
    fn parameter(&self, name: &str) -> Option<&'a str> {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.into_iter().find(|(given, _)| *given == name).map(|(_, value)| value)
    }
}

/// The service of a credential `KEY/DAY/REGION/SERVICE/aws4_request` (`KEY/DAY/SERVICE/…` where
/// many regions are meant). A key may hold slashes.
fn scope_service<'a>(credential: &'a str, slash: &str) -> Option<&'a str> {
    let (rest, end) = credential.rsplit_once(slash)?;
    let (_, service) = rest.rsplit_once(slash)?;
    (end == "aws4_request").then_some(service)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Sorted::{More, Other, S3};

    const V4: &str = "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/20261122/us-east-1/";

    /// Requests as they come, and for whom they are.
    fn cases() -> Vec<(String, Sorted)> {
        let signed = |request: &str, service: &str| {
            format!(
                "{request}\r\nHost: 127.0.0.1:4566\r\n{V4}{service}/aws4_request, SignedHeaders=host, Signature=0"
            )
        };
        let host = |request: &str, host: &str| format!("{request}\r\nHost: {host}");
        let form = "Content-Type: application/x-www-form-urlencoded; charset=utf-8";
        vec![
            (signed("GET / HTTP/1.1", "s3"), S3),
            (signed("PUT /bucket/key?Action=x HTTP/1.1", "s3"), S3),
            (signed("POST / HTTP/1.1", "ec2"), Other),
            (signed("GET /bucket HTTP/1.1", "s3express"), S3),
            (signed("GET /2015-03-31/functions HTTP/1.1", "lambda"), Other),
            (
                "GET /b HTTP/1.1\r\nauthorization:AWS4-ECDSA-P256-SHA256 \
                 Credential=AKIA/20261122/s3/aws4_request,Signature=0"
                    .to_owned(),
                S3,
            ),
            ("GET /b/k HTTP/1.1\r\nAuthorization: AWS AKIA:c2ln".to_owned(), S3),
            (
                "GET /b/k?AWSAccessKeyId=AKIA&Expires=1&Signature=s HTTP/1.1\r\nHost: h".to_owned(),
                S3,
            ),
            (
                "GET /?AWSAccessKeyId=A&Action=RunInstances&Signature=s HTTP/1.1\r\nHost: h"
                    .to_owned(),
                Other,
            ),
            (
                "GET /b/k?X-Amz-Credential=AKIA%2F20261122%2Fus-east-1%2Fs3%2Faws4_request \
                 HTTP/1.1"
                    .to_owned(),
                S3,
            ),
            (
                "GET /?X-Amz-Credential=AKIA/20261122/us-east-1/sts/aws4_request HTTP/1.1"
                    .to_owned(),
                Other,
            ),
            (format!("POST / HTTP/1.1\r\nHost: localhost\r\n{form}"), Other),
            (format!("POST / HTTP/1.1\r\nHost: sts.localhost\r\n{form}"), Other),
            (format!("POST / HTTP/1.1\r\nHost: s3.localhost\r\n{form}"), S3),
            (format!("POST /bucket HTTP/1.1\r\nHost: localhost\r\n{form}"), S3),
            (
                "POST / HTTP/1.1\r\nHost: b.localhost:4566\r\nContent-Type: multipart/form-data; \
                 boundary=x"
                    .to_owned(),
                S3,
            ),
            (
                "POST / HTTP/1.1\r\nX-Amz-Target: Logs.Put\r\nContent-Type: text/xml".to_owned(),
                Other,
            ),
            (host("GET /_fogbank/health HTTP/1.1", "localhost"), Other),
            (host("GET /_fogbank/health HTTP/1.1", "s3.localhost"), Other),
            (host("GET /bucket/_fogbank/x HTTP/1.1", "localhost"), S3),
            (host("GET / HTTP/1.1", "bucket.s3.us-east-1.amazonaws.com"), S3),
            (host("GET / HTTP/1.1", "bucket.s3-website-us-east-1.amazonaws.com:80"), S3),
            (host("GET / HTTP/1.1", "bucket.localhost:4566"), S3),
            (host("OPTIONS /bucket/key HTTP/1.1", "[::1]:4566"), S3),
            (host("GET /?Action=DescribeRegions&Version=2016-11-15 HTTP/1.1", "localhost"), Other),
            (host("GET http://s3.localhost/?Action=x HTTP/1.1", "localhost"), S3),
            ("DELETE /b HTTP/1.0".to_owned(), S3),
            ("OPTIONS * HTTP/1.1".to_owned(), Other),
        ]
    }

    #[test]
    fn a_head_says_whose_request_it_is() {
        for (head, whose) in cases() {
            let whole = format!("{head}\r\n\r\nbody");
            assert_eq!(sort(whole.as_bytes()), whose, "{head}");
            assert_eq!(sort(head.as_bytes()), More, "{head}");
        }
    }

    #[test]
    fn a_request_that_was_read_is_sorted_alike() {
        for (head, whose) in cases() {
            let mut lines = head.split("\r\n");
            let mut words = lines.next().unwrap().split(' ');
            let mut request =
                http::Request::builder().method(words.next().unwrap()).uri(words.next().unwrap());
            for (name, value) in lines.filter_map(|line| line.split_once(':')) {
                request = request.header(name, value.trim());
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(Head::of(&parts).is_s3(), whose == S3, "{head}");
        }
    }

    #[test]
    fn what_is_no_request_is_nobodys() {
        assert_eq!(sort(b""), More);
        assert_eq!(sort(b"\x16\x03\x01\x02\0\x01"), Sorted::Tls);
        assert_eq!(sort(b"get / HTTP/1.1\r\n\r\n"), Other);
        assert_eq!(sort(b"GET\r\n\r\n"), Other);
        assert_eq!(sort(&[b'A'; MAX_HEAD]), Other);
        // A head that is too long is sorted by its beginning.
        let long = format!("PUT /b/k HTTP/1.1\r\n{V4}s3/aws4_request, x: {}", "y".repeat(MAX_HEAD));
        assert_eq!(sort(&long.as_bytes()[..MAX_HEAD]), S3);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_sorted(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut head = b"GET ".to_vec();
            head.extend(&bytes);
            head.extend(b"\r\n\r\n");
            assert_ne!(sort(&head), More);
        }
    }
}
