//! Signatures made by botocore.

use http::{HeaderMap, HeaderName, HeaderValue};
use protocol::sigv4::{Claim, Request, SigV4Error, Verifier, hash};
use protocol::timestamp;
use serde_json::Value as Json;
use types::Timestamp;

struct Signed {
    name: String,
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
