//! HTTP: connections, bodies within limits, and the few paths that are not AWS's.
//!
//! One port serves all. A connection whose first request is S3's is handed to the object store;
//! of the others, requests that turn out to be S3's are passed on one by one.

use crate::{
    cloud,
    dispatch::Dispatcher,
    objects::{Body, Objects},
    tls::Authority,
};
use anyhow::Context as _;
use bytes::Bytes;
use contracts::objects::ObjectsRequest;
use http::{Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Collected, Either, Full, Limited};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::{Answer, route::Sorted};
use relay::{Connection, Crowd, Place, Source, Steady};
use shapes::Fault;
use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, error::Elapsed},
};

/// The largest body of a call to a query service.
const MAX_BODY: usize = 1 << 20;
/// How much of a longer one is read before it is refused.
const MAX_PASSED_OVER: usize = 16 << 20;
/// The most connections at once; more wait.
const MAX_CONNECTIONS: usize = 4096;
/// The most of one client: an address, or a guest's interface. There is room for others.
const MAX_CONNECTIONS_OF_ONE: usize = MAX_CONNECTIONS / 2;
/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to send a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What answers requests, whichever way they come.
#[derive(Clone)]
pub struct Front {
    dispatcher: Arc<Dispatcher>,
    objects: Arc<Objects>,
    authority: Arc<Authority>,
    room: Arc<Semaphore>,
    crowd: Crowd,
}

/// A connection's place among all, and among its client's.
type Places = (OwnedSemaphorePermit, Place);

/// By which way a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From a client, over TCP.
    Client,
    /// From a guest, by the VPC card.
    Guest,
    /// From the object store, which knows what is its own.
    Objects,
}

impl Front {
    /// A front before a dispatcher and the object store.
    pub fn new(
        dispatcher: Arc<Dispatcher>,
        objects: Arc<Objects>,
        authority: Arc<Authority>,
    ) -> Self {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let crowd = Crowd::new(MAX_CONNECTIONS_OF_ONE);
        Self { dispatcher, objects, authority, room, crowd }
    }

    /// Serves clients, for ever.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn serve_clients(&self, listener: TcpListener) -> anyhow::Result<()> {
        loop {
            let place = self.room.clone().acquire_owned().await?;
            let (stream, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    lost(&error).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let source = Source::from(from);
            let Some(seat) = self.crowd.enter(&source) else {
                log::debug!("{} has too many connections", source.address.ip());
                continue;
            };
            let places = (place, seat);
            let connection = self.clone().connection(Connection::Tcp(stream), source, places);
            tokio::spawn(connection);
        }
    }

    /// Serves guests, whose connections the VPC card ends, for ever.
    ///
    /// # Errors
    /// The socket can't be made.
    pub async fn serve_guests(&self, path: &Path) -> anyhow::Result<()> {
        self.serve_unix(path, Way::Guest).await
    }

    /// Serves requests that the object store passes on, for ever.
    ///
    /// # Errors
    /// The socket can't be made.
    pub async fn serve_objects(&self, path: &Path) -> anyhow::Result<()> {
        self.serve_unix(path, Way::Objects).await
    }

