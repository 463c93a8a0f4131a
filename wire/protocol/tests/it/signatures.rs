//! Signatures made by botocore, by AWS's documentation, and by our own signer.

use http::{HeaderMap, HeaderName, HeaderValue};
use protocol::sigv4::{Body, Claim, Request, SigV4Error, Signer, Verifier, hash};
use protocol::timestamp;
use serde_json::Value as Json;
use types::Timestamp;

struct Signed {
    name: String,
    service: String,
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: String,
    region: String,
    token: Option<String>,
    expires_s: Option<i64>,
}

impl Signed {
    fn claim(&self) -> Result<Claim, SigV4Error> {
        let Self { method, path, query, headers, .. } = self;
        Request { method, path, query, headers }.claim()
    }

    fn verify(&self, now: Timestamp) -> Result<(), SigV4Error> {
        Verifier::new().verify(&self.claim()?, &secret(), &hash(self.body.as_bytes()), now)
    }

    fn is_s3(&self) -> bool {
        self.name.contains("s3")
    }
}

fn file() -> Json {
    serde_json::from_str(include_str!("../signatures.json")).unwrap()
}

fn secret() -> String {
    file()["secret"].as_str().unwrap().to_owned()
}

fn signing_time() -> Timestamp {
    timestamp::parse(file()["time"].as_str().unwrap()).unwrap()
}

fn later(seconds: i64) -> Timestamp {
    Timestamp::from_millis(signing_time().millis() + seconds * 1000)
}

fn requests() -> Vec<Signed> {
    let text = |json: &Json| json.as_str().unwrap().to_owned();
    let read = |json: &Json| Signed {
        name: text(&json["name"]),
        service: text(&json["service"]),
        method: text(&json["method"]),
        path: text(&json["path"]),
        query: text(&json["query"]),
        headers: json["headers"].as_array().unwrap().iter().map(header).collect(),
        body: text(&json["body"]),
        region: text(&json["region"]),
        token: json["token"].as_str().map(str::to_owned),
        expires_s: json["expires_s"].as_i64(),
    };
    file()["requests"].as_array().unwrap().iter().map(read).collect()
}

fn header(pair: &Json) -> (HeaderName, HeaderValue) {
    (pair[0].as_str().unwrap().parse().unwrap(), pair[1].as_str().unwrap().parse().unwrap())
}

fn request(name: &str) -> Signed {
    requests().into_iter().find(|request| request.name == name).unwrap()
}

#[test]
fn botocore_is_let_in() {
    let verifier = Verifier::new();
    for request in requests() {
        let claim = request.claim().unwrap();
        assert_eq!(claim.access_key_id, "AKIDEXAMPLE");
        assert_eq!(claim.region, request.region);
        assert_eq!(claim.session_token, request.token);
        assert_eq!(claim.expires_s, request.expires_s);
        // Twice: the second time the signing key is remembered.
        for _ in 0..2 {
            let body = hash(request.body.as_bytes());
            let verified = verifier.verify(&claim, &secret(), &body, signing_time());
            assert_eq!(verified, Ok(()), "{}", request.name);
        }
        let wrong =
            verifier.verify(&claim, "another", &hash(request.body.as_bytes()), signing_time());
        assert_eq!(wrong, Err(SigV4Error::Mismatch), "{}", request.name);
    }
}

#[test]
fn whatever_is_changed_is_noticed() {
    for name in requests().into_iter().map(|request| request.name) {
        let changed = |change: &dyn Fn(&mut Signed)| {
            let mut request = request(&name);
            change(&mut request);
            request.verify(signing_time()).unwrap_err()
        };
        assert_eq!(changed(&|r| r.method = "DELETE".to_owned()), SigV4Error::Mismatch);
        assert_eq!(changed(&|r| r.path.push_str("/x")), SigV4Error::Mismatch);
        assert_eq!(changed(&|r| r.query.push_str("&x=1")), SigV4Error::Mismatch);
        let host = HeaderValue::from_static("elsewhere");
        assert_eq!(
            changed(&|r| drop(r.headers.insert("host", host.clone()))),
            SigV4Error::Mismatch
        );
        if !request(&name).is_s3() {
            assert_eq!(changed(&|r| r.body.push('x')), SigV4Error::Mismatch);
        }
    }
    let mut s3 = request("s3 with a body");
    s3.body.push('x');
    assert_eq!(s3.verify(signing_time()), Err(SigV4Error::BodyMismatch));
}

