//! The client's half: signs requests, for our own tools and tests.

use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use types::Timestamp;

use super::{
    ALGORITHM, Hash, Request, SigV4Error, canonical, encode_hex, hash, hmac, incomplete,
    signing_key, string_to_sign,
};
use crate::timestamp;

/// Headers that proxies may change, or that are the signature itself.
const LEFT_OUT: &[&str] =
    &["authorization", "connection", "content-length", "expect", "transfer-encoding", "user-agent"];

/// Who signs, and for which service of which region.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    pub access_key_id: &'a str,
    pub secret: &'a str,
    pub session_token: Option<&'a str>,
    pub region: &'a str,
    /// The name in the credential scope: `ec2`, `s3`, `sts`.
    pub service: &'a str,
}

/// What the signature says of the body. S3 is told in a header, too.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// Its hash, made here.
    Bytes(&'a [u8]),
    /// Its hash, known already.
    Hash(Hash),
    /// Nothing: `UNSIGNED-PAYLOAD`.
    Unsigned,
}

impl Signer<'_> {
    /// The headers with which the request is signed at this time: its own, of which `host` must be one, and
    /// those that signing adds. A path for S3 is encoded once; for all others the signature encodes it again.
    ///
    /// # Errors
    /// There is no `host`, or the key or the token has characters that no header takes.
    pub fn sign(
        &self,
        request: &Request<'_>,
        body: Body<'_>,
        time: Timestamp,
    ) -> Result<HeaderMap, SigV4Error> {
        let stamp = timestamp::basic(time);
        let (payload, stated) = match body {
            Body::Bytes(bytes) => (encode_hex(&hash(bytes)), self.service == "s3"),
            Body::Hash(hash) => (encode_hex(&hash), self.service == "s3"),
            Body::Unsigned => ("UNSIGNED-PAYLOAD".to_owned(), true),
        };
        let mut headers = request.headers.clone();
        headers.insert("x-amz-date", value(&stamp)?);
        if stated {
            headers.insert("x-amz-content-sha256", value(&payload)?);
        }
        if let Some(token) = self.session_token {
            headers.insert("x-amz-security-token", value(token)?);
        }
        let mut names: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.retain(|name| !LEFT_OUT.contains(&name.as_str()));
        names.sort_unstable();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if !names.contains(&"host") {
            return Err(incomplete("The request has no host to sign."));
        }
        let signed = Request { headers: &headers, ..*request };
        let canonical = canonical::request(&signed, &names, request.query, self.service == "s3")?;
        let canonical = Sha256::new().chain_update(canonical).chain_update(payload).finalize();
        let date = stamp.get(..8).unwrap_or_default();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let key = signing_key(self.secret, date, self.region, self.service);
        let signature = hmac(&key, string_to_sign(&stamp, &scope, &canonical.into()).as_bytes());
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={}",
            self.access_key_id,
            names.join(";"),
            encode_hex(&signature)
        );
        headers.insert("authorization", value(&authorization)?);
        Ok(headers)
    }
}

impl Request<'_> {
    /// The request with this body as it goes over a connection in HTTP/1.1.
    #[must_use]
    pub fn to_http(&self, body: &[u8]) -> Vec<u8> {
        let path = if self.path.is_empty() { "/" } else { self.path };
        let mark = if self.query.is_empty() { "" } else { "?" };
        let mut bytes =
            format!("{} {path}{mark}{} HTTP/1.1\r\n", self.method, self.query).into_bytes();
        for (name, value) in self.headers {
            if name != "content-length" {
                bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
            }
        }
        bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
        bytes.extend(body);
        bytes
    }
}

fn value(text: &str) -> Result<HeaderValue, SigV4Error> {
    text.parse()
        .map_err(|_| incomplete("The key or the token has characters that no header takes."))
}
