//! Events that wait for their target: in the places of their objects, in order of time for each; test
//! events in records of their own.

use crate::{fault, store::Store};
use bytes::Bytes;
use cluster::{Changes, Place, Record, Table, range};
use s3s::S3Result;
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, time::Duration};

const PREFIX: &[u8] = b"event/";
/// The longest pause between two attempts.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long an event is kept for a target that doesn't take it.
const KEPT_MS: u64 = 24 * 3_600_000;
/// How many events are read at a time.
const PAGE: usize = 100;

/// An event that waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(super) arn: String,
    pub(super) body: String,
    since_ms: u64,
    pub(super) due_ms: u64,
    attempts: u32,
}

impl Waiting {
    pub(crate) fn new(arn: &str, body: String, now_ms: u64) -> Self {
        Self { arn: arn.to_owned(), body, since_ms: now_ms, due_ms: now_ms, attempts: 0 }
    }

    /// Puts it off after an attempt that failed, and says by how much; none if it is too old.
    pub(super) fn again(&mut self, now_ms: u64) -> Option<u64> {
        if self.is_too_old(now_ms) {
            return None;
        }
        let longest = u64::try_from(LONGEST_PAUSE.as_millis()).unwrap_or(u64::MAX);
        let pause_ms = (500u64 << self.attempts.min(10)).min(longest);
        self.attempts += 1;
        self.due_ms = now_ms + pause_ms;
        Some(pause_ms)
    }

    /// Whether it has waited for too long.
    pub(super) fn is_too_old(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) > KEPT_MS
    }

    pub(crate) fn to_record(&self) -> S3Result<Record> {
        let value = serde_json::to_vec(self).map_err(s3s::S3Error::internal_error)?;
        Ok(Record { blobs: Vec::new(), value: value.into() })
    }
}

pub(super) async fn put(store: &Store, arn: &str, body: String) -> S3Result<()> {
    let now_ms = store.now_ms();
    let waiting = Waiting::new(arn, body, now_ms);
    let key = format!("event/{now_ms:016x}-{:016x}", rand::random::<u64>());
    let place = Place::new(0, key.into_bytes());
    let key = place.record(Table::Settings, &[]);
    write(store, place, key, Some(waiting.to_record()?)).await
}

async fn write(store: &Store, place: Place, key: Bytes, record: Option<Record>) -> S3Result<()> {
    let mut update = store.cluster().update(place).await;
    let changes = Changes { records: vec![(key, record)], blobs: Vec::new() };
    update.commit(changes).await.map_err(|e| fault::storage(&e))
}

pub(super) async fn replace(store: &Store, key: &Bytes, waiting: &Waiting) -> S3Result<()> {
    let (_, place, _) = Place::of_record(key).ok_or_else(fault::internal)?;
    write(store, place, key.clone(), Some(waiting.to_record()?)).await
}

pub(super) async fn remove(store: &Store, key: &Bytes) -> S3Result<()> {
    let (_, place, _) = Place::of_record(key).ok_or_else(fault::internal)?;
    write(store, place, key.clone(), None).await
}

/// Goes through all that waits, a page at a time.
#[derive(Debug, Default)]
pub(super) struct Walk {
    page: VecDeque<(Bytes, Record)>,
    after: Option<Bytes>,
    last: bool,
    /// The second table is gone through.
    second: bool,
}

/// All events of a table.
fn all_of(second: bool) -> std::ops::Range<Bytes> {
    match second {
        false => range(Table::Settings, 0, PREFIX),
        true => {
            let table = Table::Events as u8;
            Bytes::from(vec![table])..Bytes::from(vec![table + 1])
        }
    }
}

impl Walk {
    pub(super) async fn next(&mut self, store: &Store) -> S3Result<Option<(Bytes, Waiting)>> {
        loop {
            while let Some((key, record)) = self.page.pop_front() {
                self.after = Some(key.clone());
                match serde_json::from_slice(&record.value) {
                    Ok(waiting) => return Ok(Some((key, waiting))),
                    Err(error) => {
                        log::warn!("an event that can't be read is dropped: {error}");
                        remove(store, &key).await?;
                    }
                }
            }
            if self.last && self.second {
                return Ok(None);
            }
            if self.last {
                *self = Self { second: true, ..Self::default() };
            }
            let mut part = all_of(self.second);
            if let Some(after) = &self.after {
                part.start = [after, &[0][..]].concat().into();
            }
            let found = store.cluster().scan(part, PAGE).await.map_err(|e| fault::storage(&e))?;
            self.last = found.len() < PAGE;
            self.page = found.into();
        }
    }
}
