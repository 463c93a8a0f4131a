//! Between the types of the protocol and those of the store.

use crate::{
    fault,
    store::{
        Bucket, LockMode, Owner,
        checksum::{Algorithm, Checksum, Kind, from_base64, to_base64},
        rules::{Conditions, Match},
        version::{Attributes, Etag, Header, Lock, Object, Retention},
    },
};
use http::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use s3s::{S3Error, S3ErrorCode, S3Result, dto};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The most bytes of user metadata: names and values.
const MAX_METADATA_BYTES: usize = 2048;

/// An instant, at whole seconds as S3 shows it.
pub(super) fn timestamp(ms: u64) -> dto::Timestamp {
    exact_timestamp(ms / 1000 * 1000)
}

pub(super) fn exact_timestamp(ms: u64) -> dto::Timestamp {
    // What no clock shows would overflow.
    let since = Duration::from_millis(ms.min(253_402_300_799_000));
    dto::Timestamp::from(UNIX_EPOCH + since)
}

/// Milliseconds since 1970; 0 for what was before.
pub(super) fn to_ms(timestamp: &dto::Timestamp) -> u64 {
    let instant = SystemTime::from(time::OffsetDateTime::from(timestamp.clone()));
    let since = instant.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn etag(etag: &Etag) -> dto::ETag {
    dto::ETag::Strong(etag.to_string())
}

pub(super) fn owner(owner: &Owner) -> dto::Owner {
    let display_name = Some(owner.display_name.clone()).filter(|name| !name.is_empty());
    dto::Owner { display_name, id: Some(owner.canonical_id.clone()) }
}

pub(super) fn version_id(bucket: &Bucket, id: String) -> Option<String> {
    (bucket.versioning != crate::store::Versioning::Off).then_some(id)
}

/// What a client says of a new object beside its body.
macro_rules! attributes_of {
    ($input:expr) => {{
        let input = &$input;
        $crate::api::convert::attributes($crate::api::convert::Said {
            cache_control: input.cache_control.clone(),
            content_disposition: input.content_disposition.clone(),
            content_encoding: input.content_encoding.clone(),
            content_language: input.content_language.clone(),
            content_type: input.content_type.clone(),
            expires: input.expires.clone(),
            website_redirect: input.website_redirect_location.clone(),
            metadata: input.metadata.clone(),
            storage_class: input.storage_class.clone(),
            tagging: input.tagging.clone(),
        })
    }};
}
pub(super) use attributes_of;

pub(super) struct Said {
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) expires: Option<dto::Timestamp>,
    pub(super) website_redirect: Option<String>,
    pub(super) metadata: Option<dto::Metadata>,
    pub(super) storage_class: Option<dto::StorageClass>,
    pub(super) tagging: Option<String>,
}

const STORAGE_CLASSES: [&str; 8] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
];

pub(super) fn storage_class(class: Option<&dto::StorageClass>) -> S3Result<Option<String>> {
    let Some(class) = class.map(dto::StorageClass::as_str) else { return Ok(None) };
    if !STORAGE_CLASSES.contains(&class) {
        let message = "The storage class you specified is not valid";
        let error = fault::fault(S3ErrorCode::InvalidStorageClass, message);
        return Err(fault::with(error, &[("StorageClassRequested", class)]));
    }
    Ok(Some(class.to_owned()).filter(|class| class != "STANDARD"))
}

