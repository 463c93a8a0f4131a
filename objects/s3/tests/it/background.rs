//! What runs in the background: lifecycle under a clock set forward, events, access logs.

use crate::world::World;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const DAY: Duration = Duration::from_secs(86_400);
/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

fn rules(rules: &str) -> String {
    format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>")
}

const ENABLE: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";

#[tokio::test]
async fn objects_expire() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    let document = rules(
        "<Rule><ID>one</ID><Status>Enabled</Status><Filter><Prefix>one/</Prefix></Filter>\
         <Expiration><Days>1</Days></Expiration></Rule>\
         <Rule><ID>five</ID><Status>Enabled</Status><Filter><Tag><Key>t</Key><Value>v</Value></Tag>\
         </Filter><Expiration><Days>5</Days></Expiration></Rule>\
         <Rule><ID>cold</ID><Status>Enabled</Status><Filter><And><Prefix>big</Prefix>\
         <ObjectSizeGreaterThan>10</ObjectSizeGreaterThan></And></Filter>\
         <Transition><Days>3</Days><StorageClass>GLACIER_IR</StorageClass></Transition></Rule>",
    );
    world.own("PUT /bbb?lifecycle", document).await.ok();
    let answer = world.own("PUT /bbb/one/a", "x").await.ok();
    let expiration = answer.header("x-amz-expiration").expect("it expires").to_owned();
    assert!(expiration.contains("rule-id=\"one\""), "{expiration}");
    world.call("owner", "PUT /bbb/tagged", &[("x-amz-tagging", "t=v")], "x").await.ok();
    world.own("PUT /bbb/kept", "x").await.ok();
    world.own("PUT /bbb/big", "x".repeat(11)).await.ok();
    let answer = world.own("HEAD /bbb/one/a", "").await.ok();
    assert_eq!(answer.header("x-amz-expiration"), Some(expiration.as_str()));
    assert!(world.own("GET /bbb/kept", "").await.ok().header("x-amz-expiration").is_none());

    let report = world.gateway.apply_lifecycle().await.expect("applied");
    assert_eq!(report, s3::lifecycle::Report::default());
    world.clock.advance(2 * DAY);
    let report = world.gateway.apply_lifecycle().await.expect("applied");
    assert_eq!((report.expired, report.moved), (1, 0));
    world.own("GET /bbb/one/a", "").await.fails(404, "NoSuchKey");
    world.own("GET /bbb/tagged", "").await.ok();
    world.clock.advance(4 * DAY);
    let report = world.gateway.apply_lifecycle().await.expect("applied");
    assert_eq!((report.expired, report.moved), (1, 1));
    world.own("GET /bbb/tagged", "").await.fails(404, "NoSuchKey");
    world.own("GET /bbb/kept", "").await.ok();
    let answer = world.own("HEAD /bbb/big", "").await.ok();
    assert_eq!(answer.header("x-amz-storage-class"), Some("GLACIER_IR"));
}

#[tokio::test]
async fn versions_and_markers() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    world.own("PUT /bbb?versioning", ENABLE).await.ok();
    for body in ["1", "2", "3"] {
        world.own("PUT /bbb/k", body).await.ok();
    }
    world.own("PUT /bbb/gone", "x").await.ok();
    let document = rules(
        "<Rule><ID>r</ID><Status>Enabled</Status><Filter/><Expiration><Days>1</Days></Expiration>\
         <NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays>\
         <NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule>",
    );
    world.own("PUT /bbb?lifecycle", document).await.ok();
    world.clock.advance(2 * DAY);
    // Current versions get a marker.
    let report = world.gateway.apply_lifecycle().await.expect("applied");
    assert_eq!((report.expired, report.removed), (2, 0));
    world.own("GET /bbb/k", "").await.fails(404, "NoSuchKey");
    let versions = world.own("GET /bbb?versions", "").await.ok().body;
    assert_eq!(versions.matches("<DeleteMarker>").count(), 2, "{versions}");
    assert_eq!(versions.matches("<Version>").count(), 4, "{versions}");
    // The newest noncurrent one of each key is kept.
    world.clock.advance(5 * DAY);
    let report = world.gateway.apply_lifecycle().await.expect("applied");
    assert_eq!((report.expired, report.removed), (0, 2));
    let versions = world.own("GET /bbb?versions", "").await.ok().body;
    assert_eq!(versions.matches("<Version>").count(), 2, "{versions}");
    // A marker that is alone goes.
    let id = versions.rsplit_once("<Version>").expect("a version").1;
    let key = id.split_once("<Key>").expect("a key").1.split_once('<').expect("an end").0;
    let id = id.split_once("<VersionId>").expect("an ID").1.split_once('<').expect("an end").0;
    world.own(&format!("DELETE /bbb/{key}?versionId={id}"), "").await.ok();
    let report = world.gateway.apply_lifecycle().await.expect("applied");
    assert_eq!((report.expired, report.removed), (0, 1));
    let versions = world.own("GET /bbb?versions", "").await.ok().body;
    assert_eq!(versions.matches("<DeleteMarker>").count(), 1, "{versions}");
}