#[test]
fn signatures_have_their_time() {
    for request in requests() {
        let life_s = request.expires_s.unwrap_or(15 * 60);
        for (seconds, in_time) in
            [(0, true), (-900, true), (-901, false), (life_s, true), (life_s + 1, false)]
        {
            let verified = request.verify(later(seconds));
            assert_eq!(verified.is_ok(), in_time, "{} after {seconds} s", request.name);
        }
    }
}

#[test]
fn incomplete_signatures_are_refused() {
    let broken = |change: &dyn Fn(&str) -> String| {
        let mut request = request("post form with a session token");
        let given = request.headers["authorization"].to_str().unwrap().to_owned();
        request.headers.insert("authorization", change(&given).parse().unwrap());
        request.claim().unwrap_err()
    };
    assert_eq!(broken(&|_| "Bearer x".to_owned()), SigV4Error::UnknownAlgorithm);
    for gone in ["Credential=", "SignedHeaders=", "Signature=", "/aws4_request", "sts"] {
        assert!(
            matches!(broken(&|a| a.replace(gone, "")), SigV4Error::Incomplete { .. }),
            "{gone}"
        );
    }
    let unsigned = SigV4Error::NotSigned { header: "host".to_owned() };
    assert_eq!(broken(&|a| a.replace("host;", "")), unsigned);
    let unsigned = SigV4Error::NotSigned { header: "x-amz-security-token".to_owned() };
    assert_eq!(broken(&|a| a.replace(";x-amz-security-token", "")), unsigned);
    assert_eq!(broken(&|a| a.replace("20150830", "20150831")), SigV4Error::ScopeDate);
    let mut bare = request("post form");
    bare.headers.remove("authorization");
    assert_eq!(bare.claim().unwrap_err(), SigV4Error::MissingToken);
    let mut endless = request("presigned");
    endless.query = endless.query.replace("X-Amz-Expires=900", "X-Amz-Expires=604801");
    assert!(matches!(endless.claim(), Err(SigV4Error::Incomplete { .. })));
}

fn signed(signer: Signer<'_>, request: &Request<'_>, body: Body<'_>, time: &str) -> HeaderMap {
    signer.sign(request, body, timestamp::parse(time).unwrap()).unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&str, &str)| -> (HeaderName, HeaderValue) {
        (name.parse().unwrap(), value.parse().unwrap())
    };
    pairs.iter().map(header).collect()
}

#[test]
fn our_signer_signs_as_botocore_does() {
    let in_headers = requests().into_iter().filter(|request| request.expires_s.is_none());
    for mut request in in_headers {
        let expected = request.headers.remove("authorization").unwrap();
        let expected_hash = request.headers.remove("x-amz-content-sha256");
        request.headers.remove("x-amz-date");
        let Signed { method, path, query, headers, .. } = &request;
        let signer = Signer {
            access_key_id: "AKIDEXAMPLE",
            secret: &secret(),
            session_token: request.token.as_deref(),
            region: &request.region,
            service: &request.service,
        };
        let given = Request { method, path, query, headers };
        for body in
            [Body::Bytes(request.body.as_bytes()), Body::Hash(hash(request.body.as_bytes()))]
        {
            let signed = signer.sign(&given, body, later(0)).unwrap();
            assert_eq!(signed["authorization"], expected, "{}", request.name);
            assert_eq!(signed.get("x-amz-content-sha256"), expected_hash.as_ref());
        }
    }
}

