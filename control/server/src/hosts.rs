//! The connections of the hosts' agents: desired state out, observations in, questions both ways.

use crate::{
    cloud::{Cloud, Follower, now},
    instance_identity::{Keeper, Maker},
};
use anyhow::Context as _;
use contracts::{
    host::{EntryKey, Observed, Patch},
    link::{Answer, FromAgent, MAX_LINE, Question, ToAgent},
};
use std::{
    collections::{BTreeSet, HashMap},
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
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
};

/// How long a host may take to answer a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a host may take to read what it is told.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often credentials are looked at that may be about to expire.
const CHECK: Duration = Duration::from_secs(30);
/// The hypervisor whose instances have nobody in them who could ask for an identity.
const SIMULATED: &str = "simulated";
/// The one host of a cloud on one machine.
const LOCAL: &str = "local";

type Waiting = HashMap<u64, oneshot::Sender<Result<Answer, String>>>;

/// All connected hosts.
#[derive(Debug, Default)]
pub struct Hosts {
    links: Mutex<HashMap<String, mpsc::UnboundedSender<ToAgent>>>,
    waiting: Mutex<Waiting>,
    next: AtomicU64,
}

impl Hosts {
    /// Asks a host.
    ///
    /// # Errors
    /// The host is not connected, doesn't answer, or can't tell: for people.
    pub async fn ask(&self, host: &str, question: Question) -> Result<Answer, String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        {
            let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            let link = links.get(host).ok_or("its agent is not connected")?;
            self.waiting().insert(number, sender);
            link.send(ToAgent::Ask(number, question)).map_err(|_| "its agent is gone")?;
        }
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, receiver).await;
        self.waiting().remove(&number);
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("its agent is gone".to_owned()),
            Err(_) => Err("its agent did not answer in time".to_owned()),
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes agents' connections on a socket, for ever. A new one of a host ends the one before.
///
/// # Errors
/// The socket can't be made.
pub async fn serve(
    path: &Path,
    cloud: Arc<Cloud>,
    hosts: Arc<Hosts>,
    maker: Arc<Maker>,
) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(path);
    let listener =
        UnixListener::bind(path).with_context(|| format!("listen on {}", path.display()))?;
    let mut current: Option<tokio::task::JoinHandle<()>> = None;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("an agent's connection was lost: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Some(earlier) = current.take() {
            earlier.abort();
            let _ = earlier.await;
        }
        let (cloud, hosts, maker) = (cloud.clone(), hosts.clone(), maker.clone());
        current = Some(tokio::spawn(async move {
            let ended = link(stream, &cloud, &hosts, maker).await;
            let why = ended.err().map(|error| format!(": {error:#}")).unwrap_or_default();
            log::warn!("the link of host {LOCAL} ended{why}");
            hosts.links.lock().unwrap_or_else(PoisonError::into_inner).remove(LOCAL);
            let left = cloud.mutate(false, |tx| {
                ec2::hosts::left(tx, LOCAL);
                Ok(())
            });
            if let Err(fault) = left.await {
                log::error!("host {LOCAL} left: {fault}");
            }
        }));
    }
}

async fn link(
    stream: UnixStream,
    cloud: &Arc<Cloud>,
    hosts: &Arc<Hosts>,
    maker: Arc<Maker>,
) -> anyhow::Result<()> {
    let (read, write) = stream.into_split();
    let mut lines = BufReader::new(read);
    let first = line(&mut lines).await?.context("the agent said nothing")?;
    let FromAgent::Observed(Observed::Host(capacity)) = first else {
        anyhow::bail!("the agent did not begin with its capacity");
    };
    log::info!("host {LOCAL} joined: {capacity:?}");
    let follower = cloud.follow();
    let keeper = (capacity.hypervisor != SIMULATED).then(|| Keeper::new(maker, LOCAL));
    observe(cloud, Observed::Host(capacity)).await?;
    let (sender, questions) = mpsc::unbounded_channel();
    hosts
        .links
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(LOCAL.to_owned(), sender.clone());
    tokio::select! {
        ended = push(write, cloud, &follower, questions) => ended,
        ended = take(&mut lines, cloud, hosts) => ended,
        () = prove(cloud, keeper, &sender) => Ok(()),
    }
}

/// Takes what the agent says. An observation that can't be kept ends the link: the next one
/// begins with everything again.
async fn take(
    lines: &mut BufReader<OwnedReadHalf>,
    cloud: &Arc<Cloud>,
    hosts: &Arc<Hosts>,
) -> anyhow::Result<()> {
    while let Some(said) = line(lines).await? {
        match said {
            FromAgent::Observed(observed) => observe(cloud, observed).await?,
            FromAgent::Answer(number, answer) => {
                if let Some(waiting) = hosts.waiting().remove(&number) {
                    let _ = waiting.send(answer);
                }
            }
        }
    }
    Ok(())
}

