//! Adding nodes, taking them away, and opening them again.

use crate::{
    Cluster, ClusterResult, NodeConfig,
    core::unavailable,
    link::{Health, Link},
    map::{Entry, NodeId, Standing},
    open::{Identity, holds_records},
    place::internal,
};
use bytes::Bytes;
use node::{Batch, Change, Node};
use std::sync::Arc;

impl Cluster {
    /// Takes another node in: its share of the slots moves to it in the background. A node of this
    /// cluster that was away takes part again.
    ///
    /// # Errors
    /// It holds something else, or fewer than half of the nodes take part.
    pub async fn add_node(&self, config: NodeConfig) -> ClusterResult<()> {
        let core = &self.core;
        let node = config.node.ok_or_else(|| unavailable("it isn't there"))?;
        let identity = node.get(internal::IDENTITY).await?;
        let map = core.map();
        if let Some(identity) = identity.and_then(|bytes| Identity::decode(&bytes)) {
            if identity.cluster == map.cluster && map.nodes.contains_key(&identity.node) {
                return self.attach(identity.node, node, config.damaged);
            }
            return Err(unavailable("it belongs to another cluster, or was removed from this one"));
        }
        if holds_records(&*node).await? {
            return Err(unavailable("it isn't empty"));
        }
        if let Some(id) = map.find(&config.name) {
            return self.attach(id, node, config.damaged);
        }
        let id = map.next_node;
        let bytes = Identity { cluster: map.cluster, node: id }.encode();
        let change = Change { key: Bytes::from_static(internal::IDENTITY), value: Some(bytes) };
        let sequence = core.sequence();
        node.commit(Batch { sequence, changes: vec![change], ..Batch::default() }).await?;
        let link = Link::new(id, Some(node), Health::Up);
        core.set_link(link);
        let _alone = core.gate.write().await;
        let entry = Entry {
            name: config.name,
            domain: config.domain,
            weight: config.weight,
            standing: Standing::In,
            seen: map.version.session,
        };
        let result = core.change(|map| {
            let free = map.next_node == id && map.find(&entry.name).is_none();
            if free {
                map.next_node += 1;
                map.nodes.insert(id, entry);
            }
            free
        });
        let result = result.await;
        if !core.map().nodes.contains_key(&id) {
            core.drop_link(id);
            result?;
            return Err(unavailable("another node was added at the same time"));
        }
        result
    }

    /// Puts another opening of a node in place of one that was lost; `damaged` if it has found that
    /// it lost something. It takes part once it has
    /// shown that it is that node, or is empty: then it is filled again.
    ///
    /// # Errors
    /// There is no such node.
    pub fn attach_node(&self, name: &str, node: Arc<dyn Node>, damaged: bool) -> ClusterResult<()> {
        let id = self.find_node(name)?;
        self.attach(id, node, damaged)
    }

    /// Lets go of a node that is down, so that it can be opened again. Does nothing to others.
    pub fn detach_node(&self, name: &str) {
        let link = self.core.map().find(name).and_then(|id| self.core.link(id));
        if let Some(link) = link {
            link.detach();
        }
    }

    fn attach(&self, id: NodeId, node: Arc<dyn Node>, damaged: bool) -> ClusterResult<()> {
        let link = self.core.link(id).ok_or_else(|| unavailable("there is no such node"))?;
        link.attach(node, damaged);
        self.core.wake.notify_waiters();
        Ok(())
    }

    /// Moves a node's share to the others in the background, and drops it then. What lies on it
    /// stays there.
    ///
    /// # Errors
    /// There is no such node, or the others are too few.
    pub async fn remove_node(&self, name: &str) -> ClusterResult<()> {
        let id = self.find_node(name)?;
        let map = self.core.map();
        if map.domains_without(id) < map.replicas {
            let replicas = map.replicas;
            return Err(unavailable(format!(
                "without it there would be fewer failure domains than the {replicas} replicas need"
            )));
        }
        self.core.restand(id, Standing::Draining).await
    }

    /// Changes a node's share. 0 lets it hold nothing, but stay.
    ///
    /// # Errors
    /// There is no such node, or the others are too few.
    pub async fn set_weight(&self, name: &str, weight: u32) -> ClusterResult<()> {
        let id = self.find_node(name)?;
        let map = self.core.map();
        if weight == 0 && map.domains_without(id) < map.replicas {
            return Err(unavailable("the other nodes are too few"));
        }
        let _alone = self.core.gate.write().await;
        self.core
            .change(|map| match map.nodes.get_mut(&id) {
                Some(entry) if entry.weight != weight => {
                    entry.weight = weight;
                    true
                }
                Some(_) | None => false,
            })
            .await
    }

    fn find_node(&self, name: &str) -> ClusterResult<NodeId> {
        let found = self.core.map().find(name);
        found.ok_or_else(|| unavailable(format!("there is no storage node {name}")))
    }
}
