//! Tells the object store who may sign: all access keys, then each change as it is committed.

use crate::cloud::Cloud;
use anyhow::Context as _;
use contracts::identity::{FromObjects, Identities, Identity, ToObjects};
use iam::{AccessKey, Principal};
use state::State;
use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// How long the object store may take to read what it is told.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest question, in bytes.
const MAX_QUESTION: u64 = 256;

/// Serves the object store's connections, for ever.
///
/// # Errors
/// The socket can't be made.
pub async fn serve(path: &Path, cloud: Arc<Cloud>, trust_any_key: bool) -> anyhow::Result<()> {
    let listener = relay::listen(path).with_context(|| format!("listen on {}", path.display()))?;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("the object store's link was lost: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let cloud = cloud.clone();
        tokio::spawn(async move {
            if let Err(error) = feed(stream, &cloud, trust_any_key).await {
                log::warn!("the object store's link ended: {error:#}");
            }
        });
    }
}

async fn feed(stream: UnixStream, cloud: &Cloud, trust_any_key: bool) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    // Before the state is read: what is committed meanwhile is sent again rather than missed.
    let follower = cloud.follow_keys();
    let state = cloud.state();
    let first = Identities {
        revision: state.revision(),
        reset: true,
        trust_any_key,
        put: state.iter::<AccessKey>().filter_map(|key| identity(&state, key)).collect(),
        remove: Vec::new(),
    };
    send(&mut write, &ToObjects::Identities(first)).await?;
    drop(state);
    let mut asked = Vec::new();
    loop {
        tokio::select! {
            keys = follower.changed() => {
                send(&mut write, &changes(cloud, keys, trust_any_key)).await?;
            }
            question = question(&mut read, &mut asked) => {
                let Some(FromObjects::Sync(number)) = question? else { return Ok(()) };
                // All that the asker can have heard of is in the published state, and here.
                let keys = follower.take();
                if !keys.is_empty() {
                    send(&mut write, &changes(cloud, keys, trust_any_key)).await?;
                }
                send(&mut write, &ToObjects::Synced(number)).await?;
            }
        }
    }
}

/// Reads a line into `text`, which keeps what came of it when this is dropped.
async fn question(
    read: &mut BufReader<OwnedReadHalf>,
    text: &mut Vec<u8>,
) -> anyhow::Result<Option<FromObjects>> {
    read.take(MAX_QUESTION).read_until(b'\n', text).await?;
    if text.is_empty() {
        return Ok(None);
    }
    let question = serde_json::from_slice(text).context("read the object store's question")?;
    text.clear();
    Ok(Some(question))
}

fn changes(cloud: &Cloud, keys: BTreeSet<String>, trust_any_key: bool) -> ToObjects {
    let state = cloud.state();
    let revision = state.revision();
    let mut changes = Identities { revision, trust_any_key, ..Identities::default() };
    for key in keys {
        match state.get::<AccessKey>(&key).and_then(|row| identity(&state, row)) {
            Some(identity) => changes.put.push(identity),
            None => changes.remove.push(key),
        }
    }
    ToObjects::Identities(changes)
}

/// Who signs with a key; none if nobody may.
fn identity(state: &State, key: &AccessKey) -> Option<Identity> {
    let caller = key.caller(state)?;
    let root = Identity::root(key.id.clone(), key.secret.clone(), key.account);
    Some(match caller.principal {
        Principal::Root(_) => root,
        Principal::User(_) | Principal::Role(_) => {
            Identity { arn: caller.arn, user_id: caller.user_id, root: false, ..root }
        }
    })
}

async fn send(write: &mut OwnedWriteHalf, message: &ToObjects) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(message).context("write to the object store")?;
    line.push(b'\n');
    let written = tokio::time::timeout(WRITE_TIMEOUT, write.write_all(&line)).await;
    written.context("the object store does not read")?.context("write to the object store")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;
    use types::AccountId;

    #[tokio::test]
    async fn a_new_key_is_known_after_the_next_sync() {
        let cloud = Cloud::start(Box::new(Memory::default())).unwrap();
        let make = |account| cloud.mutate(false, move |tx| Ok(AccessKey::create(tx, account)));
        let one = make(AccountId::DEFAULT).await.unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let feeding = tokio::spawn({
            let cloud = cloud.clone();
            async move { feed(ours, &cloud, false).await }
        });
        let (read, mut write) = theirs.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut next = async || -> ToObjects {
            serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap()
        };
        let ToObjects::Identities(first) = next().await else { panic!("no identities") };
        assert!(first.reset);
        assert_eq!(first.put, identity(&cloud.state(), &one).as_slice());

        let other = make(AccountId::SYSTEM).await.unwrap();
        write.write_all(b"{\"Sync\":7}\n").await.unwrap();
        let ToObjects::Identities(second) = next().await else { panic!("no identities") };
        assert!(!second.reset);
        assert_eq!(second.put, identity(&cloud.state(), &other).as_slice());
        assert_eq!(next().await, ToObjects::Synced(7));

        let id = one.id.clone();
        cloud
            .mutate(false, move |tx| {
                tx.delete::<AccessKey>(&id);
                Ok(())
            })
            .await
            .unwrap();
        let ToObjects::Identities(third) = next().await else { panic!("no identities") };
        assert_eq!((third.put, third.remove), (Vec::new(), vec![one.id]));
        drop((write, lines));
        feeding.await.unwrap().unwrap();
    }
}
