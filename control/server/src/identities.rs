//! Tells the object store who may sign, and what for: all access keys, users, roles and policies, then
//! each change as it is committed.

use crate::{cloud::Cloud, uses::Uses};
use anyhow::Context as _;
use contracts::identity::{FromObjects, Identities, Identity, Managed, Subject, ToObjects, Used};
use iam::{
    AccessKey, Account, Group, ManagedPolicy, Organization, Permissions, Principal, Role, UniqueId,
    User,
};
use session::SessionKey;
use state::State;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
};
use types::AccountId;

/// How long the object store may take to read what it is told.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest question, in bytes.
const MAX_QUESTION: u64 = 1024;

/// How long an answer waits for the object store to know what changed. A store that is slower than that is
/// hanging, and hears of it before anything else when it goes on.
const FENCE_TIMEOUT: Duration = Duration::from_secs(2);
/// The most users and roles of one message.
const CHUNK: usize = 256;

/// A wait for the object store.
type Fence = oneshot::Sender<()>;

/// The object stores that are connected.
#[derive(Debug, Default)]
pub struct Links(Mutex<BTreeMap<u64, mpsc::UnboundedSender<Fence>>>, AtomicU64);

impl Links {
    /// Waits until all that was committed is known wherever it counts.
    pub async fn settled(&self) {
        for wait in self.fences() {
            // A link that ended is told all when it comes again, before it serves.
            if tokio::time::timeout(FENCE_TIMEOUT, wait).await.is_err() {
                log::warn!("the object store doesn't take in what changed");
            }
        }
    }

    fn fences(&self) -> Vec<oneshot::Receiver<()>> {
        let links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fences = links.values().filter_map(|link| {
            let (fence, passed) = oneshot::channel();
            link.send(fence).ok().map(|()| passed)
        });
        fences.collect()
    }

    fn join(&self) -> (u64, mpsc::UnboundedReceiver<Fence>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let number = self.1.fetch_add(1, Ordering::Relaxed);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, sender);
        (number, receiver)
    }

    fn leave(&self, number: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }
}

/// What the object store is told by.
#[derive(Debug, Clone)]
pub struct Teller {
    /// The state.
    pub cloud: Arc<Cloud>,
    /// Whether any secret is accepted.
    pub trust_any_key: bool,
    /// What opens session tokens.
    pub sessions: SessionKey,
    /// Those who are told.
    pub links: Arc<Links>,
    /// Takes note of the keys that are used there.
    pub uses: Uses,
}

impl Teller {
    /// Serves the object store's connections, for ever.
    ///
    /// # Errors
    /// The socket can't be made.
    pub async fn serve(self, path: &Path) -> anyhow::Result<()> {
        let listener =
            relay::listen(path).with_context(|| format!("listen on {}", path.display()))?;
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    log::warn!("the object store's link was lost: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let teller = self.clone();
            tokio::spawn(async move {
                let (number, fences) = teller.links.join();
                let fed = teller.feed(stream, fences).await;
                teller.links.leave(number);
                if let Err(error) = fed {
                    log::warn!("the object store's link ended: {error:#}");
                }
            });
        }
    }

    async fn feed(
        &self,
        stream: UnixStream,
        mut fences: mpsc::UnboundedReceiver<Fence>,
    ) -> anyhow::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut read = BufReader::new(read);
        // Before the state is read: what is committed meanwhile is sent again rather than missed.
        let follower = self.cloud.follow_keys();
        for message in self.all() {
            send(&mut write, &ToObjects::Identities(message)).await?;
        }
        let (mut asked, mut waiting) = (Vec::new(), BTreeMap::new());
        let mut last = 0_u64;
        loop {
            tokio::select! {
                keys = follower.changed() => {
                    send(&mut write, &self.changes(keys)).await?;
                }
                Some(fence) = fences.recv() => {
                    // All that was answered is in the published state, and here.
                    let keys = follower.take();
                    if !keys.is_empty() {
                        send(&mut write, &self.changes(keys)).await?;
                    }
                    last += 1;
                    waiting.insert(last, fence);
                    send(&mut write, &ToObjects::Fence(last)).await?;
                }
                question = question(&mut read, &mut asked) => match question? {
                    Some(FromObjects::Sync(number)) => {
                        let keys = follower.take();
                        if !keys.is_empty() {
                            send(&mut write, &self.changes(keys)).await?;
                        }
                        send(&mut write, &ToObjects::Synced(number)).await?;
                    }
                    Some(FromObjects::Fenced(number)) => {
                        if let Some(fence) = waiting.remove(&number) {
                            let _ = fence.send(());
                        }
                    }
                    Some(FromObjects::Used(Used { access_key_id, user_id, region })) => {
                        let role = user_id.split(':').next().unwrap_or_default();
                        let role = UniqueId::from_text(role);
                        self.uses.note(&self.cloud, access_key_id, Some(role), "s3", region);
                    }
                    None => return Ok(()),
                }
            }
        }
    }

    /// All that there is: policies and users first, so that no key is known before what it may do.
    fn all(&self) -> Vec<Identities> {
        let state = self.cloud.state();
        let revision = state.revision();
        let of_account = state.iter::<ManagedPolicy>().map(|policy| managed(policy));
        let first = Identities {
            revision,
            reset: true,
            trust_any_key: self.trust_any_key,
            policies: iam::aws_policies().map(managed).chain(of_account).collect(),
            session_key: Some(*self.sessions.bytes()),
            organization: Organization::of(&state).map(|one| one.id.clone()),
            closed: closed(&state),
            ..Identities::default()
        };
        let users = state.iter::<User>().filter_map(|user| of_user(&state, user));
        let subjects = users.chain(state.iter::<Role>().filter_map(|role| of_role(&state, role)));
        let subjects = subjects.collect::<Vec<_>>();
        let put = state.iter::<AccessKey>().filter_map(|key| identity(&state, key)).collect();
        let more = || Identities {
            revision,
            trust_any_key: self.trust_any_key,
            closed: closed(&state),
            ..Identities::default()
        };
        let subjects = subjects.chunks(CHUNK);
        let subjects = subjects.map(|some| Identities { subjects: some.to_vec(), ..more() });
        let keys = Identities { put, ready: true, ..more() };
        [first].into_iter().chain(subjects).chain([keys]).collect()
    }

    fn changes(&self, keys: BTreeSet<String>) -> ToObjects {
        let state = self.cloud.state();
        let (revision, trust_any_key) = (state.revision(), self.trust_any_key);
        let mut changes = Identities {
            revision,
            trust_any_key,
            ready: true,
            closed: closed(&state),
            ..Identities::default()
        };
        for key in keys {
            let id = UniqueId::from_text(&key);
            if let Some(row) = state.get::<AccessKey>(&key)
                && let Some(identity) = identity(&state, row)
            {
                changes.put.push(identity);
            } else if let Some(user) = state.get::<User>(&id).and_then(|row| of_user(&state, row)) {
                changes.subjects.push(user);
            } else if let Some(role) = state.get::<Role>(&id).and_then(|row| of_role(&state, row)) {
                changes.subjects.push(role);
            } else if let Some(policy) = state.get::<ManagedPolicy>(&key) {
                changes.policies.push(managed(policy));
            } else {
                changes.remove.push(key);
            }
        }
        ToObjects::Identities(changes)
    }
}

