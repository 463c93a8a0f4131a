//! Opening the cluster: whose nodes these are, which map counts, and what commits that a crash
//! has cut short left behind.
//!
//! Each opening is a session. Its number is promised by more than half of the nodes before any map
//! of it is written, so that no two openings write maps of the same session, and the latest map on
//! a majority is the latest of all.

use crate::{
    Cluster, ClusterResult, Config, NodeConfig,
    core::{Core, Links, unavailable},
    limits::{PAGE, RESERVE},
    link::{Health, Link},
    map::{Entry, Map, NodeId, Standing, Version},
    place::internal,
    scan::after,
};
use bytes::Bytes;
use node::{Batch, Change, Node, NodeFault, NodeResult, Scan};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Whose node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub cluster: [u8; 16],
    pub node: NodeId,
}

impl Identity {
    pub fn encode(self) -> Bytes {
        [self.cluster.as_slice(), &self.node.to_be_bytes()].concat().into()
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (cluster, node) = bytes.split_first_chunk()?;
        Some(Self { cluster: *cluster, node: NodeId::from_be_bytes(node.try_into().ok()?) })
    }
}

/// The nodes of the map that were found.
type Opened = BTreeMap<NodeId, (Arc<Link>, Found)>;

/// A node as it was found.
struct Found {
    config: NodeConfig,
    node: Arc<dyn Node>,
    identity: Option<Identity>,
    session: u64,
    map: Option<Map>,
    settled: u64,
    /// It holds records.
    used: bool,
}

