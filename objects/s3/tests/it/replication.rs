//! Replication to other buckets: what is copied, what isn't, and what is said of it.

use crate::world::{Answer, World};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);
const ENABLE: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
const ROLE: &str = "arn:aws:iam::111111111111:role/replicator";

async fn versioned(world: &World, who: &str, name: &str) {
    world.call(who, &format!("PUT /{name}"), &[], "").await.ok();
    world.call(who, &format!("PUT /{name}?versioning"), &[], ENABLE).await.ok();
}

fn rule(priority: u32, to: &str, filter: &str, markers: bool) -> String {
    let markers = if markers { "Enabled" } else { "Disabled" };
    format!(
        "<Rule><Status>Enabled</Status><Priority>{priority}</Priority><Filter>{filter}</Filter>\
         <DeleteMarkerReplication><Status>{markers}</Status></DeleteMarkerReplication>\
         <Destination><Bucket>arn:aws:s3:::{to}</Bucket></Destination></Rule>"
    )
}

fn document(rules: &str) -> String {
    format!("<ReplicationConfiguration><Role>{ROLE}</Role>{rules}</ReplicationConfiguration>")
}

/// Two buckets of the owner, the first of which is copied to the second.
async fn pair(world: &World, markers: bool) {
    versioned(world, "owner", "from").await;
    versioned(world, "owner", "dst").await;
    let rules = rule(1, "dst", "", markers);
    world.own("PUT /from?replication", document(&rules)).await.ok();
}

fn running(world: &World) -> JoinHandle<()> {
    let gateway = world.gateway.clone();
    tokio::spawn(async move { gateway.run().await })
}

/// Waits until a version is not to be copied any more, and says what became of it.
async fn settled(world: &World, target: &str) -> String {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = world.own(&format!("HEAD {target}"), "").await.ok();
        let status = answer.header("x-amz-replication-status").unwrap_or_default().to_owned();
        if status != "PENDING" {
            return status;
        }
        assert!(tokio::time::Instant::now() < end, "{target} is still to be copied");
        tokio::task::yield_now().await;
    }
}

fn version(answer: &Answer) -> String {
    answer.header("x-amz-version-id").expect("a version").to_owned()
}

#[tokio::test]
async fn objects_are_copied_as_they_are() {
    let world = World::new();
    pair(&world, false).await;
    let headers = [
        ("x-amz-tagging", "a=1&b=2"),
        ("x-amz-meta-colour", "green"),
        ("content-type", "text/x-thing"),
        ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ("x-amz-checksum-crc32", "NhCmhg=="),
        ("x-amz-storage-class", "STANDARD_IA"),
    ];
    let put = world.call("owner", "PUT /from/k", &headers, "hello").await.ok();
    let id = version(&put);
    let there = world.own("HEAD /from/k", "").await.ok();
    assert_eq!(there.header("x-amz-replication-status"), Some("PENDING"));
    world.own("HEAD /dst/k", "").await;
    let run = running(&world);
    assert_eq!(settled(&world, "/from/k").await, "COMPLETED");
    let ask = [("x-amz-checksum-mode", "ENABLED")];
    let copy = world.call("owner", &format!("GET /dst/k?versionId={id}"), &ask, "").await.ok();
    let there = world.call("owner", "GET /from/k", &ask, "").await.ok();
    assert_eq!(copy.body, "hello");
    assert_eq!(copy.header("x-amz-replication-status"), Some("REPLICA"));
    for name in [
        "etag",
        "x-amz-version-id",
        "x-amz-meta-colour",
        "content-type",
        "x-amz-checksum-crc32",
        "x-amz-storage-class",
        "last-modified",
        "x-amz-tagging-count",
    ] {
        assert!(there.header(name).is_some(), "{name}");
        assert_eq!(copy.header(name), there.header(name), "{name}");
    }
    // What changes at the source changes at its copies.
    let tagging = "<Tagging><TagSet><Tag><Key>c</Key><Value>3</Value></Tag></TagSet></Tagging>";
    world.own("PUT /from/k?tagging", tagging).await.ok();
    assert_eq!(settled(&world, "/from/k").await, "COMPLETED");
    let tags = world.own("GET /dst/k?tagging", "").await.ok().body;
    assert!(tags.contains("<Key>c</Key>") && !tags.contains("<Key>a</Key>"), "{tags}");
    // A version that is removed stays at its copies' bucket.
    world.own(&format!("DELETE /from/k?versionId={id}"), "").await.ok();
    world.own("PUT /from/last", "x").await.ok();
    assert_eq!(settled(&world, "/from/last").await, "COMPLETED");
    world.own("GET /dst/k", "").await.ok();
    run.abort();
}

