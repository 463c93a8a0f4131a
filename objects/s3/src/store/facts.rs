//! What decisions about access need to know of an object.

use super::{Bucket, Store};
use crate::access::ObjectFacts;
use s3s::S3Result;

impl Store {
    /// The owner, list and tags of a version; none if it isn't there.
    ///
    /// # Errors
    /// The storage is unavailable.
    #[expect(clippy::unused_async, reason = "it reads once there are objects")]
    pub(crate) async fn object_facts(
        &self,
        _bucket: &Bucket,
        _key: &str,
        _version: Option<&str>,
    ) -> S3Result<Option<ObjectFacts>> {
        Ok(None)
    }
}
