//! Signs a request anew where any secret is trusted, so that all that follows from a signature
//! (chunks decoded, the caller known) goes its ordinary way.

use crate::Identities;
use http::{HeaderMap, HeaderValue, Uri, header, request::Parts, uri::PathAndQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::{digest, hmac};
use std::fmt::Write as _;
use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem,
    macros::format_description,
};

pub(crate) const DATE: &str = "x-amz-date";
const HASH: &str = "x-amz-content-sha256";
const STREAMING: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
pub(crate) const ISO: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");
/// What SigV4 leaves as it is.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Replaces the signature of a request, whatever it is, by a right one. A presigned request that
/// has expired stays as it is, and is refused as such.
pub(crate) async fn resign(parts: &mut Parts, identities: &dyn Identities) {
    let Some(claim) = Claim::of(parts) else { return };
    let Some(identity) = identities.find(&claim.access_key).await else { return };
    if let Some(stripped) = &claim.query
        && let Some(uri) = with_query(&parts.uri, stripped)
    {
        parts.uri = uri;
    }
    parts.headers.remove(header::AUTHORIZATION);
    if let Ok(date) = HeaderValue::from_str(&claim.date) {
        parts.headers.insert(DATE, date);
    }
    settle_payload(&mut parts.headers);
    let day = claim.date.get(..8).unwrap_or_default();
    let scope = format!("{day}/{}/s3/aws4_request", claim.region);
    let canonical = canonical(parts, &SIGNED_HEADERS);
    let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", claim.date, hash(&canonical));
    let mut key = format!("AWS4{}", identity.secret).into_bytes();
    for part in [day, &claim.region, "s3", "aws4_request", &to_sign] {
        let signer = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&signer, part.as_bytes()).as_ref().to_vec();
    }
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={SIGNED}, Signature={}",
        identity.access_key,
        hex::encode(key)
    );
    if let Ok(value) = HeaderValue::from_str(&authorization) {
        parts.headers.insert(header::AUTHORIZATION, value);
    }
}

const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";
const SIGNED_HEADERS: [&str; 3] = ["host", HASH, DATE];

/// What a request's signature of version 4 is over, for a service; none without a date.
pub(crate) fn text_to_sign(
    parts: &Parts,
    headers: &[&str],
    (day, region): (&str, &str),
    service: &str,
) -> Option<String> {
    let date = parts.headers.get(DATE)?.to_str().ok().filter(|date| date.starts_with(day))?;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    Some(format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hash(&canonical(parts, headers))))
}

/// Who a request says it is from.
struct Claim {
    access_key: String,
    region: String,
    /// As in `x-amz-date`.
    date: String,
    /// The query without the signature, if it was there.
    query: Option<String>,
}

impl Claim {
    fn of(parts: &Parts) -> Option<Self> {
        let query = parts.uri.query().unwrap_or_default();
        if let Some(credential) = parameter(query, "X-Amz-Credential") {
            return Self::presigned(query, &credential);
        }
        if parameter(query, "Signature").is_some() {
            return Self::presigned_v2(query);
        }
        let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let date = parts.headers.get(DATE).and_then(|date| date.to_str().ok());
        let date = date.filter(|date| PrimitiveDateTime::parse(date, ISO).is_ok());
        if let Some(rest) = value.strip_prefix("AWS ") {
            let (access_key, _) = rest.split_once(':')?;
            let date = date.map_or_else(now, str::to_owned);
            return Some(Self {
                access_key: access_key.into(),
                region: region(),
                date,
                query: None,
            });
        }
        let credential = value.split_once("Credential=")?.1.split(',').next()?;
        let (access_key, region) = scope(credential)?;
        Some(Self { access_key, region, date: date?.to_owned(), query: None })
    }

