//! Ten thousand random cases of caller, policies and call, decided a second time by [`rules`].

mod rules;

use crate::hostile::MAX_BYTES;
use policy::{Caller, Compiled, Context, Decision, Document, Kind, Policies, Request, decide};
use proptest::{
    prelude::*,
    sample::{select, subsequence},
    test_runner::TestRunner,
};
use rules::{Outcome, outcome};
use serde_json::{Map, Value, json};
use std::{cell::RefCell, collections::HashMap, sync::Arc};

const ACCOUNT: &str = "111122223333";
const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const ROLE: &str = "arn:aws:iam::111122223333:role/worker";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/worker/s1";
const CASES: u32 = 10_000;

const ACTIONS: &[&str] = &[
    "*",
    "*",
    "s3:*",
    "s3:Get*",
    "s3:GetObject",
    "s3:*Object",
    "S3:put*",
    "s3:?etObject",
    "ec2:*",
    "ec2:RunInstances",
    "iam:*",
    "iam:PassRole",
];
const CALLS: &[&str] = &[
    "s3:GetObject",
    "s3:PutObject",
    "s3:ListBucket",
    "ec2:RunInstances",
    "iam:PassRole",
    "iam:CreateUser",
];
const RESOURCES: &[&str] = &[
    "*",
    "*",
    "arn:aws:s3:::b",
    "arn:aws:s3:::b/*",
    "arn:aws:s3:::b/${aws:username}/*",
    "arn:aws:s3:::*/a?",
    "arn:aws:s3:::b/${aws:PrincipalTag/team, 'none'}*",
    "arn:aws:s3:::b/${*}",
    "arn:aws:s3*",
    "arn:aws:*:*:*:instance/*",
    "arn:aws:ec2:*:111122223333:instance/i-?",
    "arn:aws:iam::*:role/work*",
];
const TARGETS: &[&str] = &[
    "*",
    "arn:aws:s3:::b",
    "arn:aws:s3:::b/alice/x",
    "arn:aws:s3:::b/aa",
    "arn:aws:s3:::b/*",
    "arn:aws:s3:::b/none",
    "arn:aws:ec2:eu-west-1:111122223333:instance/i-1",
    "arn:aws:ec2:eu-west-1:444455556666:instance/i-22",
    ROLE,
];
const PRINCIPALS: &[&str] = &[
    "*",
    ACCOUNT,
    "arn:aws:iam::111122223333:root",
    "444455556666",
    ALICE,
    ROLE,
    SESSION,
    "arn:aws:iam::111122223333:user/bob",
];

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Anonymous,
    Root,
    User,
    Role,
    FederatedUser,
    Provider,
    Service,
}

/// The values of a condition key.
#[derive(Debug, Clone)]
pub enum Given {
    One(&'static str),
    Many(Vec<&'static str>),
}

/// A call with all policies that concern it, each a list of statements.
#[derive(Debug, Clone)]
pub struct Scene {
    who: Who,
    action: &'static str,
    resource: &'static str,
    context: Vec<(&'static str, Given)>,
    identity: Vec<Vec<Value>>,
    bucket: Option<Vec<Value>>,
    boundary: Option<Vec<Value>>,
    session: Option<Vec<Value>>,
    foreign: bool,
    must: bool,
}

/// A group of operators, the keys that they are used with, values of conditions and of calls.
#[derive(Debug)]
struct Family {
    operators: &'static [&'static str],
    keys: &'static [&'static str],
    values: &'static [&'static str],
    given: &'static [&'static str],
}

