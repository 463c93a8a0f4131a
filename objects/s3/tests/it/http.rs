//! The service, spoken to in bytes.

use node::MemoryNode;
use s3::{FixedIdentities, Gateway, Identity, Peer, Service, Settings, SystemClock};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

fn service() -> Service {
    let identity = Identity {
        access_key: "key".into(),
        secret: "secret".into(),
        session_token: None,
        account: "000000000000".into(),
        arn: "arn:aws:iam::000000000000:root".into(),
        user_id: "000000000000".into(),
        canonical_id: "a".repeat(64),
        organization: None,
        display_name: "owner".into(),
        root: true,
        own: None,
    };
    let identities = FixedIdentities { identities: vec![Arc::new(identity)], trust_any_key: true };
    let cluster = cluster::Cluster::over(vec![Arc::new(MemoryNode::default())]);
    let settings = Settings {
        region: "us-east-1".into(),
        domains: vec!["localhost".into()],
        master_key: [3; 32],
        clock: Arc::new(SystemClock),
    };
    Service::new(Gateway::new(cluster, Arc::new(identities), settings))
}

struct Client {
    stream: DuplexStream,
    date: String,
}

/// Status line and headers, and the body.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> &str {
        self.head.split(' ').nth(1).expect("a status")
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

impl Client {
    fn new(service: &Service) -> Self {
        let (stream, other) = tokio::io::duplex(1 << 16);
        let service = service.clone();
        tokio::spawn(async move { service.serve(other, Peer::default()).await });
        let format =
            time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
        let date = time::OffsetDateTime::now_utc().format(format).expect("a date");
        Self { stream, date }
    }

    async fn send(&mut self, line: &str, headers: &str, body: &str) -> Answer {
        let (day, date) = (&self.date[..8], &self.date);
        let request = format!(
            "{line} HTTP/1.1\r\nhost: localhost\r\nx-amz-date: {date}\r\nx-amz-content-sha256: \
             UNSIGNED-PAYLOAD\r\nauthorization: AWS4-HMAC-SHA256 Credential=key/{day}/us-east-1/s3/\
             aws4_request, SignedHeaders=host, Signature=wrong\r\ncontent-length: {}\r\n{headers}\
             \r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("sent");
        self.answer(line.starts_with("HEAD")).await
    }

    async fn answer(&mut self, bodiless: bool) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.expect("a head"));
        }
        let head = String::from_utf8(head).expect("text");
        let mut answer = Answer { head, body: Vec::new() };
        let len = answer.header("content-length").map_or(0, |len| len.parse().expect("a number"));
        if !bodiless && answer.status() != "304" {
            answer.body.resize(len, 0);
            self.stream.read_exact(&mut answer.body).await.expect("a body");
        }
        answer
    }
}

#[tokio::test]
async fn an_object_goes_in_and_out() {
    let mut client = Client::new(&service());
    assert_eq!(client.send("PUT /bucket", "", "").await.status(), "200");
    let put = client.send("PUT /bucket/a/b%20c", "x-amz-meta-a: b\r\n", "0123456789").await;
    assert_eq!(put.status(), "200", "{}", put.text());
    assert_eq!(put.header("x-amz-server-side-encryption"), Some("AES256"));
    assert_eq!(put.header("etag"), Some("\"781e5e245d69b566979b86e28d23f2c7\""));
    assert_eq!(put.header("server"), Some("AmazonS3"));
    let table = [
        ("", "200", "0123456789", None),
        ("range: bytes=2-3\r\n", "206", "23", Some("bytes 2-3/10")),
        ("range: bytes=-3\r\n", "206", "789", Some("bytes 7-9/10")),
        ("range: bytes=8-\r\n", "206", "89", Some("bytes 8-9/10")),
        ("range: bytes=8-99\r\n", "206", "89", Some("bytes 8-9/10")),
        ("range: bytes=0-0,3-4\r\n", "200", "0123456789", None),
        ("range: lines=1-2\r\n", "200", "0123456789", None),
        ("range: bytes=5-2\r\n", "200", "0123456789", None),
    ];
    for (headers, status, body, range) in table {
        let got = client.send("GET /bucket/a/b%20c", headers, "").await;
        assert_eq!((got.status(), got.text()), (status, body), "{headers}");
        assert_eq!(got.header("content-range"), range, "{headers}");
        assert_eq!(got.header("x-amz-meta-a"), Some("b"));
        assert_eq!(got.header("content-type"), Some("binary/octet-stream"));
    }
    let head = client.send("HEAD /bucket/a/b%20c", "", "").await;
    assert_eq!((head.status(), head.header("content-length")), ("200", Some("10")));
    let past = client.send("GET /bucket/a/b%20c", "range: bytes=10-\r\n", "").await;
    assert_eq!((past.status(), past.header("content-range")), ("416", Some("bytes */10")));
}

