//! The files of a list: gzipped lines, made page by page while they are written.

use super::row::Columns;
use crate::{
    Gateway,
    store::{
        Bucket, Store,
        listing::{After, Line, Listed, Query},
    },
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::Stream;
use s3s::{S3Result, StdError, dto};
use std::{
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

/// How many lines a file has at most: far from the largest body.
pub(super) const ROWS_OF_A_FILE: u64 = 5_000_000;
/// How many versions are listed at a time.
const PAGE: usize = 1000;

/// The lines of a list. Clones go on where the others were.
#[derive(Clone)]
pub(super) struct Lines {
    store: Arc<Store>,
    source: Arc<Bucket>,
    columns: Columns,
    all: bool,
    prefix: String,
    at: Arc<Mutex<At>>,
}

#[derive(Clone, Default)]
struct At {
    after: After,
    done: bool,
}

impl Lines {
    pub(super) fn new(
        gateway: &Gateway,
        source: &Bucket,
        inventory: &dto::InventoryConfiguration,
        columns: Columns,
    ) -> Self {
        let filter = inventory.filter.as_ref();
        let versions = inventory.included_object_versions.as_str();
        Self {
            store: gateway.store.clone(),
            source: Arc::new(source.clone()),
            columns,
            all: versions == dto::InventoryIncludedObjectVersions::ALL,
            prefix: filter.map(|filter| filter.prefix.clone()).unwrap_or_default(),
            at: Arc::default(),
        }
    }

    pub(super) fn are_done(&self) -> bool {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).done
    }

    /// The next so many lines, gzipped.
    pub(super) fn file(self, rows: u64) -> impl Stream<Item = Result<Bytes, StdError>> + Send {
        let gzip = GzEncoder::new(Vec::new(), Compression::default());
        let begin = Some((self, gzip, rows));
        futures::stream::try_unfold(begin, |state| async move {
            let Some((lines, mut gzip, mut left)) = state else { return Ok(None) };
            loop {
                if left == 0 || lines.are_done() {
                    return Ok(Some((Bytes::from(gzip.finish()?), None)));
                }
                let most = PAGE.min(usize::try_from(left).unwrap_or(PAGE));
                let (text, count) = lines.page(most).await?;
                left -= count;
                gzip.write_all(text.as_bytes())?;
                let made = std::mem::take(gzip.get_mut());
                if !made.is_empty() {
                    return Ok(Some((Bytes::from(made), Some((lines, gzip, left)))));
                }
            }
        })
    }

    /// Up to so many lines, and how many there are.
    async fn page(&self, limit: usize) -> S3Result<(String, u64)> {
        let after = self.at.lock().unwrap_or_else(PoisonError::into_inner).after.clone();
        let query = Query { prefix: self.prefix.clone(), after, limit, ..Query::default() };
        let page = match self.all {
            true => self.store.list_versions(&self.source, &query).await?,
            false => self.store.list_objects(&self.source, &query).await?,
        };
        let (mut text, mut count, mut after) = (String::new(), 0, None);
        for line in page.lines {
            let Line::Item(listed) = line else { continue };
            self.columns.write(&self.source, &listed, &mut text);
            count += 1;
            after = Some(self.after(listed));
        }
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.done = !page.truncated || after.is_none();
        if let Some(after) = after {
            at.after = after;
        }
        Ok((text, count))
    }

    fn after(&self, listed: Listed) -> After {
        match self.all {
            true => After::Record(listed.key, listed.version_key.0.to_vec()),
            false => After::Key(listed.key),
        }
    }
}