const STRINGS: Family = Family {
    operators: &[
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        "StringLike",
        "StringNotLike",
    ],
    keys: &["aws:username", "AWS:UserName", "aws:TagKeys", "s3:prefix", "aws:PrincipalTag/team"],
    values: &["alice", "ALICE", "a*", "", "${aws:username}", "${s3:prefix, 'x'}", "?", "b", "x"],
    given: &["alice", "a", "b", "", "Alice", "a*"],
};
const NUMERICS: Family = Family {
    operators: &[
        "NumericEquals",
        "NumericNotEquals",
        "NumericLessThan",
        "NumericLessThanEquals",
        "NumericGreaterThan",
        "NumericGreaterThanEquals",
    ],
    keys: &["s3:max-keys"],
    values: &["5", "10", "10.0", "1e1", "-3", "11"],
    given: &["5", "10", "10.0", "1e1", "-3", "11", "many"],
};
const TIMES: Family = Family {
    operators: &[
        "DateEquals",
        "DateNotEquals",
        "DateLessThan",
        "DateLessThanEquals",
        "DateGreaterThan",
        "DateGreaterThanEquals",
    ],
    keys: &["aws:CurrentTime"],
    values: &[
        "2026-11-22T10:00:00Z",
        "2026-11-22T11:00:00+01:00",
        "1795341600",
        "2026-11-22",
        "2026-11-22T10:00:00.000Z",
        "2027",
    ],
    given: &[
        "2026-11-22T10:00:00Z",
        "2026-11-22T11:00:00+01:00",
        "1795341600",
        "2026-11-22",
        "2027",
        "soon",
    ],
};
const ADDRESSES: Family = Family {
    operators: &["IpAddress", "NotIpAddress"],
    keys: &["aws:SourceIp"],
    values: &[
        "10.0.0.0/24",
        "10.0.0.0/8",
        "10.0.1.7/24",
        "192.0.2.1",
        "0.0.0.0/0",
        "2001:db8::/32",
        "::/0",
    ],
    given: &["10.0.0.5", "10.0.1.5", "192.0.2.1", "2001:db8::1"],
};
const BOOLEANS: Family = Family {
    operators: &["Bool"],
    keys: &["aws:SecureTransport"],
    values: &["true", "false", "True"],
    given: &["true", "false"],
};
const BYTES: Family = Family {
    operators: &["BinaryEquals"],
    keys: &["x:bytes"],
    values: &["QUI=", "QUJD"],
    given: &["QUI=", "QUJD", "QQ=="],
};
const ARNS: Family = Family {
    operators: &["ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"],
    keys: &["aws:SourceArn"],
    values: &[
        "arn:aws:s3:::b",
        "arn:aws:s3:::*",
        "arn:aws:iam::*:user/${aws:username}",
        "*",
        ALICE,
    ],
    given: &["arn:aws:s3:::b", "arn:aws:iam::111122223333:user/a", ALICE, "alice"],
};
const NULLS: Family = Family {
    operators: &["Null"],
    keys: &["aws:username", "aws:TagKeys", "s3:max-keys", "aws:SourceIp"],
    values: &["true", "false"],
    given: &[],
};
const FAMILIES: &[&Family] =
    &[&STRINGS, &NUMERICS, &TIMES, &ADDRESSES, &BOOLEANS, &BYTES, &ARNS, &NULLS];

fn condition() -> impl Strategy<Value = (String, &'static str, Vec<&'static str>)> {
    let quantifier = select(&["", "", "ForAllValues:", "ForAnyValue:"][..]);
    (select(FAMILIES), quantifier, any::<bool>()).prop_flat_map(
        |(family, quantifier, if_exists)| {
            let values = subsequence(family.values, 1..=2);
            (select(family.operators), select(family.keys), values).prop_map(
                move |(operator, key, values)| {
                    let name = match (operator, if_exists) {
                        ("Null", _) => operator.to_owned(),
                        (_, true) => format!("{quantifier}{operator}IfExists"),
                        (_, false) => format!("{quantifier}{operator}"),
                    };
                    (name, key, values)
                },
            )
        },
    )
}

/// The conditions of a statement: most have one, or none.
fn conditions() -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::vec(condition(), 0..3).prop_map(|list| {
        let mut all = Map::new();
        for (operator, key, values) in list {
            let keys = all.entry(operator).or_insert_with(|| json!({}));
            let keys = keys.as_object_mut().expect("keys");
            // A document that names a key twice is refused, in whatever case it does.
            if !keys.keys().any(|one| one.eq_ignore_ascii_case(key)) {
                keys.insert(key.to_owned(), json!(values));
            }
        }
        all
    })
}

fn context() -> impl Strategy<Value = Vec<(&'static str, Given)>> {
    let families: Vec<_> = FAMILIES.iter().filter(|one| !one.given.is_empty()).collect();
    let entry = select(families).prop_flat_map(|family| {
        let one = select(family.given).prop_map(Given::One);
        let many = subsequence(family.given, 0..=2).prop_map(Given::Many);
        (select(family.keys), prop_oneof![3 => one, 1 => many])
    });
    proptest::collection::vec(entry, 0..7)
}

fn statement(principals: bool) -> impl Strategy<Value = Value> {
    let list = |from: &'static [&'static str]| proptest::collection::vec(select(from), 1..4);
    let others = select(vec![
        json!({"Federated": "accounts.google.com"}),
        json!({"Service": ["ec2.amazonaws.com", "s3.amazonaws.com"]}),
        json!("*"),
    ]);
    let principal = prop_oneof![
        3 => list(PRINCIPALS).prop_map(|list| json!({"AWS": list})),
        1 => others,
    ];
    let effect = select(&["Allow", "Allow", "Allow", "Deny"][..]);
    let negated = || proptest::bool::weighted(0.2);
    (
        effect,
        list(ACTIONS),
        list(RESOURCES),
        principal,
        conditions(),
        (negated(), negated(), negated()),
    )
        .prop_map(move |(effect, actions, resources, principal, conditions, negated)| {
            let name = |name: &str, negated: bool| {
                if negated { format!("Not{name}") } else { name.to_owned() }
            };
            let mut statement = json!({"Effect": effect});
            statement[name("Action", negated.0)] = json!(actions);
            statement[name("Resource", negated.1)] = json!(resources);
            if principals {
                statement[name("Principal", negated.2)] = principal;
            }
            if !conditions.is_empty() {
                statement["Condition"] = Value::Object(conditions);
            }
            statement
        })
}

