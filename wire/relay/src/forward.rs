//! Passes a request on to another process over its Unix socket, streaming both bodies.

use crate::Source;
use bytes::Bytes;
use http::{HeaderName, Request, Response, Uri, header, uri::PathAndQuery};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};
use tokio::{io::AsyncWriteExt as _, net::UnixStream};

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Nobody is there: the request was not sent.
    #[error("{0}: {1}")]
    Away(PathBuf, io::Error),
    /// The process ended, or the client's body did: the request may have been done.
    #[error("the other process gave no answer: {0}")]
    Broken(#[from] hyper::Error),
}

/// What is said of a connection, and not of the answer that it carries.
const OF_CONNECTION: [HeaderName; 2] = [header::CONNECTION, HeaderName::from_static("keep-alive")];

/// The way to another process.
#[derive(Debug, Clone)]
pub struct Relay(PathBuf);

impl Relay {
    /// The way to the process that listens on this socket, now or later.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Passes a request on, unchanged as far as its signature goes. Neither body is held: each
    /// side goes as fast as the other takes it.
    ///
    /// # Errors
    /// The process is away, or gave no answer.
    pub async fn forward<B>(
        &self,
        mut request: Request<B>,
        source: &Source,
    ) -> Result<Response<Incoming>, RelayError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let away = |error| RelayError::Away(self.0.clone(), error);
        let mut stream = UnixStream::connect(&self.0).await.map_err(away)?;
        stream.write_all(source.to_string().as_bytes()).await.map_err(away)?;
        let (mut sender, connection) =
            http1::Builder::new().max_headers(200).handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                log::debug!("a passed request ended: {error}");
            }
        });
        let uri = request.uri();
        if uri.authority().is_some() {
            let path = uri.path_and_query().cloned();
            *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
        }
        // The answer's framing is that of this side's connection, whichever version the client has.
        *request.version_mut() = http::Version::HTTP_11;
        let mut response = sender.send_request(request).await?;
        for name in OF_CONNECTION {
            response.headers_mut().remove(name);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Full};
    use hyper::{server::conn::http1 as server, service::service_fn};

    #[tokio::test]
    async fn a_request_passes_whole_with_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let relay = Relay::new(&path);
        let request = || Request::put("http://host/b/k%20x?a=b%2F").header("Host", "host");
        let body = || Full::new(Bytes::from(vec![7; 3 << 20]));
        let from = Source { interface: Some("eni-1".to_owned()), ..Source::default() };
        let error = relay.forward(request().body(body()).unwrap(), &from).await.unwrap_err();
        assert!(matches!(error, RelayError::Away(..)), "{error}");

        let listener = crate::listen(&path).unwrap();
        let expected = from.clone();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_eq!(Source::read(&mut stream).await.unwrap(), expected);
            let answer = service_fn(|request: Request<Incoming>| async {
                assert_eq!(request.uri(), "/b/k%20x?a=b%2F");
                assert_eq!(request.headers()["host"], "host");
                // What was sent is sent back while it comes.
                let response = Response::builder().status(201).header("Connection", "close");
                Ok::<_, hyper::Error>(response.body(request.into_body()).unwrap())
            });
            server::Builder::new().serve_connection(TokioIo::new(stream), answer).await.unwrap();
        });
        let response = relay.forward(request().body(body()).unwrap(), &from).await.unwrap();
        assert_eq!(response.status(), 201);
        assert!(!response.headers().contains_key("connection"));
        let echoed = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(echoed, vec![7; 3 << 20]);
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_breaks_the_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        let listener = crate::listen(&path).unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            Source::read(&mut stream).await.unwrap();
            let answer = service_fn(|request: Request<Incoming>| async {
                let whole = request.into_body().collect().await;
                assert!(whole.is_err(), "the body came whole");
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::new())))
            });
            server::Builder::new().serve_connection(TokioIo::new(stream), answer).await
        });
        let pieces =
            [Ok(hyper::body::Frame::data(Bytes::from("x"))), Err(io::Error::other("gone"))];
        let mut pieces = pieces.into_iter();
        let body = Pieces(Box::new(move || pieces.next()));
        let request = Request::put("/b/k").header("Content-Length", "2").body(body).unwrap();
        let error = Relay::new(&path).forward(request, &Source::default()).await.unwrap_err();
        assert!(matches!(error, RelayError::Broken(_)), "{error}");
        // The other side may have seen nothing at all.
        let _ = serving.await.expect("it saw no whole body");
    }

    type Piece = Result<hyper::body::Frame<Bytes>, io::Error>;

    struct Pieces(Box<dyn FnMut() -> Option<Piece> + Send>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = io::Error;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Piece>> {
            std::task::Poll::Ready((self.0)())
        }
    }
}