#[tokio::test]
async fn large_objects_keep_their_etags() {
    let world = World::new();
    pair(&world, false).await;
    let run = running(&world);
    let long = "0123456789abcdef".repeat(300_000);
    world.own("PUT /from/long", long.clone()).await.ok();
    let upload = world.own("POST /from/parts?uploads", "").await.ok();
    let upload = upload.element("UploadId").expect("an upload").to_owned();
    let mut parts = String::new();
    for (number, body) in [(1, "a".repeat(5 << 20)), (3, "b".repeat(6 << 20)), (7, "c".into())] {
        let target = format!("PUT /from/parts?partNumber={number}&uploadId={upload}");
        let etag = world.own(&target, body).await.ok().header("etag").expect("an ETag").to_owned();
        parts += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    let parts = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    world.own(&format!("POST /from/parts?uploadId={upload}"), parts).await.ok();
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let customer = [
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-server-side-encryption-customer-key", key),
        ("x-amz-server-side-encryption-customer-key-md5", "hRasmdxgYDKV3nvbahU1MA=="),
    ];
    let sealed = world.call("owner", "PUT /from/sealed", &customer, "secret").await;
    for (name, body) in [("long", Some(long)), ("parts", None)] {
        assert_eq!(settled(&world, &format!("/from/{name}")).await, "COMPLETED", "{name}");
        let there = world.own(&format!("GET /from/{name}"), "").await.ok();
        let copy = world.own(&format!("GET /dst/{name}"), "").await.ok();
        assert!(copy.body == there.body && body.is_none_or(|body| body == copy.body), "{name}");
        assert_eq!(copy.header("etag"), there.header("etag"));
        assert_eq!(version(&copy), version(&there));
    }
    let part = world.own("GET /dst/parts?partNumber=7", "").await.ok();
    assert_eq!((part.body.as_str(), part.header("x-amz-mp-parts-count")), ("c", Some("3")));
    // Nothing is left of what was on its way.
    assert!(!world.own("GET /dst?uploads", "").await.ok().body.contains("<Upload>"));
    if sealed.status.is_success() {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let copy = world.call("owner", "GET /dst/sealed", &customer, "").await;
            if copy.status.is_success() {
                assert_eq!(copy.body, "secret");
                break;
            }
            assert!(tokio::time::Instant::now() < end, "it is never copied: {copy:?}");
            tokio::task::yield_now().await;
        }
        world.own("GET /dst/sealed", "").await.fails(400, "InvalidRequest");
    } else {
        panic!("{sealed:?}");
    }
    world.gateway.store().sweep().await.expect("swept");
    world.own("GET /dst/parts", "").await.ok();
    run.abort();
}

#[tokio::test]
async fn delete_markers_go_where_they_are_wanted() {
    for wanted in [true, false] {
        let world = World::new();
        pair(&world, wanted).await;
        let run = running(&world);
        world.own("PUT /from/k", "x").await.ok();
        assert_eq!(settled(&world, "/from/k").await, "COMPLETED");
        let marker = world.own("DELETE /from/k", "").await.ok();
        // All that came before it is copied by then, too.
        world.own("PUT /from/after", "x").await.ok();
        assert_eq!(settled(&world, "/from/after").await, "COMPLETED");
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let versions = world.own("GET /dst?versions", "").await.ok().body;
            let there = versions.contains("<DeleteMarker>");
            if there == wanted {
                assert_eq!(versions.contains(&version(&marker)), wanted, "{versions}");
                break;
            }
            assert!(wanted && tokio::time::Instant::now() < end, "{versions}");
            tokio::task::yield_now().await;
        }
        let status = world.own("GET /dst/k", "").await.status.as_u16();
        assert_eq!(status, if wanted { 404 } else { 200 });
        run.abort();
    }
}