#[tokio::test]
async fn uploads_are_aborted() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    let document = rules(
        "<Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix>a</Prefix></Filter>\
         <AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>\
         </AbortIncompleteMultipartUpload></Rule>",
    );
    world.own("PUT /bbb?lifecycle", document).await.ok();
    let answer = world.own("POST /bbb/a?uploads", "").await.ok();
    assert_eq!(answer.header("x-amz-abort-rule-id"), Some("r"));
    let upload = answer.element("UploadId").expect("an upload").to_owned();
    world.own("POST /bbb/b?uploads", "").await.ok();
    world.own(&format!("PUT /bbb/a?partNumber=1&uploadId={upload}"), "part").await.ok();
    world.clock.advance(4 * DAY);
    let report = world.gateway.apply_lifecycle().await.expect("applied");
    assert_eq!(report.aborted, 1);
    let uploads = world.own("GET /bbb?uploads", "").await.ok().body;
    assert_eq!(uploads.matches("<Upload>").count(), 1, "{uploads}");
    world
        .own(&format!("PUT /bbb/a?partNumber=2&uploadId={upload}"), "part")
        .await
        .fails(404, "NoSuchUpload");
}

#[tokio::test]
async fn what_is_locked_stays() {
    let world = World::new();
    let locked = [("x-amz-bucket-object-lock-enabled", "true")];
    world.call("owner", "PUT /bbb", &locked, "").await.ok();
    let hold = [("x-amz-object-lock-legal-hold", "ON")];
    world.call("owner", "PUT /bbb/k", &hold, "1").await.ok();
    world.own("PUT /bbb/k", "2").await.ok();
    let document = rules(
        "<Rule><ID>r</ID><Status>Enabled</Status><Filter/><NoncurrentVersionExpiration>\
         <NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule>",
    );
    world.own("PUT /bbb?lifecycle", document).await.ok();
    world.clock.advance(3 * DAY);
    let report = world.gateway.apply_lifecycle().await.expect("applied");
    assert_eq!(report.removed, 0);
    let versions = world.own("GET /bbb?versions", "").await.ok().body;
    assert_eq!(versions.matches("<Version>").count(), 2, "{versions}");
}

fn topic(name: &str) -> String {
    format!("arn:aws:sns:us-east-1:111111111111:{name}")
}

fn wish(id: &str, target: &str, events: &[&str], filter: &str) -> String {
    let events: String = events.iter().map(|event| format!("<Event>{event}</Event>")).collect();
    format!(
        "<TopicConfiguration><Id>{id}</Id><Topic>{}</Topic>{events}{filter}</TopicConfiguration>",
        topic(target)
    )
}

async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "it never came true");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn events_to_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (targets, sink) = (folder.path().join("targets.json"), folder.path().join("events"));
    let known = serde_json::json!({topic("file"): {"file": sink}});
    std::fs::write(&targets, known.to_string()).expect("written");
    let world = World::with_targets(targets);
    world.own("PUT /bbb", "").await.ok();
    let put = |wishes: String| {
        let document = format!("<NotificationConfiguration>{wishes}</NotificationConfiguration>");
        let world = &world;
        async move { world.own("PUT /bbb?notification", document).await }
    };
    let created = ["s3:ObjectCreated:*"];
    put(wish("a", "unknown", &created, "")).await.fails(400, "InvalidArgument");
    let twice = wish("a", "file", &created, "") + &wish("b", "file", &created, "");
    put(twice).await.fails(400, "InvalidArgument");
    let filter = "<Filter><S3Key><FilterRule><Name>prefix</Name><Value>in/</Value></FilterRule>\
                  </S3Key></Filter>";
    let removed = ["s3:ObjectRemoved:*"];
    let both = wish("created", "file", &created, filter) + &wish("removed", "file", &removed, "");
    put(both).await.ok();
    world.own("PUT /bbb/in/a", "hello").await.ok();
    world.own("PUT /bbb/out/a", "hello").await.ok();
    world.own("DELETE /bbb/out/a", "").await.ok();

    let gateway = world.gateway.clone();
    let running = tokio::spawn(async move { gateway.run().await });
    let lines = until(async || {
        let text = std::fs::read_to_string(&sink).unwrap_or_default();
        let lines: Vec<serde_json::Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() >= 3).then_some(lines)
    })
    .await;
    running.abort();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    // Events come in no certain order.
    let (tests, events): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line["Event"] == "s3:TestEvent");
    assert_eq!(tests.len(), 1);
    let mut told: Vec<_> = events.iter().map(|line| &line["Records"][0]).collect();
    told.sort_by_key(|record| record["eventName"].as_str().map(str::to_owned));
    assert_eq!(told[0]["eventName"], "ObjectCreated:Put");
    assert_eq!(told[0]["s3"]["object"]["key"], "in/a");
    assert_eq!(told[0]["s3"]["object"]["size"], 5);
    assert_eq!(told[0]["s3"]["object"]["eTag"], "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(told[0]["userIdentity"]["principalId"], "AWS:AIDAowner");
    assert_eq!(told[0]["requestParameters"]["sourceIPAddress"], "192.0.2.1");
    assert_eq!(told[1]["eventName"], "ObjectRemoved:Delete");
    assert_eq!(told[1]["s3"]["configurationId"], "removed");
}

