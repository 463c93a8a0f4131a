//! Lists: of objects, versions and uploads, by prefix and delimiter. A page costs what it shows:
//! common prefixes and old versions are leapt over.

use super::{
    Bucket, Store,
    version::{Version, VersionKey},
};
use crate::fault;
use bytes::Bytes;
use cluster::{Place, Record, Table, after_key, after_keys, range};
use s3s::S3Result;

/// Where a page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum After {
    #[default]
    Start,
    /// After all records of a key.
    Key(String),
    /// After all keys that begin so.
    Prefix(String),
    /// After one record of a key.
    Record(String, Vec<u8>),
}

/// What is listed.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub prefix: String,
    /// None, or not empty.
    pub delimiter: Option<String>,
    pub after: After,
    pub limit: usize,
    /// A page that has read so many records that it doesn't show ends early; none for never.
    pub most_passed: Option<usize>,
    /// Whether it may do so amid keys of one common prefix that isn't shown yet.
    pub may_part_prefix: bool,
}

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<T> {
    Item(T),
    Prefix(String),
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub lines: Vec<Line<T>>,
    pub truncated: bool,
    /// Of a page that ended early: the last key that was looked at, which isn't shown.
    pub passed: Option<String>,
}

/// A version in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub version_key: VersionKey,
    pub version: Version,
    pub latest: bool,
}

/// What becomes of a record.
pub(super) enum Visit<T> {
    Show(T),
    Pass,
}

/// How many records a scan gives at first, and at most.
const FEW: usize = 16;
const MANY: usize = 1001;

/// Goes through the records of a table.
pub(super) struct Walk<'a> {
    pub(super) store: &'a Store,
    pub(super) table: Table,
    pub(super) bucket: u64,
    pub(super) query: &'a Query,
    /// Whether only the first record of each key counts.
    pub(super) first_only: bool,
}

/// A record in its key's place.
pub(super) struct Row<'a> {
    pub(super) key: &'a str,
    pub(super) suffix: &'a [u8],
    pub(super) record: &'a Record,
    /// Whether it is the first of its key.
    pub(super) first: bool,
}

