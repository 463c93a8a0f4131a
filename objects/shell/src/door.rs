//! Connections and requests that come in, and requests that go on to the server.

use crate::identities::Known;
use anyhow::Context as _;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use relay::{Connection, Crowd, Relay, Source, Steady};
use s3::{Front, Passed, Peer, Service};
use s3s::Body;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Handle, sync::Semaphore};

/// The most connections at once; more wait, and the server's with them.
const MAX_CONNECTIONS: usize = 8192;
/// The most of one client: an address, or a guest's interface. There is room for others.
const MAX_CONNECTIONS_OF_ONE: usize = MAX_CONNECTIONS / 2;
/// How long a connection waits for the server to tell who may sign, after a start.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server may take for the line that opens a connection of its own.
const LINE_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes connections.
#[derive(Debug, Clone)]
pub struct Listeners {
    service: Service,
    known: Arc<Known>,
    server: Relay,
    room: Arc<Semaphore>,
    crowd: Crowd,
    run: PathBuf,
}

impl Listeners {
    /// Takes connections for a service on sockets in this folder.
    pub fn new(service: Service, known: Arc<Known>, run: &Path) -> Self {
        let server = Relay::new(&run.join("server.sock"));
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let crowd = Crowd::new(MAX_CONNECTIONS_OF_ONE);
        Self { service, known, server, room, crowd, run: run.to_owned() }
    }

    /// Serves connections that the server hands over, from now on.
    ///
    /// # Errors
    /// The socket can't be made.
    pub fn take_passed(&self) -> anyhow::Result<()> {
        let path = self.run.join("objects-passed.sock");
        let (mine, runtime) = (self.clone(), Handle::current());
        let take = move |descriptor, source: Source| {
            let Ok(place) = runtime.block_on(mine.room.clone().acquire_owned()) else { return };
            let Some(seat) = mine.crowd.enter(&source) else { return };
            let mine = mine.clone();
            runtime.spawn(async move {
                match Connection::from_fd(descriptor) {
                    Ok(connection) => mine.serve(connection, source, true).await,
                    Err(error) => log::warn!("a passed connection was lost: {error}"),
                }
                drop((place, seat));
            });
        };
        relay::listen_for_passed(&path, take)
            .with_context(|| format!("listen on {}", path.display()))
    }

    /// Serves requests that the server passes on, each with a connection of its own, for ever.
    ///
    /// # Errors
    /// The socket can't be made, or the process ends.
    pub async fn take_requests(&self) -> anyhow::Result<()> {
        let path = self.run.join("objects.sock");
        let listener =
            relay::listen(&path).with_context(|| format!("listen on {}", path.display()))?;
        loop {
            let place = self.room.clone().acquire_owned().await?;
            let mut stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    log::warn!("a connection was lost: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let mine = self.clone();
            tokio::spawn(async move {
                let line = tokio::time::timeout(LINE_TIMEOUT, Source::read(&mut stream));
                if let Ok(Ok(source)) = line.await {
                    mine.serve(Connection::Unix(stream), source, false).await;
                }
                drop(place);
            });
        }
    }

    /// Takes no more connections.
    pub fn close(&self) {
        self.room.close();
    }

    /// Serves a connection; its requests that aren't S3's go to the server if it is a client's.
    async fn serve(&self, connection: Connection, source: Source, clients: bool) {
        if tokio::time::timeout(READY_TIMEOUT, self.known.ready()).await.is_err() {
            log::warn!("a connection was lost: the server has not told who may sign");
            return;
        }
        let vpc = source.vpc.as_deref().and_then(|id| id.parse().ok());
        let peer = Peer { address: Some(source.address), vpc, secure: source.secure };
        let service = if clients {
            let front = ToServer { server: self.server.clone(), source };
            self.service.clone().with_front(Arc::new(front))
        } else {
            self.service.clone()
        };
        if let Err(error) = service.serve(Steady::new(connection), peer).await {
            log::debug!("a connection ended: {error}");
        }
    }
}

/// Passes on what isn't S3's.
struct ToServer {
    server: Relay,
    source: Source,
}

#[async_trait::async_trait]
impl Front for ToServer {
    async fn look(&self, request: Request<Incoming>) -> Passed {
        let (parts, body) = request.into_parts();
        if relay::is_s3(&parts) {
            return Passed::On(Request::from_parts(parts, body));
        }
        let head = parts.method == Method::HEAD;
        let answer = self.server.forward(Request::from_parts(parts, body), &self.source).await;
        Passed::Answered(match answer {
            Ok(response) => response.map(Body::from),
            Err(error) => {
                log::debug!("a request was not passed to the server: {error}");
                unavailable(head)
            }
        })
    }
}

/// What EC2 answers when it can't: clients try again.
fn unavailable(head: bool) -> Response<Body> {
    let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error>\
               <Code>Unavailable</Code><Message>The server is being started. Please try \
               again.</Message></Error></Errors></Response>";
    let mut response = Response::new(if head { Body::empty() } else { xml.to_owned().into() });
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let say = |(name, value)| (name, http::HeaderValue::from_static(value));
    let headers = [
        (header::CONTENT_TYPE, "text/xml;charset=UTF-8"),
        (header::RETRY_AFTER, "1"),
        // What is left of the request's body is nobody's.
        (header::CONNECTION, "close"),
    ];
    response.headers_mut().extend(headers.map(say));
    response
}
