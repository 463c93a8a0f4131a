//! Event notifications: what happens to objects is told to web hooks and files.
//!
//! A bucket's configuration names targets by ARN, as on AWS. Which web hook or file stands for an
//! ARN is said in a JSON file:
//!
//! ```json
//! {"arn:aws:sns:us-east-1:123456789012:uploads": {"url": "http://127.0.0.1:8080/hook"},
//!  "arn:aws:sqs:us-east-1:123456789012:log": {"file": "/var/log/s3-events.jsonl"}}
//! ```
//! The message is S3's own, without the envelope of SNS or SQS. It is kept in the commit of what it
//! tells of ([`crate::store`]) and removed after the target took it: each is delivered at least once.

mod deliver;
pub mod message;
mod queue;

pub(crate) use queue::Waiting;

use crate::{
    configuration::notification::wishes,
    fault,
    store::{Bucket, Store},
};
use deliver::Target;
use s3s::{S3ErrorCode, S3Result, dto};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

/// The most bytes of the file of targets.
const MAX_TARGETS_BYTES: u64 = 1 << 20;

/// Takes events in and delivers them.
#[derive(Debug)]
pub(crate) struct Events {
    store: Arc<Store>,
    /// The file that says what stands for which ARN.
    targets: Option<PathBuf>,
}

impl Events {
    pub(crate) fn new(store: Arc<Store>, targets: Option<PathBuf>) -> Self {
        Self { store, targets }
    }

    /// The targets as the file has them now; without a file there are none.
    async fn targets(&self) -> BTreeMap<String, Target> {
        let Some(path) = self.targets.clone() else { return BTreeMap::new() };
        let read = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            if std::fs::metadata(&path)?.len() > MAX_TARGETS_BYTES {
                anyhow::bail!("{} is too long", path.display());
            }
            Ok(serde_json::from_slice(&std::fs::read(&path)?)?)
        });
        match read.await {
            Ok(Ok(targets)) => targets,
            Ok(Err(error)) => {
                log::warn!("reading the targets of notifications: {error:#}");
                BTreeMap::new()
            }
            Err(_) => BTreeMap::new(),
        }
    }

    /// Checks that each target of a configuration is known, and sends it S3's test event.
    ///
    /// # Errors
    /// `InvalidArgument`, `NotImplemented`; the storage is unavailable.
    pub(crate) async fn check_targets(
        &self,
        configuration: &dto::NotificationConfiguration,
        validate: bool,
        bucket: &Bucket,
    ) -> S3Result<()> {
        if configuration.event_bridge_configuration.is_some() {
            return Err(fault::fault(
                S3ErrorCode::NotImplemented,
                "PutBucketNotificationConfiguration: there is no EventBridge to send events to",
            ));
        }
        if !validate {
            return Ok(());
        }
        let known = self.targets().await;
        let wishes = wishes(configuration);
        if let Some(unknown) = wishes.iter().find(|wish| !known.contains_key(wish.arn)) {
            return Err(fault::invalid_argument(
                "Unable to validate the following destination configurations",
                unknown.arn,
                "The destination is not in the store's file of notification targets",
            ));
        }
        let mut tested: Vec<_> = wishes.iter().map(|wish| wish.arn).collect();
        tested.sort_unstable();
        tested.dedup();
        for arn in tested {
            let body = message::test_event(bucket, self.store.now_ms());
            queue::put(&self.store, arn, body).await?;
        }
        self.store.ears.0.notify_one();
        Ok(())
    }

    /// Delivers events until it is dropped.
    pub(crate) async fn deliver_for_ever(&self) {
        loop {
            match self.deliver_due().await {
                Ok(next_ms) => {
                    let pause = std::time::Duration::from_millis(next_ms);
                    let _ = tokio::time::timeout(pause, self.store.ears.0.notified()).await;
                }
                Err(error) => {
                    log::warn!("delivering notifications: {error:?}");
                    tokio::time::sleep(queue::LONGEST_PAUSE).await;
                }
            }
        }
    }

    /// Delivers what is due, and says after how many milliseconds to look again.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub(crate) async fn deliver_due(&self) -> S3Result<u64> {
        let mut queue = queue::Walk::default();
        let longest = u64::try_from(queue::LONGEST_PAUSE.as_millis()).unwrap_or(u64::MAX);
        let mut next_ms = longest;
        let (mut targets, mut away) = (None, BTreeSet::new());
        while let Some((key, mut waiting)) = queue.next(&self.store).await? {
            let now_ms = self.store.now_ms();
            if waiting.due_ms > now_ms {
                next_ms = next_ms.min(waiting.due_ms - now_ms);
                continue;
            }
            // A target that is away holds up its own events only.
            if away.contains(&waiting.arn) {
                if waiting.is_too_old(now_ms) {
                    queue::remove(&self.store, &key).await?;
                }
                continue;
            }
            let targets = match &targets {
                Some(targets) => targets,
                None => &*targets.insert(self.targets().await),
            };
            let sent = match targets.get(&waiting.arn) {
                Some(target) => target.send(&waiting.body).await,
                None => Err(anyhow::anyhow!("it is not in the file of notification targets")),
            };
            match sent {
                Ok(()) => queue::remove(&self.store, &key).await?,
                Err(error) => {
                    log::info!("notifying {}: {error:#}", waiting.arn);
                    away.insert(waiting.arn.clone());
                    match waiting.again(now_ms) {
                        Some(pause_ms) => {
                            next_ms = next_ms.min(pause_ms);
                            queue::replace(&self.store, &key, &waiting).await?;
                        }
                        None => {
                            log::warn!("an event for {} was never taken: dropped", waiting.arn);
                            queue::remove(&self.store, &key).await?;
                        }
                    }
                }
            }
        }
        Ok(next_ms)
    }
}
