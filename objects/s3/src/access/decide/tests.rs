//! Decisions by a table: `cases.json`, one case a line.

use super::*;
use crate::Own;
use crate::access::acl::{Of, Owner};
use serde::Deserialize;

/// One case: who asks for what of which bucket and object, and what comes of it. The bucket
/// belongs to account 111111111111.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `anonymous`, `owner` (its root), `user` (of the owner's account), `other` (root of another
    /// account), `other-user`, `role` (a session in the owner's account).
    who: String,
    action: String,
    #[serde(default)]
    policy: Option<serde_json::Value>,
    #[serde(default)]
    ownership: Option<String>,
    /// A canned list.
    #[serde(default)]
    bucket_acl: Option<String>,
    #[serde(default)]
    object_acl: Option<String>,
    /// `owner` or `other`; none if there is no object.
    #[serde(default)]
    object_of: Option<String>,
    /// The switches that are on: `block_acls`, `ignore_acls`, `block_policy`, `restrict`.
    #[serde(default)]
    block: Vec<String>,
    #[serde(default)]
    context: std::collections::BTreeMap<String, String>,
    allow: bool,
}

fn identity(account: &str, arn: String, root: bool) -> Identity {
    Identity {
        access_key: "AKIA".to_owned(),
        secret: String::new(),
        session_token: None,
        account: account.to_owned(),
        arn,
        user_id: "AIDA".to_owned(),
        canonical_id: account[..1].repeat(64),
        organization: None,
        display_name: String::new(),
        root,
        own: None,
    }
}

fn who(name: &str) -> Option<Identity> {
    let (own, other) = ("111111111111", "222222222222");
    Some(match name {
        "anonymous" => return None,
        "owner" => identity(own, format!("arn:aws:iam::{own}:root"), true),
        "user" => identity(own, format!("arn:aws:iam::{own}:user/u"), false),
        "role" => {
            let all = Arc::new(Own {
                identity: ALL.clone(),
                role_arn: Some(format!("arn:aws:iam::{own}:role/r")),
                ..Own::default()
            });
            let session = identity(own, format!("arn:aws:sts::{own}:assumed-role/r/s"), false);
            Identity { own: Some(all), ..session }
        }
        "other" => identity(other, format!("arn:aws:iam::{other}:root"), true),
        "other-user" => identity(other, format!("arn:aws:iam::{other}:user/u"), false),
        name => panic!("nobody is called {name}"),
    })
}

#[test]
fn cases() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("cases.json")).expect("cases.json is well-formed");
    assert!(cases.len() > 50);
    for case in cases {
        let answer = answer_of(&case);
        assert_eq!(answer == Answer::Allow, case.allow, "{}: {answer:?}", case.name);
    }
}

fn answer_of(case: &Case) -> Answer {
    let identity = who(&case.who);
    let owner = |digit: &str| Owner { id: digit.repeat(64), display_name: None };
    let canned = |name: &Option<String>, of, of_owner: Owner| {
        name.as_ref()
            .map(|name| Acl::canned(name, of, of_owner, &owner("1")).expect("a canned list"))
    };
    let bucket_acl = canned(&case.bucket_acl, Of::Bucket, owner("1"));
    let object_owner = owner(if case.object_of.as_deref() == Some("other") { "2" } else { "1" });
    let object_acl = canned(&case.object_acl, Of::Object, object_owner.clone());
    let policy = case.policy.as_ref().map(|policy| {
        let text = serde_json::json!({"Version": "2012-10-17", "Statement": policy}).to_string();
        BucketPolicy::read(&text).unwrap_or_else(|| panic!("{}: {text}", case.name))
    });
    let on = |name: &str| case.block.iter().any(|switch| switch == name);
    let mut context = Context::new();
    for (key, value) in &case.context {
        context.set(key.as_str(), value.as_str());
    }
    let bucket = Bucket {
        account: "111111111111",
        owner_id: &"1".repeat(64),
        acl: bucket_acl.as_ref(),
        ownership: case
            .ownership
            .as_deref()
            .map_or(Ownership::ObjectWriter, |name| Ownership::of_name(name).expect("ownership")),
        block: PublicBlock {
            block_acls: on("block_acls"),
            ignore_acls: on("ignore_acls"),
            block_policy: on("block_policy"),
            restrict_buckets: on("restrict"),
        },
        policy: policy.as_ref(),
    };
    let of_object = case.object_of.is_some();
    let question = Question {
        identity: identity.as_ref(),
        action: &case.action,
        resource: if of_object { "arn:aws:s3:::b/k" } else { "arn:aws:s3:::b" },
        context: &context,
    };
    let answer = of_the_bucket(question, bucket);
    if !of_object {
        return answer;
    }
    let object = Object { owner_id: &object_owner.id, acl: object_acl.as_ref() };
    of_the_object(question, bucket, answer, object)
}

