//! What holds for any policy and any request, and what hostile documents must not do.

use crate::hostile::{MAX_BYTES, parse_and_use};
use policy::{Caller, Compiled, Context, Decision, Document, Kind, Policies, Request, decide};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::sync::Arc;

const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const ROLE: &str = "arn:aws:iam::111122223333:role/worker";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/worker/s1";

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    select(values).prop_map(Value::from)
}

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    proptest::collection::vec(select(values), 1..4).prop_map(Value::from)
}

fn condition() -> impl Strategy<Value = Value> {
    let operator = one_of(&[
        "StringEquals",
        "StringNotEquals",
        "StringLike",
        "StringNotLikeIfExists",
        "StringEqualsIgnoreCase",
        "ForAllValues:StringLike",
        "ForAnyValue:StringNotEquals",
    ]);
    let key = select(&["aws:username", "aws:TagKeys", "s3:prefix"][..]);
    let values = some_of(&["alice", "a*", "", "${aws:username}", "${s3:prefix, 'x'}", "?", "b"]);
    (operator, key, values).prop_map(
        |(operator, key, values)| json!({operator.as_str().unwrap_or_default(): {key: values}}),
    )
}

fn statement(principals: bool) -> impl Strategy<Value = Value> {
    let actions =
        some_of(&["*", "s3:*", "s3:Get*", "s3:GetObject", "s3:*Object", "iam:*", "S3:put*"]);
    let resources = some_of(&[
        "*",
        "arn:aws:s3:::b",
        "arn:aws:s3:::b/*",
        "arn:aws:s3:::b/${aws:username}/*",
        "arn:aws:s3:::*/a?",
        "arn:aws:s3*",
        "arn:aws:*:*:*:c",
    ]);
    let principal = prop_oneof![
        Just(json!("*")),
        some_of(&["*", "111122223333", "444455556666", ALICE, ROLE, SESSION])
            .prop_map(|list| json!({"AWS": list})),
    ];
    let names = (any::<bool>(), any::<bool>(), any::<bool>());
    let effect = one_of(&["Allow", "Allow", "Deny"]);
    (effect, actions, resources, principal, proptest::option::of(condition()), names).prop_map(
        move |(effect, actions, resources, principal, condition, names)| {
            let mut statement = json!({"Effect": effect});
            let mut put = |name: &str, negated: bool, value: Value| {
                let prefix = if negated { "Not" } else { "" };
                statement[format!("{prefix}{name}")] = value;
            };
            put("Action", names.0, actions);
            put("Resource", names.1, resources);
            if principals {
                put("Principal", names.2, principal);
            }
            if let Some(condition) = condition {
                statement["Condition"] = condition;
            }
            statement
        },
    )
}

fn statements(principals: bool) -> impl Strategy<Value = Vec<Value>> {
    proptest::collection::vec(statement(principals), 1..5)
}

fn parse(statements: &[Value], kind: Kind) -> Document {
    let whole = json!({"Version": "2012-10-17", "Statement": statements});
    Document::parse(&whole.to_string(), MAX_BYTES, kind).expect("a valid document")
}

fn compile(statements: &[Value], kind: Kind) -> Arc<Compiled> {
    parse(statements, kind).compile()
}

/// A request with the policies that concern it, before compilation.
#[derive(Debug, Clone)]
struct Scene {
    caller: u8,
    action: &'static str,
    resource: &'static str,
    values: Vec<(&'static str, Vec<&'static str>)>,
    identity: Vec<Vec<Value>>,
    bucket: Option<Vec<Value>>,
    boundary: Option<Vec<Value>>,
    session: Option<Vec<Value>>,
    foreign: bool,
    must: bool,
}

fn scene() -> impl Strategy<Value = Scene> {
    let values = proptest::collection::vec(
        (
            select(&["aws:username", "aws:TagKeys", "s3:prefix"][..]),
            proptest::collection::vec(select(&["alice", "a", "b", ""][..]), 0..3),
        ),
        0..3,
    );
    let action = select(&["s3:GetObject", "s3:PutObject", "iam:CreateUser", "s3:ListBucket"][..]);
    let resource =
        select(&["arn:aws:s3:::b", "arn:aws:s3:::b/alice/x", "arn:aws:s3:::b/aa", "*"][..]);
    let limit = || proptest::option::of(statements(false));
    (
        (0_u8..6, action, resource, values),
        proptest::collection::vec(statements(false), 0..4),
        proptest::option::of(statements(true)),
        (limit(), limit()),
        (any::<bool>(), any::<bool>()),
    )
        .prop_map(|(request, identity, bucket, (boundary, session), (foreign, must))| {
            let (caller, action, resource, values) = request;
            Scene {
                caller,
                action,
                resource,
                values,
                identity,
                bucket,
                boundary,
                session,
                foreign,
                must,
            }
        })
}

