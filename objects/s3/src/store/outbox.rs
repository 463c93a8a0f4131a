//! Events are kept in the commit that makes them: what is acknowledged is told, and what isn't, isn't.
//!
//! A record of `Table::Events`, in the place of the object, waits for its target; see
//! [`crate::notification`].

use super::{Bucket, Store, objects::Written, version::Object};
use crate::{
    Caller,
    configuration::notification::wishes,
    notification::{
        Waiting,
        message::{self, Happening},
    },
};
use cluster::{Changes, Place, Table};
use s3s::S3Result;
use tokio::sync::Notify;

/// Rung when there is an event to deliver.
#[derive(Debug, Default)]
pub(crate) struct Ears(pub(crate) Notify);

/// What somebody does, for those who want to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed<'a> {
    /// Such as `ObjectCreated:Put`; where a delete marker comes of it, it is told as that.
    pub event: &'a str,
    /// None if the store itself does it.
    pub caller: Option<&'a Caller>,
}

/// A key that something is done to, and what is told of that.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub(crate) key: &'a str,
    pub(crate) deed: Option<Deed<'a>>,
}

impl<'a> Named<'a> {
    pub(crate) fn told(key: &'a str, event: &'a str, caller: Option<&'a Caller>) -> Self {
        Self { key, deed: Some(Deed { event, caller }) }
    }
}

impl<'a> From<&'a str> for Named<'a> {
    /// Nobody is told.
    fn from(key: &'a str) -> Self {
        Self { key, deed: None }
    }
}

impl<'a> From<&'a String> for Named<'a> {
    fn from(key: &'a String) -> Self {
        key.as_str().into()
    }
}

impl Store {
    /// Adds the events of a deed to the commit that does it.
    pub(super) fn tell(
        &self,
        place: &Place,
        bucket: &Bucket,
        named: Named<'_>,
        written: &Written,
        object: Option<&Object>,
        changes: &mut Changes,
    ) -> S3Result<()> {
        let (Some(deed), Some(configuration)) = (named.deed, &bucket.configuration.notification)
        else {
            return Ok(());
        };
        let kind = deed.event.split_once(':').map_or(deed.event, |(kind, _)| kind);
        let event = match written.marker {
            true => format!("{kind}:DeleteMarkerCreated"),
            false => deed.event.to_owned(),
        };
        let etag = object.map(|object| object.etag.to_string());
        let happening = Happening {
            event: &event,
            key: named.key,
            size_bytes: object.map(|object| object.size),
            etag: etag.as_deref(),
            version_id: written.version_id.as_deref(),
            caller: deed.caller,
            at_ms: written.modified_ms,
        };
        let full = format!("s3:{event}");
        for wish in wishes(configuration) {
            if wish.wants(&full, named.key) {
                let now_ms = self.now_ms();
                let body = message::event(bucket, wish.id, &happening);
                let suffix = [now_ms.to_be_bytes(), rand::random()].concat();
                let record = Waiting::new(wish.arn, body, now_ms).to_record()?;
                changes.records.push((place.record(Table::Events, &suffix), Some(record)));
            }
        }
        Ok(())
    }
}