pub(super) fn attributes(said: Said) -> S3Result<Attributes> {
    let mut metadata: Vec<(String, String)> =
        said.metadata.unwrap_or_default().into_iter().collect();
    metadata.sort();
    let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MAX_METADATA_BYTES {
        let message = "Your metadata headers exceed the maximum allowed metadata size";
        let error = fault::fault(S3ErrorCode::MetadataTooLarge, message);
        let (size, most) = (size.to_string(), MAX_METADATA_BYTES.to_string());
        return Err(fault::with(error, &[("Size", &size), ("MaxSizeAllowed", &most)]));
    }
    let website_redirect = said.website_redirect;
    if let Some(to) = &website_redirect
        && !["/", "http://", "https://"].iter().any(|start| to.starts_with(start))
    {
        let message = "The website redirect location must have a prefix of 'http://' or \
                       'https://' or '/'.";
        return Err(fault::custom(StatusCode::BAD_REQUEST, "InvalidRedirectLocation", message));
    }
    let expires = said.expires.map(|at| http_date(&at));
    // Chunks are how the body came, not what it is.
    let encoding = said.content_encoding.map(|encoding| {
        let kept = encoding.split(',').map(str::trim).filter(|one| *one != "aws-chunked");
        kept.collect::<Vec<_>>().join(",")
    });
    let headers = [
        (Header::CacheControl, said.cache_control),
        (Header::ContentDisposition, said.content_disposition),
        (Header::ContentEncoding, encoding.filter(|encoding| !encoding.is_empty())),
        (Header::ContentLanguage, said.content_language),
        (Header::ContentType, said.content_type.filter(|kind| !kind.is_empty())),
        (Header::Expires, expires),
        (Header::WebsiteRedirect, website_redirect),
    ];
    Ok(Attributes {
        headers: headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        metadata,
        storage_class: storage_class(said.storage_class.as_ref())?,
        tags: said.tagging.as_deref().map(super::tags::of_query).transpose()?.unwrap_or_default(),
        acl: None,
    })
}

