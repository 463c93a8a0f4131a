//! S3's messages about events.

use crate::{Caller, store::Bucket};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// What happened to an object.
#[derive(Clone, Copy, Debug)]
pub struct Happening<'a> {
    /// Such as `ObjectCreated:Put`.
    pub event: &'a str,
    pub key: &'a str,
    pub size_bytes: Option<u64>,
    /// Without quotes.
    pub etag: Option<&'a str>,
    /// None where the bucket has no versions.
    pub version_id: Option<&'a str>,
    /// None if the store itself did it.
    pub caller: Option<&'a Caller>,
    pub at_ms: u64,
}

/// What a key keeps of itself in a message; a space is written as `+`.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/').remove(b' ');

fn time(at_ms: u64) -> String {
    types::Timestamp::from_millis(i64::try_from(at_ms).unwrap_or(i64::MAX)).to_string()
}

fn request_id() -> String {
    format!("{:016X}", rand::random::<u64>())
}

/// The message about an event.
#[must_use]
pub fn event(bucket: &Bucket, configuration_id: &str, happening: &Happening<'_>) -> String {
    let identity = happening.caller.and_then(|caller| caller.identity.as_deref());
    let principal = match (happening.caller, identity) {
        (Some(_), Some(identity)) => format!("AWS:{}", identity.user_id),
        (Some(_), None) => "Anonymous".to_owned(),
        (None, _) => "s3.amazonaws.com".to_owned(),
    };
    let address = happening.caller.and_then(|caller| caller.peer.address);
    let address =
        address.map_or("127.0.0.1".to_owned(), |address| address.ip().to_canonical().to_string());
    let key = utf8_percent_encode(happening.key, KEPT).to_string().replace(' ', "+");
    let mut object = json!({
        "key": key,
        // Rises with time, so that a target can tell the newer of two events of a key.
        "sequencer": format!("{:016X}{:04X}", happening.at_ms, rand::random::<u16>()),
    });
    let removed = happening.event.starts_with("ObjectRemoved")
        || happening.event.starts_with("LifecycleExpiration");
    if let Value::Object(fields) = &mut object {
        if let Some(size) = happening.size_bytes.filter(|_| !removed) {
            fields.insert("size".to_owned(), size.into());
        }
        if let Some(etag) = happening.etag {
            fields.insert("eTag".to_owned(), etag.into());
        }
        if let Some(version) = happening.version_id {
            fields.insert("versionId".to_owned(), version.into());
        }
    }
    json!({"Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "eventTime": time(happening.at_ms),
        "eventName": happening.event,
        "userIdentity": {"principalId": principal},
        "requestParameters": {"sourceIPAddress": address},
        "responseElements": {"x-amz-request-id": request_id(), "x-amz-id-2": request_id()},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration_id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": bucket.owner.account},
                "arn": format!("arn:aws:s3:::{}", bucket.name),
            },
            "object": object,
        },
    }]})
    .to_string()
}

/// What a target gets when it is configured.
#[must_use]
pub fn test_event(bucket: &Bucket, at_ms: u64) -> String {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": time(at_ms),
        "Bucket": bucket.name,
        "RequestId": request_id(),
        "HostId": request_id(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Owner;

    #[test]
    fn the_message() {
        let bucket = Bucket::new("photos", "eu-west-1", Owner::default(), 0);
        let happening = Happening {
            event: "ObjectCreated:Put",
            key: "a b/ü+.jpg",
            size_bytes: Some(7),
            etag: Some("d41d"),
            version_id: Some("v1"),
            caller: None,
            at_ms: 1_576_540_098_123,
        };
        let text = event(&bucket, "mine", &happening);
        let message: Value = serde_json::from_str(&text).expect("JSON");
        let record = &message["Records"][0];
        assert_eq!(record["eventName"], "ObjectCreated:Put");
        assert_eq!(record["eventTime"], "2019-12-16T23:48:18.123Z");
        assert_eq!(record["awsRegion"], "eu-west-1");
        assert_eq!(record["s3"]["configurationId"], "mine");
        assert_eq!(record["s3"]["bucket"]["arn"], "arn:aws:s3:::photos");
        assert_eq!(record["s3"]["object"]["key"], "a+b/%C3%BC%2B.jpg");
        assert_eq!(record["s3"]["object"]["size"], 7);
        assert_eq!(record["s3"]["object"]["versionId"], "v1");
    }
}
