//! Asks the server's KMS for data keys.

use anyhow::Context as _;
use contracts::keys::{Answer, Ask, Line, MAX_LINE, Plaintext, Want};
use s3::keys::{Asking, Context, DataKey, DataKeys, KeyFault, PlainKey};
use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    sync::Semaphore,
};

/// How long a request waits for KMS at most: longer than a server needs to start again.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before the next try to reach the server.
const RETRY: Duration = Duration::from_millis(100);
/// The most questions at a time; others wait, within their time.
const MAX_QUESTIONS: usize = 64;
/// The most connections that are kept for the next question.
const MAX_IDLE: usize = 8;

type Connection = BufReader<UnixStream>;

/// The server's KMS.
#[derive(Debug)]
pub struct Kms {
    path: PathBuf,
    room: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Kms {
    /// KMS behind the server's socket.
    pub fn new(path: PathBuf) -> Self {
        Self { path, room: Semaphore::new(MAX_QUESTIONS), idle: Mutex::default() }
    }

    /// Asks until there is an answer: a question may be put twice.
    async fn ask(&self, ask: &Ask) -> Result<Answer, KeyFault> {
        let mut why = None;
        let asking = async {
            let _place = self.room.acquire().await;
            loop {
                match self.try_once(ask).await {
                    Ok(answer) => return answer,
                    Err(error) => why = Some(format!("{error:#}")),
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        let answer = tokio::time::timeout(TIMEOUT, asking).await;
        answer.map_err(|_| KeyFault::Away(why.unwrap_or_else(|| "it takes too long".to_owned())))
    }

    async fn try_once(&self, ask: &Ask) -> anyhow::Result<Answer> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle().pop();
        let mut connection = match kept {
            // What the server has closed can be read: the end.
            Some(kept) if is_open(&kept) => kept,
            Some(_) | None => BufReader::new(UnixStream::connect(&self.path).await?),
        };
        let question = Line::of(ask)?;
        connection.get_mut().write_all(&question.0).await?;
        let mut line = Line(Vec::with_capacity(4 << 10));
        (&mut connection).take(MAX_LINE).read_until(b'\n', &mut line.0).await?;
        let answer = serde_json::from_slice(&line.0).context("read KMS's answer")?;
        let mut idle = idle();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        Ok(answer)
    }
}

/// Whether nothing has come that nobody asked for, nor the end.
fn is_open(connection: &Connection) -> bool {
    let mut byte = [0];
    let read = connection.get_ref().try_read(&mut byte);
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

fn ask(asking: Asking<'_>, context: &Context, want: Want) -> Ask {
    Ask {
        access_key_id: asking.identity.access_key.clone(),
        session_token: asking.identity.session_token.clone(),
        source_ip: asking.peer.address.map(|address| address.ip().to_canonical()),
        user_agent: asking.user_agent.map(str::to_owned),
        secure: asking.peer.secure,
        region: asking.region.to_owned(),
        context: context.clone(),
        want,
    }
}

fn plain(plaintext: &Plaintext) -> PlainKey {
    PlainKey::new(plaintext.0)
}

/// What is no answer to the question.
fn other(answer: Answer) -> KeyFault {
    match answer {
        Answer::Refused { code, message, ours: false } => KeyFault::Refused { code, message },
        Answer::Refused { code, message, ours: true } => {
            KeyFault::Away(format!("{code}: {message}"))
        }
        Answer::Made { .. } | Answer::Opened { .. } => {
            KeyFault::Away("it answers another question".to_owned())
        }
    }
}

#[async_trait::async_trait]
impl DataKeys for Kms {
    async fn generate(
        &self,
        asking: Asking<'_>,
        key_id: Option<&str>,
        context: &Context,
    ) -> Result<DataKey, KeyFault> {
        let want = Want::Generate { key_id: key_id.map(str::to_owned) };
        match self.ask(&ask(asking, context, want)).await? {
            Answer::Made { plaintext, ciphertext, key_arn } => {
                Ok(DataKey { plaintext: plain(&plaintext), ciphertext, key_arn })
            }
            answer @ (Answer::Opened { .. } | Answer::Refused { .. }) => Err(other(answer)),
        }
    }

    async fn open(
        &self,
        asking: Asking<'_>,
        ciphertext: &[u8],
        context: &Context,
    ) -> Result<PlainKey, KeyFault> {
        let want = Want::Open { ciphertext: ciphertext.to_vec() };
        match self.ask(&ask(asking, context, want)).await? {
            Answer::Opened { plaintext } => Ok(plain(&plaintext)),
            answer @ (Answer::Made { .. } | Answer::Refused { .. }) => Err(other(answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3::{Identity, Peer};
    use tokio::net::UnixListener;

    fn identity() -> Identity {
        Identity {
            access_key: "AKIA1".to_owned(),
            secret: "secret".to_owned(),
            session_token: None,
            account: "123456789012".to_owned(),
            arn: "arn:aws:iam::123456789012:root".to_owned(),
            user_id: "123456789012".to_owned(),
            canonical_id: "1".repeat(64),
            display_name: "one".to_owned(),
            root: true,
            own: None,
        }
    }

    fn asking(identity: &Identity) -> Asking<'_> {
        Asking { identity, peer: Peer::default(), user_agent: None, region: "us-east-1" }
    }

    /// Answers so many questions on a connection, then ends it.
    async fn serve(listener: &UnixListener, answers: Vec<Answer>) -> Vec<Ask> {
        let mut link = BufReader::new(listener.accept().await.unwrap().0);
        let mut asked = Vec::new();
        for answer in answers {
            let mut line = String::new();
            link.read_line(&mut line).await.unwrap();
            asked.push(serde_json::from_str(&line).unwrap());
            link.get_mut().write_all(&Line::of(&answer).unwrap().0).await.unwrap();
        }
        asked
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let kms = Kms::new(path);
        let opened = || Answer::Opened { plaintext: Plaintext([3; 32]) };
        let serving = tokio::spawn(async move {
            let mut asked = serve(&listener, vec![opened(), opened()]).await;
            let code = "DisabledException".to_owned();
            let message = "it is disabled.".to_owned();
            let refused = Answer::Refused { code, message, ours: false };
            asked.extend(serve(&listener, vec![refused]).await);
            asked
        });
        let (identity, context) = (identity(), Context::new());
        let ask = async || kms.open(asking(&identity), &[9], &context).await;
        assert_eq!(*ask().await.unwrap(), [3; 32]);
        assert_eq!(*ask().await.unwrap(), [3; 32]);
        let refused = ask().await.expect_err("the key is disabled");
        let code = "DisabledException".to_owned();
        assert_eq!(refused, KeyFault::Refused { code, message: "it is disabled.".to_owned() });
        let asked = serving.await.unwrap();
        assert_eq!(asked[0].want, Want::Open { ciphertext: vec![9] });
        assert_eq!((asked.len(), asked[0].access_key_id.as_str()), (3, "AKIA1"));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let kms = Kms::new(folder.path().join("keys.sock"));
        let identity = identity();
        let begun = tokio::time::Instant::now();
        let away = kms.generate(asking(&identity), None, &Context::new()).await;
        assert!(matches!(away, Err(KeyFault::Away(_))), "{away:?}");
        assert!(begun.elapsed() < TIMEOUT * 2);
    }
}
