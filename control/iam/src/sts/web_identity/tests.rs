//! Tokens of an issuer, true ones and forged ones.

use super::*;
use crate::{Account, Caller as Signer, Issuer, Named, Permissions, PolicyText, testing};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use policy::{Document, Kind};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use session::SessionKey;
use state::{Effects, Tx};
use types::Timestamp;

const NOW_S: i64 = 1_700_000_000;
const ROLE: &str = "arn:aws:iam::123456789012:role/ci";

struct Keys {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Keys {
    fn new() -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random);
        Self { pair: pair.unwrap(), random }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (&point[1..33], &point[33..]);
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "kid": "k1", "x": number(x), "y": number(y)})
    }

    fn set(&self) -> KeySet {
        KeySet::parse(
            json!({ "keys": [{"kty": "oct", "k": "AA"}, self.jwk()] }).to_string().as_bytes(),
        )
        .unwrap()
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&self.random, message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn usual(&self, more: Value) -> String {
        self.token(&json!({"alg": "ES256", "kid": "k1"}), &claims(more))
    }
}

fn claims(more: Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer.example", "sub": "repo:x", "aud": "sts.amazonaws.com",
        "iat": NOW_S - 10, "exp": NOW_S + 600,
    });
    let Value::Object(more) = more else { panic!("no object") };
    for (name, value) in more {
        let all = claims.as_object_mut().unwrap();
        if value.is_null() {
            all.remove(&name);
        } else {
            all.insert(name, value);
        }
    }
    claims
}

fn state(condition: &str) -> state::State {
    let mut tx = testing::tx();
    Account::ensure(&mut tx, AccountId::DEFAULT, "admin");
    tx.put(OidcProvider {
        account: AccountId::DEFAULT,
        url: "issuer.example".to_owned(),
        client_ids: vec!["sts.amazonaws.com".to_owned()],
        thumbprints: Vec::new(),
        tags: [].into(),
        created: Timestamp::default(),
    });
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"Federated":"arn:aws:iam::123456789012:oidc-provider/issuer.example"}},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{condition}}}}}"#
    );
    let document = Document::parse(&trust, trust.len(), Kind::Trust).unwrap();
    let named = Named::new(&mut tx, AccountId::DEFAULT, "AROA", None, "ci".to_owned());
    tx.put(Role {
        named,
        permissions: Permissions::default(),
        trust: PolicyText::new(trust, &document),
        description: None,
        max_session_s: 3600,
        tags: [].into(),
        linked_service: None,
        last_used: None,
    });
    Tx::finish(tx).0
}

fn assume_role(
    state: &state::State,
    token: String,
    keys: Result<&KeySet, NoKeys>,
) -> Result<AssumeRoleWithWebIdentityResponse, Fault> {
    let request = Request { caller: Signer::unsigned(), ..testing::request() };
    let input = AssumeRoleWithWebIdentityRequest {
        role_arn: Some(ROLE.to_owned()),
        role_session_name: Some("run".to_owned()),
        web_identity_token: Some(token),
        ..AssumeRoleWithWebIdentityRequest::default()
    };
    let inquiry = assume_role_with_web_identity(state, &request, input)?;
    assert_eq!(inquiry.keys.issuer, "https://issuer.example");
    let key = SessionKey::new([7; 32]);
    let mut effects = Effects::new(Timestamp::from_millis(NOW_S * 1000), [1; 32]);
    let codes = crate::UsedCodes::default();
    let mut issuer = Issuer { key: &key, effects: &mut effects, codes: &codes };
    let output = (inquiry.finish)(state, keys, &mut issuer)?;
    let credentials = output.credentials.clone().unwrap();
    let (id, token) = (credentials.access_key_id.unwrap(), credentials.session_token.unwrap());
    let (session, _) = key.open(&id, &token, Timestamp::from_millis(NOW_S * 1000)).unwrap();
    assert!(session.provider.unwrap().ends_with("oidc-provider/issuer.example"));
    Ok(output)
}

fn code(result: Result<AssumeRoleWithWebIdentityResponse, Fault>) -> String {
    result.unwrap_err().code.to_string()
}

