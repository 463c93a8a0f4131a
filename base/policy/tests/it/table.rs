//! Runs `tests/cases.json`: what AWS documents, case by case, written by hand.

use policy::{
    Caller, Compiled, Context, Decision, Document, Invalid, Kind, Policies, PolicyType, Request,
    decide, s3,
};
use serde_json::{Value, json};
use std::sync::Arc;

const MAX_BYTES: usize = 20 * 1024;

fn cases() -> Value {
    serde_json::from_str(include_str!("../cases.json")).expect("cases.json is JSON")
}

fn rows<'a>(cases: &'a Value, table: &str) -> &'a [Value] {
    cases[table].as_array().expect("a table is a list")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

fn document(statements: &Value, kind: Kind) -> Result<Document, Invalid> {
    let whole = json!({"Version": "2012-10-17", "Statement": statements});
    Document::parse(&whole.to_string(), MAX_BYTES, kind)
}

fn context(values: &Value) -> Context<'_> {
    let mut context = Context::new();
    for (key, value) in values.as_object().into_iter().flatten() {
        match value.as_array() {
            Some(list) => context.set_all(key, list.iter().map(text)),
            None => context.set(key, text(value)),
        }
    }
    context
}

/// Whether a caller without other policies may do it.
fn allows(policy: Arc<Compiled>, action: &str, resource: &str, values: &Value) -> bool {
    let request = Request {
        caller: Caller::User {
            account: "111122223333".parse().expect("an account"),
            arn: "arn:aws:iam::111122223333:user/alice",
        },
        canonical_user: None,
        action,
        resource,
        context: &context(values),
    };
    let policies = Policies { identity: &[policy], ..Policies::default() };
    decide(&request, &policies).is_allow()
}

/// Fails with all rows that differ, not with the first.
fn check(table: &str, rows: &[Value], outcome: impl Fn(&Value) -> (Value, Value)) {
    let mut wrong = Vec::new();
    for row in rows {
        let (found, expected) = outcome(row);
        if found != expected {
            wrong.push(format!("{row}\n    gives {found}, not {expected}"));
        }
    }
    assert!(!rows.is_empty());
    assert!(wrong.is_empty(), "{} rows of `{table}`:\n{}", wrong.len(), wrong.join("\n"));
}

/// What a statement does to one request: true, false, or "refused" where it doesn't parse.
fn outcome(statement: &Value, action: &Value, resource: &Value, values: &Value) -> Value {
    match document(statement, Kind::Identity) {
        Ok(document) => allows(document.compile(), text(action), text(resource), values).into(),
        Err(_) => "refused".into(),
    }
}

#[test]
fn actions() {
    let cases = cases();
    check("actions", rows(&cases, "actions"), |row| {
        let statement = json!({"Effect": "Allow", "Action": row[0], "Resource": "*"});
        (outcome(&statement, &row[1], &json!("*"), &json!({})), row[2].clone())
    });
    check("not_actions", rows(&cases, "not_actions"), |row| {
        let statement = json!({"Effect": "Allow", "NotAction": row[0], "Resource": "*"});
        (outcome(&statement, &row[1], &json!("*"), &json!({})), row[2].clone())
    });
}

#[test]
fn resources() {
    let cases = cases();
    check("resources", rows(&cases, "resources"), |row| {
        let statement = json!({"Effect": "Allow", "Action": "*", "Resource": row[0]});
        (outcome(&statement, &json!("s3:GetObject"), &row[1], &row[2]), row[3].clone())
    });
    check("not_resources", rows(&cases, "not_resources"), |row| {
        let statement = json!({"Effect": "Allow", "Action": "*", "NotResource": row[0]});
        (outcome(&statement, &json!("s3:GetObject"), &row[1], &row[2]), row[3].clone())
    });
    check("old_resources", rows(&cases, "old_resources"), |row| {
        let whole = json!({"Version": "2008-10-17", "Statement": {
            "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:user/alice"},
            "Action": "*", "Resource": row[0]}});
        let document = Document::parse(&whole.to_string(), MAX_BYTES, Kind::Resource);
        let compiled = document.expect("a valid document").compile();
        (allows(compiled, "s3:GetObject", text(&row[1]), &row[2]).into(), row[3].clone())
    });
}