async fn line(lines: &mut BufReader<OwnedReadHalf>) -> anyhow::Result<Option<FromAgent>> {
    let mut text = Vec::new();
    let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    let read = lines.take(limit).read_until(b'\n', &mut text).await?;
    if read == 0 {
        return Ok(None);
    }
    anyhow::ensure!(text.ends_with(b"\n"), "a line is cut off or too long");
    serde_json::from_slice(&text).context("read what the agent says").map(Some)
}

async fn observe(cloud: &Arc<Cloud>, observed: Observed) -> anyhow::Result<()> {
    let done = cloud.mutate(false, move |tx| {
        ec2::hosts::observe(tx, LOCAL, observed);
        Ok(())
    });
    done.await.context("keep what the agent observed")
}

/// Sends desired state, first whole and then what changes, and questions.
async fn push(
    mut write: OwnedWriteHalf,
    cloud: &Arc<Cloud>,
    follower: &Follower<EntryKey>,
    mut questions: mpsc::UnboundedReceiver<ToAgent>,
) -> anyhow::Result<()> {
    let state = cloud.state();
    let mut sent = HashMap::new();
    let put = ec2::desired::all(&state, LOCAL);
    for entry in &put {
        sent.insert(entry.key(), entry.clone());
    }
    let first = Patch { revision: state.revision(), reset: true, put, remove: Vec::new() };
    send(&mut write, &ToAgent::Patch(first)).await?;
    loop {
        tokio::select! {
            keys = follower.changed() => {
                let patch = patch(&cloud.state(), keys, &mut sent);
                if !patch.put.is_empty() || !patch.remove.is_empty() {
                    send(&mut write, &ToAgent::Patch(patch)).await?;
                }
            }
            question = questions.recv() => {
                let Some(question) = question else { return Ok(()) };
                send(&mut write, &question).await?;
            }
        }
    }
}

/// Sends what instances prove their identity by, first of all and then what changes or expires. It ends
/// with the link.
async fn prove(
    cloud: &Arc<Cloud>,
    keeper: Option<Keeper>,
    sender: &mpsc::UnboundedSender<ToAgent>,
) {
    let Some(mut keeper) = keeper else { return std::future::pending().await };
    let follower = cloud.follow();
    let instances = |keys: BTreeSet<EntryKey>| {
        let instances = keys.into_iter().filter_map(|key| match key {
            EntryKey::Machine(instance) => Some(instance),
            EntryKey::Volume(_)
            | EntryKey::Port(_)
            | EntryKey::Vpc(_)
            | EntryKey::Subnet(_)
            | EntryKey::Group(_)
            | EntryKey::NatGateway(_) => None,
        });
        instances.collect::<BTreeSet<_>>()
    };
    let all = ec2::desired::all(&cloud.state(), LOCAL);
    let mut dirty = instances(all.iter().map(contracts::host::Entry::key).collect());
    loop {
        let mut failed = BTreeSet::new();
        for instance in std::mem::take(&mut dirty) {
            match keeper.news(&cloud.state(), instance, now()).await {
                Ok(Some(identity)) => {
                    if sender.send(ToAgent::Identity(Box::new(identity))).is_err() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    log::error!("{instance} can't prove its identity: {error:#}");
                    failed.insert(instance);
                }
            }
        }
        tokio::select! {
            keys = follower.changed() => dirty = instances(keys),
            () = tokio::time::sleep(CHECK) => {}
        }
        dirty.extend(failed);
        dirty.extend(keeper.due(now()));
    }
}

fn patch(
    state: &state::State,
    keys: BTreeSet<EntryKey>,
    sent: &mut HashMap<EntryKey, contracts::host::Entry>,
) -> Patch {
    let mut patch = Patch { revision: state.revision(), ..Patch::default() };
    for key in keys {
        match ec2::desired::entry(state, LOCAL, key) {
            Some(entry) if sent.get(&key) != Some(&entry) => {
                sent.insert(key, entry.clone());
                patch.put.push(entry);
            }
            Some(_) => {}
            None => {
                if sent.remove(&key).is_some() {
                    patch.remove.push(key);
                }
            }
        }
    }
    patch
}

async fn send(write: &mut OwnedWriteHalf, message: &ToAgent) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(message).context("write to the agent")?;
    line.push(b'\n');
    let written = tokio::time::timeout(WRITE_TIMEOUT, write.write_all(&line)).await;
    written.context("the agent does not read")?.context("write to the agent")
}