impl Scene {
    fn caller(&self) -> Caller<'static> {
        let account = "111122223333".parse().expect("an account");
        match self.caller {
            0 => Caller::Anonymous,
            1 => Caller::Root { account },
            2 => Caller::User { account, arn: ALICE },
            3 => Caller::RoleSession { account, role_arn: ROLE, session_arn: SESSION },
            4 => Caller::FederatedUser { account, user_arn: ALICE, session_arn: SESSION },
            _ => Caller::Service { name: "ec2.amazonaws.com" },
        }
    }

    fn decide(&self) -> Decision {
        let mut context = Context::new();
        for (key, values) in &self.values {
            match values.as_slice() {
                [one] => context.set(*key, *one),
                many => context.set_all(*key, many.iter().copied()),
            }
        }
        let identity: Vec<_> =
            self.identity.iter().map(|one| compile(one, Kind::Identity)).collect();
        let bucket = self.bucket.as_ref().map(|one| compile(one, Kind::Resource));
        let boundary = self.boundary.as_ref().map(|one| compile(one, Kind::Boundary));
        let session = self.session.as_ref().map(|one| compile(one, Kind::Session));
        let owner = if self.foreign { "444455556666" } else { "111122223333" };
        let request = Request {
            caller: self.caller(),
            canonical_user: None,
            action: self.action,
            resource: self.resource,
            context: &context,
        };
        decide(
            &request,
            &Policies {
                identity: &identity,
                resource: bucket.as_deref(),
                resource_account: Some(owner.parse().expect("an account")),
                resource_must_allow: self.must,
                boundary: boundary.as_deref(),
                session: session.as_ref().map(std::slice::from_ref),
            },
        )
    }
}

fn only(effect: &str, statements: Vec<Value>) -> Vec<Value> {
    let mut statements = statements;
    for statement in &mut statements {
        statement["Effect"] = json!(effect);
    }
    statements
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn an_explicit_deny_always_wins(scene in scene(), place in 0..4) {
        let mut denied = scene;
        let deny = json!({"Effect": "Deny", "Action": "*", "Resource": "*"});
        match place {
            0 => denied.identity.push(vec![deny]),
            1 => denied.boundary.get_or_insert_default().push(deny),
            2 => denied.session.get_or_insert_default().push(deny),
            _ => {
                let mut deny = deny;
                deny["Principal"] = json!("*");
                denied.bucket.get_or_insert_default().insert(0, deny);
            }
        }
        let explicit = matches!(denied.decide(), Decision::ExplicitDeny(_));
        prop_assert!(explicit);
    }

    #[test]
    fn a_policy_that_only_denies_never_allows(
        scene in scene(), added in statements(false), bucket in statements(true),
    ) {
        let before = scene.decide();
        let mut after = scene.clone();
        after.identity.push(only("Deny", added.clone()));
        after.bucket.get_or_insert_default().extend(only("Deny", bucket));
        if let Some(session) = &mut after.session {
            session.extend(only("Deny", added));
        }
        prop_assert!(before.is_allow() || !after.decide().is_allow());
    }

    #[test]
    fn a_policy_that_only_allows_never_denies(
        scene in scene(), added in statements(false), bucket in statements(true),
    ) {
        let before = scene.decide();
        let mut after = scene.clone();
        after.identity.push(only("Allow", added));
        after.bucket.get_or_insert_default().extend(only("Allow", bucket));
        prop_assert!(!before.is_allow() || after.decide().is_allow());
    }

    #[test]
    fn a_limit_never_allows(scene in scene(), limit in statements(false)) {
        let before = scene.decide();
        let mut after = scene;
        match (after.boundary.is_none(), after.session.is_none()) {
            (true, _) => after.boundary = Some(limit),
            (false, true) => after.session = Some(limit),
            (false, false) => {}
        }
        prop_assert!(before.is_allow() || !after.decide().is_allow());
    }

    #[test]
    fn the_order_of_policies_and_statements_is_nothing(scene in scene()) {
        let mut turned = scene.clone();
        turned.identity.reverse();
        let lists = turned.identity.iter_mut().chain(&mut turned.bucket);
        lists.chain(&mut turned.boundary).chain(&mut turned.session).for_each(|list| list.reverse());
        prop_assert_eq!(scene.decide().is_allow(), turned.decide().is_allow());
    }

    #[test]
    fn nobody_of_another_account_does_without_the_resource(scene in scene()) {
        let mut alone = scene;
        alone.bucket = None;
        alone.foreign = true;
        prop_assert!(!alone.decide().is_allow());
    }

    #[test]
    fn what_is_printed_parses_to_the_same(statements in statements(true)) {
        let document = parse(&statements, Kind::Resource);
        let again = Document::parse(&document.to_string(), MAX_BYTES, Kind::Resource);
        prop_assert_eq!(again, Ok(document));
    }

    #[test]
    fn patterns_match_as_defined(pattern in "[ab*?\u{e9}]{0,9}", text in "[ab\u{e9}]{0,9}") {
        let statement = json!({"Effect": "Allow", "Action": "s3:*",
            "Resource": format!("arn:aws:s3:::{pattern}")});
        let scene = |resource| {
            let request = Request {
                caller: Caller::User { account: "111122223333".parse().expect("an account"), arn: ALICE },
                canonical_user: None,
                action: "s3:GetObject",
                resource,
                context: &Context::new(),
            };
            let identity = [compile(std::slice::from_ref(&statement), Kind::Identity)];
            decide(&request, &Policies { identity: &identity, ..Policies::default() })
        };
        let by_definition = fits(
            &pattern.chars().collect::<Vec<_>>(),
            &text.chars().collect::<Vec<_>>(),
        );
        prop_assert_eq!(scene(&format!("arn:aws:s3:::{text}")).is_allow(), by_definition);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", kind in kinds()) {
        parse_and_use(&text, kind);
        parse_and_use(&format!("{{{text}"), kind);
    }

    #[test]
    fn no_damage_to_a_document_makes_it_panic(
        statements in statements(true),
        kind in kinds(),
        at in any::<prop::sample::Index>(),
        length in 0_usize..6,
        inserted in "[ -~\\u{e9}{}\\[\\]\":,$*?]{0,6}",
    ) {
        let whole = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let characters: Vec<char> = whole.chars().collect();
        let from = at.index(characters.len());
        let to = (from + length).min(characters.len());
        let damaged: String = characters[..from].iter().copied()
            .chain(inserted.chars())
            .chain(characters[to..].iter().copied())
            .collect();
        parse_and_use(&damaged, kind);
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    select(&[Kind::Identity, Kind::Resource, Kind::Trust, Kind::Boundary, Kind::Session][..])
}

/// Wildcards by their definition, in exponential time.
fn fits(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        (['*', rest @ ..], text) => (0..=text.len()).any(|skipped| fits(rest, &text[skipped..])),
        (['?', rest @ ..], [_, after @ ..]) => fits(rest, after),
        ([one, rest @ ..], [other, after @ ..]) => one == other && fits(rest, after),
        (_, []) => false,
    }
}

