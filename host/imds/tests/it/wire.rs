//! Tokens, methods, headers and the bytes of connections.

use crate::{NOW, ask, ask_at, metadata, token};
use imds::{Connection, Documents, MAX_HEAD, MAX_PIPELINED, Response, Service};
use proptest::prelude::*;

const TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds";

#[test]
fn statuses() {
    let metadata = metadata();
    let good = token(&metadata, 60);
    let (put, get) = ("PUT /latest/api/token", "GET /latest/meta-data/system");
    for (line, headers, status) in [
        (put, format!("{TTL}: 21600"), 200),
        (put, format!("{TTL}: 21601"), 400),
        (put, format!("{TTL}: 0"), 400),
        (put, format!("{TTL}: x"), 400),
        (put, String::from("A: b"), 400),
        (put, format!("{TTL}: 60\r\nX-Forwarded-For: 10.0.0.1"), 403),
        ("PUT /2021-03-23/api/token", format!("{TTL}: 60"), 403),
        ("PUT /latest/api/token/", format!("{TTL}: 60"), 403),
        ("GET /latest/api/token", format!("{TTL}: 60"), 405),
        ("POST /latest/api/token", format!("{TTL}: 60"), 405),
        ("OPTIONS /latest/api/token", String::from("A: b"), 200),
        (get, String::from("A: b"), 401),
        (get, String::from("X-aws-ec2-metadata-token: "), 401),
        (get, format!("X-aws-ec2-metadata-token: {good}x"), 401),
        (get, format!("x-AWS-ec2-metadata-TOKEN: {good}"), 200),
        ("GET /nothing", format!("X-aws-ec2-metadata-token: {good}"), 404),
        ("GET /nothing", String::from("A: b"), 401),
        ("DELETE /latest/meta-data/system", format!("X-aws-ec2-metadata-token: {good}"), 405),
        ("PUT /latest/meta-data/system", format!("X-aws-ec2-metadata-token: {good}"), 405),
        ("GET latest", String::from("A: b"), 400),
        ("GET /%ff", String::from("A: b"), 400),
        (get, String::from("Transfer-Encoding: chunked"), 501),
        (get, String::from("Content-Length: 1\r\nContent-Length: 1"), 400),
        (get, String::from("Content-Length: -1"), 400),
        (get, String::from("Content-Length: 99999999999999999999999"), 400),
        (get, String::from("Content-Length: 65537"), 413),
        (get, String::from("Expect: the unexpected"), 417),
        (get, String::from("no colon"), 400),
    ] {
        let (got, head, _) = ask(&metadata, &format!("{line} HTTP/1.1\r\n{headers}\r\n\r\n"));
        assert_eq!(got, status, "{line} {headers}\n{head}");
    }
    assert_eq!(ask(&metadata, "GET / HTTP/3.0\r\n\r\n").0, 505);
    assert_eq!(ask(&metadata, "\x16\x03\x01\r\n\r\n").0, 400);
}

#[test]
fn options_hold_for_each_request() {
    let mut metadata = metadata();
    let get = "GET /latest/meta-data/system HTTP/1.1\r\n";
    metadata.options.token_required = false;
    assert_eq!(ask(&metadata, &format!("{get}\r\n")).0, 200);
    assert_eq!(ask(&metadata, &format!("{get}X-aws-ec2-metadata-token: bad\r\n\r\n")).0, 401);
    metadata.options.enabled = false;
    assert_eq!(ask(&metadata, &format!("{get}\r\n")).0, 403);
    let put = format!("PUT /latest/api/token HTTP/1.1\r\n{TTL}: 60\r\n\r\n");
    assert_eq!(ask(&metadata, &put).0, 403);
}

#[test]
fn tokens_expire_and_tell() {
    let metadata = metadata();
    let token = token(&metadata, 60);
    let get = format!("GET / HTTP/1.1\r\nX-aws-ec2-metadata-token: {token}\r\n\r\n");
    let (status, head, _) = ask_at(&metadata, &get, NOW.plus_millis(20_000));
    assert_eq!(status, 200);
    assert!(head.contains("\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 40\r\n"), "{head}");
    assert_eq!(ask_at(&metadata, &get, NOW.plus_millis(60_000)).0, 401);
}

