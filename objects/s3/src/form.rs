//! Forms: puts the file's own name where the form says `${filename}`.

use crate::{access::CONDITIONS, fault};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use http_body::Frame;
use http_body_util::StreamBody;
use s3s::{Body, S3Result, StdError};

/// How much of a form may come before its file, to be looked at.
const MAX_FIELDS_BYTES: usize = 64 << 10;
/// How much is read before it is looked at again.
const LOOK_BYTES: usize = 1 << 10;
const PLACEHOLDER: &[u8] = b"${filename}";

/// The header of session tokens, and the field.
const TOKEN: &str = "x-amz-security-token";

/// An access key, and the token that came with it.
pub(crate) type Session = (String, String);

/// A request's body, with the name filled in if it is a form. Its fields stand where other requests
/// have headers, for those who look there: for conditions of policies, and for the session.
///
/// # Errors
/// `InvalidArgument`: the form has no file, or no key before it.
pub(crate) async fn fill_in(
    parts: &mut Parts,
    mut body: Body,
) -> S3Result<(Body, Option<Session>)> {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if parts.method != Method::POST
        || !kind.is_some_and(|kind| kind.starts_with("multipart/form-data"))
    {
        return Ok((body, None));
    }
    let mut front = BytesMut::new();
    let (mut broken, mut ended) = (None, false);
    let mut looked = 0;
    while front.len() < MAX_FIELDS_BYTES {
        if front.len() >= looked + LOOK_BYTES {
            looked = front.len();
            if file_part(&front).is_some() {
                break;
            }
        }
        match body.next().await {
            Some(Ok(piece)) => front.extend_from_slice(&piece),
            Some(Err(error)) => {
                broken = Some(error);
                break;
            }
            None => {
                ended = true;
                break;
            }
        }
    }
    match file_part(&front) {
        None if ended => {
            let message = "POST requires exactly one file upload per request.";
            return Err(fault::invalid_argument(message, "file", "0"));
        }
        Some((begin, _)) if find(&front[..begin], b"name=\"key\"").is_none() => {
            let message = "Bucket POST must contain a field named 'key'.  If it is specified, \
                           please check the order of the fields.";
            return Err(fault::invalid_argument(message, "key", ""));
        }
        None if broken.is_none() => {
            let message = "Your POST request fields preceding the upload file were too large.";
            let code = "MaxPostPreDataLengthExceeded";
            return Err(fault::custom(StatusCode::BAD_REQUEST, code, message));
        }
        Some(_) | None => {}
    }
    show(parts, &front);
    let session = session_of(parts, &front);
    let front = replaced(&front).map_or_else(|| front.freeze(), Bytes::from);
    let front = stream::iter([Some(Ok(front)), broken.map(Err::<Bytes, StdError>)]);
    let whole = front.filter_map(std::future::ready).chain(body).map_ok(Frame::data);
    Ok((Body::http_body_unsync(StreamBody::new(whole)), session))
}

/// Puts a form's fields in the place of headers. Headers of the same names are not what the form says.
fn show(parts: &mut Parts, front: &[u8]) {
    for name in CONDITIONS.into_iter().filter(|name| name.starts_with("x-amz-")) {
        if name != "x-amz-content-sha256" {
            parts.headers.remove(name);
        }
    }
    parts.headers.remove(TOKEN);
    for (name, value) in fields(front) {
        let name = name.to_ascii_lowercase();
        let shown = name == TOKEN
            || (CONDITIONS.contains(&name.as_str())
                && name.starts_with("x-amz-")
                && name != "x-amz-content-sha256");
        let header = (HeaderName::try_from(name), HeaderValue::from_bytes(value));
        if let (true, (Ok(name), Ok(value))) = (shown, header) {
            parts.headers.insert(name, value);
        }
    }
}