#[test]
fn conditions() {
    check("conditions", rows(&cases(), "conditions"), |row| {
        let statement =
            json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": row[0]});
        (outcome(&statement, &json!("s3:GetObject"), &json!("*"), &row[1]), row[2].clone())
    });
}

#[test]
fn documents() {
    check("documents", rows(&cases(), "documents"), |row| {
        let kind = match text(&row[0]) {
            "identity" => Kind::Identity,
            "resource" => Kind::Resource,
            "trust" => Kind::Trust,
            "boundary" => Kind::Boundary,
            "session" => Kind::Session,
            other => panic!("no kind {other}"),
        };
        let whole = row[1].as_str().map_or_else(|| row[1].to_string(), str::to_owned);
        let found = match Document::parse(&whole, MAX_BYTES, kind) {
            Ok(document) => {
                let again = Document::parse(&document.to_string(), MAX_BYTES, kind);
                assert_eq!(again.as_ref(), Ok(&document), "printed and parsed: {whole}");
                Value::Null
            }
            Err(invalid) => invalid.to_string().into(),
        };
        (found, row[2].clone())
    });
}

#[test]
fn bucket_policies() {
    check("buckets", rows(&cases(), "buckets"), |row| {
        let mut statement = row[0].clone();
        statement["Effect"] = json!("Allow");
        statement["Principal"] = json!("*");
        let document = document(&statement, Kind::Resource).expect("a valid document");
        let found = s3::check(&document, "b").err();
        (found.map(|invalid| invalid.to_string()).into(), row[1].clone())
    });
}

#[test]
fn public_policies() {
    check("public", rows(&cases(), "public"), |row| {
        let mut statement = json!({"Effect": "Allow", "Principal": row[0],
            "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"});
        if !row[1].is_null() {
            statement["Condition"] = row[1].clone();
        }
        let allow = document(&statement, Kind::Resource).expect("a valid document");
        statement["Effect"] = json!("Deny");
        let deny = document(&statement, Kind::Resource).expect("a valid document");
        assert!(!s3::is_public(&deny), "{row}");
        (s3::is_public(&allow).into(), row[2].clone())
    });
}

fn caller(row: &Value) -> Caller<'_> {
    let account = || text(&row["account"]).parse().expect("an account");
    match text(&row["type"]) {
        "anonymous" => Caller::Anonymous,
        "root" => Caller::Root { account: account() },
        "user" => Caller::User { account: account(), arn: text(&row["arn"]) },
        "session" => Caller::RoleSession {
            account: account(),
            role_arn: text(&row["arn"]),
            session_arn: text(&row["session"]),
        },
        "federated user" => Caller::FederatedUser {
            account: account(),
            user_arn: text(&row["arn"]),
            session_arn: text(&row["session"]),
        },
        "federated" => Caller::Federated { provider: text(&row["name"]) },
        "service" => Caller::Service { name: text(&row["name"]) },
        other => panic!("no caller {other}"),
    }
}

fn named(cases: &Value, name: &Value) -> Option<Arc<Compiled>> {
    let name = name.as_str()?;
    let found =
        [("policies", Kind::Identity), ("policies", Kind::Resource), ("trusts", Kind::Trust)]
            .into_iter()
            .find_map(|(table, kind)| document(&cases[table][name], kind).ok());
    Some(found.unwrap_or_else(|| panic!("no valid policy {name}")).compile())
}

