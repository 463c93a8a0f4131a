//! What every kind of node keeps, as tests to be run over an empty one.

use crate::{Batch, BlobId, Change, MAX_BLOB_BYTES, MAX_KEY_BYTES, Node, NodeFault, Scan};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// The slot of a key of these tests: its first byte's.
#[must_use]
pub fn slot_of_key(key: &[u8]) -> u16 {
    u16::from(key.first().copied().unwrap_or_default()) * 16
}

/// The slot of all keys from the first, inclusive, to the second, exclusive, if there is one.
#[must_use]
pub fn slot_of(from: &[u8], until: Option<&[u8]>) -> Option<u16> {
    let (first, until) = (from.first()?, until?);
    let within = until.first() == Some(first) || until == [first.checked_add(1)?];
    within.then(|| slot_of_key(from))
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Bytes {
        let words = std::iter::repeat_with(|| self.roll().to_le_bytes());
        words.take(len.div_ceil(8)).flatten().take(len).collect()
    }

    pub fn blob_id(&mut self) -> BlobId {
        BlobId(((u128::from(self.roll()) << 64) | u128::from(self.roll())).to_be_bytes())
    }
}

/// A batch of these changes, for the slot of the first one's key.
#[must_use]
pub fn batch(changes: &[(&[u8], Option<&[u8]>)]) -> Batch {
    let slot = changes.first().map_or(0, |(key, _)| slot_of_key(key));
    let change = |(key, value): &(&[u8], Option<&[u8]>)| Change {
        key: Bytes::copy_from_slice(key),
        value: value.map(Bytes::copy_from_slice),
    };
    Batch { slot, sequence: 1, changes: changes.iter().map(change).collect(), ..Batch::default() }
}

/// All records, by pages.
///
/// # Panics
/// The node fails, or gives a page that is out of order.
pub async fn all_records(node: &dyn Node, page: usize) -> Vec<(Bytes, Bytes)> {
    let mut all: Vec<(Bytes, Bytes)> = Vec::new();
    let mut from = Bytes::new();
    loop {
        let found = node.scan(Scan { from: from.clone(), until: None, limit: page }).await;
        let found = found.expect("scan");
        assert!(found.len() <= page);
        assert!(found.first().is_none_or(|(key, _)| *key >= from));
        assert!(found.is_sorted_by(|(one, _), (other, _)| one < other));
        let ended = found.len() < page;
        all.extend(found);
        if ended {
            return all;
        }
        if let Some((last, _)) = all.last() {
            from = [last, &b"\0"[..]].concat().into();
        }
    }
}

/// A whole blob, as it is read.
///
/// # Errors
/// As the node's.
pub async fn whole_blob(node: &dyn Node, id: BlobId) -> Result<Vec<u8>, NodeFault> {
    let mut whole = Vec::new();
    loop {
        let part = node.read_blob(id, whole.len() as u64, 4 << 20).await?;
        if part.is_empty() {
            return Ok(whole);
        }
        whole.extend_from_slice(&part);
    }
}

/// Writes a blob in chunks and finishes it.
///
/// # Panics
/// The node fails.
pub async fn write_blob(node: &dyn Node, id: BlobId, data: &Bytes, chunk: usize) {
    let mut writer = node.create_blob(id).await.expect("create a blob");
    let mut left = data.clone();
    while !left.is_empty() {
        let chunk = left.split_to(chunk.min(left.len()));
        writer.write(chunk).await.expect("write to a blob");
    }
    writer.finish().await.expect("finish a blob");
}

fn is_missing(result: &Result<impl std::fmt::Debug, NodeFault>, id: BlobId) -> bool {
    matches!(result, Err(NodeFault::NotFound(missing)) if *missing == id)
}