pub(super) fn http_date(at: &dto::Timestamp) -> String {
    let mut text = Vec::new();
    let _ = at.format(dto::TimestampFormat::HttpDate, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

pub(super) fn header(object: &Object, header: Header) -> Option<String> {
    object.attributes.header(header).map(str::to_owned)
}

pub(super) fn expires(object: &Object) -> Option<dto::Timestamp> {
    let text = object.attributes.header(Header::Expires)?;
    dto::Timestamp::parse(dto::TimestampFormat::HttpDate, text).ok()
}

pub(super) fn content_type(object: &Object) -> Option<String> {
    header(object, Header::ContentType).or_else(|| Some("binary/octet-stream".to_owned()))
}

fn matching(condition: dto::ETagCondition) -> Match {
    match condition {
        dto::ETagCondition::Any => Match::Any,
        dto::ETagCondition::ETag(etag) => Match::Etag(etag.into_value()),
    }
}

pub(super) fn conditions(
    if_match: Option<dto::IfMatch>,
    if_none_match: Option<dto::IfNoneMatch>,
) -> Conditions {
    Conditions { if_match: if_match.map(matching), if_none_match: if_none_match.map(matching) }
}

/// The conditions of a write by its headers, where s3s has no members for them. What they may not
/// be was refused before.
pub(super) fn conditions_of(headers: &HeaderMap) -> Conditions {
    let given = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?.trim();
        Some(match value {
            "*" => Match::Any,
            etag => Match::Etag(etag.trim_matches('"').to_owned()),
        })
    };
    Conditions { if_match: given("if-match"), if_none_match: given("if-none-match") }
}

/// Conditions of a read, in S3's order: If-Match beats If-Unmodified-Since, If-None-Match beats
/// If-Modified-Since.
pub(super) struct ReadConditions {
    pub(super) if_match: Option<dto::ETagCondition>,
    pub(super) if_none_match: Option<dto::ETagCondition>,
    pub(super) if_modified_since: Option<dto::Timestamp>,
    pub(super) if_unmodified_since: Option<dto::Timestamp>,
}

impl ReadConditions {
    /// Whether the object may be given. A copy answers 412 where a GET answers 304.
    pub(super) fn check(self, etag: &Etag, modified_ms: u64, copy: bool) -> S3Result<()> {
        let modified = modified_ms / 1000;
        let since = |at: &dto::Timestamp| to_ms(at) / 1000;
        match (self.if_match.map(matching), self.if_unmodified_since) {
            (Some(wanted), _) if !wanted.holds(etag) => {
                return Err(fault::precondition_failed("If-Match"));
            }
            (None, Some(at)) if modified > since(&at) => {
                return Err(fault::precondition_failed("If-Unmodified-Since"));
            }
            _ => {}
        }
        let unchanged = match (self.if_none_match.map(matching), self.if_modified_since) {
            (Some(unwanted), _) => unwanted.holds(etag).then_some("If-None-Match"),
            (None, Some(at)) => (modified <= since(&at)).then_some("If-Modified-Since"),
            (None, None) => None,
        };
        match unchanged {
            None => Ok(()),
            Some(name) if copy => Err(fault::precondition_failed(name)),
            Some(_) => {
                let mut error = S3Error::new(S3ErrorCode::NotModified);
                error.set_status_code(StatusCode::NOT_MODIFIED);
                let error = fault::with_header(error, "etag", &format!("\"{etag}\""));
                let date = http_date(&timestamp(modified_ms));
                Err(fault::with_header(error, "last-modified", &date))
            }
        }
    }
}

/// The lock that a client asks for.
pub(super) fn lock(
    bucket: &Bucket,
    now_ms: u64,
    mode: Option<&str>,
    until: Option<&dto::Timestamp>,
    hold: Option<&str>,
) -> S3Result<Lock> {
    if mode.is_none() && until.is_none() && hold.is_none() {
        return Ok(Lock::default());
    }
    if bucket.object_lock.is_none() {
        return Err(fault::invalid_request("Bucket is missing Object Lock Configuration"));
    }
    let retention = match (mode, until) {
        (None, None) => None,
        (Some(mode), Some(until)) => {
            Some(Retention { mode: lock_mode(mode)?, until_ms: future(to_ms(until), now_ms)? })
        }
        _ => {
            let message = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must \
                           both be supplied";
            return Err(fault::invalid_argument(message, "x-amz-object-lock-mode", ""));
        }
    };
    let legal_hold = match hold {
        None => None,
        Some("ON") => Some(true),
        Some("OFF") => Some(false),
        Some(other) => {
            let message = "Legal Hold must be either of 'ON' or 'OFF'";
            return Err(fault::invalid_argument(message, "x-amz-object-lock-legal-hold", other));
        }
    };
    Ok(Lock { retention, legal_hold })
}

pub(super) fn future(until_ms: u64, now_ms: u64) -> S3Result<u64> {
    if until_ms > now_ms {
        return Ok(until_ms);
    }
    let message = "The retain until date must be in the future!";
    Err(fault::invalid_argument(message, "x-amz-object-lock-retain-until-date", ""))
}

pub(super) fn lock_mode(mode: &str) -> S3Result<LockMode> {
    match mode {
        "GOVERNANCE" => Ok(LockMode::Governance),
        "COMPLIANCE" => Ok(LockMode::Compliance),
        other => {
            let message = "Unknown wormMode directive.";
            Err(fault::invalid_argument(message, "x-amz-object-lock-mode", other))
        }
    }
}

pub(super) fn mode_name(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => "GOVERNANCE",
        LockMode::Compliance => "COMPLIANCE",
    }
}

/// What a URL's path leaves as it is of a key.
pub(super) const PATH: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A digest in base64.
///
/// # Errors
/// `InvalidDigest`.
pub(crate) fn content_md5(value: Option<&str>) -> S3Result<Option<[u8; 16]>> {
    let Some(value) = value else { return Ok(None) };
    let decoded = from_base64(value, 16).and_then(|md5| md5.try_into().ok());
    decoded.map(Some).ok_or_else(|| invalid_digest(value))
}

/// A `Content-MD5` that is none.
pub(crate) fn invalid_digest(value: &str) -> S3Error {
    let message = "The Content-MD5 you specified was invalid.";
    fault::with(fault::fault(S3ErrorCode::InvalidDigest, message), &[("Content-MD5", value)])
}

/// The checksums among an input's fields.
macro_rules! checksums_of {
    ($input:expr) => {
        $crate::api::convert::checksums([
            $input.checksum_crc32.as_deref(),
            $input.checksum_crc32c.as_deref(),
            $input.checksum_crc64nvme.as_deref(),
            $input.checksum_sha1.as_deref(),
            $input.checksum_sha256.as_deref(),
        ])
    };
}
pub(super) use checksums_of;

