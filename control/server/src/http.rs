//! HTTP: connections, bodies within limits, and the few paths that are not AWS's.

use crate::dispatch::Dispatcher;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::Answer;
use shapes::Fault;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};

/// The largest body of a call to a query service.
const MAX_BODY: usize = 1 << 20;
/// The most connections at once; more wait.
const MAX_CONNECTIONS: usize = 4096;
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to send a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves calls on a socket, for ever.
///
/// # Errors
/// The socket fails.
pub async fn serve(listener: TcpListener, dispatcher: Arc<Dispatcher>) -> anyhow::Result<()> {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = room.clone().acquire_owned().await?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say: others may end meanwhile.
                log::warn!("a connection was lost: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let dispatcher = dispatcher.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| respond(&dispatcher, request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                log::debug!("a connection ended: {error}");
            }
            drop(place);
        });
    }
}

async fn respond(
    dispatcher: &Arc<Dispatcher>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let request_id = request_id();
    let (parts, body) = request.into_parts();
    if let Some(path) = parts.uri.path().strip_prefix("/_fogbank/") {
        // A web page of somebody else's must not reach this by its visitor's browser.
        if parts.headers.contains_key(header::ORIGIN) {
            return Ok(empty(StatusCode::FORBIDDEN));
        }
        return Ok(own(dispatcher, &parts.method, path).await);
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await;
    let answer = match body {
        Ok(Ok(body)) => dispatcher.answer(&parts, &body.to_bytes(), &request_id).await,
        Ok(Err(error)) => refused(
            Fault::sender("RequestEntityTooLarge", format!("The request's body: {error}"))
                .with_status(413),
            &request_id,
        ),
        Err(_) => refused(
            Fault::sender("RequestTimeout", "The request's body did not come in time.")
                .with_status(408),
            &request_id,
        ),
    };
    log::debug!("{} {} {}", parts.method, parts.uri.path(), answer.status);
    let response = Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, answer.content_type)
        .header(header::SERVER, "AmazonEC2")
        .header("x-amzn-RequestId", &request_id)
        .header(header::CACHE_CONTROL, "no-cache, no-store")
        .body(Full::new(Bytes::from(answer.body)));
    Ok(response.unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR)))
}

fn refused(fault: Fault, request_id: &str) -> Answer {
    protocol::fault(&shapes::ec2::SERVICE, &fault, request_id)
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// `GET /_fogbank/health`, and under `--trust-any-key` `POST /_fogbank/reset`.
async fn own(dispatcher: &Arc<Dispatcher>, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let (status, text) = match (method, path) {
        (&Method::GET, "health") => (StatusCode::OK, "{\"status\": \"ok\"}\n".to_owned()),
        (&Method::POST, "reset") if dispatcher.trust_any_key => {
            let reset = dispatcher.cloud.mutate(false, |tx| {
                ec2::reset(tx);
                Ok(())
            });
            match reset.await {
                Ok(()) => (StatusCode::OK, "{\"status\": \"ok\"}\n".to_owned()),
                Err(fault) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{fault}\n")),
            }
        }
        (&Method::POST, "reset") => (
            StatusCode::FORBIDDEN,
            "Only a cloud started with --trust-any-key is reset by request; use 'fogbank reset'.\n"
                .to_owned(),
        ),
        _ => (StatusCode::NOT_FOUND, "No such path.\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

/// A request ID of AWS's form: a random UUID.
fn request_id() -> String {
    use std::{
        collections::hash_map::RandomState,
        hash::{BuildHasher as _, Hasher as _},
    };
    // Unique, not secret: the hasher's keys are random for each call.
    let half = |n: u8| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u8(n);
        hasher.finish()
    };
    let (a, b) = (half(0), half(1));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | (b >> 48) & 0x3fff,
        b & 0xffff_ffff_ffff
    )
}