fn described(decision: Decision) -> String {
    let name = |policy_type| match policy_type {
        PolicyType::Identity => "identity",
        PolicyType::Resource => "resource",
        PolicyType::Boundary => "boundary",
        PolicyType::Session => "session",
    };
    match decision {
        Decision::Allow => "allow".to_owned(),
        Decision::ExplicitDeny(origin) => {
            format!("deny {} {} {}", name(origin.policy_type), origin.policy, origin.statement)
        }
        Decision::ImplicitDeny(policy_type) => format!("none {}", name(policy_type)),
    }
}

#[test]
fn decisions() {
    let cases = cases();
    check("decisions", rows(&cases, "decisions"), |row| {
        let known = [
            "caller",
            "identity",
            "resource",
            "owner",
            "boundary",
            "session",
            "must",
            "action",
            "on",
            "context",
            "canonical",
            "is",
        ];
        let keys = row.as_object().expect("a row is an object").keys();
        assert!(keys.into_iter().all(|key| known.contains(&key.as_str())), "{row}");
        let identity = row["identity"].as_array().into_iter().flatten();
        let identity: Vec<_> = identity.filter_map(|name| named(&cases, name)).collect();
        let resource = named(&cases, &row["resource"]);
        let boundary = named(&cases, &row["boundary"]);
        let session = named(&cases, &row["session"]);
        let owner = row["owner"].as_str().map(|owner| match owner {
            "A" => "111122223333".parse().expect("an account"),
            _ => "444455556666".parse().expect("an account"),
        });
        let request = Request {
            caller: caller(&cases["callers"][text(&row["caller"])]),
            canonical_user: row["canonical"].as_str(),
            action: row["action"].as_str().unwrap_or("s3:GetObject"),
            resource: row["on"].as_str().unwrap_or("arn:aws:s3:::b/k"),
            context: &context(&row["context"]),
        };
        let policies = Policies {
            identity: &identity,
            resource: resource.as_deref(),
            resource_account: owner,
            resource_must_allow: row["must"] == true,
            boundary: boundary.as_deref(),
            session: session.as_ref().map(std::slice::from_ref),
        };
        (described(decide(&request, &policies)).into(), row["is"].clone())
    });
}

#[test]
fn messages_of_refusals() {
    let denied = Decision::ImplicitDeny(PolicyType::Identity);
    assert_eq!(
        denied.because("s3:GetObject"),
        "because no identity-based policy allows the s3:GetObject action"
    );
    let origin = policy::Origin { policy_type: PolicyType::Resource, policy: 0, statement: 3 };
    assert_eq!(
        Decision::ExplicitDeny(origin).because("s3:GetObject"),
        "with an explicit deny in a resource-based policy"
    );
    assert_eq!(Decision::Allow.because("s3:GetObject"), "");
    let codes = [Kind::Resource, Kind::Identity, Kind::Trust]
        .map(|kind| Document::parse("", MAX_BYTES, kind).expect_err("no document").code());
    assert_eq!(codes, ["MalformedPolicy", "MalformedPolicyDocument", "MalformedPolicyDocument"]);
}

#[test]
fn a_bucket_owner_is_never_locked_out() {
    for action in ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:deletebucketpolicy"] {
        assert!(s3::owner_root_always_may(action), "{action}");
    }
    assert!(!s3::owner_root_always_may("s3:GetObject"));
}

#[test]
fn principals_are_listed_for_whoever_knows_them() {
    let principal = json!({"AWS": ["111122223333", "arn:aws:iam::111122223333:user/a"],
        "Service": "ec2.amazonaws.com"});
    let statement = json!({"Effect": "Allow", "Principal": principal, "Action": "s3:*",
        "Resource": "*"});
    let document = document(&statement, Kind::Resource).expect("a valid document");
    let mut listed: Vec<_> = document.principals().map(policy::Principal::as_str).collect();
    listed.sort_unstable();
    assert_eq!(listed, ["111122223333", "arn:aws:iam::111122223333:user/a", "ec2.amazonaws.com"]);
}