#[tokio::test]
async fn copies_are_not_copied_again() {
    let world = World::new();
    pair(&world, true).await;
    world.own("PUT /dst?replication", document(&rule(1, "from", "", true))).await.ok();
    versioned(&world, "owner", "third").await;
    let both = rule(1, "from", "", true) + &rule(2, "third", "", true);
    world.own("PUT /dst?replication", document(&both)).await.ok();
    let run = running(&world);
    world.own("PUT /from/a", "a").await.ok();
    assert_eq!(settled(&world, "/from/a").await, "COMPLETED");
    world.own("PUT /dst/b", "b").await.ok();
    assert_eq!(settled(&world, "/dst/b").await, "COMPLETED");
    for (target, status) in [("/from/b", "REPLICA"), ("/third/b", "REPLICA"), ("/dst/a", "REPLICA")]
    {
        assert_eq!(settled(&world, target).await, status, "{target}");
    }
    world.own("GET /third/a", "").await.fails(404, "NoSuchKey");
    for bucket in ["from", "dst"] {
        let versions = world.own(&format!("GET /{bucket}?versions"), "").await.ok().body;
        assert_eq!(versions.matches("<Version>").count(), 2, "{versions}");
    }
    run.abort();
}

#[tokio::test]
async fn another_account_has_to_let_the_role_write() {
    let world = World::new();
    versioned(&world, "owner", "from").await;
    versioned(&world, "other", "dst").await;
    let to = "<Destination><Bucket>arn:aws:s3:::dst</Bucket><Account>222222222222</Account>\
              <AccessControlTranslation><Owner>Destination</Owner></AccessControlTranslation>\
              </Destination>";
    let plain = "<Destination><Bucket>arn:aws:s3:::dst</Bucket></Destination>";
    let rules = rule(1, "dst", "", true).replace(plain, to);
    world.own("PUT /from?replication", document(&rules)).await.ok();
    let run = running(&world);
    world.call("owner", "PUT /from/k", &[("x-amz-tagging", "a=1")], "x").await.ok();
    assert_eq!(settled(&world, "/from/k").await, "FAILED");
    let policy = |actions: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow",
            "Principal":{{"AWS":"{ROLE}"}},"Action":[{actions}],"Resource":"arn:aws:s3:::dst/*"}}}}"#
        )
    };
    let write = r#""s3:ReplicateObject","s3:ObjectOwnerOverrideToBucketOwner""#;
    world.call("other", "PUT /dst?policy", &[], policy(write)).await.ok();
    world.call("owner", "PUT /from/k", &[("x-amz-tagging", "a=1")], "y").await.ok();
    assert_eq!(settled(&world, "/from/k").await, "COMPLETED");
    let copy = world.call("other", "GET /dst/k", &[], "").await.ok();
    // It may not write tags.
    assert_eq!((copy.body.as_str(), copy.header("x-amz-tagging-count")), ("y", None));
    let all = format!(r#"{write},"s3:ReplicateTags","s3:ReplicateDelete""#);
    world.call("other", "PUT /dst?policy", &[], policy(&all)).await.ok();
    world.call("owner", "PUT /from/k2", &[("x-amz-tagging", "a=1")], "z").await.ok();
    assert_eq!(settled(&world, "/from/k2").await, "COMPLETED");
    let copy = world.call("other", "GET /dst/k2", &[], "").await.ok();
    assert_eq!(copy.header("x-amz-tagging-count"), Some("1"));
    // The first one is not tried again: its owner has to write it anew.
    let versions = world.call("other", "GET /dst?versions", &[], "").await.ok().body;
    assert_eq!(versions.matches("<Version>").count(), 2, "{versions}");
    run.abort();
}

