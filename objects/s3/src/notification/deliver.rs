//! Where events go: a web hook or a file.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::{io::Write as _, path::PathBuf, time::Duration};
use tokio::net::TcpStream;

/// How long a web hook may take.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a web hook's answer is read, so that the connection ends well.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What stands for an ARN.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Target {
    /// `http://HOST[:PORT]/PATH`: each message is a POST, taken if the answer is 2xx.
    Url(String),
    /// Each message is a line.
    File(PathBuf),
}

impl Target {
    /// Gives a message to the target; once this returns, the target has it.
    pub(super) async fn send(&self, body: &str) -> anyhow::Result<()> {
        match self {
            Self::Url(url) => tokio::time::timeout(HOOK_TIMEOUT, post(url, body.to_owned()))
                .await
                .context("no answer in time")?,
            Self::File(path) => {
                let (path, line) = (path.clone(), format!("{body}\n"));
                tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
                    let mut file =
                        std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
                    file.write_all(line.as_bytes())?;
                    Ok(file.sync_data()?)
                })
                .await?
            }
        }
    }
}

async fn post(url: &str, body: String) -> anyhow::Result<()> {
    let uri: http::Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
    if uri.scheme_str() != Some("http") {
        bail!("{url}: only http is spoken");
    }
    let authority = uri.authority().context("the URL names no host")?.clone();
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host.as_str(), authority.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = http::Request::post(path)
        .header(http::header::HOST, authority.as_str())
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(http::header::USER_AGENT, "Amazon S3")
        .body(Full::new(Bytes::from(body)))?;
    let talk = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await.ok();
        drop(sender);
        anyhow::Ok(status)
    };
    let (status, _) = tokio::join!(talk, connection);
    let status = status?;
    if status.is_success() { Ok(()) } else { bail!("{url} answered {status}") }
}
