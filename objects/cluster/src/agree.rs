//! Agreement of replicas in sync after a commit whose end is unknown: its records are on all of
//! them, or on none.
//!
//! Commits of a place follow each other, so that the records of a place in which replicas differ
//! come from one commit. One replica's view of all of them is taken, which keeps the commit whole.

use crate::{
    BlobId, ClusterResult, Record,
    core::{Core, unavailable},
    link::{Link, Write},
    map::demote,
};
use bytes::Bytes;
use node::{Batch, Change};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

/// What one replica has for each key of a place.
type View = Vec<Option<Bytes>>;

impl Core {
    /// Decides a commit of a slot under its lock: takes members in sync that can't be asked out of
    /// sync, and makes the others agree.
    pub async fn settle(&self, slot: u16, keys: &[Bytes]) -> ClusterResult<()> {
        let links = self.links();
        // One that takes part has answered all that it was ever asked to write.
        let answers = |id| links.get(&id).filter(|link: &&Arc<Link>| link.is_usable());
        let before: Vec<_> = self.map().in_sync(slot).collect();
        if !before.iter().any(|id| answers(*id).is_some()) {
            return Err(unavailable("no replica in sync takes part"));
        }
        let away: Vec<_> = before.into_iter().filter(|id| answers(*id).is_none()).collect();
        if !away.is_empty() {
            self.change(|map| {
                let members = &mut map.slots[usize::from(slot)];
                let demoted = away.iter().filter(|id| demote(members, **id));
                demoted.count() > 0
            })
            .await?;
        }
        let members: Vec<_> = self.map().in_sync(slot).collect();
        let present: Vec<_> = members.iter().filter_map(|id| answers(*id)).cloned().collect();
        if present.len() < members.len() {
            return Err(unavailable("a replica in sync doesn't take part"));
        }
        self.agree(slot, keys, &present).await
    }

    /// Makes replicas agree about the records of a place.
    pub async fn agree(&self, slot: u16, keys: &[Bytes], links: &[Arc<Link>]) -> ClusterResult<()> {
        self.others_missed(slot);
        let mut views = Vec::with_capacity(links.len());
        for link in links {
            views.push(self.view(keys, link).await?);
        }
        let Some(first) = views.first() else { return Ok(()) };
        let differing: Vec<usize> = (0..keys.len())
            .filter(|number| views.iter().any(|view| view[*number] != first[*number]))
            .collect();
        if differing.is_empty() {
            return Ok(());
        }
        let winner = self.choose(&views, &differing, links).await;
        for (link, view) in links.iter().zip(&views) {
            self.adjust(slot, keys, &differing, (link, view), &views[winner], links).await?;
        }
        Ok(())
    }

    /// Gives others what one replica has for the keys of a place.
    pub async fn follow(
        &self,
        slot: u16,
        keys: &[Bytes],
        truth: &Arc<Link>,
        others: &[Arc<Link>],
    ) -> ClusterResult<()> {
        self.others_missed(slot);
        let shall = self.view(keys, truth).await?;
        let all: Vec<usize> = (0..keys.len()).collect();
        let sources: Vec<_> = others.iter().chain([truth]).cloned().collect();
        for link in others {
            let has = self.view(keys, link).await?;
            self.adjust(slot, keys, &all, (link, &has), &shall, &sources).await?;
        }
        Ok(())
    }

    /// Members that aren't in sync may have a commit that those in sync don't keep, or lack one
    /// that they do, in records that a walk under way has passed.
    fn others_missed(&self, slot: u16) {
        let links = self.links();
        let map = self.map();
        let others = map.members(slot).iter().filter(|member| !member.in_sync);
        others.filter_map(|member| links.get(&member.node)).for_each(|link| link.missed());
    }

    async fn view(&self, keys: &[Bytes], link: &Link) -> ClusterResult<View> {
        let node = link.node()?;
        let mut view = Vec::with_capacity(keys.len());
        for key in keys {
            view.push(link.within(self.limits.read, node.get(key)).await?);
        }
        Ok(view)
    }

    /// The view with the latest record whose blobs are there.
    async fn choose(&self, views: &[View], differing: &[usize], links: &[Arc<Link>]) -> usize {
        let latest = |view: &View| {
            let records = differing.iter().filter_map(|number| view[*number].as_ref());
            records.map(Record::sequence).max().unwrap_or(0)
        };
        let mut order: Vec<usize> = (0..views.len()).collect();
        order.sort_by_key(|number| std::cmp::Reverse(latest(&views[*number])));
        for number in &order {
            let records = differing.iter().filter_map(|key| views[*number][*key].as_ref());
            let mut whole = true;
            for id in records.flat_map(Record::blobs_of) {
                whole &= self.whole_blob(id, links).await.is_ok();
            }
            if whole {
                return *number;
            }
        }
        order[0]
    }

    async fn adjust(
        &self,
        slot: u16,
        keys: &[Bytes],
        differing: &[usize],
        (link, has): (&Arc<Link>, &View),
        shall: &View,
        sources: &[Arc<Link>],
    ) -> ClusterResult<()> {
        let blobs = |view: &View| -> BTreeSet<BlobId> {
            let records = differing.iter().filter_map(|number| view[*number].as_ref());
            records.flat_map(Record::blobs_of).collect()
        };
        let wrong: Vec<_> =
            differing.iter().filter(|number| has[**number] != shall[**number]).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let (old, new) = (blobs(has), blobs(shall));
        let mut adopt = Vec::new();
        for id in new.difference(&old) {
            if self.ensure_blob(*id, sources, link).await? {
                adopt.push(*id);
            }
        }
        let change = |number: &&usize| Change {
            key: keys[**number].clone(),
            value: shall[**number].clone(),
        };
        let batch = Batch {
            slot,
            sequence: self.sequence(),
            changes: wrong.iter().map(change).collect(),
            adopt,
            although_full: true,
            ..Batch::default()
        };
        self.custody.doom(self, slot, old.difference(&new).copied());
        log::debug!("storage node {}: {} records of slot {slot} agree now", link.id, wrong.len());
        link.counts.repaired.fetch_add(wrong.len() as u64, Ordering::Relaxed);
        Ok(self.write_one(link, Write::Batch(batch)).await?)
    }

    /// Copies a blob to a node that lacks it, and says whether it has it now; it is to be adopted,
    /// as it may have come with a body. A blob that nobody has can't be copied: who reads it is
    /// told.
    pub async fn ensure_blob(
        &self,
        id: BlobId,
        sources: &[Arc<Link>],
        link: &Arc<Link>,
    ) -> ClusterResult<bool> {
        let node = link.node()?;
        if link.within(self.limits.read, node.verify_blob(id)).await.is_ok() {
            return Ok(true);
        }
        match self.copy_blob(id, sources, link).await {
            Err(node::NodeFault::NotFound(_) | node::NodeFault::CorruptBlob(_)) => Ok(false),
            result => Ok(result.map(|()| true)?),
        }
    }

    /// The same after a crash, for all keys that may differ.
    pub async fn agree_on(&self, keys: impl Iterator<Item = Bytes>) -> ClusterResult<()> {
        let mut places: BTreeMap<(u16, u64, Bytes), Vec<Bytes>> = BTreeMap::new();
        for key in keys {
            if let Some((_, place, _)) = crate::Place::of_record(&key) {
                places.entry((place.slot(), place.bucket, place.key)).or_default().push(key);
            }
        }
        for ((slot, ..), keys) in places {
            self.agree(slot, &keys, &self.readers(slot)).await?;
        }
        Ok(())
    }
}