#[tokio::test]
async fn rules_choose_by_prefix_and_tags() {
    let world = World::new();
    for name in ["from", "one", "two"] {
        versioned(&world, "owner", name).await;
    }
    world.own("PUT /from/before", "x").await.ok();
    let tagged = "<And><Prefix>a/</Prefix><Tag><Key>t</Key><Value>v</Value></Tag></And>";
    let cold = rule(3, "one", "<Prefix>a/cold/</Prefix>", false)
        .replace("</Bucket>", "</Bucket><StorageClass>GLACIER_IR</StorageClass>");
    let rules =
        rule(1, "one", "<Prefix>a/</Prefix>", false) + &rule(2, "two", tagged, false) + &cold;
    world.own("PUT /from?replication", document(&rules)).await.ok();
    let run = running(&world);
    let put = |key: &'static str, tags: &'static str| {
        let world = &world;
        async move {
            let tags = [("x-amz-tagging", tags)];
            world.call("owner", &format!("PUT /from/{key}"), &tags, "x").await.ok();
            settled(world, &format!("/from/{key}")).await
        }
    };
    assert_eq!(put("a/plain", "t=w").await, "COMPLETED");
    assert_eq!(put("a/tagged", "t=v").await, "COMPLETED");
    assert_eq!(put("a/cold/x", "").await, "COMPLETED");
    assert_eq!(put("b/other", "t=v").await, "");
    assert_eq!(settled(&world, "/from/before").await, "");
    let keys = |bucket: &'static str| {
        let world = &world;
        async move {
            let listed = world.own(&format!("GET /{bucket}"), "").await.ok().body;
            let keys = listed.split("<Key>").skip(1).filter_map(|rest| rest.split('<').next());
            keys.map(str::to_owned).collect::<Vec<_>>()
        }
    };
    assert_eq!(keys("one").await, ["a/cold/x", "a/plain", "a/tagged"]);
    assert_eq!(keys("two").await, ["a/tagged"]);
    let cold = world.own("HEAD /one/a/cold/x", "").await.ok();
    assert_eq!(cold.header("x-amz-storage-class"), Some("GLACIER_IR"));
    run.abort();
}

#[tokio::test]
async fn without_its_configuration_nothing_is_copied_any_more() {
    let world = World::new();
    pair(&world, false).await;
    world.own("PUT /from/k", "x").await.ok();
    world.own("DELETE /from?replication", "").await.ok();
    world
        .own("GET /from?replication", "")
        .await
        .fails(404, "ReplicationConfigurationNotFoundError");
    let run = running(&world);
    assert_eq!(settled(&world, "/from/k").await, "FAILED");
    world.own("GET /dst/k", "").await.fails(404, "NoSuchKey");
    world.own("PUT /from/k", "y").await.ok();
    assert_eq!(settled(&world, "/from/k").await, "");
    run.abort();
}

#[tokio::test]
async fn what_a_configuration_needs() {
    let world = World::new();
    world.own("PUT /from", "").await.ok();
    let put = |rules: String| {
        let world = &world;
        async move { world.own("PUT /from?replication", document(&rules)).await }
    };
    let to = rule(1, "dst", "", false);
    put(to.clone()).await.fails(400, "InvalidRequest");
    world.own("PUT /from?versioning", ENABLE).await.ok();
    put(to.clone()).await.fails(400, "InvalidRequest");
    world.own("PUT /dst", "").await.ok();
    let refused = put(to.clone()).await.fails(400, "InvalidRequest");
    assert!(refused.body.contains("Destination bucket must have versioning enabled."));
    world.own("PUT /dst?versioning", ENABLE).await.ok();
    put(rule(1, "from", "", false)).await.fails(400, "InvalidRequest");
    put(to.clone()).await.ok();
    let kept = world.own("GET /from?replication", "").await.ok();
    assert_eq!(kept.element("Role"), Some(ROLE));
    assert!(kept.element("ID").is_some_and(|id| !id.is_empty()));
    let suspend = ENABLE.replace("Enabled", "Suspended");
    world.own("PUT /from?versioning", suspend).await.fails(409, "InvalidBucketState");
    let foreign = document(&to).replace("111111111111", "222222222222");
    world.own("PUT /from?replication", foreign).await.fails(403, "AccessDenied");
    // A role that isn't there can copy nothing.
    let missing = document(&to).replace("role/replicator", "role/nobody");
    world.own("PUT /from?replication", missing).await.ok();
    let run = running(&world);
    world.own("PUT /from/k", "x").await.ok();
    assert_eq!(settled(&world, "/from/k").await, "FAILED");
    run.abort();
}
