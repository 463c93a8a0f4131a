//! SSE-KMS, with a KMS of the test's own.

use crate::world::{Answer, World};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use s3::keys::{Asking, BUCKET_KEY_SECONDS, Context, DataKey, DataKeys, KeyFault, PlainKey};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What was asked, in order: the operation, who asked, the ARN in the context.
type Asked = Vec<(&'static str, String, String)>;

/// Keys are what their names say; a ciphertext is the plaintext, the key and the context.
#[derive(Debug, Default)]
struct Kms {
    disabled: Mutex<BTreeSet<String>>,
    away: Mutex<bool>,
    asked: Mutex<Asked>,
}

impl Kms {
    fn ask(
        &self,
        what: &'static str,
        key: &str,
        asking: Asking<'_>,
        context: &Context,
    ) -> Result<(), KeyFault> {
        let arn = context["aws:s3:arn"].clone();
        self.asked.lock().expect("no panic").push((what, asking.identity.access_key.clone(), arn));
        let refused = |code: &str| {
            let message = format!("{key} is {code}");
            Err(KeyFault::Refused { code: format!("{code}Exception"), message })
        };
        if *self.away.lock().expect("no panic") {
            Err(KeyFault::Away("of the test".to_owned()))
        } else if self.disabled.lock().expect("no panic").contains(key) {
            refused("Disabled")
        } else if key == "foreign" && asking.identity.account != "222222222222" {
            refused("AccessDenied")
        } else if key == "missing" {
            refused("NotFound")
        } else {
            Ok(())
        }
    }

    fn asked(&self) -> Asked {
        std::mem::take(&mut self.asked.lock().expect("no panic"))
    }
}

#[async_trait]
impl DataKeys for Kms {
    async fn generate(
        &self,
        asking: Asking<'_>,
        key_id: Option<&str>,
        context: &Context,
    ) -> Result<DataKey, KeyFault> {
        let key = key_id.unwrap_or("aws/s3");
        self.ask("generate", key, asking, context)?;
        let plaintext: [u8; 32] = rand::random();
        let ciphertext = serde_json::to_vec(&(plaintext, key, context)).expect("JSON");
        let key_arn = format!("arn:aws:kms:us-east-1:111111111111:key/{key}");
        Ok(DataKey { plaintext: plaintext.into(), ciphertext, key_arn })
    }

    async fn open(
        &self,
        asking: Asking<'_>,
        ciphertext: &[u8],
        context: &Context,
    ) -> Result<PlainKey, KeyFault> {
        let (plaintext, key, of): ([u8; 32], String, Context) =
            serde_json::from_slice(ciphertext).expect("what was made");
        assert_eq!(of, *context, "the context is the one that it was made in");
        self.ask("open", &key, asking, context)?;
        Ok(plaintext.into())
    }
}

const KMS: (&str, &str) = ("x-amz-server-side-encryption", "aws:kms");
const KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";

async fn world() -> (World, Arc<Kms>) {
    let kms = Arc::new(Kms::default());
    let world = World::with_keys(kms.clone());
    world.own("PUT /box", "").await.ok();
    (world, kms)
}

async fn put(world: &World, key: &str, headers: &[(&str, &str)]) -> Answer {
    world.call("owner", &format!("PUT /box/{key}"), headers, "secret text").await
}

/// What shows how an object is encrypted: method, key, bucket key.
fn shown(answer: &Answer) -> (Option<&str>, Option<&str>, Option<&str>) {
    (
        answer.header("x-amz-server-side-encryption"),
        answer
            .header(KEY)
            .and_then(|arn| arn.strip_prefix("arn:aws:kms:us-east-1:111111111111:key/")),
        answer.header("x-amz-server-side-encryption-bucket-key-enabled"),
    )
}

#[tokio::test]
async fn each_object_has_a_data_key_and_each_read_asks_for_it() {
    let (world, kms) = world().await;
    let context = STANDARD.encode(r#"{"team":"blue","aws:s3:arn":"arn:aws:s3:::x"}"#);
    let with_context = ("x-amz-server-side-encryption-context", context.as_str());
    let made = put(&world, "one", &[KMS, (KEY, "key-1"), with_context]).await.ok();
    assert_eq!(shown(&made), (Some("aws:kms"), Some("key-1"), None));
    let kept = STANDARD.encode(r#"{"team":"blue"}"#);
    assert_eq!(made.header("x-amz-server-side-encryption-context"), Some(&*kept));
    assert_ne!(made.header("etag"), Some("\"ae37a5d09ee4cd9c7ce9b6af9b7e0ab6\""));
    let plain = put(&world, "plain", &[]).await.ok();
    assert_ne!(made.header("etag"), plain.header("etag"), "it is not the MD5");
    let mut own = put(&world, "two", &[KMS]).await.ok();
    assert_eq!(shown(&own), (Some("aws:kms"), Some("aws/s3"), None));
    for _ in 0..2 {
        own = world.own("GET /box/one", "").await.ok();
        assert_eq!(
            (own.body.as_str(), shown(&own)),
            ("secret text", (Some("aws:kms"), Some("key-1"), None))
        );
    }
    let arn = |key: &str| format!("arn:aws:s3:::box/{key}");
    let asked = kms.asked();
    let owner = || "owner".to_owned();
    assert_eq!(
        asked,
        [
            ("generate", owner(), arn("one")),
            ("generate", owner(), arn("two")),
            ("open", owner(), arn("one")),
            ("open", owner(), arn("one")),
        ]
    );
    // Neither a listing nor a HEAD nor a deletion reads it.
    world.own("GET /box?list-type=2", "").await.ok();
    assert_eq!(shown(&world.own("HEAD /box/one", "").await.ok()).1, Some("key-1"));
    assert_eq!(kms.asked(), []);
    let mode = [("x-amz-checksum-mode", "ENABLED")];
    world.call("owner", "HEAD /box/one", &mode, "").await.ok();
    assert_eq!(kms.asked().len(), 1, "a checksum says something of the text");
    world.own("DELETE /box/one", "").await.ok();
    assert_eq!(kms.asked(), []);
}

#[tokio::test]
async fn refusals_are_s3s() {
    let (world, kms) = world().await;
    put(&world, "one", &[KMS, (KEY, "key-1")]).await.ok();
    put(&world, "plain", &[]).await.ok();
    kms.disabled.lock().expect("no panic").insert("key-1".to_owned());
    world.own("GET /box/one", "").await.fails(400, "KMS.DisabledException");
    put(&world, "one", &[KMS, (KEY, "key-1")]).await.fails(400, "KMS.DisabledException");
    world.own("HEAD /box/one", "").await.ok();
    kms.disabled.lock().expect("no panic").clear();
    assert_eq!(world.own("GET /box/one", "").await.ok().body, "secret text");
    put(&world, "x", &[KMS, (KEY, "missing")]).await.fails(400, "KMS.NotFoundException");
    put(&world, "x", &[KMS, (KEY, "foreign")]).await.fails(403, "AccessDenied");
    put(&world, "x", &[(KEY, "key-1")]).await.fails(400, "InvalidArgument");
    put(&world, "x", &[("x-amz-server-side-encryption", "AES256"), (KEY, "k")])
        .await
        .fails(400, "InvalidArgument");
    for wrong in ["nonsense", "e30", "WzFd", "eyJhIjoxfQ=="] {
        let header = ("x-amz-server-side-encryption-context", wrong);
        put(&world, "x", &[KMS, header]).await.fails(400, "InvalidArgument");
    }
    let two_layers = [("x-amz-server-side-encryption", "aws:kms:dsse")];
    put(&world, "x", &two_layers).await.fails(501, "NotImplemented");
    world.own("GET /box/x", "").await.fails(404, "NoSuchKey");

    world.own("DELETE /box?publicAccessBlock", "").await.ok();
    let everybody = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*",
        "Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*"}}"#;
    world.own("PUT /box?policy", everybody).await.ok();
    world.call("", "GET /box/plain", &[], "").await.ok();
    let anonymous = world.call("", "GET /box/one", &[], "").await.fails(400, "InvalidArgument");
    assert!(anonymous.body.contains("Signature Version 4"), "{}", anonymous.body);

    *kms.away.lock().expect("no panic") = true;
    world.own("GET /box/one", "").await.fails(503, "ServiceUnavailable");
    put(&world, "x", &[KMS]).await.fails(503, "ServiceUnavailable");
    world.own("GET /box/plain", "").await.ok();
    world.own("HEAD /box/one", "").await.ok();
    world.own("DELETE /box/one", "").await.ok();
}

fn configuration(key: &str, bucket_key: bool) -> String {
    let key = match key {
        "" => String::new(),
        key => format!("<KMSMasterKeyID>{key}</KMSMasterKeyID>"),
    };
    format!(
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
         <SSEAlgorithm>aws:kms</SSEAlgorithm>{key}</ApplyServerSideEncryptionByDefault>\
         <BucketKeyEnabled>{bucket_key}</BucketKeyEnabled></Rule>\
         </ServerSideEncryptionConfiguration>"
    )
}

#[tokio::test(start_paused = true)]
async fn a_bucket_key_is_asked_for_once_in_a_while() {
    let (world, kms) = world().await;
    world.own("PUT /box?encryption", configuration("key-1", true)).await.ok();
    let kept = world.own("GET /box?encryption", "").await.ok();
    assert_eq!(kept.element("KMSMasterKeyID"), Some("key-1"));
    assert_eq!(kept.element("BucketKeyEnabled"), Some("true"));
    for key in ["a", "b", "c"] {
        let made = put(&world, key, &[]).await.ok();
        assert_eq!(shown(&made), (Some("aws:kms"), Some("key-1"), Some("true")));
    }
    for key in ["a", "b", "c", "a"] {
        assert_eq!(world.own(&format!("GET /box/{key}"), "").await.ok().body, "secret text");
    }
    let bucket = || "arn:aws:s3:::box".to_owned();
    let once = [("generate", "owner".to_owned(), bucket()), ("open", "owner".to_owned(), bucket())];
    assert_eq!(kms.asked(), once, "once for all");
    world.call("user", "GET /box/a", &[], "").await.ok();
    assert_eq!(kms.asked(), [("open", "user".to_owned(), bucket())], "but for each caller");
    kms.disabled.lock().expect("no panic").insert("key-1".to_owned());
    world.own("GET /box/a", "").await.ok();
    tokio::time::advance(Duration::from_secs(BUCKET_KEY_SECONDS + 1)).await;
    world.own("GET /box/a", "").await.fails(400, "KMS.DisabledException");
    put(&world, "d", &[]).await.fails(400, "KMS.DisabledException");
    // Headers are stronger than the bucket's default.
    let store = put(&world, "d", &[("x-amz-server-side-encryption", "AES256")]).await.ok();
    assert_eq!(shown(&store), (Some("AES256"), None, None));
    let own = put(&world, "e", &[KMS]).await.ok();
    assert_eq!(shown(&own), (Some("aws:kms"), Some("aws/s3"), Some("true")));
    let alone = [KMS, ("x-amz-server-side-encryption-bucket-key-enabled", "false")];
    assert_eq!(
        shown(&put(&world, "f", &alone).await.ok()),
        (Some("aws:kms"), Some("aws/s3"), None)
    );
}

#[tokio::test]
async fn copies_and_uploads_change_keys() {
    let (world, kms) = world().await;
    put(&world, "one", &[KMS, (KEY, "key-1")]).await.ok();
    let copy = [("x-amz-copy-source", "box/one"), KMS, (KEY, "key-2")];
    let copied = world.call("owner", "PUT /box/two", &copy, "").await.ok();
    assert_eq!(shown(&copied).1, Some("key-2"));
    kms.disabled.lock().expect("no panic").insert("key-1".to_owned());
    world.call("owner", "PUT /box/three", &copy, "").await.fails(400, "KMS.DisabledException");
    assert_eq!(world.own("GET /box/two", "").await.ok().body, "secret text");
    // Without a word, it is the bucket's own way.
    let plain = [("x-amz-copy-source", "box/two")];
    let copied = world.call("owner", "PUT /box/three", &plain, "").await.ok();
    assert_eq!(shown(&copied), (Some("AES256"), None, None));

    let begun = world.call("owner", "POST /box/big?uploads", &[KMS, (KEY, "key-2")], "").await.ok();
    assert_eq!(shown(&begun).1, Some("key-2"));
    let id = begun.element("UploadId").expect("an ID").to_owned();
    kms.asked();
    let path = format!("/box/big?partNumber=1&uploadId={id}");
    let part = world.own(&format!("PUT {path}"), "part one").await.ok();
    assert_eq!((shown(&part).1, kms.asked()[0].0), (Some("key-2"), "open"));
    let from = [("x-amz-copy-source", "box/two")];
    let path = format!("/box/big?partNumber=1&uploadId={id}");
    let part = world.call("owner", &format!("PUT {path}"), &from, "").await.ok();
    let etag = part.element("ETag").expect("a tag").replace("&quot;", "\"");
    let complete = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let target = format!("POST /box/big?uploadId={id}");
    kms.disabled.lock().expect("no panic").insert("key-2".to_owned());
    world.own(&target, complete.clone()).await.fails(400, "KMS.DisabledException");
    kms.disabled.lock().expect("no panic").clear();
    let done = world.own(&target, complete.clone()).await.ok();
    assert_eq!(shown(&done).1, Some("key-2"));
    assert_eq!(world.own(&target, complete).await.ok().element("ETag"), done.element("ETag"));
    let got = world.own("GET /box/big", "").await.ok();
    assert_eq!((got.body.as_str(), shown(&got).1), ("secret text", Some("key-2")));
}

#[tokio::test]
async fn a_policy_may_demand_a_key() {
    let (world, _) = world().await;
    let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":
        "s3:PutObject","Resource":"arn:aws:s3:::box/*","Condition":{"StringNotEquals":
        {"s3:x-amz-server-side-encryption":"aws:kms"}}},{"Effect":"Deny","Principal":"*","Action":
        "s3:PutObject","Resource":"arn:aws:s3:::box/*","Condition":{"StringNotEquals":
        {"s3:x-amz-server-side-encryption-aws-kms-key-id":"key-1"}}}]}"#;
    world.own("PUT /box?policy", deny).await.ok();
    put(&world, "one", &[]).await.fails(403, "AccessDenied");
    put(&world, "one", &[KMS]).await.fails(403, "AccessDenied");
    put(&world, "one", &[KMS, (KEY, "key-2")]).await.fails(403, "AccessDenied");
    put(&world, "one", &[KMS, (KEY, "key-1")]).await.ok();
}