    fn presigned(query: &str, credential: &str) -> Option<Self> {
        let (access_key, region) = scope(credential)?;
        let signed = PrimitiveDateTime::parse(&parameter(query, "X-Amz-Date")?, ISO).ok()?;
        let expires: i64 = parameter(query, "X-Amz-Expires")?.parse().ok()?;
        let age = OffsetDateTime::now_utc() - signed.assume_utc();
        if !(0..=7 * 86400).contains(&expires) || age.whole_seconds() > expires {
            return None;
        }
        let ours = |name: &str| {
            name.starts_with("X-Amz-") && !name.eq_ignore_ascii_case("X-Amz-Security-Token")
        };
        Some(Self { access_key, region, date: now(), query: Some(without(query, ours)) })
    }

    fn presigned_v2(query: &str) -> Option<Self> {
        let access_key = parameter(query, "AWSAccessKeyId")?;
        let expires: i64 = parameter(query, "Expires")?.parse().ok()?;
        if expires < OffsetDateTime::now_utc().unix_timestamp() {
            return None;
        }
        let ours = |name: &str| matches!(name, "AWSAccessKeyId" | "Expires" | "Signature");
        let query = Some(without(query, ours));
        Some(Self { access_key, region: region(), date: now(), query })
    }
}

fn region() -> String {
    "us-east-1".to_owned()
}

fn now() -> String {
    OffsetDateTime::now_utc().format(ISO).unwrap_or_default()
}

/// The access key and the region of `KEY/DATE/REGION/SERVICE/aws4_request`.
fn scope(credential: &str) -> Option<(String, String)> {
    let mut fields = credential.rsplit('/');
    let region = fields.nth(2)?;
    let _date = fields.next()?;
    let access_key = fields.next()?;
    Some((access_key.to_owned(), region.to_owned()))
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.into_iter().find(|(key, _)| *key == name)?.1;
    Some(percent_decode_str(value).decode_utf8().ok()?.into_owned())
}

fn without(query: &str, taken: impl Fn(&str) -> bool) -> String {
    let kept = query.split('&').filter(|pair| !taken(pair.split('=').next().unwrap_or_default()));
    kept.collect::<Vec<_>>().join("&")
}

fn with_query(uri: &Uri, query: &str) -> Option<Uri> {
    let path = uri.path();
    let both = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(both).ok()?);
    Uri::from_parts(parts).ok()
}

/// Chunks may be signed with the other secret: they are decoded as unsigned ones.
fn settle_payload(headers: &mut HeaderMap) {
    let hash = headers.get(HASH).map(|value| value.as_bytes().to_vec());
    match hash {
        Some(hash) if hash.starts_with(b"STREAMING-") => {
            headers.insert(HASH, HeaderValue::from_static(STREAMING));
            if !headers.contains_key("x-amz-trailer") {
                headers.insert("x-amz-trailer", HeaderValue::from_static(""));
            }
        }
        Some(_) => {}
        None => {
            headers.insert(HASH, HeaderValue::from_static("UNSIGNED-PAYLOAD"));
        }
    }
}

/// The canonical request, over these headers.
fn canonical(parts: &Parts, headers: &[&str]) -> String {
    let mut pairs: Vec<(String, String)> = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (recode(name, true), recode(value, true)))
        .collect();
    pairs.sort();
    let mut query = String::new();
    for (name, value) in pairs {
        let _ = write!(query, "{}{name}={value}", if query.is_empty() { "" } else { "&" });
    }
    let value = |name: &str| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().trim().to_owned()
    };
    let path = recode(parts.uri.path(), false);
    let payload = value(HASH);
    let mut canonical = format!("{}\n{path}\n{query}\n", parts.method);
    for name in headers {
        let _ = writeln!(canonical, "{name}:{}", value(name));
    }
    let _ = write!(canonical, "\n{}\n{payload}", headers.join(";"));
    canonical
}

/// Decodes, and encodes as SigV4 does. In a query `+` is a space.
fn recode(text: &str, query: bool) -> String {
    let plain = if query { text.replace('+', " ") } else { text.to_owned() };
    let decoded = percent_decode_str(&plain).decode_utf8_lossy();
    if query {
        utf8_percent_encode(&decoded, &UNRESERVED).to_string()
    } else {
        const PATH: AsciiSet = UNRESERVED.remove(b'/');
        utf8_percent_encode(&decoded, &PATH).to_string()
    }
}

fn hash(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}