fn number(bytes: Option<Bytes>) -> u64 {
    bytes.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// Whether a node has any record: to count them may take long.
pub(crate) async fn holds_records(node: &dyn Node) -> NodeResult<bool> {
    Ok(!node.scan(Scan { from: Bytes::new(), until: None, limit: 1 }).await?.is_empty())
}

async fn find(config: NodeConfig, node: Arc<dyn Node>) -> Result<Found, NodeFault> {
    let identity = node.get(internal::IDENTITY).await?;
    Ok(Found {
        identity: identity.as_ref().and_then(|bytes| Identity::decode(bytes)),
        session: number(node.get(internal::SESSION).await?),
        map: node.get(internal::MAP).await?.and_then(Map::decode),
        settled: number(node.get(internal::SETTLED).await?),
        used: holds_records(&*node).await?,
        config,
        node,
    })
}

/// Opens a cluster, or makes one of nodes that are all empty.
pub(crate) async fn open(config: Config) -> ClusterResult<Arc<Cluster>> {
    let mut found = Vec::new();
    let mut away = Vec::new();
    for entry in config.nodes {
        let name = entry.name.clone();
        let Some(node) = entry.node.clone() else {
            away.push(name);
            continue;
        };
        match tokio::time::timeout(config.limits.read, find(entry, node)).await {
            Ok(Ok(node)) => found.push(node),
            Ok(Err(fault)) => {
                log::warn!("storage node {name} can't be opened: {fault}");
                away.push(name);
            }
            Err(_) => away.push(name),
        }
    }
    let latest = found.iter().filter_map(|node| node.map.as_ref()).max_by_key(|map| map.version);
    let map = match latest {
        Some(map) => map.clone(),
        None => first_map(&found, &away, config.replicas, (config.random)())?,
    };
    let fresh = latest.is_none();
    let (links, strangers) = assign(&map, found, fresh);
    let mut map = map.to_change();
    let lost: BTreeSet<NodeId> = map
        .nodes
        .iter()
        .filter(|(id, entry)| config.accept_loss.contains(&entry.name) && !links.contains_key(id))
        .map(|(id, _)| *id)
        .collect();
    if !lost.is_empty() {
        let stale = map.give_up(&lost);
        log::error!(
            "{} storage nodes are given up; {stale} slots may have lost records",
            lost.len()
        );
    }
    let session = promise(&map, &links).await?;
    let mut opening = Opening { map, links, session };
    opening.take_over().await?;
    let all: Links = opening
        .map
        .nodes
        .keys()
        .map(|id| {
            let link = opening.links.get(id).map(|(link, _)| link.clone());
            (
                *id,
                link.unwrap_or_else(|| Link::new(*id, None, Health::Down("it isn't there".into()))),
            )
        })
        .collect();
    let core = Core::new(opening.map.clone(), all, true, config.limits, config.random);
    recover(&core, &opening).await?;
    core.look_for_strays();
    let cluster = Cluster::start(core);
    for stranger in strangers {
        let name = stranger.name.clone();
        if let Err(fault) = cluster.add_node(stranger).await {
            log::warn!("storage node {name} isn't taken in: {fault}");
        }
    }
    Ok(cluster)
}

/// The map of a cluster to be made.
fn first_map(
    found: &[Found],
    away: &[String],
    replicas: usize,
    cluster: [u8; 16],
) -> ClusterResult<Map> {
    if let Some(name) = away.first() {
        return Err(unavailable(format!("storage node {name} isn't there to begin with")));
    }
    if let Some(used) = found.iter().find(|node| node.used || node.identity.is_some()) {
        let name = &used.config.name;
        return Err(unavailable(format!("storage node {name} holds records, but no map of them")));
    }
    if found.is_empty() {
        return Err(unavailable("no storage node is named"));
    }
    let entries = found.iter().map(|node| Entry {
        name: node.config.name.clone(),
        domain: node.config.domain.clone(),
        weight: node.config.weight,
        standing: Standing::In,
        seen: 0,
    });
    Ok(Map::new(cluster, replicas.clamp(1, 255), entries.collect()))
}

/// Which node of the map each one is; the others are new.
fn assign(map: &Map, found: Vec<Found>, fresh: bool) -> (Opened, Vec<NodeConfig>) {
    let mut links = BTreeMap::new();
    let mut strangers = Vec::new();
    let (known, unknown): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|node| node.identity.is_some());
    for node in known.into_iter().chain(unknown) {
        let id = match node.identity {
            Some(identity) if identity.cluster != map.cluster => {
                log::error!("storage node {} belongs to another cluster", node.config.name);
                continue;
            }
            Some(identity) if map.nodes.contains_key(&identity.node) => Some(identity.node),
            Some(_) => None,
            None if node.used && !fresh => {
                log::error!("storage node {} holds records of something else", node.config.name);
                continue;
            }
            None => map.find(&node.config.name),
        };
        match id.filter(|id| !links.contains_key(id)) {
            Some(id) => {
                let link = Link::new(id, Some(node.node.clone()), Health::Up);
                links.insert(id, (link, node));
            }
            None => strangers.push(node.config),
        }
    }
    (links, strangers)
}

async fn put(link: &Arc<Link>, sequence: u64, key: &'static [u8], value: Bytes) -> bool {
    let Ok(node) = link.node() else { return false };
    let change = Change { key: Bytes::from_static(key), value: Some(value) };
    let batch = Batch { sequence, changes: vec![change], ..Batch::default() };
    let result = node.commit(batch).await;
    link.note(&result);
    result.is_ok()
}

/// A session number that no opening before has used: promised by a majority.
async fn promise(map: &Map, links: &Opened) -> ClusterResult<u64> {
    let last = links.values().map(|(_, found)| found.session).max().unwrap_or(0);
    let session = last.max(map.version.session) + 1;
    let mut promised = BTreeSet::new();
    for (id, (link, _)) in links {
        let bytes = Bytes::copy_from_slice(&session.to_be_bytes());
        if put(link, map.reserved, internal::SESSION, bytes).await {
            promised.insert(*id);
        }
    }
    if map.majority(&promised) {
        return Ok(session);
    }
    Err(unavailable("fewer than half of the storage nodes can be opened"))
}

struct Opening {
    map: Map,
    links: Opened,
    session: u64,
}

