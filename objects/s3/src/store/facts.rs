//! What decisions about access need to know of an object.

use super::{Bucket, Store, objects::Found};
use crate::access::{ObjectFacts, acl::Acl};
use s3s::S3Result;

impl Store {
    /// The owner, list and tags of a version; none if it isn't there.
    ///
    /// # Errors
    /// The storage is unavailable.
    pub(crate) async fn object_facts(
        &self,
        bucket: &Bucket,
        key: &str,
        version: Option<&str>,
    ) -> S3Result<Option<ObjectFacts>> {
        // An ID that can't be one is left to the operation to refuse.
        let found = match self.find(bucket, key, version).await {
            Ok(found) => found,
            Err(error) if *error.code() == s3s::S3ErrorCode::InvalidArgument => None,
            Err(error) => return Err(error),
        };
        Ok(found.and_then(|found| facts(bucket, found)))
    }
}

fn facts(bucket: &Bucket, found: Found) -> Option<ObjectFacts> {
    let attributes = found.version.object?.attributes;
    let owner = found.version.owner.as_ref().unwrap_or(&bucket.owner);
    Some(ObjectFacts {
        owner_id: owner.canonical_id.clone(),
        acl: attributes.acl.as_deref().and_then(Acl::read),
        tags: attributes.tags.into_iter().collect(),
    })
}
