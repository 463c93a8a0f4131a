//! Forms: puts the file's own name where the form says `${filename}`.

use crate::fault;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, header, request::Parts};
use http_body::Frame;
use http_body_util::StreamBody;
use s3s::{Body, S3Result, StdError};

/// How much of a form may come before its file, to be looked at.
const MAX_FIELDS_BYTES: usize = 64 << 10;
/// How much is read before it is looked at again.
const LOOK_BYTES: usize = 1 << 10;
const PLACEHOLDER: &[u8] = b"${filename}";

/// A request's body, with the name filled in if it is a form.
///
/// # Errors
/// `InvalidArgument`: the form has no file, or no key before it.
pub(crate) async fn fill_in(parts: &Parts, mut body: Body) -> S3Result<Body> {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if parts.method != Method::POST
        || !kind.is_some_and(|kind| kind.starts_with("multipart/form-data"))
    {
        return Ok(body);
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
        Some(_) | None => {}
    }
    let front = replaced(&front).map_or_else(|| front.freeze(), Bytes::from);
    let front = stream::iter([Some(Ok(front)), broken.map(Err::<Bytes, StdError>)]);
    let whole = front.filter_map(std::future::ready).chain(body).map_ok(Frame::data);
    Ok(Body::http_body_unsync(StreamBody::new(whole)))
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
}