#[test]
fn heads() {
    let mut metadata = metadata();
    metadata.options.token_required = false;
    let (_, head, body) = ask(&metadata, "HEAD /latest/meta-data/system HTTP/1.0\r\n\r\n");
    let expected = "HTTP/1.1 200 OK\r\nAccept-Ranges: none\r\n\
                    Last-Modified: Sun, 22 Nov 2026 13:37:00 GMT\r\nContent-Type: text/plain\r\n\
                    Content-Length: 5\r\nDate: Sun, 22 Nov 2026 13:07:09 GMT\r\nServer: EC2ws\r\n\
                    Connection: close";
    assert_eq!(head, expected);
    assert_eq!(body, "");
    let (_, head, _) = ask(&metadata, "GET /latest/user-data HTTP/1.1\r\n\r\n");
    assert!(head.contains("Content-Type: application/octet-stream"), "{head}");
}

/// All answers to these bytes in pieces, and whether the connection was closed.
fn answers(pieces: &[&[u8]]) -> (String, bool) {
    let mut metadata = metadata();
    metadata.options.token_required = false;
    let service = Service::new([3; 32]);
    let documents = Documents { metadata: &metadata, identity: None };
    let mut connection = Connection::new();
    let (mut bytes, mut close) = (Vec::new(), false);
    for piece in pieces {
        let out = connection.feed(piece, NOW, |request| service.respond(documents, request, NOW));
        bytes.extend(out.bytes);
        close = out.close;
    }
    (String::from_utf8(bytes).unwrap(), close)
}

#[test]
fn one_request_in_any_pieces() {
    let request = b"PUT /x HTTP/1.1\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\nabc\
                    GET /latest/meta-data/system HTTP/1.1\r\n\r\n";
    let whole = answers(&[request]);
    assert!(whole.0.starts_with("HTTP/1.1 405 Not Allowed\r\n"));
    assert!(whole.0.ends_with("\r\n\r\nnitro") && whole.1);
    for cut in 0..request.len() {
        let (first, second) = request.split_at(cut);
        assert_eq!(answers(&[first, second]), whole, "{cut}");
    }
    let bytes = request.chunks(1).collect::<Vec<_>>();
    assert_eq!(answers(&bytes), whole);
}

#[test]
fn keep_alive_and_limits() {
    let get = b"GET /latest/meta-data/system HTTP/1.1\r\nConnection: keep-alive\r\n\r\n".as_slice();
    let (text, close) = answers(&[get, get]);
    assert_eq!(text.matches("nitro").count(), 2);
    assert!(!close && text.contains("Connection: keep-alive"));

    let many = get.repeat(MAX_PIPELINED + 10);
    let (text, close) = answers(&[&many]);
    assert_eq!(text.matches("nitro").count(), MAX_PIPELINED);
    assert!(close);

    let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(MAX_HEAD));
    let (text, close) = answers(&[long.as_bytes()]);
    assert!(text.starts_with("HTTP/1.1 400 Bad Request") && close);

    let headers = "A: b\r\n".repeat(65);
    let (text, _) = answers(&[format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes()]);
    assert!(text.starts_with("HTTP/1.1 400 Bad Request"));

    let expect = "PUT /x HTTP/1.1\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\
                  Content-Length: 2\r\n\r\n";
    let (text, _) = answers(&[expect.as_bytes(), b"ab", get]);
    assert!(
        text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 405") && text.ends_with("nitro")
    );
}

fn never_panics(pieces: &[Vec<u8>]) {
    let mut connection = Connection::new();
    let service = Service::new([3; 32]);
    let metadata = metadata();
    let documents = Documents { metadata: &metadata, identity: None };
    for piece in pieces {
        let out = connection.feed(piece, NOW, |request| service.respond(documents, request, NOW));
        if out.close {
            let out = connection.feed(piece, NOW, |_| Response::throttled());
            assert!(out.close && out.bytes.is_empty());
        }
    }
}

#[test]
fn corpus() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/connection");
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        never_panics(std::slice::from_ref(&bytes));
        never_panics(&bytes.chunks(7).map(<[u8]>::to_vec).collect::<Vec<_>>());
        files += 1;
    }
    assert!(files >= 5, "{folder}");
}

proptest! {
    #[test]
    fn any_bytes(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5)) {
        never_panics(&pieces);
    }

    #[test]
    fn any_target(path in "[ -~é]{0,60}", header in "[ -~]{0,60}") {
        never_panics(&[format!("GET /{path} HTTP/1.1\r\n{header}\r\n\r\n").into_bytes()]);
    }
}
