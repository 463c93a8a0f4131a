//! The way to the object store: connections and requests that are S3's, and what its owner asks.

use anyhow::Context as _;
use bytes::Bytes;
use contracts::objects::{ObjectsReply, ObjectsRequest};
use http::{Request, Response, header, request::Parts};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use relay::{Connection, Passer, Relay, RelayError, Source};
use std::{path::PathBuf, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

/// How long the object store may take to do what its owner asks.
const OWNER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest reply to its owner, in bytes.
const MAX_REPLY: u64 = 16 << 20;

/// A response's body: written here, or passed on as it comes.
pub type Body = Either<Full<Bytes>, Incoming>;

/// The object store's process.
#[derive(Debug)]
pub struct Objects {
    passer: Passer,
    relay: Relay,
    owner: PathBuf,
}

impl Objects {
    /// The process with its sockets in this folder.
    pub fn new(run: &std::path::Path) -> Self {
        Self {
            passer: Passer::new(run.join("objects-passed.sock")),
            relay: Relay::new(&run.join("objects.sock")),
            owner: run.join("objects-admin.sock"),
        }
    }

    /// Hands a connection over; gives it back if nobody takes it.
    pub async fn take(&self, connection: Connection, source: &Source) -> Option<Connection> {
        match self.passer.pass(&connection, source).await {
            Ok(()) => None,
            Err(error) => {
                log::debug!("a connection was not passed to the object store: {error}");
                Some(connection)
            }
        }
    }

    /// Passes a request on that came on a connection of the server's.
    pub async fn answer(
        &self,
        parts: Parts,
        body: Incoming,
        source: &Source,
        request_id: &str,
    ) -> Response<Body> {
        let head = parts.method == http::Method::HEAD;
        match self.relay.forward(Request::from_parts(parts, body), source).await {
            Ok(response) => response.map(Either::Right),
            Err(error) => {
                match &error {
                    RelayError::Away(..) => log::warn!("a request was not passed on: {error}"),
                    RelayError::Broken(_) => log::debug!("{error}"),
                }
                unavailable(head, request_id).map(Either::Left)
            }
        }
    }

    /// Asks what only the store's owner may.
    ///
    /// # Errors
    /// The store is away, or refused: for people.
    pub async fn ask(&self, request: &ObjectsRequest) -> anyhow::Result<ObjectsReply> {
        let asking = async {
            let mut stream = UnixStream::connect(&self.owner).await?;
            let mut line = serde_json::to_vec(request)?;
            line.push(b'\n');
            stream.write_all(&line).await?;
            let mut reply = String::new();
            BufReader::new(stream.take(MAX_REPLY)).read_line(&mut reply).await?;
            anyhow::Ok(serde_json::from_str(&reply)?)
        };
        let reply = tokio::time::timeout(OWNER_TIMEOUT, asking).await;
        match reply.map_err(|_| anyhow::anyhow!("it does not answer")).and_then(|reply| reply) {
            Ok(ObjectsReply::Refused(why)) => anyhow::bail!("the object store: {why}"),
            reply => reply.context("ask the object store"),
        }
    }
}

/// What S3 answers when it can't: clients try again.
fn unavailable(head: bool, request_id: &str) -> Response<Full<Bytes>> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>ServiceUnavailable</Code>\
         <Message>The object store is being started. Please try again.</Message>\
         <RequestId>{request_id}</RequestId></Error>"
    );
    let mut response = Response::new(Full::from(if head { String::new() } else { xml }));
    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    let mut say = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    };
    say(header::CONTENT_TYPE.as_str(), "application/xml");
    say(header::SERVER.as_str(), "AmazonS3");
    say(header::RETRY_AFTER.as_str(), "1");
    say("x-amz-request-id", request_id);
    // What is left of the request's body is nobody's.
    say(header::CONNECTION.as_str(), "close");
    response
}