fn refused(text: &str) -> String {
    Document::parse(text, MAX_BYTES, Kind::Resource).expect_err("a hostile document").to_string()
}

#[test]
fn nesting_is_bounded() {
    let not_json = "Policies must be valid JSON and the first byte must be '{'";
    for open in ["{\"Statement\":", "{\"Statement\":[", "{\"a\":[["] {
        let deep = open.repeat(60_000 / open.len());
        assert_eq!(refused(&deep), not_json);
    }
    let closed = format!("{{\"Id\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(refused(&closed), not_json);
}

#[test]
fn size_is_bounded() {
    let long = format!("{{\"Id\":\"{}\"}}", "x".repeat(MAX_BYTES));
    let invalid = Document::parse(&long, 100, Kind::Resource).expect_err("too long");
    assert_eq!(invalid.reason, policy::Reason::TooLarge { max_bytes: 100 });
    assert_eq!(invalid.code(), "MalformedPolicy");
    let long = Document::parse(&long, 100, Kind::Identity).expect_err("too long");
    assert_eq!(long.code(), "LimitExceeded");
    let fitting = r#"{"Id":"x"}"#;
    let at_limit =
        Document::parse(fitting, fitting.len(), Kind::Resource).expect_err("no statement");
    assert_eq!(at_limit.reason, policy::Reason::MissingField("Statement"));
}

#[test]
fn many_duplicates_and_many_values_take_no_long_time() {
    let keys: Vec<_> = (0..5000).map(|n| format!("\"k{n}\":1")).collect();
    assert_eq!(refused(&format!("{{{}}}", keys.join(","))), "Unknown field k0");
    let actions: Vec<_> = (0..4000).map(|n| format!("s3:a{n}*")).collect();
    let statement =
        json!({"Effect": "Allow", "Principal": "*", "Action": actions, "Resource": "*"});
    assert!(policy::s3::check(&parse(&[statement], Kind::Resource), "b").is_err());
}

/// An exponential or a recursive matcher would not come back from these.
#[test]
fn hostile_patterns_come_back() {
    let text = format!("arn:aws:s3:::{}", "a".repeat(1024));
    for unit in ["*a", "*?", "*a?", "?*a", "*${aws:username, 'a'}"] {
        let pattern = format!("arn:aws:s3:::{}b", unit.repeat(15_000 / unit.len()));
        let statement = json!({"Effect": "Allow", "Principal": "*", "Action": "s3:*",
            "Resource": pattern});
        let compiled = compile(&[statement], Kind::Resource);
        let request = Request {
            caller: Caller::Anonymous,
            canonical_user: None,
            action: "s3:GetObject",
            resource: &text,
            context: &Context::new(),
        };
        let policies = Policies { resource: Some(&compiled), ..Policies::default() };
        assert!(!decide(&request, &policies).is_allow(), "{unit}");
    }
}
