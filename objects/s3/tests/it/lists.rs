//! What lists of large buckets read: groups, old versions and delete markers are leapt over, and a
//! page that shows nothing ends, too.

use crate::world::{Answer, World};
use async_trait::async_trait;
use bytes::Bytes;
use cluster::{Place, Table};
use node::{Batch, BlobId, BlobWriter, Change, MemoryNode, Node, NodeResult, Scan, Usage};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A node that counts the records that scans give.
#[derive(Debug, Default)]
struct Counting {
    node: MemoryNode,
    records: AtomicUsize,
}

#[async_trait]
impl Node for Counting {
    async fn commit(&self, batch: Batch) -> NodeResult<()> {
        self.node.commit(batch).await
    }

    async fn get(&self, key: &[u8]) -> NodeResult<Option<Bytes>> {
        self.node.get(key).await
    }

    async fn scan(&self, scan: Scan) -> NodeResult<Vec<(Bytes, Bytes)>> {
        let found = self.node.scan(scan).await?;
        self.records.fetch_add(found.len(), Relaxed);
        Ok(found)
    }

    async fn create_blob(&self, id: BlobId) -> NodeResult<Box<dyn BlobWriter>> {
        self.node.create_blob(id).await
    }

    async fn read_blob(&self, id: BlobId, offset: u64, len: usize) -> NodeResult<Bytes> {
        self.node.read_blob(id, offset, len).await
    }

    async fn blob_len(&self, id: BlobId) -> NodeResult<u64> {
        self.node.blob_len(id).await
    }

    async fn repair_blob(&self, id: BlobId, data: Bytes) -> NodeResult<()> {
        self.node.repair_blob(id, data).await
    }

    async fn verify_blob(&self, id: BlobId) -> NodeResult<()> {
        self.node.verify_blob(id).await
    }

    async fn blobs(&self, after: Option<BlobId>, limit: usize) -> NodeResult<Vec<BlobId>> {
        self.node.blobs(after, limit).await
    }

    async fn changed_since(&self, sequence: u64) -> NodeResult<Option<Vec<Bytes>>> {
        self.node.changed_since(sequence).await
    }

    async fn forget_before(&self, sequence: u64) -> NodeResult<()> {
        self.node.forget_before(sequence).await
    }

    async fn usage(&self) -> NodeResult<Usage> {
        self.node.usage().await
    }
}

/// A bucket with versions whose records are copies of two: an object's and a delete marker's.
struct Large {
    world: World,
    node: Arc<Counting>,
    bucket: u64,
    object: (Vec<u8>, Bytes),
    marker: (Vec<u8>, Bytes),
}

impl Large {
    async fn new() -> Self {
        let node = Arc::new(Counting::default());
        let world = World::over(node.clone());
        world.own("PUT /bbb", "").await.ok();
        let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        world.own("PUT /bbb?versioning", on).await.ok();
        world.own("PUT /bbb/object", "x").await.ok();
        world.own("DELETE /bbb/marker", "").await.ok();
        let all = Scan { from: Bytes::new(), until: None, limit: usize::MAX };
        let all = node.scan(all).await.expect("alive");
        let mut removal = Batch::default();
        let mut take = |name: &[u8]| {
            let mut found = all.iter().filter_map(|(key, value)| {
                let (table, place, suffix) = Place::of_record(key)?;
                let is_it = table == Table::Objects && place.key == name;
                is_it.then(|| (place.bucket, suffix.to_vec(), key.clone(), value.clone()))
            });
            let (bucket, suffix, key, value) = found.next().expect("it was made");
            removal.changes.push(Change { key, value: None });
            (bucket, (suffix, value))
        };
        let ((bucket, object), (_, marker)) = (take(b"object"), take(b"marker"));
        node.commit(removal).await.expect("taken");
        Self { world, node, bucket, object, marker }
    }