#[test]
fn root_can_always_mend_the_policy() {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*",
        "Action":"s3:*","Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]}}"#;
    let policy = BucketPolicy::read(text).expect("valid");
    let owner_id = "1".repeat(64);
    let bucket = Bucket {
        account: "111111111111",
        owner_id: &owner_id,
        acl: None,
        ownership: Ownership::default(),
        block: PublicBlock::default(),
        policy: Some(&policy),
    };
    for (name, action, allow) in [
        ("owner", "s3:PutBucketPolicy", true),
        ("owner", "s3:DeleteBucketPolicy", true),
        ("owner", "s3:GetBucketPolicy", true),
        ("owner", "s3:ListBucket", false),
        ("user", "s3:PutBucketPolicy", false),
        ("other", "s3:PutBucketPolicy", false),
    ] {
        let identity = who(name);
        let question = Question {
            identity: identity.as_ref(),
            action,
            resource: "arn:aws:s3:::b",
            context: &Context::new(),
        };
        let answer = of_the_bucket(question, bucket);
        assert_eq!(answer == Answer::Allow, allow, "{name} {action}: {answer:?}");
    }
}

#[test]
fn a_user_needs_its_own_policies_leave() {
    let compiled = |statement: &str| {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#);
        Document::parse(&text, text.len(), Kind::Identity).unwrap().compile()
    };
    let get = r#"{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}"#;
    let deny = r#"{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}"#;
    let blue = r#"{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalTag/team": "blue"}}}"#;
    let public = BucketPolicy::read(
        r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject",
            "Principal": {"AWS": "arn:aws:iam::111111111111:user/u"},
            "Resource": "arn:aws:s3:::b/*"}}"#,
    );
    let owner = "1".repeat(64);
    let mut context = Context::new();
    context.set("aws:PrincipalTag/team", "blue");
    for (policies, boundary, session, by_bucket, allowed) in [
        (&[][..], None, None, false, false),
        (&[get], None, None, false, true),
        (&[get, deny], None, None, false, false),
        (&[get], Some(deny), None, false, false),
        (&[get], Some(blue), None, false, true),
        (&[get], None, Some(vec![]), false, false),
        (&[get], None, Some(vec![blue]), false, true),
        (&[blue], None, None, false, true),
        (&[], None, None, true, true),
        (&[deny], None, None, true, false),
    ] {
        let own = Own {
            identity: policies.iter().map(|one| compiled(one)).collect(),
            boundary: boundary.map(compiled),
            session: session.map(|all: Vec<&str>| all.into_iter().map(compiled).collect()),
            ..Own::default()
        };
        let own = Some(Arc::new(own));
        let user = Identity { own, ..who("user").unwrap() };
        let question = Question {
            identity: Some(&user),
            action: "s3:GetObject",
            resource: "arn:aws:s3:::b/k",
            context: &context,
        };
        let bucket = Bucket {
            account: "111111111111",
            owner_id: &owner,
            acl: None,
            ownership: Ownership::BucketOwnerEnforced,
            block: PublicBlock::default(),
            policy: public.as_ref().filter(|_| by_bucket),
        };
        let answer = of_the_bucket(question, bucket);
        assert_eq!(answer == Answer::Allow, allowed, "{policies:?} {boundary:?}: {answer:?}");
    }
}