/// The session of a form, with the access key that it comes with.
fn session_of(parts: &Parts, front: &[u8]) -> Option<Session> {
    let token = parts.headers.get(TOKEN)?.to_str().ok()?.to_owned();
    let field = |wanted: &str| {
        let found = fields(front).find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        std::str::from_utf8(found.1).ok()
    };
    let credential = field("x-amz-credential").or_else(|| field("AWSAccessKeyId"))?;
    Some((credential.split('/').next()?.to_owned(), token))
}

/// The fields before the file, which are there whole.
fn fields(front: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    let end = file_part(front).map_or(0, |(begin, _)| begin);
    let mut rest = &front[..end];
    let line = find(rest, b"\r\n").map_or(&rest[..0], |at| &rest[..at]);
    let delimiter = [b"\r\n", line].concat();
    std::iter::from_fn(move || {
        loop {
            let begin = find(rest, b"\r\n\r\n")?;
            let (head, after) = (&rest[..begin], &rest[begin + 4..]);
            let until = find(after, &delimiter)?;
            rest = &after[until + delimiter.len()..];
            let Some(at) = find(head, b"name=\"") else { continue };
            let name = &head[at + 6..];
            let name = &name[..find(name, b"\"").unwrap_or(0)];
            if let Ok(name) = std::str::from_utf8(name) {
                return Some((name, &after[..until]));
            }
        }
    })
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// Where the header of the file's part begins and ends, if it is there whole.
fn file_part(front: &[u8]) -> Option<(usize, usize)> {
    let begin = find(front, b"name=\"file\"")?;
    let end = find(&front[begin..], b"\r\n\r\n")?;
    Some((begin, begin + end))
}

/// The front of a form with the file's name in it; none if it isn't to be.
fn replaced(front: &[u8]) -> Option<Vec<u8>> {
    let (begin, end) = file_part(front)?;
    let header = &front[begin..end];
    let name = &header[find(header, b"filename=\"")? + 10..];
    let name = &name[..find(name, b"\"")?];
    // Some browsers send a path.
    let name = name.rsplit(|byte| matches!(byte, b'/' | b'\\')).next().unwrap_or_default();
    let (mut fields, mut all) = (&front[..begin], Vec::with_capacity(front.len()));
    while let Some(at) = find(fields, PLACEHOLDER) {
        all.extend_from_slice(&fields[..at]);
        all.extend_from_slice(name);
        fields = &fields[at + PLACEHOLDER.len()..];
    }
    all.extend_from_slice(fields);
    all.extend_from_slice(&front[begin..]);
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_name_is_put_in_before_the_file_only() {
        let form = "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nup/${filename}\r\n--x\r\n\
                    Content-Disposition: form-data; name=\"file\"; filename=\"C:\\a\\b.txt\"\r\n\r\n\
                    ${filename}";
        let got = replaced(form.as_bytes()).expect("a file");
        assert_eq!(String::from_utf8(got).expect("text"), form.replacen("${filename}", "b.txt", 1));
        let front = &form.as_bytes()[..form.len() - 20];
        assert_eq!(replaced(front), None, "the header is not there whole");
    }

    #[test]
    fn fields_stand_where_headers_would() {
        let part = |name: &str, value: &str| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let form = [
            part("key", "k"),
            part("X-Amz-Server-Side-Encryption", "aws:kms"),
            part("x-amz-credential", "ASIA1/20260101/us-east-1/s3/aws4_request"),
            part("x-amz-security-token", "token--x"),
            part("authorization", "AWS a:b"),
            part("file\"; filename=\"f", "x\r\n--y"),
            part("x-amz-acl", "public-read"),
        ]
        .concat();
        let request = http::Request::post("/b").header("x-amz-storage-class", "GLACIER");
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        show(&mut parts, form.as_bytes());
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("x-amz-server-side-encryption"), Some("aws:kms"));
        assert_eq!(header("x-amz-storage-class"), None, "the form doesn't say so");
        assert_eq!(header("x-amz-acl"), None, "it comes after the file");
        assert_eq!(header("authorization"), None);
        let session = session_of(&parts, form.as_bytes());
        assert_eq!(session, Some(("ASIA1".to_owned(), "token--x".to_owned())));
    }
}