/// Records: replaced, removed, in batches; keys and values of all lengths and bytes.
///
/// # Panics
/// The node doesn't keep it.
pub async fn records(node: &dyn Node) {
    let long_key = [vec![b'k'], vec![0; MAX_KEY_BYTES - 1]].concat();
    let s3_key = [b"k".to_vec(), vec![0xff; 1023]].concat();
    let large = vec![7; 3 << 20];
    assert_eq!(node.get(b"k").await.expect("get"), None);
    node.commit(batch(&[
        (b"k", Some(b"first")),
        (b"k\0", Some(b"")),
        (b"k\0\0", Some(b"\0")),
        (b"k\x01", Some(b"\x01\x02")),
        (b"k\x02\x01", Some(b"two")),
        (&s3_key, Some(b"s3")),
        (&long_key, Some(&large)),
    ]))
    .await
    .expect("commit");
    assert_eq!(node.get(b"k").await.expect("get").as_deref(), Some(&b"first"[..]));
    assert_eq!(node.get(b"k\0").await.expect("get").as_deref(), Some(&b""[..]));
    assert_eq!(node.get(&long_key).await.expect("get").as_deref(), Some(&large[..]));
    assert_eq!(node.get(&s3_key).await.expect("get").as_deref(), Some(&b"s3"[..]));
    assert_eq!(node.get(b"k\x02").await.expect("get"), None);
    // Of several changes of one key, the last one holds.
    let changes: [(&[u8], Option<&[u8]>); 4] =
        [(b"k", Some(b"second")), (b"k\0", None), (b"k", Some(b"third")), (b"k none", None)];
    node.commit(batch(&changes)).await.expect("commit");
    assert_eq!(node.get(b"k").await.expect("get").as_deref(), Some(&b"third"[..]));
    assert_eq!(node.get(b"k\0").await.expect("get"), None);
    let keys: Vec<Bytes> = all_records(node, 2).await.into_iter().map(|(key, _)| key).collect();
    let expected: [&[u8]; 6] = [b"k", &long_key, b"k\0\0", b"k\x01", b"k\x02\x01", &s3_key];
    let mut expected = expected.map(Bytes::copy_from_slice);
    expected.sort();
    assert_eq!(keys, expected);
    for key in expected {
        node.commit(batch(&[(&key, None)])).await.expect("commit");
    }
    assert_eq!(all_records(node, 10).await, []);
    node.commit(Batch::default()).await.expect("an empty batch");
}

/// Where a scan begins and ends, its limit, and how many records it finds.
type Case<'a> = (&'a [u8], Option<&'a [u8]>, usize, usize);

/// Parts of the index, whose slots are mixed.
///
/// # Panics
/// The node doesn't keep it.
pub async fn scans(node: &dyn Node) {
    for slot in b'a'..b'f' {
        let keys: Vec<Vec<u8>> = (0..20).map(|n| vec![slot, n]).collect();
        let changes: Vec<_> = keys.iter().map(|key| (&key[..], Some(&key[..]))).collect();
        node.commit(batch(&changes)).await.expect("commit");
    }
    let cases: [Case<'_>; 12] = [
        (b"", None, 1000, 100),
        (b"", None, 0, 0),
        (b"", None, 7, 7),
        (b"b", Some(b"c"), 1000, 20),
        (b"b", Some(b"c"), 3, 3),
        (b"b\x05", Some(b"b\x05\0"), 10, 1),
        (b"b\x05\0", Some(b"b\x07"), 10, 1),
        (b"b\x05", Some(b"d\x02"), 1000, 15 + 20 + 2),
        (b"d", None, 1000, 40),
        (b"c", Some(b"c"), 10, 0),
        (b"d", Some(b"c"), 10, 0),
        (b"x", None, 10, 0),
    ];
    let all = all_records(node, 9).await;
    for (from, until, limit, expected) in cases {
        let scan = Scan {
            from: Bytes::copy_from_slice(from),
            until: until.map(Bytes::copy_from_slice),
            limit,
        };
        let found = node.scan(scan).await.expect("scan");
        assert_eq!(found.len(), expected, "{from:?} to {until:?}, at most {limit}");
        let within = all
            .iter()
            .filter(|(key, _)| &key[..] >= from && until.is_none_or(|until| &key[..] < until));
        assert!(found.iter().eq(within.take(limit)), "{from:?} to {until:?}");
    }
    for (key, _) in all {
        node.commit(batch(&[(&key, None)])).await.expect("commit");
    }
}

