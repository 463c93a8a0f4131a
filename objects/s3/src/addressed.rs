//! What a request is about, as far as its address says: read before the signature is.

use crate::host::Domains;
use http::{HeaderMap, Uri, header};
use percent_encoding::percent_decode_str;

/// How a request is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// S3's API.
    Api,
    /// A bucket's website.
    Website,
}

/// A request's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addressed {
    pub face: Face,
    /// None: the service itself.
    pub bucket: Option<String>,
    /// Decoded, without the first `/`; empty for the bucket itself.
    pub key: String,
    /// The `Host` header.
    pub host: String,
}

impl Addressed {
    /// Reads an address. Nothing is checked.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap, domains: &Domains) -> Self {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let host = host.unwrap_or_default().to_owned();
        let path = percent_decode_str(uri.path()).decode_utf8_lossy();
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (face, bucket) = match website(&host, domains) {
            Some(bucket) => (Face::Website, Some(bucket)),
            None => (Face::Api, domains.bucket(&host)),
        };
        if let Some(bucket) = bucket {
            let bucket = Some(bucket.to_owned());
            return Self { face, bucket, key: path.to_owned(), host };
        }
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let bucket = (!bucket.is_empty()).then(|| bucket.to_owned());
        Self { face, bucket, key: key.to_owned(), host }
    }
}

/// The bucket of `BUCKET.s3-website…`: `BUCKET.s3-website-REGION.amazonaws.com`,
/// `BUCKET.s3-website.REGION.amazonaws.com`, `BUCKET.s3-website.DOMAIN`,
/// `BUCKET.s3-website-REGION.DOMAIN` and `BUCKET.s3-website.REGION.DOMAIN`.
fn website<'a>(host: &'a str, domains: &Domains) -> Option<&'a str> {
    let at = host.find(".s3-website").filter(|at| *at > 0)?;
    let (bucket, rest) = (&host[..at], &host[at + ".s3-website".len()..]);
    let rest = match rest.strip_prefix('-') {
        Some(rest) => rest.split_once('.')?.1,
        None => rest.strip_prefix('.')?,
    };
    domains.holds(rest).then_some(bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let domains = Domains::new(&["localhost".to_owned(), "s3.example.org".to_owned()]);
        let (api, website) = (Face::Api, Face::Website);
        // Host, path, face, bucket, key.
        let table = [
            ("localhost:4566", "/", api, None, ""),
            ("localhost:4566", "/b", api, Some("b"), ""),
            ("localhost:4566", "/b/k%20k/l", api, Some("b"), "k k/l"),
            ("b.localhost", "/k", api, Some("b"), "k"),
            ("b.s3-website.localhost:4566", "/", website, Some("b"), ""),
            ("b.s3-website.localhost", "/a/", website, Some("b"), "a/"),
            ("b.s3-website-us-east-1.localhost", "/a", website, Some("b"), "a"),
            ("b.c.s3-website.eu-west-1.amazonaws.com", "/a", website, Some("b.c"), "a"),
            ("b.s3-website-us-west-2.amazonaws.com", "/a", website, Some("b"), "a"),
            ("b.s3-website.evil.example", "/x/y", api, Some("x"), "y"),
            (".s3-website.localhost", "/x", api, Some(".s3-website"), "x"),
        ];
        for (host, path, face, bucket, key) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("header"));
            let got = Addressed::of(&path.parse().expect("URI"), &headers, &domains);
            let want = (face, bucket, key);
            assert_eq!((got.face, got.bucket.as_deref(), got.key.as_str()), want, "{host}{path}");
        }
    }
}