#[tokio::test]
async fn errors_are_complete() {
    let mut client = Client::new(&service());
    assert_eq!(client.send("PUT /bucket", "", "").await.status(), "200");
    let table = [
        ("GET /bucket/no%3Ckey%3E", "404", "<Code>NoSuchKey</Code>", "<Key>no&lt;key&gt;</Key>"),
        ("GET /other/key", "404", "<Code>NoSuchBucket</Code>", "<BucketName>other</BucketName>"),
        ("GET /Bad_Name/key", "400", "<Code>InvalidBucketName</Code>", "<Message>"),
        ("GET /bucket/k?versionId=x", "400", "<Code>InvalidArgument</Code>", "<ArgumentValue>x<"),
        ("DELETE /bucket/k?uploadId=x", "404", "<Code>NoSuchUpload</Code>", "<UploadId>x<"),
    ];
    for (line, status, code, element) in table {
        let got = client.send(line, "", "").await;
        assert_eq!(got.status(), status, "{line}: {}", got.text());
        assert!(got.text().contains(code) && got.text().contains(element), "{}", got.text());
        let id = got.header("x-amz-request-id").expect("an ID");
        assert!(got.text().contains(&format!("<RequestId>{id}</RequestId>")), "{}", got.text());
        assert_eq!(got.header("content-type"), Some("application/xml"));
    }
    let long = "k".repeat(1025);
    let got = client.send(&format!("PUT /bucket/{long}"), "", "x").await;
    assert!(got.text().contains("<Code>KeyTooLongError</Code>"), "{}", got.text());
    assert!(got.text().contains("<Size>1025</Size><MaxSizeAllowed>1024<"), "{}", got.text());
}

/// What is not read of a body is never taken for the next request.
#[tokio::test]
async fn refused_bodies_do_not_spoil_the_connection() {
    let service = service();
    let mut client = Client::new(&service);
    assert_eq!(client.send("PUT /bucket", "", "").await.status(), "200");
    let class = "x-amz-storage-class: NONE\r\n";
    let refused = client.send("PUT /bucket/a", class, "GET / HTTP/1.1\r\n\r\n").await;
    assert!(refused.text().contains("InvalidStorageClass"), "{}", refused.text());
    assert_eq!(client.send("PUT /bucket/a", "", "body").await.status(), "200");
    // Who waits to be told to go on is told that the connection ends.
    let expecting = "x-amz-storage-class: NONE\r\nexpect: 100-continue\r\n";
    let refused = client.send("PUT /bucket/a", expecting, "").await;
    assert_eq!(refused.header("connection"), Some("close"));
    let mut client = Client::new(&service);
    let go_on = client.send("PUT /bucket/b", "expect: 100-continue\r\n", "body").await;
    assert!(go_on.head.starts_with("HTTP/1.1 100 Continue"), "{}", go_on.head);
    assert_eq!(client.answer(false).await.status(), "200");
    assert_eq!(client.send("GET /bucket/b", "", "").await.text(), "body");
}
