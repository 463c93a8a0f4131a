//! The cloud's state behind one writer: mutations run one at a time, are made durable in batches,
//! and are answered after that. Readers take the last durable snapshot and wait for nobody.

use anyhow::Context as _;
use contracts::host::EntryKey;
use shapes::Fault;
use state::{ChangeSet, Effects, State, Store, StoredRow, Tx};
use std::{
    collections::BTreeSet,
    fs::File,
    io::Read as _,
    sync::{Arc, Mutex, PoisonError, RwLock, mpsc},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::{Notify, oneshot};
use types::Timestamp;

/// The most mutations of one commit.
const MAX_BATCH: usize = 256;

/// Follows the commits: which entries of desired state, or which access keys, they may have
/// changed.
#[derive(Debug)]
pub struct Follower<K> {
    changed: Mutex<BTreeSet<K>>,
    news: Notify,
}

impl<K: Ord> Follower<K> {
    /// Waits for changes, and takes them. The state that is published then has them all.
    pub async fn changed(&self) -> BTreeSet<K> {
        loop {
            let news = self.news.notified();
            let changed = self.take();
            if !changed.is_empty() {
                return changed;
            }
            news.await;
        }
    }

    /// Takes the changes that there are: those of every commit that was answered.
    pub fn take(&self) -> BTreeSet<K> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Those who follow, for as long as they do.
#[derive(Debug)]
struct Followers<K>(Mutex<Vec<std::sync::Weak<Follower<K>>>>);

impl<K: Ord + Clone> Followers<K> {
    fn join(&self) -> Arc<Follower<K>> {
        let follower = Arc::new(Follower { changed: Mutex::default(), news: Notify::default() });
        let mut followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followers.push(Arc::downgrade(&follower));
        follower
    }

    /// Whether anybody follows.
    fn any(&self) -> bool {
        let mut followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| follower.strong_count() > 0);
        !followers.is_empty()
    }

    fn tell(&self, keys: &BTreeSet<K>) {
        let followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for follower in followers.iter().filter_map(std::sync::Weak::upgrade) {
            let mut changed = follower.changed.lock().unwrap_or_else(PoisonError::into_inner);
            changed.extend(keys.iter().cloned());
            drop(changed);
            follower.news.notify_one();
        }
    }
}

/// Answers a mutation's caller, once its outcome is durable or can't be.
type Reply = Box<dyn FnOnce(Result<(), Fault>) + Send>;
/// A mutation: the state and what changed, or none if it was dropped; and its caller.
type Job = Box<dyn FnOnce(&State, Effects) -> (Option<(State, ChangeSet)>, Reply) + Send>;

/// The cloud's state.
#[derive(Debug)]
pub struct Cloud {
    published: RwLock<Arc<State>>,
    jobs: Mutex<mpsc::Sender<Job>>,
    followers: Followers<EntryKey>,
    key_followers: Followers<String>,
}

/// The time now.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The time and randomness for work outside of a transaction.
///
/// # Errors
/// The system gives no randomness.
pub fn effects() -> Result<Effects, Fault> {
    let mut seed = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut seed));
    read.map_err(|error| internal(&error))?;
    Ok(Effects::new(now(), seed))
}

/// Wipes everything but the images, the hosts and the root users' keys.
pub fn reset(tx: &mut Tx) {
    ec2::reset(tx);
    iam::reset(tx);
    kms::reset(tx);
    organizations::reset(tx);
}

/// A fault of ours.
pub fn internal(why: &impl std::fmt::Display) -> Fault {
    Fault::receiver("InternalError", format!("An internal error has occurred: {why}"))
}

