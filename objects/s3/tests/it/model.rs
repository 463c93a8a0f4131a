//! Random work on a store, each answer compared, byte by byte, with a plain map's.

use bytes::Bytes;
use futures::stream;
use node::{MemoryNode, Node as _};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use s3::{
    Settings, SystemClock,
    store::{
        Bucket, BucketEntry, Owner, Store, Versioning,
        crypt::Wrapping,
        ingest::Expected,
        listing::{After, Line, Listed, Page, Query},
        multipart::{Completion, Named, Upload},
        objects::{Found, New},
        rules::{Conditions, Match},
        version::{Attributes, Lock},
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// A version in the model; without a body it is a delete marker.
#[derive(Clone, Debug, PartialEq)]
struct Version {
    id: String,
    body: Option<Vec<u8>>,
}

/// The versions of each key, the newest first.
type Model = BTreeMap<String, Vec<Version>>;

struct World {
    rng: ChaCha8Rng,
    node: MemoryNode,
    store: Arc<Store>,
    entry: Arc<BucketEntry>,
    model: Model,
    seed: u64,
}

const NAMES: [&str; 12] =
    ["a", "b", "/", "//", "a/", "-", "ü", "日本", "\u{0}", "\u{1}", "\u{10ffff}", "zz"];

impl World {
    async fn new(seed: u64) -> Self {
        let node = MemoryNode::default();
        let cluster = cluster::Cluster::over(vec![Arc::new(node.clone())]);
        let settings = Settings {
            region: "us-east-1".into(),
            domains: Vec::new(),
            master_key: [3; 32],
            clock: Arc::new(SystemClock),
        };
        let store = Arc::new(Store::new(cluster, Arc::new(settings)));
        let row = Bucket::new("bucket", "us-east-1", Owner::default(), 0);
        store.create_bucket(row).await.expect("a store").expect("a new bucket");
        let entry = store.bucket("bucket").await.expect("the bucket");
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self { rng, node, store, entry, model: Model::new(), seed }
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.rng.next_u64() % limit as u64).expect("a small number")
    }

    fn key(&mut self) -> String {
        (0..=self.below(3)).map(|_| NAMES[self.below(NAMES.len())]).collect()
    }

    /// A key that is likely to be there.
    fn known_key(&mut self) -> String {
        match self.model.len() {
            0 => self.key(),
            len => {
                let at = self.below(len);
                self.model.keys().nth(at).expect("within").clone()
            }
        }
    }

    fn body(&mut self) -> Vec<u8> {
        let size = match self.below(40) {
            0 => 0,
            1 => 65_536,
            2 => 200_000,
            3 => 1_200_000,
            n => n * 11,
        };
        let mut body = vec![0; size];
        self.rng.fill_bytes(&mut body);
        body
    }

    fn pieces(&mut self, body: &[u8]) -> Vec<Result<Bytes, s3s::StdError>> {
        let size = 1 + self.below(100_000);
        body.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect()
    }

    fn versioning(&self) -> Versioning {
        self.entry.row().versioning
    }

    /// Puts a version on top of the model, as the versioning says.
    fn push(&mut self, key: &str, id: Option<&String>, body: Option<Vec<u8>>) {
        let versioning = self.versioning();
        let versions = self.model.entry(key.to_owned()).or_default();
        if versioning != Versioning::Enabled {
            versions.retain(|version| version.id != "null");
        }
        let id = id.map_or_else(|| "null".to_owned(), String::clone);
        assert_eq!(id == "null", versioning != Versioning::Enabled, "seed {}", self.seed);
        if body.is_some() || versioning != Versioning::Off {
            versions.insert(0, Version { id, body });
        }
        if versions.is_empty() {
            self.model.remove(key);
        }
    }

    fn current(&self, key: &str) -> Option<&Vec<u8>> {
        self.model.get(key)?.first()?.body.as_ref()
    }

    async fn put(&mut self, key: &str, body: Vec<u8>) {
        let bucket = self.entry.row();
        let place = Store::place(&bucket, key);
        let pieces = stream::iter(self.pieces(&body));
        let expected = Expected { length: Some(body.len() as u64), ..Expected::default() };
        let wrapping = self.store.wrapping_key();
        let taken = self.store.take_in(&place, pieces, &expected, &wrapping).await.expect("taken");
        let new = New::of(taken, Attributes::default(), Lock::default(), None);
        let etag = new.object.etag;
        // A long body that is refused leaves blobs to the cluster's own sweep.
        let choice = if body.len() < 1 << 20 { self.below(6) } else { 5 };
        let conditions = match choice {
            0 => Conditions { if_match: None, if_none_match: Some(Match::Any) },
            1 => Conditions { if_match: Some(Match::Any), if_none_match: None },
            2 => Conditions { if_match: Some(Match::Etag(etag.to_string())), if_none_match: None },
            _ => Conditions::default(),
        };
        let old = self.current(key);
        let allowed = match (&conditions.if_match, &conditions.if_none_match) {
            (Some(Match::Any), _) => old.is_some(),
            (Some(Match::Etag(_)), _) => old == Some(&body),
            (_, Some(_)) => old.is_none(),
            (None, None) => true,
        };
        let put = self.store.put_object(&self.entry, key, new, &conditions).await;
        assert_eq!(put.is_ok(), allowed, "seed {}: {key:?} {conditions:?} {put:?}", self.seed);
        if let Ok(written) = put {
            self.push(key, written.version_id.as_ref(), Some(body));
        }
    }

    async fn upload(&mut self, key: &str) {
        let upload = Upload {
            initiated_ms: 0,
            owner: None,
            initiator: Default::default(),
            attributes: Attributes::default(),
            lock: Lock::default(),
            wrapping: Wrapping::Store,
            checksum: None,
        };
        let bucket = self.entry.row();
        let id = self.store.create_upload(&self.entry, key, upload).await.expect("begun");
        let count = 1 + self.below(2);
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        for at in 0..count {
            let mut body = self.body();
            if at + 1 < count {
                body.resize(5 << 20, 7);
            }
            let number = u16::try_from(at * 3 + 2).expect("small");
            // Each part twice: the second replaces the first.
            for body in [vec![1; 10], body.clone()] {
                let pieces = stream::iter(self.pieces(&body));
                let (place, wrapping) = (Store::place(&bucket, key), self.store.wrapping_key());
                let expected = Expected::default();
                let taken = self.store.take_in(&place, pieces, &expected, &wrapping).await;
                let taken = taken.expect("taken");
                let etag = hex::encode(taken.md5);
                let put = self.store.put_part(&self.entry, key, id, number, taken).await;
                put.expect("a part");
                parts.retain(|named: &Named| named.number != number);
                parts.push(Named { number, etag, checksum: None });
            }
            whole.extend(body);
        }
        if self.below(4) == 0 {
            self.store.abort_upload(&self.entry, key, id).await.expect("aborted");
            assert!(self.store.upload(&bucket, key, id).await.is_err());
            return;
        }
        let completion = Completion { parts, ..Completion::default() };
        let done = self.store.complete_upload(&self.entry, key, id, &completion).await;
        let done = done.expect("complete");
        let again = self.store.complete_upload(&self.entry, key, id, &completion).await;
        assert_eq!(again.expect("complete again").written, done.written);
        self.push(key, done.written.version_id.as_ref(), Some(whole));
    }

    async fn delete(&mut self, key: &str) {
        let conditions = Conditions::default();
        let written = self.store.delete_object(&self.entry, key, None, &conditions).await;
        let written = written.expect("deleted");
        assert_eq!(written.marker, self.versioning() != Versioning::Off);
        self.push(key, written.version_id.as_ref(), None);
    }

    async fn delete_version(&mut self, key: &str) {
        let Some(versions) = self.model.get(key) else { return };
        let (len, at) = (versions.len(), self.rng.next_u32() as usize);
        let id = self.model[key][at % len].id.clone();
        let conditions = Conditions::default();
        let deleted = self.store.delete_version(&self.entry, key, &id, &conditions, false).await;
        let removed = self.model.get_mut(key).expect("known").remove(at % len);
        assert_eq!(deleted.expect("deleted").marker, removed.body.is_none());
        if len == 1 {
            self.model.remove(key);
        }
    }

    async fn bytes(&self, key: &str, found: &Found, range: std::ops::Range<u64>) -> Bytes {
        let (bucket, wrapping) = (self.entry.row(), self.store.wrapping_key().key);
        let reading = self.store.read_object(&bucket, key, found, &wrapping, range).await;
        reading.expect("readable").expect("there").collect().await.expect("all of it")
    }

    async fn check_key(&mut self, key: &str) {
        let bucket = self.entry.row();
        let newest = self.store.find_object(&bucket, key, None).await;
        assert_eq!(newest.is_ok(), self.current(key).is_some(), "seed {}: {key:?}", self.seed);
        for version in self.model.get(key).cloned().unwrap_or_default() {
            let found = self.store.find(&bucket, key, Some(&version.id)).await.expect("found");
            let found = found.expect("a version of the model");
            assert_eq!(found.id(), version.id);
            let Some(body) = &version.body else {
                assert!(found.object().is_none());
                continue;
            };
            let size = body.len() as u64;
            assert_eq!(found.object().expect("an object").size, size);
            assert!(self.bytes(key, &found, 0..size).await == body[..], "seed {}", self.seed);
            if !body.is_empty() {
                let (one, other) = (self.below(body.len()), self.below(body.len()));
                let (from, until) = (one.min(other), one.max(other) + 1);
                let part = self.bytes(key, &found, from as u64..until as u64).await;
                assert!(part == body[from..until], "seed {}: {from}..{until}", self.seed);
            }
        }
    }

    /// All lines of a list, as the model has them: key and version ID, or a common prefix.
    fn lines(&self, query: &Query, versions: bool) -> Vec<Line<(String, String, bool)>> {
        let mut lines = Vec::new();
        for (key, all) in self.model.range(query.prefix.clone()..) {
            let Some(rest) = key.strip_prefix(&query.prefix) else { break };
            if !versions && self.current(key).is_none() {
                continue;
            }
            let delimiter = query.delimiter.as_deref();
            if let Some((at, one)) = delimiter.and_then(|one| Some((rest.find(one)?, one))) {
                let prefix = Line::Prefix(key[..query.prefix.len() + at + one.len()].to_owned());
                if lines.last() != Some(&prefix) {
                    lines.push(prefix);
                }
                continue;
            }
            for (at, version) in all.iter().enumerate().take(if versions { all.len() } else { 1 }) {
                lines.push(Line::Item((key.clone(), version.id.clone(), at == 0)));
            }
        }
        lines
    }

    async fn check_list(&mut self) {
        let prefix = if self.below(2) == 0 { String::new() } else { self.key() };
        let delimiter = match self.below(4) {
            0 => None,
            1 => Some(self.key()),
            _ => Some("/".to_owned()),
        };
        let limit = 1 + self.below(9);
        let most_passed = (self.below(2) == 0).then_some(1 + self.below(4));
        for versions in [false, true] {
            let mut query = Query {
                prefix: prefix.clone(),
                delimiter: delimiter.clone(),
                after: After::Start,
                limit,
                most_passed,
                may_part_prefix: true,
            };
            let expected = self.lines(&query, versions);
            let mut got = Vec::new();
            loop {
                let page = self.page(&query, versions).await;
                got.extend(page.lines.iter().map(shown));
                if let Some(passed) = page.passed {
                    assert!(page.truncated && most_passed.is_some() && !versions);
                    query.after = After::Key(passed);
                    continue;
                }
                let left = expected.len() > got.len();
                assert_eq!(page.truncated, left, "seed {}: {query:?}\n{got:?}", self.seed);
                assert!(page.lines.len() == limit || !left);
                query.after = match page.lines.last().filter(|_| page.truncated) {
                    None => break,
                    Some(Line::Prefix(prefix)) => After::Prefix(prefix.clone()),
                    Some(Line::Item(one)) if !versions => After::Key(one.key.clone()),
                    Some(Line::Item(one)) => {
                        let (bucket, id) = (self.entry.row(), one.version.id(one.version_key));
                        let after = self.store.after_version(&bucket, &one.key, &id).await;
                        after.expect("a marker")
                    }
                };
            }
            assert_eq!(got, expected, "seed {}: {query:?}", self.seed);
        }
    }

    async fn page(&self, query: &Query, versions: bool) -> Page<Listed> {
        let bucket = self.entry.row();
        let page = match versions {
            true => self.store.list_versions(&bucket, query).await,
            false => self.store.list_objects(&bucket, query).await,
        };
        page.expect("a page")
    }

    async fn step(&mut self) {
        let key = if self.below(3) == 0 { self.key() } else { self.known_key() };
        match self.below(100) {
            0..40 => {
                let body = self.body();
                self.put(&key, body).await;
            }
            40..44 => self.upload(&key).await,
            44..60 => self.delete(&key).await,
            60..72 => self.delete_version(&key).await,
            72..75 => {
                let to =
                    if self.below(2) == 0 { Versioning::Enabled } else { Versioning::Suspended };
                let changed = self.store.update_bucket(&self.entry, |row| {
                    row.versioning = to;
                    Ok(())
                });
                changed.await.expect("a change");
            }
            75..85 => self.check_list().await,
            85..87 => self.store.sweep().await.expect("swept"),
            _ => self.check_key(&key).await,
        }
    }

    /// Removes everything: nothing may be left behind.
    async fn clear(&mut self) {
        for key in self.model.keys().cloned().collect::<Vec<_>>() {
            self.check_key(&key).await;
            while self.model.contains_key(&key) {
                self.delete_version(&key).await;
            }
        }
        self.store.sweep().await.expect("swept");
        self.store.delete_bucket(&self.entry).await.expect("an empty bucket");
        // What somebody might have been reading is freed by now.
        self.store.cluster().close().await;
        let usage = self.node.usage().await.expect("usage");
        assert_eq!((usage.records, usage.blobs), (0, 0), "seed {}", self.seed);
    }
}

fn shown(line: &Line<Listed>) -> Line<(String, String, bool)> {
    match line {
        Line::Prefix(prefix) => Line::Prefix(prefix.clone()),
        Line::Item(one) => {
            let id = one.version.id(one.version_key);
            Line::Item((one.key.clone(), id, one.latest))
        }
    }
}

async fn run(seed: u64, steps: usize) {
    let mut world = World::new(seed).await;
    for _ in 0..steps {
        world.step().await;
    }
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_the_model() {
    for seed in 0..24 {
        run(seed, 400).await;
    }
}

/// Two buckets of one name are never made, and what is written into a bucket that is removed
/// meanwhile is refused or seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_and_the_end_of_their_bucket_exclude_each_other() {
    for seed in 0..20 {
        let world = Arc::new(World::new(seed).await);
        let mut writers = Vec::new();
        for n in 0..8 {
            let world = world.clone();
            writers.push(tokio::spawn(async move {
                let (bucket, key) = (world.entry.row(), format!("key-{n}"));
                let wrapping = world.store.wrapping_key();
                let place = Store::place(&bucket, &key);
                let body = stream::iter([Ok(Bytes::from_static(b"body"))]);
                let expected = Expected::default();
                let taken = world.store.take_in(&place, body, &expected, &wrapping).await;
                let taken = taken.expect("taken");
                let new = New::of(taken, Attributes::default(), Lock::default(), None);
                world
                    .store
                    .put_object(&world.entry, &key, new, &Conditions::default())
                    .await
                    .is_ok()
            }));
        }
        let removed = world.store.delete_bucket(&world.entry).await.is_ok();
        let mut written = 0;
        for writer in writers {
            written += usize::from(writer.await.expect("a writer"));
        }
        let records = world.node.usage().await.expect("usage").records;
        assert_eq!(records, if removed { 0 } else { 1 + written as u64 }, "seed {seed}");
        assert!(!removed || written == 0, "seed {seed}");
    }
}

/// Of many conditional writes at a time exactly one wins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_conditional_write_wins() {
    let world = Arc::new(World::new(1).await);
    for round in 0..20 {
        let mut writers = Vec::new();
        for n in 0..8 {
            let world = world.clone();
            writers.push(tokio::spawn(async move {
                let (bucket, key) = (world.entry.row(), format!("key-{round}"));
                let place = Store::place(&bucket, &key);
                let body = stream::iter([Ok(Bytes::from(vec![n; 100]))]);
                let (expected, wrapping) = (Expected::default(), world.store.wrapping_key());
                let taken = world.store.take_in(&place, body, &expected, &wrapping).await;
                let taken = taken.expect("taken");
                let new = New::of(taken, Attributes::default(), Lock::default(), None);
                let first = Conditions { if_match: None, if_none_match: Some(Match::Any) };
                world.store.put_object(&world.entry, &key, new, &first).await.is_ok()
            }));
        }
        let mut winners = 0;
        for writer in writers {
            winners += usize::from(writer.await.expect("a writer"));
        }
        assert_eq!(winners, 1, "round {round}");
    }
}