/// The examples of "Signature Calculations for the Authorization Header" in S3's API reference, and `get-vanilla`
/// of the published test suite.
#[test]
fn our_signer_signs_as_the_documentation_does() {
    let signer = Signer {
        access_key_id: "AKIAIOSFODNN7EXAMPLE",
        secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        session_token: None,
        region: "us-east-1",
        service: "s3",
    };
    let host = ("host", "examplebucket.s3.amazonaws.com");
    let put: &[(&str, &str)] = &[
        host,
        ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
    ];
    for (method, path, query, given, body, signature) in [
        (
            "GET",
            "/test.txt",
            "",
            &[host, ("range", "bytes=0-9")][..],
            "",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            "",
            put,
            "Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/",
            "lifecycle",
            &[host],
            "",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            "max-keys=2&prefix=J",
            &[host],
            "",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let request = Request { method, path, query, headers: &headers(given) };
        let signed = signed(signer, &request, Body::Bytes(body.as_bytes()), "2013-05-24T00:00:00Z");
        assert!(signed["authorization"].to_str().unwrap().ends_with(signature), "{method} {path}");
    }
    let vanilla = Request {
        method: "GET",
        path: "/",
        query: "",
        headers: &headers(&[("host", "example.amazonaws.com")]),
    };
    let secret = secret();
    let signer =
        Signer { access_key_id: "AKIDEXAMPLE", secret: &secret, service: "service", ..signer };
    let signed = signed(signer, &vanilla, Body::Bytes(b""), "2015-08-30T12:36:00Z");
    assert_eq!(
        signed["authorization"],
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
}

#[test]
fn what_our_signer_signed_is_let_in() {
    let secret = secret();
    for (service, body) in [
        ("ec2", Body::Bytes(b"body")),
        ("s3", Body::Bytes(b"body")),
        ("s3", Body::Hash(hash(b"body"))),
        ("s3", Body::Unsigned),
    ] {
        let signer = Signer {
            access_key_id: "AKIDEXAMPLE",
            secret: &secret,
            session_token: Some("token"),
            region: "eu-west-1",
            service,
        };
        let given =
            headers(&[("Host", "127.0.0.1:4566"), ("User-Agent", "x"), ("X-Amz-Meta-A", " a  b ")]);
        let request = Request {
            method: "PUT",
            path: "/bucket/a%20b//./%C3%A9",
            query: "partNumber=2&uploadId=a%2Fb",
            headers: &given,
        };
        let signed = signer.sign(&request, body, signing_time()).unwrap();
        let claim = Request { headers: &signed, ..request }.claim().unwrap();
        assert_eq!(
            (claim.access_key_id.as_str(), claim.region.as_str()),
            ("AKIDEXAMPLE", "eu-west-1")
        );
        assert_eq!(claim.session_token.as_deref(), Some("token"));
        let verify =
            |body: &[u8]| Verifier::new().verify(&claim, &secret, &hash(body), signing_time());
        assert_eq!(verify(b"body"), Ok(()), "{service} {body:?}");
        let other = match body {
            Body::Unsigned => Ok(()),
            Body::Bytes(_) | Body::Hash(_) if service == "s3" => Err(SigV4Error::BodyMismatch),
            Body::Bytes(_) | Body::Hash(_) => Err(SigV4Error::Mismatch),
        };
        assert_eq!(verify(b"other"), other, "{service} {body:?}");
        // What proxies may change isn't signed.
        let mut changed = signed.clone();
        changed.insert("user-agent", HeaderValue::from_static("y"));
        let claim = Request { headers: &changed, ..request }.claim().unwrap();
        assert_eq!(Verifier::new().verify(&claim, &secret, &hash(b"body"), signing_time()), Ok(()));
    }
}

#[test]
fn nothing_is_signed_without_a_host() {
    let signer = Signer {
        access_key_id: "AKIDEXAMPLE",
        secret: "secret",
        session_token: None,
        region: "us-east-1",
        service: "ec2",
    };
    let bare = HeaderMap::new();
    let request = Request { method: "GET", path: "/", query: "", headers: &bare };
    let refused = signer.sign(&request, Body::Bytes(b""), signing_time());
    assert!(matches!(refused, Err(SigV4Error::Incomplete { .. })));
    let given = headers(&[("host", "h")]);
    let request = Request { headers: &given, ..request };
    let broken = Signer { session_token: Some("a\nb"), ..signer };
    assert!(broken.sign(&request, Body::Bytes(b""), signing_time()).is_err());
}

#[test]
fn a_request_is_written_as_http() {
    let given = headers(&[("host", "h"), ("content-length", "7")]);
    let request = Request { method: "PUT", path: "", query: "a=b", headers: &given };
    let http = String::from_utf8(request.to_http(b"body")).unwrap();
    assert_eq!(http, "PUT /?a=b HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody");
}