/// Reads a request and answers it.
async fn hook(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
            });
            if body.len() >= length.unwrap_or(0_usize) {
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.expect("answered");
                return body.to_owned();
            }
        }
        let read = stream.read_buf(&mut request).await.expect("read");
        assert!(read > 0, "the request ended early: {text}");
    }
}

#[tokio::test]
async fn a_web_hook_that_fails_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook?x=1", listener.local_addr().expect("an address"));
    let folder = tempfile::tempdir().expect("a folder");
    let targets = folder.path().join("targets.json");
    let known = serde_json::json!({topic("hook"): {"url": url}});
    std::fs::write(&targets, known.to_string()).expect("written");
    let world = World::with_targets(targets);
    world.own("PUT /bbb", "").await.ok();
    let wish = wish("a", "hook", &["s3:ObjectCreated:Put"], "");
    let document = format!("<NotificationConfiguration>{wish}</NotificationConfiguration>");
    world.own("PUT /bbb?notification", document).await.ok();
    let gateway = world.gateway.clone();
    let running = tokio::spawn(async move { gateway.run().await });
    assert!(hook(&listener, "200 OK").await.contains("s3:TestEvent"));
    world.own("PUT /bbb/k", "x").await.ok();
    let first = hook(&listener, "500 Oops").await;
    assert!(first.contains("ObjectCreated:Put"), "{first}");
    let again = tokio::time::timeout(PATIENCE, hook(&listener, "204 Taken")).await;
    assert_eq!(again.expect("it is asked again"), first);
    running.abort();
}

#[tokio::test]
async fn access_logs() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    world.own("PUT /logs", "").await.ok();
    let document = "<BucketLoggingStatus><LoggingEnabled><TargetBucket>logs</TargetBucket>\
        <TargetPrefix>b/</TargetPrefix><TargetObjectKeyFormat><PartitionedPrefix>\
        <PartitionDateSource>DeliveryTime</PartitionDateSource></PartitionedPrefix>\
        </TargetObjectKeyFormat></LoggingEnabled></BucketLoggingStatus>";
    world.own("PUT /bbb?logging", document).await.ok();
    world.own("PUT /bbb/a%20key", "hello").await.ok();
    world.call("user", "GET /bbb/a%20key", &[("user-agent", "an agent")], "").await.ok();
    world.call("", "GET /bbb/none?versionId=x", &[], "").await;
    world.gateway.flush().await;
    let listed = world.own("GET /logs", "").await.ok();
    let key = listed.element("Key").expect("a log").to_owned();
    assert!(key.starts_with("b/111111111111/us-east-1/bbb/20"), "{key}");
    let log = world.own(&format!("GET /logs/{key}"), "").await.ok().body;
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert!(
        lines[0].contains(" REST.PUT.OBJECT a+key \"PUT /bbb/a%20key HTTP/1.1\" 200 - "),
        "{log}"
    );
    assert!(lines[1].contains(" arn:aws:iam::111111111111:user/user "), "{log}");
    assert!(lines[1].contains("\"an agent\""), "{log}");
    assert!(lines[2].contains(" 192.0.2.1 - "), "{log}");
    assert!(lines[2].contains(" 403 AccessDenied "), "{log}");
}

#[tokio::test(start_paused = true)]
async fn what_is_being_read_is_read_to_its_end() {
    let world = World::new();
    world.own("PUT /bbb", "").await.ok();
    let (store, wrapping) = (world.gateway.store(), [7; 32]);
    let entry = store.bucket("bbb").await.expect("a bucket");
    for replaced in [true, false] {
        let long = "0123456789abcdef".repeat(300_000);
        world.own("PUT /bbb/k", long.clone()).await.ok();
        let found = store.find_object(&entry.row(), "k", None).await.expect("an object");
        let range = 0..long.len() as u64;
        let reading = store.read_object(&entry.row(), "k", &found, &wrapping, range.clone()).await;
        let reading = reading.expect("readable").expect("there");
        let gone = if replaced { ("PUT /bbb/k", "short") } else { ("DELETE /bbb/k", "") };
        world.own(gone.0, gone.1).await.ok();
        // What nobody reads would be freed by then.
        store.sweep().await.expect("swept");
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        store.sweep().await.expect("swept");
        assert!(reading.collect().await.expect("all of it") == long.as_bytes());
        // A row that was read before is of no use any more.
        let late = store.read_object(&entry.row(), "k", &found, &wrapping, range).await;
        assert!(late.expect("no fault").is_none(), "it is to be looked for again");
    }
}