fn scene() -> impl Strategy<Value = Scene> {
    let statements = |principals| proptest::collection::vec(statement(principals), 1..4);
    let limit = move || proptest::option::weighted(0.3, statements(false));
    let who = select(
        &[
            Who::Anonymous,
            Who::Root,
            Who::User,
            Who::User,
            Who::Role,
            Who::Role,
            Who::FederatedUser,
            Who::Provider,
            Who::Service,
        ][..],
    );
    (
        (who, select(CALLS), select(TARGETS), context()),
        proptest::collection::vec(statements(false), 0..4),
        proptest::option::of(statements(true)),
        (limit(), limit()),
        (proptest::bool::weighted(0.3), proptest::bool::weighted(0.2)),
    )
        .prop_map(|(call, identity, bucket, (boundary, session), (foreign, must))| {
            let (who, action, resource, context) = call;
            Scene {
                who,
                action,
                resource,
                context,
                identity,
                bucket,
                boundary,
                session,
                foreign,
                must,
            }
        })
}

fn compile(statements: &[Value], kind: Kind) -> Arc<Compiled> {
    let whole = json!({"Version": "2012-10-17", "Statement": statements});
    Document::parse(&whole.to_string(), MAX_BYTES, kind).expect("a valid document").compile()
}

impl Scene {
    fn caller(&self) -> Caller<'static> {
        let account = ACCOUNT.parse().expect("an account");
        match self.who {
            Who::Anonymous => Caller::Anonymous,
            Who::Root => Caller::Root { account },
            Who::User => Caller::User { account, arn: ALICE },
            Who::Role => Caller::RoleSession { account, role_arn: ROLE, session_arn: SESSION },
            Who::FederatedUser => {
                Caller::FederatedUser { account, user_arn: ALICE, session_arn: SESSION }
            }
            Who::Provider => Caller::Federated { provider: "accounts.google.com" },
            Who::Service => Caller::Service { name: "ec2.amazonaws.com" },
        }
    }

    fn decide(&self) -> Outcome {
        let mut context = Context::new();
        for (key, given) in &self.context {
            match given {
                Given::One(one) => context.set(*key, *one),
                Given::Many(many) => context.set_all(*key, many.iter().copied()),
            }
        }
        let identity: Vec<_> =
            self.identity.iter().map(|one| compile(one, Kind::Identity)).collect();
        let [bucket, boundary, session] = [
            (&self.bucket, Kind::Resource),
            (&self.boundary, Kind::Boundary),
            (&self.session, Kind::Session),
        ]
        .map(|(statements, kind)| statements.as_ref().map(|one| compile(one, kind)));
        let owner = if self.foreign { "444455556666" } else { ACCOUNT };
        let request = Request {
            caller: self.caller(),
            canonical_user: None,
            action: self.action,
            resource: self.resource,
            context: &context,
        };
        let policies = Policies {
            identity: &identity,
            resource: bucket.as_deref(),
            resource_account: Some(owner.parse().expect("an account")),
            resource_must_allow: self.must,
            boundary: boundary.as_deref(),
            session: session.as_ref().map(std::slice::from_ref),
        };
        match decide(&request, &policies) {
            Decision::Allow => Outcome::Allowed,
            Decision::ExplicitDeny(_) => Outcome::Denied,
            Decision::ImplicitDeny(_) => Outcome::NotAllowed,
        }
    }
}

#[test]
fn ten_thousand_cases_are_decided_as_the_documentation_tells() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) };
    let seen = RefCell::new(HashMap::<Outcome, u32>::new());
    let result = TestRunner::new(config).run(&scene(), |scene| {
        let expected = outcome(&scene);
        *seen.borrow_mut().entry(expected).or_default() += 1;
        prop_assert_eq!(scene.decide(), expected);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    // Cases that all end the same would show nothing.
    let seen = seen.into_inner();
    for each in [Outcome::Allowed, Outcome::Denied, Outcome::NotAllowed] {
        assert!(seen.get(&each).is_some_and(|count| *count > CASES / 10), "{seen:?}");
    }
}