impl Opening {
    /// Makes the map this session's: nodes that don't have the latest may have missed writes.
    async fn take_over(&mut self) -> ClusterResult<()> {
        let latest = self.map.version;
        let settled = self.links.values().map(|(_, found)| found.settled).max().unwrap_or(0);
        let (mut absent, mut stale) = (Vec::new(), Vec::new());
        for id in self.map.nodes.keys().copied().collect::<Vec<_>>() {
            match self.links.get(&id) {
                Some((link, found)) if link.is_usable() => {
                    let has = found.map.as_ref().map(|map| map.version);
                    let entry = &self.map.nodes[&id];
                    let back = has.unwrap_or_default().session < entry.seen;
                    if latest > Version::default() && (found.identity.is_none() || back) {
                        log::warn!("storage node {} is new or was rolled back", entry.name);
                        self.map.empty(id);
                    } else if has.unwrap_or_default() != latest
                        || found.settled < settled
                        || found.config.damaged
                    {
                        stale.push(id);
                    }
                }
                Some(_) | None => absent.push(id),
            }
        }
        // Who is here stays in sync rather than who isn't, and may have lost everything.
        for id in absent.into_iter().chain(stale) {
            self.map.demote(id);
        }
        self.map.version = Version { session: self.session, epoch: 1 };
        self.map.reserved += RESERVE;
        for (id, (link, _)) in &self.links {
            if link.is_usable()
                && let Some(entry) = self.map.nodes.get_mut(id)
            {
                entry.seen = self.session;
            }
        }
        self.write().await
    }

    async fn write(&self) -> ClusterResult<()> {
        let sequence = self.map.reserved - RESERVE;
        let bytes = self.map.encode();
        let mut taken = BTreeSet::new();
        for (id, (link, _)) in &self.links {
            let identity = Identity { cluster: self.map.cluster, node: *id }.encode();
            if put(link, sequence, internal::IDENTITY, identity).await
                && put(link, sequence, internal::MAP, bytes.clone()).await
            {
                link.confirm(self.map.version);
                taken.insert(*id);
            }
        }
        if self.map.majority(&taken) {
            return Ok(());
        }
        Err(unavailable("fewer than half of the storage nodes can be written"))
    }
}

/// Makes replicas in sync agree about commits that a crash cut short.
async fn recover(core: &Arc<Core>, opening: &Opening) -> ClusterResult<()> {
    if core.map().nodes.len() == 1 {
        return Ok(());
    }
    let since = opening.links.values().map(|(_, found)| found.settled).max().unwrap_or(0);
    let mut keys = BTreeSet::new();
    let mut unknown = Vec::new();
    for (id, (link, _)) in &opening.links {
        if core.map().share(*id).1 == 0 {
            continue;
        }
        let Ok(node) = link.node() else { continue };
        match node.changed_since(since).await {
            Ok(Some(changed)) => keys.extend(changed),
            Ok(None) => unknown.push(*id),
            result @ Err(_) => {
                link.note(&result);
                unknown.push(*id);
            }
        }
    }
    for id in &unknown {
        // The others know what may differ; this one is compared as a whole, in the background.
        core.change(|map| map.demote(*id)).await?;
    }
    let blind = unknown.iter().any(|id| core.map().share(*id).1 > 0);
    if !blind {
        return core.agree_on(keys.into_iter()).await;
    }
    let mut from = Bytes::from_static(internal::END);
    loop {
        let mut keys = BTreeSet::new();
        let mut last: Option<Bytes> = None;
        for link in core.links().values() {
            let Ok(node) = link.node() else { continue };
            let page = node.scan(Scan { from: from.clone(), until: None, limit: PAGE }).await?;
            if let Some((key, _)) = page.last().filter(|_| page.len() >= PAGE)
                && last.as_ref().is_none_or(|last| key < last)
            {
                last = Some(key.clone());
            }
            keys.extend(page.into_iter().map(|(key, _)| key));
        }
        let reached = keys.into_iter().filter(|key| last.as_ref().is_none_or(|l| key <= l));
        core.agree_on(reached).await?;
        match last {
            Some(last) => from = after(&last),
            None => return Ok(()),
        }
    }
}