impl Cloud {
    /// Loads the state and starts the writer.
    ///
    /// # Errors
    /// The store can't be read, or the system gives no randomness or thread.
    pub fn start(mut store: Box<dyn Store>) -> anyhow::Result<Arc<Self>> {
        let mut tables = iam::tables();
        tables.extend(ec2::tables());
        tables.extend(kms::tables());
        tables.extend(organizations::tables());
        let mut state = State::new(&tables);
        store.load(&mut state).context("load the cloud's state")?;
        let (jobs, queue) = mpsc::channel();
        let cloud = Arc::new(Self {
            published: RwLock::new(Arc::new(state)),
            jobs: Mutex::new(jobs),
            followers: Followers(Mutex::default()),
            key_followers: Followers(Mutex::default()),
        });
        let writer = Writer {
            store,
            random: File::open("/dev/urandom").context("open /dev/urandom")?,
            cloud: Arc::downgrade(&cloud),
        };
        thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || writer.run(&queue))
            .context("start the writer")?;
        Ok(cloud)
    }

    /// The last durable state.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Follows what commits change of desired state from now on, for as long as the follower is
    /// kept.
    pub fn follow(&self) -> Arc<Follower<EntryKey>> {
        self.followers.join()
    }

    /// Follows what commits change of access keys, users, roles (by their IDs) and managed policies (by
    /// their ARNs) from now on, for as long as the follower is kept.
    pub fn follow_keys(&self) -> Arc<Follower<String>> {
        self.key_followers.join()
    }

    /// Runs a mutation in one transaction; `dry_run` drops it even if it succeeds. A fault that shall
    /// not undo the changes is a part of the mutation's value.
    ///
    /// # Errors
    /// The mutation's own, after which nothing has changed; or the store failed.
    pub async fn mutate<T: Send + 'static>(
        &self,
        dry_run: bool,
        run: impl FnOnce(&mut Tx) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |state, effects| {
            let mut tx = Tx::new(state, effects);
            let result = run(&mut tx);
            let outcome = (result.is_ok() && !dry_run).then(|| tx.finish());
            let reply: Reply = Box::new(move |durable| {
                let _ = sender.send(durable.and(result));
            });
            (outcome, reply)
        });
        let sent = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).send(job);
        sent.map_err(|_| internal(&"the writer has ended"))?;
        receiver.await.unwrap_or_else(|_| Err(internal(&"the writer has ended")))
    }
}

struct Writer {
    store: Box<dyn Store>,
    random: File,
    cloud: std::sync::Weak<Cloud>,
}

impl Writer {
    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let Some(cloud) = self.cloud.upgrade() else { return };
            let before = cloud.state();
            let mut state = State::clone(&before);
            let mut commits: Vec<(State, State, ChangeSet)> = Vec::new();
            let mut replies = Vec::new();
            let mut next = Some(first);
            while let Some(job) = next.take() {
                match self.effects() {
                    Ok(effects) => {
                        let (outcome, reply) = job(&state, effects);
                        if let Some((after, changes)) = outcome
                            && !changes.is_empty()
                        {
                            commits.push((state, after.clone(), changes));
                            state = after;
                        }
                        replies.push(reply);
                    }
                    Err(error) => log::error!("no randomness: {error}"),
                }
                if replies.len() < MAX_BATCH {
                    next = queue.try_recv().ok();
                }
            }
            let durable = self.commit(&before, &state, &commits);
            if durable.is_ok() && !commits.is_empty() {
                cloud.publish(state, &commits);
            }
            for reply in replies {
                reply(durable.clone());
            }
        }
    }

    fn effects(&mut self) -> std::io::Result<Effects> {
        let mut seed = [0; 32];
        self.random.read_exact(&mut seed)?;
        Ok(Effects::new(now(), seed))
    }

    fn commit(
        &mut self,
        before: &State,
        after: &State,
        commits: &[(State, State, ChangeSet)],
    ) -> Result<(), Fault> {
        if commits.is_empty() {
            return Ok(());
        }
        let mut rows = commits.iter().flat_map(|(_, _, changes)| changes.stored());
        let rows: &mut dyn Iterator<Item = StoredRow> = &mut rows;
        self.store.commit(before.revision(), after.revision(), rows).map_err(|error| {
            log::error!("a commit failed: {error}");
            // Either nothing of it is durable, or only a new start knows what is.
            if self.store.revision().ok() != Some(before.revision()) {
                log::error!("what is durable is not known: starting anew");
                std::process::exit(1);
            }
            internal(&error)
        })
    }
}

impl Cloud {
    fn publish(&self, state: State, commits: &[(State, State, ChangeSet)]) {
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        let hosts = self.followers.any();
        for (before, after, changes) in commits {
            if hosts {
                self.followers.tell(&ec2::desired::affected(before, after, changes));
            }
            let keys = iam::changed(after, changes);
            if !keys.is_empty() {
                self.key_followers.tell(&keys);
            }
        }
    }
}

#[cfg(test)]
mod tests;