/// In the order of [`Algorithm::ALL`].
pub(crate) fn checksums(values: [Option<&str>; 5]) -> S3Result<Vec<(Algorithm, Vec<u8>)>> {
    let mut all = Vec::new();
    for (algorithm, value) in Algorithm::ALL.into_iter().zip(values) {
        let Some(value) = value else { continue };
        let decoded = from_base64(value, algorithm.value_len()).ok_or_else(|| {
            let name = algorithm.name().to_ascii_lowercase();
            fault::invalid_request(format!("Value for x-amz-checksum-{name} header is invalid."))
        })?;
        all.push((algorithm, decoded));
    }
    if all.len() > 1 {
        let message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not \
                       allowed.";
        return Err(fault::invalid_request(message));
    }
    Ok(all)
}

/// The algorithms whose values the request's trailer will bring.
pub(super) fn in_trailer(headers: &HeaderMap) -> Vec<Algorithm> {
    let names = headers.get("x-amz-trailer").and_then(|value| value.to_str().ok());
    let names = names.unwrap_or_default().split(',').map(|name| name.trim().to_ascii_lowercase());
    names.filter_map(|name| Algorithm::of_name(name.strip_prefix("x-amz-checksum-")?)).collect()
}

/// A checksum as the five fields that the protocol has for it, in the order of
/// [`Algorithm::ALL`].
pub(super) fn checksum_fields(
    algorithm: Algorithm,
    value: &[u8],
    parts: Option<u16>,
) -> [Option<String>; 5] {
    let text = to_base64(value);
    let text = parts.map_or(text.clone(), |parts| format!("{text}-{parts}"));
    Algorithm::ALL.map(|one| (one == algorithm).then(|| text.clone()))
}

/// An object's checksum, as [`checksum_fields`].
pub(super) fn checksum_of(object: &Object) -> [Option<String>; 5] {
    match &object.checksum {
        None => [const { None }; 5],
        Some(Checksum { algorithm, kind, value }) => {
            let parts = match kind {
                Kind::Composite => object.etag.parts,
                Kind::FullObject => None,
            };
            checksum_fields(*algorithm, value, parts)
        }
    }
}

/// Puts the five fields into an output.
macro_rules! set_checksums {
    ($output:expr, $fields:expr) => {
        [
            $output.checksum_crc32,
            $output.checksum_crc32c,
            $output.checksum_crc64nvme,
            $output.checksum_sha1,
            $output.checksum_sha256,
        ] = $fields
    };
}
pub(super) use set_checksums;

pub(super) fn kind_name(kind: Kind) -> dto::ChecksumType {
    dto::ChecksumType::from_static(match kind {
        Kind::FullObject => dto::ChecksumType::FULL_OBJECT,
        Kind::Composite => dto::ChecksumType::COMPOSITE,
    })
}

/// # Errors
/// It is none of the two.
pub(super) fn kind(name: &dto::ChecksumType) -> S3Result<Kind> {
    match name.as_str() {
        dto::ChecksumType::FULL_OBJECT => Ok(Kind::FullObject),
        dto::ChecksumType::COMPOSITE => Ok(Kind::Composite),
        other => {
            Err(fault::invalid_request(format!("Value for checksum type {other} is invalid.")))
        }
    }
}

/// # Errors
/// It is none that S3 has.
pub(super) fn algorithm(name: &dto::ChecksumAlgorithm) -> S3Result<Algorithm> {
    Algorithm::of_name(name.as_str()).ok_or_else(|| {
        fault::invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid \
             types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
        )
    })
}

/// The page size that a client asks for.
///
/// # Errors
/// It is negative.
pub(super) fn page_size(asked: Option<i32>, name: &str) -> S3Result<usize> {
    let asked = asked.unwrap_or(1000);
    let message = format!("Argument {name} must be an integer between 0 and 2147483647");
    let size = usize::try_from(asked)
        .map_err(|_| fault::invalid_argument(&message, name, &asked.to_string()))?;
    Ok(size.min(1000))
}