/// Blobs: with a batch, written before it, freed, repaired; ranges of them.
///
/// # Panics
/// The node doesn't keep it.
pub async fn blobs(node: &dyn Node) {
    let mut dice = Dice(1);
    let max = usize::try_from(MAX_BLOB_BYTES).expect("a length");
    let mut kept = BTreeMap::new();
    for len in [0, 1, 4096, 65_535, 65_536, 65_537, 1 << 20] {
        let (id, data) = (dice.blob_id(), dice.bytes(len));
        let inline = vec![(id, data.clone())];
        let batch = Batch { blobs: inline, adopt: vec![id], ..batch(&[(b"b", Some(&id.0))]) };
        node.commit(batch).await.expect("commit");
        kept.insert(id, data);
    }
    for (len, chunk) in [(0, 1), (100, 7), (1 << 20, 1 << 20), ((3 << 20) + 1, 100_000), (max, max)]
    {
        let (id, data) = (dice.blob_id(), dice.bytes(len));
        write_blob(node, id, &data, chunk).await;
        assert_eq!(whole_blob(node, id).await.expect("a finished blob"), data);
        let batch = Batch { adopt: vec![id], ..batch(&[(b"b", Some(&id.0))]) };
        node.commit(batch).await.expect("commit");
        kept.insert(id, data);
    }
    for (id, data) in &kept {
        assert_eq!(whole_blob(node, *id).await.expect("a blob"), *data);
        assert_eq!(node.blob_len(*id).await.expect("its length"), data.len() as u64);
        node.verify_blob(*id).await.expect("a whole blob");
        for _ in 0..10 {
            let offset = dice.below(data.len() as u64 + 10);
            let len = usize::try_from(dice.below(200_000)).expect("a length");
            let part = node.read_blob(*id, offset, len).await.expect("a part");
            let rest = data.get(usize::try_from(offset).expect("an offset")..).unwrap_or_default();
            assert!(part.len() <= len && rest.starts_with(&part));
            assert!(!part.is_empty() || len == 0 || rest.is_empty());
        }
        assert_eq!(node.read_blob(*id, u64::MAX, 1).await.expect("nothing"), Bytes::new());
    }
    listed(node, &kept.keys().copied().collect()).await;
    repaired(node, &mut dice, &mut kept).await;
    let mut free: Vec<BlobId> = kept.keys().copied().chain([dice.blob_id()]).collect();
    // Some by a batch of another slot, which has nothing else to do.
    let others = free.split_off(free.len() / 2);
    let batch_of_another = Batch { slot: slot_of_key(b"c"), free: others.clone(), ..batch(&[]) };
    node.commit(batch_of_another).await.expect("commit");
    node.commit(Batch { free: free.clone(), ..batch(&[(b"b", None)]) }).await.expect("commit");
    free.extend(others);
    for id in free {
        assert!(is_missing(&node.read_blob(id, 0, 1).await, id));
        assert!(is_missing(&node.blob_len(id).await, id));
        assert!(is_missing(&node.verify_blob(id).await, id));
    }
    listed(node, &BTreeSet::new()).await;
}

async fn listed(node: &dyn Node, expected: &BTreeSet<BlobId>) {
    for limit in [1, 3, 1000] {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = node.blobs(after, limit).await.expect("blobs");
            assert!(page.len() <= limit);
            all.extend_from_slice(&page);
            match page.last() {
                Some(last) => after = Some(*last),
                None => break,
            }
        }
        assert!(all.iter().eq(expected), "{all:?} should be {expected:?}");
    }
    assert_eq!(node.blobs(None, 0).await.expect("blobs"), []);
}

async fn repaired(node: &dyn Node, dice: &mut Dice, kept: &mut BTreeMap<BlobId, Bytes>) {
    let known = *kept.keys().next().expect("a blob");
    for (id, len) in [(known, 300_000), (dice.blob_id(), 70_000), (dice.blob_id(), 3 << 20)] {
        let data = dice.bytes(len);
        node.repair_blob(id, data.clone()).await.expect("repair");
        assert_eq!(whole_blob(node, id).await.expect("a repaired blob"), data);
        kept.insert(id, data);
    }
    listed(node, &kept.keys().copied().collect()).await;
}