    /// Versions of a key, the newest first: true for an object, false for a delete marker.
    async fn add(&self, keys: impl Iterator<Item = String>, versions: &[bool]) {
        let mut batch = Batch::default();
        for key in keys {
            for (number, is_object) in versions.iter().enumerate() {
                let (suffix, value) = if *is_object { &self.object } else { &self.marker };
                let mut suffix = suffix.clone();
                let number = u32::try_from(number).expect("few").to_be_bytes();
                suffix[..4].copy_from_slice(&number);
                let key = Place::new(self.bucket, key.clone().into_bytes())
                    .record(Table::Objects, &suffix);
                batch.changes.push(Change { key, value: Some(value.clone()) });
            }
        }
        self.node.commit(batch).await.expect("taken");
    }

    /// An answer, and how many records were read for it.
    async fn get(&self, query: &str) -> (Answer, usize) {
        let before = self.node.records.load(Relaxed);
        let answer = self.world.own(&format!("GET /bbb?{query}"), "").await.ok();
        (answer, self.node.records.load(Relaxed) - before)
    }
}

fn count(answer: &Answer, element: &str) -> usize {
    answer.body.matches(&format!("<{element}>")).count()
}

#[tokio::test]
async fn groups_and_old_versions_are_leapt_over() {
    let large = Large::new().await;
    for group in 0..30 {
        let keys = (0..2000).map(|number| format!("{group:02}/{number:05}"));
        large.add(keys, &[true]).await;
    }
    for query in ["delimiter=/", "list-type=2&delimiter=/", "versions&delimiter=/"] {
        let (answer, read) = large.get(query).await;
        assert_eq!(count(&answer, "CommonPrefixes"), 30, "{query}");
        assert!(read < 30 * 40, "{query}: {read}");
        let (answer, read) = large.get(&format!("{query}&max-keys=5")).await;
        assert_eq!(count(&answer, "CommonPrefixes"), 5, "{query}");
        assert!(read < 6 * 40, "{query}: {read}");
    }
    large.add((0..20).map(|number| format!("v{number:02}")), &[true; 3000]).await;
    let (answer, read) = large.get("list-type=2&prefix=v").await;
    assert_eq!(count(&answer, "Contents"), 20);
    assert!(read < 3000, "{read}");
    let (answer, read) = large.get("versions&prefix=v").await;
    assert_eq!((count(&answer, "Version"), answer.element("IsTruncated")), (1000, Some("true")));
    assert!(read < 3000, "{read}");
    // Below delete markers, old versions are leapt over, too.
    large.add((0..20).map(|number| format!("w{number:02}")), &[false; 3000]).await;
    let (answer, read) = large.get("list-type=2&prefix=w").await;
    assert_eq!((count(&answer, "Contents"), answer.element("KeyCount")), (0, Some("0")));
    assert!(read < 3000, "{read}");
}

#[tokio::test]
async fn a_bucket_of_delete_markers_is_listed_by_pages_that_end() {
    let large = Large::new().await;
    for part in 0..12 {
        let keys = (0..5000).map(|number| format!("m/{part:02}{number:05}"));
        large.add(keys, &[false, true]).await;
    }
    large.add(["m/last".to_owned(), "n".to_owned()].into_iter(), &[true]).await;
    for query in ["list-type=2", "list-type=2&delimiter=/", ""] {
        let mut from = String::new();
        let (mut pages, mut shown) = (0, Vec::new());
        loop {
            let (answer, read) = large.get(&format!("{query}{from}")).await;
            assert!(read <= 53_000, "{query}: {read}");
            pages += 1;
            let names = answer.body.split("<Key>").skip(1);
            shown.extend(names.filter_map(|rest| Some(rest.split_once('<')?.0.to_owned())));
            shown.extend((0..count(&answer, "CommonPrefixes")).map(|_| "group".to_owned()));
            if answer.element("IsTruncated") != Some("true") {
                break;
            }
            assert_eq!(count(&answer, "Contents"), 0);
            let next = match query {
                "" => ("marker", answer.element("NextMarker")),
                _ => ("continuation-token", answer.element("NextContinuationToken")),
            };
            from = format!("&{}={}", next.0, next.1.expect("where it goes on"));
        }
        assert_eq!(pages, 3, "{query}");
        let expected = if query.contains("delimiter") { ["n", "group"] } else { ["m/last", "n"] };
        assert_eq!(shown, expected, "{query}");
    }
}
