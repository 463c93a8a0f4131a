//! Errors as S3 gives them: code, status, message, and the elements that some of them carry.

use cluster::ClusterFault;
use http::{HeaderMap, HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{S3Error, S3ErrorCode};

/// Carries an error's further elements, as a query string, up to the service, which puts them into
/// the XML and takes the header out.
pub(crate) const DETAILS: &str = "x-fogbank-error-details";

/// Carries the status of an answer that s3s gives another.
pub(crate) const STATUS: &str = "x-fogbank-status";

/// Carries the URL of what a form has made.
pub(crate) const MADE: &str = "x-fogbank-made";

/// An error with a code that s3s knows the status of.
pub(crate) fn fault(code: S3ErrorCode, message: impl Into<String>) -> S3Error {
    S3Error::with_message(code, message.into())
}

/// An error whose code s3s may not know.
pub(crate) fn custom(status: StatusCode, code: &str, message: impl Into<String>) -> S3Error {
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(code, message.into());
    error.set_status_code(status);
    error
}

/// Adds elements such as `Key` to an error's XML.
pub(crate) fn with(mut error: S3Error, elements: &[(&str, &str)]) -> S3Error {
    let mut headers = error.headers().cloned().unwrap_or_default();
    let mut details = String::new();
    for (name, value) in elements {
        if !details.is_empty() {
            details.push('&');
        }
        details.push_str(name);
        details.push('=');
        details.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    if let Ok(value) = HeaderValue::try_from(details) {
        headers.insert(DETAILS, value);
    }
    error.set_headers(headers);
    error
}

/// Adds a header to an error's answer.
pub(crate) fn with_header(mut error: S3Error, name: &'static str, value: &str) -> S3Error {
    let mut headers: HeaderMap = error.headers().cloned().unwrap_or_default();
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
    error.set_headers(headers);
    error
}

/// The body's checksum of an algorithm isn't the one that was said.
pub(crate) fn bad_checksum(algorithm: &str) -> S3Error {
    let message = format!("The {algorithm} you specified did not match the calculated checksum.");
    fault(S3ErrorCode::BadDigest, message)
}

pub(crate) fn method_not_allowed(method: &http::Method, what: &str) -> S3Error {
    let message = "The specified method is not allowed against this resource.";
    let error = fault(S3ErrorCode::MethodNotAllowed, message);
    with(error, &[("Method", method.as_str()), ("ResourceType", what)])
}

pub(crate) fn not_implemented(operation: &str) -> S3Error {
    fault(S3ErrorCode::NotImplemented, format!("{operation} is not implemented"))
}

pub(crate) fn access_denied() -> S3Error {
    fault(S3ErrorCode::AccessDenied, "Access Denied")
}

pub(crate) fn no_such_bucket(name: &str) -> S3Error {
    let error = fault(S3ErrorCode::NoSuchBucket, "The specified bucket does not exist");
    with(error, &[("BucketName", name)])
}

pub(crate) fn no_such_key(key: &str) -> S3Error {
    with(fault(S3ErrorCode::NoSuchKey, "The specified key does not exist."), &[("Key", key)])
}

pub(crate) fn no_such_version(key: &str, version: &str) -> S3Error {
    let error = fault(S3ErrorCode::NoSuchVersion, "The specified version does not exist.");
    with(error, &[("Key", key), ("VersionId", version)])
}

pub(crate) fn no_such_upload(upload: &str) -> S3Error {
    let message = "The specified upload does not exist. The upload ID may be invalid, or the \
                   upload may have been aborted or completed.";
    with(fault(S3ErrorCode::NoSuchUpload, message), &[("UploadId", upload)])
}

pub(crate) fn invalid_argument(message: &str, name: &str, value: &str) -> S3Error {
    let error = fault(S3ErrorCode::InvalidArgument, message);
    with(error, &[("ArgumentName", name), ("ArgumentValue", value)])
}

pub(crate) fn invalid_request(message: impl Into<String>) -> S3Error {
    fault(S3ErrorCode::InvalidRequest, message)
}

pub(crate) fn precondition_failed(condition: &str) -> S3Error {
    let message = "At least one of the pre-conditions you specified did not hold";
    with(fault(S3ErrorCode::PreconditionFailed, message), &[("Condition", condition)])
}

pub(crate) fn malformed_xml() -> S3Error {
    let message = "The XML you provided was not well-formed or did not validate against our \
                   published schema";
    fault(S3ErrorCode::MalformedXML, message)
}

/// What the storage answers when it can't: all but a loss can be tried again.
pub(crate) fn storage(fault_below: &ClusterFault) -> S3Error {
    match fault_below {
        ClusterFault::Unavailable(why) => {
            log::warn!("storage is unavailable: {why}");
            fault(S3ErrorCode::ServiceUnavailable, "Service is unable to handle request.")
        }
        ClusterFault::Full => {
            log::warn!("the storage nodes are full");
            custom(StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage", "The disks are full.")
        }
        ClusterFault::Lost(blob) => {
            log::error!("no storage node has a whole copy of {blob:?}");
            internal()
        }
    }
}

/// A body isn't what its client has announced.
pub(crate) fn sha256_mismatch() -> S3Error {
    let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
    custom(StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch", message)
}

pub(crate) fn internal() -> S3Error {
    fault(S3ErrorCode::InternalError, "We encountered an internal error. Please try again.")
}

/// The message of a code that came without one.
pub(crate) fn default_message(code: &str) -> Option<&'static str> {
    Some(match code {
        "AccessDenied" => "Access Denied",
        "InvalidAccessKeyId" => "The AWS Access Key Id you provided does not exist in our records.",
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check \
             your key and signing method."
        }
        "InvalidBucketName" => "The specified bucket is not valid.",
        "KeyTooLongError" => "Your key is too long",
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
        "NotImplemented" => "A header you provided implies functionality that is not implemented",
        "InvalidURI" => "Couldn't parse the specified URI.",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "IncompleteBody" => {
            "You did not provide the number of bytes specified by the Content-Length HTTP header."
        }
        "MalformedXML" => {
            "The XML you provided was not well-formed or did not validate against our published \
             schema"
        }
        "InternalError" => "We encountered an internal error. Please try again.",
        "MaxMessageLengthExceeded" => "Your request was too big.",
        _ => return None,
    })
}
