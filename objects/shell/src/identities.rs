//! Who may sign, as the server tells it: kept in memory, and good for as long as the server is away.

use contracts::identity::{FromObjects, Identities, Identity, ToObjects};
use contracts::link::MAX_LINE;
use s3::Identity as Signer;
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixStream, unix::OwnedReadHalf},
    sync::watch,
};
use types::AccountId;

/// How long a request with an unknown key waits for the server to say what is new.
const SYNC_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before the next try to reach the server.
const RETRY: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Table {
    signers: HashMap<String, Arc<Signer>>,
    trust_any_key: bool,
}

/// The known identities.
#[derive(Debug)]
pub struct Known {
    table: RwLock<Table>,
    /// Whether the server has told all once.
    told: watch::Sender<bool>,
    /// The number of the last question, and of the last one that was answered.
    asked: watch::Sender<u64>,
    answered: watch::Sender<u64>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            table: RwLock::default(),
            told: watch::Sender::new(false),
            asked: watch::Sender::new(0),
            answered: watch::Sender::new(0),
        }
    }
}

impl Known {
    /// Waits until the server has told who may sign.
    pub async fn ready(&self) {
        // We hold the sender, so that waiting doesn't fail.
        let _ = self.told.subscribe().wait_for(|told| *told).await;
    }

    /// Follows what the server tells, for ever; it may come and go.
    pub async fn follow(&self, path: &Path) {
        let mut away = false;
        loop {
            match UnixStream::connect(path).await {
                Ok(stream) => {
                    away = false;
                    let ended = self.listen(stream).await;
                    let why = ended.err().map(|error| format!(": {error:#}")).unwrap_or_default();
                    log::warn!("the server's link ended{why}");
                }
                Err(error) if !away => {
                    away = true;
                    log::info!("the server isn't there: {error}");
                }
                Err(_) => {}
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn listen(&self, stream: UnixStream) -> anyhow::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        let mut asked = self.asked.subscribe();
        // Who asked before has to be answered, too.
        asked.mark_changed();
        let mut line = Vec::new();
        loop {
            tokio::select! {
                changed = asked.changed() => {
                    changed?;
                    let number = *asked.borrow_and_update();
                    let mut question = serde_json::to_vec(&FromObjects::Sync(number))?;
                    question.push(b'\n');
                    write.write_all(&question).await?;
                }
                message = message(&mut read, &mut line) => match message? {
                    Some(ToObjects::Identities(identities)) => self.take(identities),
                    Some(ToObjects::Synced(number)) => {
                        self.answered.send_replace(number);
                    }
                    None => return Ok(()),
                }
            }
        }
    }

    fn take(&self, identities: Identities) {
        let Identities { revision: _, reset, trust_any_key, put, remove } = identities;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.trust_any_key = trust_any_key;
        if reset {
            table.signers.clear();
        }
        for key in remove {
            table.signers.remove(&key);
        }
        for identity in put {
            table.signers.insert(identity.access_key_id.clone(), Arc::new(signer(identity)));
        }
        drop(table);
        self.told.send_replace(true);
    }

    fn get(&self, access_key: &str) -> Option<Arc<Signer>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if !table.trust_any_key {
            return table.signers.get(access_key).cloned();
        }
        // As the other services take it: 12 digits are the account, anything else the first one.
        let account = access_key.parse().unwrap_or(AccountId::DEFAULT);
        let secret = table.signers.get(access_key).map_or("", |known| known.secret.as_str());
        Some(Arc::new(signer(Identity::root(access_key.to_owned(), secret.to_owned(), account))))
    }

    /// Waits until all that the server had committed by now is known.
    async fn sync(&self) {
        let mut answered = self.answered.subscribe();
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let synced = answered.wait_for(|answered| *answered >= number);
        let _ = tokio::time::timeout(SYNC_TIMEOUT, synced).await;
    }
}

#[async_trait::async_trait]
impl s3::Identities for Known {
    async fn find(&self, access_key: &str) -> Option<Arc<Signer>> {
        if let Some(known) = self.get(access_key) {
            return Some(known);
        }
        // It may have been made a moment ago.
        self.sync().await;
        self.get(access_key)
    }