#[test]
fn a_true_token_gives_a_session_with_its_tags() {
    let (state, keys) = (state(r#"{"StringEquals":{"issuer.example:sub":"repo:x"}}"#), Keys::new());
    let token = keys.usual(json!({
        "https://aws.amazon.com/tags": {
            "principal_tags": {"team": ["blue"]}, "transitive_tag_keys": ["team"],
        },
    }));
    let output = assume_role(&state, token, Ok(&keys.set())).unwrap();
    assert_eq!(output.subject_from_web_identity_token.as_deref(), Some("repo:x"));
    assert_eq!(output.audience.as_deref(), Some("sts.amazonaws.com"));
    assert_eq!(
        output.assumed_role_user.unwrap().arn.unwrap(),
        "arn:aws:sts::123456789012:assumed-role/ci/run"
    );
    assert!(output.packed_policy_size.is_some());
}

#[test]
fn conditions_are_about_the_token() {
    let keys = Keys::new();
    let decide = |condition: &str, more: Value| {
        assume_role(&state(condition), keys.usual(more), Ok(&keys.set())).map(|_| ())
    };
    let aud = r#"{"StringEquals":{"issuer.example:aud":"sts.amazonaws.com"}}"#;
    assert_eq!(decide(aud, json!({})), Ok(()));
    let both = json!({"aud": ["x", "sts.amazonaws.com"], "azp": "sts.amazonaws.com"});
    assert_eq!(decide(aud, both.clone()), Ok(()));
    let other =
        r#"{"ForAnyValue:StringEquals":{"issuer.example:oaud":"x","issuer.example:amr":"mfa"}}"#;
    let mut with_amr = both;
    with_amr["amr"] = json!(["pwd", "mfa"]);
    assert_eq!(decide(other, with_amr), Ok(()));
    assert_eq!(decide(other, json!({"amr": "mfa"})).unwrap_err().code, "AccessDenied");
    let sub = r#"{"StringLike":{"issuer.example:sub":"repo:y*"}}"#;
    let refused = decide(sub, json!({})).unwrap_err();
    assert_eq!(refused.message, "Not authorized to perform sts:AssumeRoleWithWebIdentity");
    assert_eq!(refused.status, 403);
}

#[test]
fn no_forged_token_is_taken() {
    let (state, keys, others) = (state("{}"), Keys::new(), Keys::new());
    let set = keys.set();
    let none = |header: Value| keys.token(&header, &claims(json!({})));
    let good = keys.usual(json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let parts = message.split_once('.').unwrap();
    let forged = URL_SAFE_NO_PAD.encode(claims(json!({"sub": "root"})).to_string());
    for token in [
        String::new(),
        "a.b.c".to_owned(),
        "..".to_owned(),
        message.to_owned(),
        format!("{message}."),
        format!("{message}.{}", &signature[..10]),
        format!("{}.{forged}.{signature}", parts.0),
        none(json!({"alg": "none", "kid": "k1"})),
        none(json!({"alg": "HS256", "kid": "k1"})),
        none(json!({"alg": "RS256", "kid": "k1"})),
        none(json!({"alg": "ES384", "kid": "k1"})),
        none(json!({"alg": "es256", "kid": "k1"})),
        none(json!({"alg": "ES256", "kid": "k2"})),
        none(json!({"alg": "ES256", "kid": "../k1' OR 1=1"})),
        none(json!({"alg": "ES256", "kid": ["k1"]})),
        none(json!({"alg": "ES256", "kid": "k1", "crit": ["x"]})),
        none(json!({"kid": "k1"})),
        // A key that the token itself brings counts for nothing.
        others.token(&json!({"alg": "ES256", "jwk": others.jwk()}), &claims(json!({}))),
        others.usual(json!({})),
        keys.usual(json!({"exp": null})),
        keys.usual(json!({"iat": null})),
        keys.usual(json!({"sub": null})),
        keys.usual(json!({"aud": null})),
        keys.usual(json!({"iss": null})),
        keys.usual(json!({"iss": "https://other.example"})),
        keys.usual(json!({"iss": "https://issuer.example/"})),
        keys.usual(json!({"sub": ""})),
        keys.usual(json!({"sub": "x".repeat(256)})),
        keys.usual(json!({"sub": 7})),
        keys.usual(json!({"aud": []})),
        keys.usual(json!({"aud": "else"})),
        keys.usual(json!({"aud": ["else", "other"]})),
        keys.usual(json!({"azp": "else"})),
        keys.usual(json!({"exp": "tomorrow"})),
        keys.usual(json!({"exp": 1e300})),
        keys.usual(json!({"exp": -1})),
        keys.usual(json!({"iat": NOW_S + 1000})),
        keys.usual(json!({"nbf": NOW_S + 1000})),
    ] {
        let refused = assume_role(&state, token.clone(), Ok(&set));
        assert_eq!(code(refused), "InvalidIdentityToken", "{token}");
    }
    let over = assume_role(&state, keys.usual(json!({"exp": NOW_S})), Ok(&set));
    assert_eq!(code(over), "ExpiredTokenException");
    for tags in [
        json!({"principal_tags": {"aws:x": ["a"]}}),
        json!({"principal_tags": {"x": ["a", "b"]}}),
        json!({"principal_tags": {"x": ["a"], "X": ["a"]}}),
        json!({"principal_tags": {"x": ["a"]}, "transitive_tag_keys": ["y"]}),
    ] {
        let token = keys.usual(json!({"https://aws.amazon.com/tags": tags}));
        assert_eq!(code(assume_role(&state, token, Ok(&set))), "IDPRejectedClaim");
    }
    let source = keys.usual(json!({"https://aws.amazon.com/source_identity": "alice"}));
    let refused = assume_role(&state, source, Ok(&set)).unwrap_err();
    assert_eq!(refused.message, "Not authorized to perform sts:SetSourceIdentity");
}

#[test]
fn without_the_issuers_keys_nothing_is_believed() {
    let (state, keys) = (state("{}"), Keys::new());
    for (why, expected) in [
        (NoKeys::Unreachable, "IDPCommunicationError"),
        (NoKeys::Distrusted, "InvalidIdentityToken"),
        (NoKeys::Unreadable, "InvalidIdentityToken"),
    ] {
        assert_eq!(code(assume_role(&state, keys.usual(json!({})), Err(why))), expected);
    }
    let empty = KeySet::default();
    assert_eq!(
        code(assume_role(&state, keys.usual(json!({})), Ok(&empty))),
        "InvalidIdentityToken"
    );
    assert!(KeySet::parse(b"[]").is_none() && KeySet::parse(b"{\"keys\": 7}").is_none());
    let odd =
        br#"{"keys": [7, {"kty": "RSA"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}"#;
    assert_eq!(KeySet::parse(odd), Some(KeySet::default()));
}