    async fn serve_unix(&self, path: &Path, way: Way) -> anyhow::Result<()> {
        let listener: UnixListener =
            relay::listen(path).with_context(|| format!("listen on {}", path.display()))?;
        loop {
            let place = self.room.clone().acquire_owned().await?;
            let mut stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    lost(&error).await;
                    continue;
                }
            };
            let front = self.clone();
            tokio::spawn(async move {
                let reading = tokio::time::timeout(HEAD_TIMEOUT, Source::read(&mut stream));
                let Ok(Ok(source)) = reading.await else { return };
                let connection = Connection::Unix(stream);
                match way {
                    Way::Objects => front.talk(connection, source, way).await,
                    Way::Client | Way::Guest => {
                        let Some(seat) = front.crowd.enter(&source) else { return };
                        front.connection(connection, source, (place, seat)).await;
                    }
                }
            });
        }
    }

    /// Hands a connection to the object store if it begins with a request for it.
    async fn connection(self, connection: Connection, source: Source, places: Places) {
        let way = if source.interface.is_some() { Way::Guest } else { Way::Client };
        let began = Instant::now();
        let Ok(sorted) = connection.sorted(HEAD_TIMEOUT).await else { return };
        if began.elapsed() >= HEAD_TIMEOUT {
            return;
        }
        let connection = match sorted {
            Sorted::S3 => self.objects.take(connection, &source).await,
            Sorted::Tls => return self.talk_by_tls(connection, source, way, places).await,
            Sorted::Other | Sorted::More => Some(connection),
        };
        if let Some(connection) = connection {
            self.talk(connection, source, way).await;
        }
        drop(places);
    }

    /// TLS ends here: its requests for the object store are passed on one by one.
    async fn talk_by_tls(self, connection: Connection, source: Source, way: Way, places: Places) {
        let accepting = self.authority.accept(connection);
        match tokio::time::timeout(HEAD_TIMEOUT, accepting).await {
            Ok(Ok(stream)) => self.talk(stream, Source { secure: true, ..source }, way).await,
            Ok(Err(error)) => log::debug!("no handshake of TLS: {error:#}"),
            Err(_) => log::debug!("a handshake of TLS took too long"),
        }
        drop(places);
    }

    async fn talk<S>(&self, connection: S, source: Source, way: Way)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| self.respond(request, &source, way));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(Steady::new(connection)), service);
        if let Err(error) = connection.await {
            log::debug!("a connection ended: {error}");
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        source: &Source,
        way: Way,
    ) -> Result<Response<Body>, Infallible> {
        let request_id = request_id();
        let (parts, body) = request.into_parts();
        if way != Way::Objects && relay::is_s3(&parts) {
            return Ok(self.objects.answer(parts, body, source, &request_id).await);
        }
        Ok(self.call(parts, body, (source, way), &request_id).await.map(Either::Left))
    }

    async fn call(
        &self,
        parts: Parts,
        body: Incoming,
        (source, way): (&Source, Way),
        request_id: &str,
    ) -> Response<Full<Bytes>> {
        if let Some(path) = parts.uri.path().strip_prefix("/_fogbank/") {
            // A web page of somebody else's must not reach this by its visitor's browser, and a
            // guest not at all.
            if parts.headers.contains_key(header::ORIGIN) || way == Way::Guest {
                return empty(StatusCode::FORBIDDEN);
            }
            return self.own(&parts.method, path).await;
        }
        let answer = match take_in(body).await {
            Ok(Ok(body)) => self.dispatcher.answer(&parts, &body, source, request_id).await,
            Ok(Err(why)) => refused(
                Fault::sender("RequestEntityTooLarge", format!("The request's body: {why}"))
                    .with_status(413),
                request_id,
            ),
            Err(_) => refused(
                Fault::sender("RequestTimeout", "The request's body did not come in time.")
                    .with_status(408),
                request_id,
            ),
        };
        log::debug!("{} {} {}", parts.method, parts.uri.path(), answer.status);
        let response = Response::builder()
            .status(answer.status)
            .header(header::CONTENT_TYPE, answer.content_type)
            .header(header::SERVER, "AmazonEC2")
            .header("x-amzn-RequestId", request_id)
            .header(header::CACHE_CONTROL, "no-cache, no-store")
            .body(Full::new(Bytes::from(answer.body)));
        response.unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// `GET /_fogbank/health`, and under `--trust-any-key` `POST /_fogbank/reset`.
    async fn own(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, text) = match (method, path) {
            (&Method::GET, "health") => (StatusCode::OK, "{\"status\": \"ok\"}\n".to_owned()),
            (&Method::POST, "reset") if self.dispatcher.trust_any_key => match self.reset().await {
                Ok(()) => (StatusCode::OK, "{\"status\": \"ok\"}\n".to_owned()),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")),
            },
            (&Method::POST, "reset") => (
                StatusCode::FORBIDDEN,
                "Only a cloud started with --trust-any-key is reset by request; use 'fogbank \
                 reset'.\n"
                    .to_owned(),
            ),
            _ => (StatusCode::NOT_FOUND, "No such path.\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response
    }

    /// Wipes everything but the images.
    async fn reset(&self) -> anyhow::Result<()> {
        let reset = self.dispatcher.cloud.mutate(false, |tx| {
            cloud::reset(tx);
            Ok(())
        });
        reset.await?;
        self.objects.ask(&ObjectsRequest::Reset).await?;
        Ok(())
    }
}

/// A request's body, if it comes in time, and is as short as it must be.
async fn take_in(body: Incoming) -> Result<Result<Bytes, String>, Elapsed> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MAX_BODY {
        if announced <= MAX_PASSED_OVER {
            tokio::time::timeout(BODY_TIMEOUT, pass_over(body)).await?;
        }
        return Ok(Err("length limit exceeded".to_owned()));
    }
    let collecting = Limited::new(body, MAX_BODY).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, collecting).await?;
    Ok(body.map(Collected::to_bytes).map_err(|error| error.to_string()))
}

/// Reads a body that is too long and keeps nothing of it: most clients look for an answer only once
/// they have sent all. One that is much longer is refused unread, and they see a cut connection.
async fn pass_over(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// Out of descriptors, say: others may end meanwhile.
async fn lost(error: &std::io::Error) {
    log::warn!("a connection was lost: {error}");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn refused(fault: Fault, request_id: &str) -> Answer {
    protocol::fault(&shapes::ec2::SERVICE, &fault, request_id)
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// A request ID of AWS's form: a random UUID.
pub(crate) fn request_id() -> String {
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