/// A blob that is dropped before it is finished is not there.
///
/// # Panics
/// The node doesn't keep it.
pub async fn dropped_blob(node: &dyn Node) {
    let mut dice = Dice(2);
    for len in [0, 10, 3 << 20] {
        let id = dice.blob_id();
        let mut writer = node.create_blob(id).await.expect("create a blob");
        writer.write(dice.bytes(len)).await.expect("write to a blob");
        assert!(is_missing(&node.blob_len(id).await, id));
        drop(writer);
        assert!(is_missing(&node.read_blob(id, 0, 10).await, id));
        assert!(is_missing(&node.verify_blob(id).await, id));
    }
    listed(node, &BTreeSet::new()).await;
}

/// Random batches, beside a model of what they should have done.
///
/// # Panics
/// The node differs from the model.
pub async fn model(node: &dyn Node, seed: u64, steps: u64) {
    let mut dice = Dice(seed);
    let mut records: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    let mut blobs: BTreeMap<BlobId, Bytes> = BTreeMap::new();
    for step in 0..steps {
        let slot = b'a' + u8::try_from(dice.below(5)).expect("a byte");
        let mut batch = Batch { slot: slot_of_key(&[slot]), sequence: step, ..Batch::default() };
        for _ in 0..dice.below(5) {
            let tail = usize::try_from(dice.below(3)).expect("a length");
            let key: Bytes =
                [&[slot][..], &dice.bytes(tail)].concat().iter().map(|b| b & 0x6b).collect();
            let key: Bytes = [&[slot][..], &key[1..]].concat().into();
            let len = usize::try_from(dice.below(300)).expect("a length");
            let value = (dice.below(3) > 0).then(|| dice.bytes(len));
            match &value {
                Some(value) => records.insert(key.clone(), value.clone()),
                None => records.remove(&key),
            };
            batch.changes.push(Change { key, value });
        }
        if dice.below(2) == 0 {
            let len = usize::try_from(dice.below(200_000)).expect("a length");
            let (id, data) = (
                BlobId(
                    [&[slot][..], &dice.blob_id().0[1..]].concat().try_into().expect("16 bytes"),
                ),
                dice.bytes(len),
            );
            if dice.below(2) == 0 {
                write_blob(node, id, &data, 50_000).await;
            } else {
                batch.blobs.push((id, data.clone()));
            }
            batch.adopt.push(id);
            blobs.insert(id, data);
        }
        // A blob is freed by a batch of the slot that adopted it.
        let old = blobs.keys().find(|id| id.0[0] == slot && !batch.adopt.contains(id)).copied();
        if let Some(id) = old.filter(|_| dice.below(3) == 0) {
            blobs.remove(&id);
            batch.free.push(id);
        }
        node.commit(batch).await.expect("commit");
        if step % 16 == 0 {
            let from = dice.bytes(2);
            let scan = Scan { from: from.clone(), until: None, limit: 5 };
            let found = node.scan(scan).await.expect("scan");
            let expected = records.range(from..).take(5).map(|(k, v)| (k.clone(), v.clone()));
            assert!(found.into_iter().eq(expected), "step {step} of seed {seed}");
        }
    }
    same(node, &records, &blobs).await;
}

/// Whether a node has just these records and blobs.
///
/// # Panics
/// It has others.
pub async fn same(
    node: &dyn Node,
    records: &BTreeMap<Bytes, Bytes>,
    blobs: &BTreeMap<BlobId, Bytes>,
) {
    let all = all_records(node, 17).await;
    assert!(all.iter().map(|(key, value)| (key, value)).eq(records), "the records differ");
    for (key, value) in records {
        assert_eq!(node.get(key).await.expect("get").as_ref(), Some(value));
    }
    listed(node, &blobs.keys().copied().collect()).await;
    for (id, data) in blobs {
        assert_eq!(whole_blob(node, *id).await.expect("a blob"), *data, "{id:?} differs");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryNode;

    #[tokio::test]
    async fn a_node_in_memory_keeps_the_contract() {
        let node = MemoryNode::default();
        records(&node).await;
        scans(&node).await;
        blobs(&node).await;
        dropped_blob(&node).await;
        for seed in 0..5 {
            model(&MemoryNode::default(), seed, 200).await;
        }
    }
}