fn managed(policy: &ManagedPolicy) -> Managed {
    Managed { arn: policy.arn(), text: policy.document().text().to_owned() }
}

fn closed(state: &State) -> BTreeSet<AccountId> {
    let closed = state.iter::<Account>().filter(|account| account.closed.is_some());
    closed.map(|account| account.id).collect()
}

/// None of an account that is closed.
fn of_user(state: &State, user: &User) -> Option<Subject> {
    if !Account::is_open(state, user.named.account) {
        return None;
    }
    let groups = user.groups.iter().filter_map(|id| state.get::<Group>(id));
    let all = [&user.permissions].into_iter().chain(groups.map(|group| &group.permissions));
    Some(subject(&user.named, user.arn(), &user.tags, all.collect()))
}

fn of_role(state: &State, role: &Role) -> Option<Subject> {
    let open = Account::is_open(state, role.named.account);
    open.then(|| Subject {
        trust: Some(role.trust.text().to_owned()),
        ..subject(&role.named, role.arn(), &role.tags, vec![&role.permissions])
    })
}

/// The first permissions are its own; their boundary counts.
fn subject(named: &iam::Named, arn: String, tags: &types::Tags, all: Vec<&Permissions>) -> Subject {
    let inline = all.iter().flat_map(|one| one.inline.values());
    let attached = all.iter().flat_map(|one| &one.attached).collect::<BTreeSet<_>>();
    Subject {
        id: named.id.to_string(),
        account: named.account,
        arn,
        name: named.name.clone(),
        tags: tags.clone(),
        inline: inline.map(|text| text.text().to_owned()).collect(),
        attached: attached.into_iter().cloned().collect(),
        boundary: all.first().and_then(|own| own.boundary.clone()),
        trust: None,
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

/// Who signs with a key; none if nobody may.
fn identity(state: &State, key: &AccessKey) -> Option<Identity> {
    let caller = key.caller(state)?;
    let root = Identity::root(key.id.clone(), key.secret.clone(), key.account);
    Some(match caller.principal {
        Principal::Root(_) => root,
        Principal::User(id) | Principal::Role(id) => Identity {
            arn: caller.arn,
            user_id: caller.user_id,
            root: false,
            principal: Some(id.to_string()),
            ..root
        },
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

    fn teller(cloud: &Arc<Cloud>) -> Teller {
        Teller {
            cloud: cloud.clone(),
            trust_any_key: false,
            sessions: SessionKey::new([1; 32]),
            links: Arc::default(),
            uses: Uses::default(),
        }
    }

    #[tokio::test]
    async fn a_new_key_is_known_after_the_next_sync() {
        let cloud = Cloud::start(Box::new(Memory::default())).unwrap();
        let make = |account| cloud.mutate(false, move |tx| Ok(AccessKey::create(tx, account)));
        let one = make(AccountId::DEFAULT).await.unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let teller = teller(&cloud);
        let links = teller.links.clone();
        let feeding = tokio::spawn(async move {
            let (number, fences) = teller.links.join();
            let fed = teller.feed(ours, fences).await;
            teller.links.leave(number);
            fed
        });
        let (read, mut write) = theirs.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut next = async || -> ToObjects {
            serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap()
        };
        let ToObjects::Identities(first) = next().await else { panic!("no identities") };
        assert!(first.reset && !first.ready && !first.policies.is_empty());
        let ToObjects::Identities(first) = next().await else { panic!("no identities") };
        assert!(!first.reset && first.ready);
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

        // Nobody is told that it is settled before the store says so.
        let settling = tokio::spawn(async move { links.settled().await });
        let ToObjects::Fence(number) = next().await else { panic!("no fence") };
        assert!(!settling.is_finished());
        write.write_all(format!("{{\"Fenced\":{number}}}\n").as_bytes()).await.unwrap();
        settling.await.unwrap();
        drop((write, lines));
        feeding.await.unwrap().unwrap();
    }
}
