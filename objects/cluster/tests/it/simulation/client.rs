//! Clients: they put, remove, read and list, and check what they see.

use super::{dice::Dice, model::Model};
use bytes::Bytes;
use cluster::{
    BlobRef, Body, Changes, Cluster, ClusterFault, ClusterResult, Place, Record, Table, range,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

pub type Shared = Arc<Mutex<Model>>;

pub const SUFFIXES: [&[u8]; 2] = [b"a", b"b"];
const BUCKET: u64 = 7;

pub fn place(key: u64) -> Place {
    Place::new(BUCKET, format!("key/{key:03}"))
}

pub struct Client {
    pub cluster: Arc<Cluster>,
    pub model: Shared,
    pub dice: Dice,
    pub keys: u64,
}

/// The bytes of a body by its write.
fn contents(write: u64, len: usize) -> Bytes {
    let mut dice = Dice::new(write);
    let mut data = Vec::with_capacity(len + 8);
    while data.len() < len {
        data.extend_from_slice(&dice.next().to_be_bytes());
    }
    data.truncate(len);
    data.into()
}

/// A record's value: its write, and the blobs' lengths.
fn value(write: u64, body: &Body) -> Bytes {
    let mut value = write.to_be_bytes().to_vec();
    body.blobs.iter().for_each(|blob| value.extend_from_slice(&blob.len.to_be_bytes()));
    value.into()
}

fn write_of(record: &Record) -> u64 {
    u64::from_be_bytes(record.value[..8].try_into().expect("a write's number"))
}

fn blobs_of(record: &Record) -> Vec<BlobRef> {
    let lens = record.value[8..].chunks_exact(8);
    let lens = lens.map(|len| u64::from_be_bytes(len.try_into().expect("eight bytes")));
    record.blobs.iter().zip(lens).map(|(id, len)| BlobRef { id: *id, len }).collect()
}

impl Client {
    pub async fn run(mut self, steps: u64) {
        for _ in 0..steps {
            let key = self.dice.below(self.keys);
            let result = match self.dice.below(20) {
                0..8 => self.put(key).await,
                8..11 => self.remove(key).await,
                11..16 => self.get(key).await,
                16..18 => self.read_both(key).await,
                18 => self.list().await,
                _ => self.abandon(key).await,
            };
            match result {
                Ok(()) => (),
                Err(ClusterFault::Unavailable(_) | ClusterFault::Full) => self.wait(300).await,
                Err(fault @ ClusterFault::Lost(_)) => panic!("{fault}"),
            }
            let rest = self.dice.below(30);
            self.wait(rest).await;
        }
    }

    async fn wait(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    fn length(&mut self) -> usize {
        let end = match self.dice.below(60) {
            0 => 1_500_000,
            1..10 => 40_000,
            _ => 2_000,
        };
        self.dice.index(end)
    }

    async fn body(&mut self, place: &Place, write: u64, len: usize) -> ClusterResult<Body> {
        let mut data = contents(write, len);
        let mut writer = self.cluster.write_body(place);
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(200_000));
            writer.write(piece).await?;
        }
        writer.finish().await
    }

    async fn put(&mut self, key: u64) -> ClusterResult<()> {
        let leaves = [true, self.dice.chance(60)];
        self.change(key, leaves).await
    }

    async fn remove(&mut self, key: u64) -> ClusterResult<()> {
        let leaves = [false, self.dice.chance(20)];
        self.change(key, leaves).await
    }

    /// Removes all that a place has.
    pub async fn delete(&mut self, key: u64) -> ClusterResult<()> {
        self.change(key, [false, false]).await
    }

    /// Writes something small to each place in turn, until that fails.
    pub async fn fill(&mut self) -> ClusterResult<()> {
        for key in 0..1000 {
            self.change(key % self.keys, [true, false]).await?;
        }
        Ok(())
    }

    async fn change(&mut self, key: u64, leaves: [bool; 2]) -> ClusterResult<()> {
        let place = place(key);
        // The body comes in before the lock is taken, as it does from slow senders.
        let source = self.dice.next();
        let len = self.length();
        let mut bodies = Vec::new();
        for (n, leaves) in (0..).zip(leaves) {
            bodies.push(match leaves {
                true => Some(self.body(&place, source + n, len).await?),
                false => None,
            });
        }
        let cluster = self.cluster.clone();
        let mut update = cluster.update(place.clone()).await;
        let floor = self.model.lock().expect("model").floor(key);
        let mut seen = [None, None];
        for n in 0..2 {
            let record = update.get(Table::Objects, SUFFIXES[n]).await?;
            seen[n] = Some(record.as_ref().map(write_of));
        }
        self.model.lock().expect("model").saw(key, floor, seen);
        let (entry, at) = self.model.lock().expect("model").begin(key, leaves);
        let mut changes = Changes::default();
        for (n, body) in bodies.iter().enumerate() {
            let record = body.as_ref().map(|body| {
                changes.blobs.extend(body.inline.iter().cloned());
                let mut value = value(entry.write, body).to_vec();
                value.extend_from_slice(&(source + n as u64).to_be_bytes());
                Record { blobs: body.blobs.iter().map(|b| b.id).collect(), value: value.into() }
            });
            changes.records.push((place.record(Table::Objects, SUFFIXES[n]), record));
        }
        update.commit(changes).await?;
        self.model.lock().expect("model").acknowledge(key, at);
        Ok(())
    }

    async fn verify(&self, key: u64, record: &Record) -> ClusterResult<()> {
        let blobs = blobs_of(record);
        let len: u64 = blobs.iter().map(|blob| blob.len).sum();
        let tail = record.value.len() - 8;
        let source =
            u64::from_be_bytes(record.value[tail..].try_into().expect("the source's number"));
        let mut data = Vec::new();
        for blob in &blobs {
            let mut offset = 0;
            while offset < blob.len {
                let len = usize::try_from(blob.len - offset).expect("short").min(256 << 10);
                let part = self.cluster.read_blob(place(key).slot(), blob.id, offset, len).await?;
                assert!(!part.is_empty(), "place {key}: a blob is too short");
                offset += part.len() as u64;
                data.extend_from_slice(&part);
            }
        }
        let expected = contents(source, usize::try_from(len).expect("short"));
        assert!(data == expected, "place {key}: wrong bytes");
        Ok(())
    }

    async fn get(&mut self, key: u64) -> ClusterResult<()> {
        let floor = self.model.lock().expect("model").floor(key);
        let n = self.dice.index(2);
        let record = self.cluster.get(&place(key).record(Table::Objects, SUFFIXES[n])).await?;
        let mut seen = [None, None];
        seen[n] = Some(record.as_ref().map(write_of));
        self.model.lock().expect("model").saw(key, floor, seen);
        let Some(record) = record else { return Ok(()) };
        match self.verify(key, &record).await {
            // Perhaps it was replaced long ago: nobody keeps what a slow reader reads.
            Err(fault @ ClusterFault::Lost(_)) => {
                let now = self.cluster.get(&place(key).record(Table::Objects, SUFFIXES[n])).await?;
                if now == Some(record) { Err(fault) } else { Ok(()) }
            }
            result => result,
        }
    }

    /// Both records at once, under the place's lock: they are of one write.
    pub async fn read_both(&mut self, key: u64) -> ClusterResult<()> {
        let cluster = self.cluster.clone();
        let update = cluster.update(place(key)).await;
        let floor = self.model.lock().expect("model").floor(key);
        let records = if self.dice.chance(50) {
            let found = update.scan(Table::Objects, None, 9).await?;
            SUFFIXES.map(|suffix| {
                let key = place(key).record(Table::Objects, suffix);
                found.iter().find(|(other, _)| *other == key).map(|(_, record)| record.clone())
            })
        } else {
            [
                update.get(Table::Objects, SUFFIXES[0]).await?,
                update.get(Table::Objects, SUFFIXES[1]).await?,
            ]
        };
        let seen = [0, 1].map(|n| Some(records[n].as_ref().map(write_of)));
        self.model.lock().expect("model").saw(key, floor, seen);
        drop(update);
        for record in records.iter().flatten() {
            self.verify(key, record).await?;
        }
        Ok(())
    }

    pub async fn list(&mut self) -> ClusterResult<()> {
        let floors: Vec<_> = {
            let mut model = self.model.lock().expect("model");
            (0..self.keys).map(|key| model.floor(key)).collect()
        };
        let mut found = BTreeMap::new();
        let mut part = range(Table::Objects, BUCKET, b"key/");
        let limit = 1 + self.dice.index(20);
        loop {
            let page = self.cluster.scan(part.clone(), limit).await?;
            assert!(page.is_sorted_by(|a, b| a.0 < b.0), "a page isn't in order");
            assert!(page.iter().all(|(key, _)| part.contains(key)), "a page has other records");
            if let Some((last, _)) = page.last() {
                part.start = [last.as_ref(), &[0]].concat().into();
            }
            let more = page.len() == limit;
            found.extend(page);
            if !more {
                break;
            }
        }
        let mut model = self.model.lock().expect("model");
        for (key, floor) in (0..).zip(floors) {
            // Two records of a place may be of different writes if they are on different pages.
            for n in 0..2 {
                let record = found.remove(&place(key).record(Table::Objects, SUFFIXES[n]));
                let mut seen = [None, None];
                seen[n] = Some(record.as_ref().map(write_of));
                model.saw(key, floor, seen);
            }
        }
        assert!(found.is_empty(), "there are records that nobody wrote: {found:?}");
        Ok(())
    }

    /// A body that is never committed.
    async fn abandon(&mut self, key: u64) -> ClusterResult<()> {
        let len = self.length();
        if self.dice.chance(50) {
            self.body(&place(key), 1, len).await?;
        } else {
            let mut writer = self.cluster.write_body(&place(key));
            writer.write(contents(1, len)).await?;
        }
        Ok(())
    }
}