    fn trust_any_key(&self) -> bool {
        self.table.read().unwrap_or_else(PoisonError::into_inner).trust_any_key
    }
}

fn signer(identity: Identity) -> Signer {
    let Identity { access_key_id, secret, account, arn, user_id, canonical_id, root } = identity;
    Signer {
        access_key: access_key_id,
        secret,
        session_token: None,
        account: account.to_string(),
        arn,
        user_id,
        canonical_id,
        display_name: account.to_string(),
        root,
    }
}

/// Reads a line into `text`, which keeps what came of it when this is dropped.
async fn message(
    read: &mut BufReader<OwnedReadHalf>,
    text: &mut Vec<u8>,
) -> anyhow::Result<Option<ToObjects>> {
    let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    read.take(limit).read_until(b'\n', text).await?;
    if text.is_empty() {
        return Ok(None);
    }
    anyhow::ensure!(text.ends_with(b"\n"), "a line is cut off or too long");
    let message = serde_json::from_slice(text)?;
    text.clear();
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3::Identities as _;
    use tokio::net::UnixListener;

    async fn say(stream: &mut BufReader<UnixStream>, message: &ToObjects) {
        let mut line = serde_json::to_vec(message).unwrap();
        line.push(b'\n');
        stream.get_mut().write_all(&line).await.unwrap();
    }

    fn key(id: &str, secret: &str) -> Identity {
        Identity::root(id.to_owned(), secret.to_owned(), AccountId::DEFAULT)
    }

    /// The next question's number.
    async fn question(server: &mut BufReader<UnixStream>) -> u64 {
        let mut line = String::new();
        server.read_line(&mut line).await.unwrap();
        let FromObjects::Sync(number) = serde_json::from_str(&line).unwrap();
        number
    }

    #[tokio::test]
    async fn a_key_just_made_is_found_and_the_last_ones_stay_while_the_server_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identities.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let known = Arc::new(Known::default());
        let following = tokio::spawn({
            let (known, path) = (known.clone(), path.clone());
            async move { known.follow(&path).await }
        });
        let mut server = BufReader::new(listener.accept().await.unwrap().0);
        let first = Identities { reset: true, put: vec![key("A", "one")], ..Default::default() };
        say(&mut server, &ToObjects::Identities(first)).await;
        known.ready().await;
        assert_eq!(known.find("A").await.unwrap().secret, "one");
        assert_eq!(question(&mut server).await, 0, "of those who asked before");

        let finding = tokio::spawn({
            let known = known.clone();
            async move { known.find("B").await }
        });
        let number = question(&mut server).await;
        let more = Identities {
            put: vec![key("B", "two")],
            remove: vec!["A".to_owned()],
            ..Default::default()
        };
        say(&mut server, &ToObjects::Identities(more)).await;
        say(&mut server, &ToObjects::Synced(number)).await;
        assert_eq!(finding.await.unwrap().unwrap().secret, "two");

        drop(server);
        assert_eq!(known.find("B").await.unwrap().secret, "two");
        let mut server = BufReader::new(listener.accept().await.unwrap().0);
        let number = question(&mut server).await;
        say(&mut server, &ToObjects::Synced(number)).await;
        let finding = tokio::spawn({
            let known = known.clone();
            async move { known.find("A").await }
        });
        let number = question(&mut server).await;
        say(&mut server, &ToObjects::Synced(number)).await;
        assert!(finding.await.unwrap().is_none());
        following.abort();
    }

    #[tokio::test]
    async fn any_key_is_somebodys_where_any_is_trusted() {
        let known = Known::default();
        let trust = Identities { reset: true, trust_any_key: true, ..Default::default() };
        known.take(trust);
        assert!(known.trust_any_key());
        assert_eq!(known.find("111122223333").await.unwrap().account, "111122223333");
        assert_eq!(known.find("test").await.unwrap().account, AccountId::DEFAULT.to_string());
    }
}