impl Walk<'_> {
    fn begin(&self, all: &Bytes) -> (Bytes, Option<String>) {
        let (table, bucket) = (self.table, self.bucket);
        let (from, key) = match &self.query.after {
            After::Start => return (all.clone(), None),
            After::Key(key) => (after_key(table, bucket, key.as_bytes()), None),
            After::Prefix(prefix) => (after_keys(table, bucket, prefix.as_bytes()), None),
            After::Record(key, suffix) => {
                let place = Place::new(bucket, key.as_bytes().to_vec());
                let record = [&place.record(table, suffix)[..], &[0]].concat();
                (record.into(), Some(key.clone()))
            }
        };
        (from.max(all.clone()), key)
    }

    /// The common prefix that a key is shown by.
    fn common<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.query.delimiter.as_deref()?;
        let rest = key.get(self.query.prefix.len()..)?;
        let at = rest.find(delimiter)?;
        key.get(..self.query.prefix.len() + at + delimiter.len())
    }

    /// How many records are read at first; later many, where many of them count.
    fn first_batch(&self) -> usize {
        let most = if self.query.delimiter.is_some() { FEW } else { MANY };
        self.query.limit.saturating_add(1).min(most)
    }

    /// Whether a page ends after a key that isn't shown, having passed over so many records.
    fn ends_early(&self, key: &str, passed: usize) -> bool {
        self.query.most_passed.is_some_and(|most| passed >= most)
            && (self.query.may_part_prefix || self.common(key).is_none())
    }

    /// A page of what `visit` shows.
    pub(super) async fn page<T>(
        &self,
        mut visit: impl FnMut(Row<'_>) -> S3Result<Visit<T>>,
    ) -> S3Result<Page<T>> {
        let mut page = Page { lines: Vec::new(), truncated: false, passed: None };
        if self.query.limit == 0 {
            return Ok(page);
        }
        let all = range(self.table, self.bucket, self.query.prefix.as_bytes());
        let (mut from, mut last_key) = self.begin(&all.start);
        let mut batch = self.first_batch();
        // Records before it are passed over.
        let mut skip: Option<Bytes> = None;
        let mut passed = 0;
        while from < all.end {
            let part = from.clone()..all.end.clone();
            let found = self.store.cluster.scan(part, batch).await;
            let found = found.map_err(|e| fault::storage(&e))?;
            let ended = found.len() < batch;
            let mut useful = 0;
            for (record_key, record) in &found {
                if skip.as_ref().is_some_and(|skip| record_key < skip) {
                    passed += 1;
                    continue;
                }
                useful += 1;
                let (_, place, suffix) =
                    Place::of_record(record_key).ok_or_else(fault::internal)?;
                let key = std::str::from_utf8(&place.key).map_err(|_| fault::internal())?;
                let first = last_key.as_deref() != Some(key);
                if first {
                    last_key = Some(key.to_owned());
                }
                if self.first_only {
                    skip = Some(after_key(self.table, self.bucket, key.as_bytes()));
                }
                let Visit::Show(item) = visit(Row { key, suffix, record, first })? else {
                    passed += 1;
                    if self.ends_early(key, passed) {
                        page.truncated = true;
                        page.passed = Some(key.to_owned());
                        return Ok(page);
                    }
                    continue;
                };
                if page.lines.len() == self.query.limit {
                    page.truncated = true;
                    return Ok(page);
                }
                page.lines.push(match self.common(key) {
                    None => Line::Item(item),
                    Some(prefix) => {
                        skip = Some(after_keys(self.table, self.bucket, prefix.as_bytes()));
                        Line::Prefix(prefix.to_owned())
                    }
                });
            }
            let Some((last, _)) = found.last() else { break };
            if ended {
                break;
            }
            let next: Bytes = [&last[..], &[0]].concat().into();
            let leap = skip.take().filter(|skip| *skip > next);
            let few = leap.is_some() && useful * 4 < found.len();
            batch = if few { FEW } else { (batch * 4).min(MANY) };
            from = leap.unwrap_or(next);
        }
        Ok(page)
    }
}

impl Store {
    /// A page of objects.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn list_objects(&self, bucket: &Bucket, query: &Query) -> S3Result<Page<Listed>> {
        let walk = Walk {
            store: self,
            table: Table::Objects,
            bucket: bucket.number,
            query,
            first_only: true,
        };
        walk.page(|row| {
            let listed = listed(&row)?;
            let shown = listed.version.object.is_some();
            Ok(if shown { Visit::Show(listed) } else { Visit::Pass })
        })
        .await
    }

    /// A page of versions and delete markers.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub async fn list_versions(&self, bucket: &Bucket, query: &Query) -> S3Result<Page<Listed>> {
        let walk = Walk {
            store: self,
            table: Table::Objects,
            bucket: bucket.number,
            query,
            first_only: false,
        };
        walk.page(|row| Ok(Visit::Show(listed(&row)?))).await
    }

    /// Where a page of versions begins after one that a client names.
    ///
    /// # Errors
    /// The ID isn't one.
    pub async fn after_version(&self, bucket: &Bucket, key: &str, id: &str) -> S3Result<After> {
        let version_key = match id {
            "null" => match self.find(bucket, key, Some(id)).await? {
                Some(found) => found.key,
                None => return Ok(After::Key(key.to_owned())),
            },
            id => super::objects::version_key(id)?,
        };
        Ok(After::Record(key.to_owned(), version_key.0.to_vec()))
    }
}

fn listed(row: &Row<'_>) -> S3Result<Listed> {
    Ok(Listed {
        key: row.key.to_owned(),
        version_key: VersionKey::of_suffix(row.suffix).ok_or_else(fault::internal)?,
        version: Version::decode(row.record)?,
        latest: row.first,
    })
}
