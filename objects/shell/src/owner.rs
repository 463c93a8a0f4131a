//! The owner's socket: how the store is, where an object is, nodes that come and go.

use crate::storage::Storage;
use anyhow::Context as _;
use bytes::Bytes;
use cluster::{Cluster, ClusterResult, Place, Table};
use contracts::objects::{Location, ObjectsReply, ObjectsRequest, StoreStatus};
use s3::{
    AdjustableClock, Gateway,
    store::version::{Version, VersionKey},
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

/// The longest request, in bytes.
const MAX_LINE: u64 = 64 << 10;
/// How many versions of an object are named.
const MAX_VERSIONS: usize = 1000;
/// How long objects are counted.
const COUNT_TIMEOUT: Duration = Duration::from_millis(500);
/// How many are counted together.
const PAGE: usize = 1000;

/// Serves the owner's socket, for ever.
///
/// # Errors
/// The socket can't be made.
pub async fn serve(path: &Path, owner: Owner) -> anyhow::Result<()> {
    let listener = relay::listen(path).with_context(|| format!("listen on {}", path.display()))?;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::warn!("the owner's connection was lost: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let owner = owner.clone();
        tokio::spawn(async move {
            if let Err(error) = owner.talk(stream).await {
                log::warn!("the owner's connection ended: {error:#}");
            }
        });
    }
}

/// What the owner asks.
#[derive(Debug, Clone)]
pub struct Owner {
    pub gateway: Gateway,
    pub storage: Storage,
    pub clock: Arc<AdjustableClock>,
}

impl Owner {
    async fn talk(&self, stream: UnixStream) -> anyhow::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read.take(MAX_LINE)).lines();
        while let Some(line) = lines.next_line().await? {
            let reply = match serde_json::from_str(&line) {
                Ok(request) => self.answer(request).await,
                Err(error) => Err(error).context("read the request"),
            };
            let reply = reply.unwrap_or_else(|error| ObjectsReply::Refused(format!("{error:#}")));
            let mut line = serde_json::to_vec(&reply)?;
            line.push(b'\n');
            write.write_all(&line).await?;
        }
        Ok(())
    }

    async fn answer(&self, request: ObjectsRequest) -> anyhow::Result<ObjectsReply> {
        match request {
            ObjectsRequest::Status => {
                let mut status = self.storage.status().await;
                // How many there are is only of interest where they can be read.
                if let Err(error) = count(self.storage.cluster(), &mut status).await {
                    log::warn!("counting objects: {error}");
                }
                Ok(ObjectsReply::Status(status))
            }
            ObjectsRequest::Locate { bucket, key } => self.locate(&bucket, &key).await,
            ObjectsRequest::Reset => {
                self.gateway.reset().await.context("drop all buckets")?;
                log::info!("all buckets were dropped");
                Ok(ObjectsReply::Done)
            }
            ObjectsRequest::AdvanceClock { days } => {
                self.clock.advance(Duration::from_hours(24) * days);
                self.gateway.apply_lifecycle().await.context("apply lifecycle rules")?;
                self.gateway.write_inventories().await.context("write inventories")?;
                Ok(ObjectsReply::Done)
            }
            ObjectsRequest::AddNode(node) => {
                self.storage.add(node).await.map(|()| ObjectsReply::Done)
            }
            ObjectsRequest::RemoveNode(name) => {
                self.storage.remove(&name).await.map(|()| ObjectsReply::Done)
            }
            ObjectsRequest::ReplaceNode(node) => {
                self.storage.replace(node).await.map(|()| ObjectsReply::Done)
            }
            ObjectsRequest::Scrub => {
                self.storage.scrub();
                Ok(ObjectsReply::Done)
            }
        }
    }

    async fn locate(&self, bucket: &str, key: &str) -> anyhow::Result<ObjectsReply> {
        let found = self.gateway.store().bucket(bucket).await;
        let number = found.with_context(|| format!("the bucket {bucket}"))?.row().number;
        let place = Place::new(number, key.as_bytes().to_vec());
        let from = place.record(Table::Objects, &[]);
        let until = cluster::after_key(Table::Objects, number, key.as_bytes());
        let records = self.storage.cluster().scan(from..until, MAX_VERSIONS).await?;
        let versions = records.iter().filter_map(|(key, record)| {
            let (_, _, suffix) = Place::of_record(key)?;
            Some(Version::decode(record).ok()?.id(VersionKey::of_suffix(suffix)?))
        });
        Ok(ObjectsReply::Located(Location {
            slot: place.slot(),
            versions: versions.collect(),
            copies: self.storage.locate(&place).await?,
        }))
    }
}

/// Counts buckets and objects, as far as it goes within a moment.
async fn count(cluster: &Cluster, status: &mut StoreStatus) -> ClusterResult<()> {
    let until = Instant::now() + COUNT_TIMEOUT;
    for (table, counted) in
        [(Table::Buckets, &mut status.buckets), (Table::Objects, &mut status.objects)]
    {
        let number = table as u8;
        let (mut from, end) = (Bytes::from(vec![number]), Bytes::from(vec![number + 1]));
        loop {
            let page = cluster.scan(from.clone()..end.clone(), PAGE).await?;
            *counted += u64::try_from(page.len()).unwrap_or(u64::MAX);
            let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else { break };
            if Instant::now() > until {
                status.objects_are_more = true;
                return Ok(());
            }
            from = [last, &[0][..]].concat().into();
        }
    }
    Ok(())
}
