//! Documents in requests: the digests that come with them are compared.

use crate::{
    access::parameter,
    api::convert::{checksums, content_md5},
    fault,
    store::checksum::{Algorithm, Hasher},
};
use bytes::Bytes;
use http::{HeaderMap, Method, request::Parts};
use s3s::{
    Body, S3Error, S3ErrorCode, S3Result,
    crypto::{Checksum as _, Md5},
};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

/// Parameters of requests whose body is a document. Where a request without them has a body, it is
/// an object's, and compared when it is taken in.
const DOCUMENTS: [&str; 23] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "retention",
    "tagging",
    "versioning",
    "website",
];

/// What came of the comparison.
#[derive(Clone, Default)]
pub(crate) struct Verdict(Arc<Mutex<Option<S3Error>>>);

impl Verdict {
    /// Why the document isn't what was sent, if it isn't.
    pub(crate) fn take(&self) -> Option<S3Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Lets a document's digests be compared as it is read. A wrong one breaks off at its end, so that
/// nobody acts on it.
///
/// # Errors
/// `InvalidDigest`, `InvalidRequest`.
pub(crate) fn watch(parts: &Parts, body: Body) -> S3Result<(Body, Verdict)> {
    let verdict = Verdict::default();
    let streamed = text(&parts.headers, "x-amz-content-sha256")
        .is_some_and(|kind| kind.starts_with("STREAMING-"));
    if !is_document(parts) || streamed {
        return Ok((body, verdict));
    }
    let md5 = content_md5(text(&parts.headers, "content-md5"))?;
    let names = Algorithm::ALL.map(|one| one.header());
    let sums = checksums(names.each_ref().map(|name| text(&parts.headers, name)))?;
    if md5.is_none() && sums.is_empty() {
        return Ok((body, verdict));
    }
    let compared = Compared {
        body,
        md5: md5.map(|wanted| (Md5::new(), wanted)),
        sums: sums.into_iter().map(|(one, wanted)| (Hasher::new(one), wanted)).collect(),
        ended: false,
        verdict: verdict.clone(),
    };
    Ok((Body::http_body(compared), verdict))
}

/// Whether a request's body is a document.
pub(crate) fn is_document(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    matches!(parts.method, Method::PUT | Method::POST)
        && DOCUMENTS.iter().any(|name| parameter(query, name).is_some())
}

/// A header's text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

struct Compared {
    body: Body,
    md5: Option<(Md5, [u8; 16])>,
    sums: Vec<(Hasher, Vec<u8>)>,
    ended: bool,
    verdict: Verdict,
}

impl Compared {
    fn update(&mut self, data: &[u8]) {
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(data);
        }
        self.sums.iter_mut().for_each(|(hasher, _)| hasher.update(data));
    }

    /// The fault of the first digest that is another.
    fn end(&mut self) -> Option<S3Error> {
        self.ended = true;
        if let Some((md5, wanted)) = self.md5.take()
            && md5.finalize() != wanted
        {
            let message = "The Content-MD5 you specified did not match what we received.";
            return Some(fault::fault(S3ErrorCode::BadDigest, message));
        }
        self.sums.drain(..).find_map(|(hasher, wanted)| {
            let algorithm = hasher.algorithm();
            (hasher.finish() != wanted).then(|| fault::bad_checksum(algorithm.name()))
        })
    }
}

impl http_body::Body for Compared {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.update(data);
                }
            }
            None if !self.ended => {
                if let Some(error) = self.end() {
                    *self.verdict.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return Poll::Ready(Some(Err("the document is not what was sent".into())));
                }
            }
            Some(Err(_)) | None => {}
        }
        Poll::Ready(frame)
    }

    /// Only once the end was compared.
    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}
