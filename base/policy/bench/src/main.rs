//! Decisions per second on one core, for a caller with ten policies, beside Cedar's: the same rules in
//! both languages, the same calls, all of a request made before the clock runs.

use cedar_policy::{Authorizer, Entities, EntityUid, PolicySet};
use policy::{Caller, Compiled, Context, Document, Kind, Policies, Request, decide};
use serde_json::{Value, json};
use std::{error::Error, hint::black_box, sync::Arc, time::Instant};

const ACCOUNT: &str = "111122223333";
const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const ROUNDS: usize = 5;
const SECONDS: f64 = 1.0;

/// The ten policies, in AWS's language.
const STATEMENTS: [&str; 10] = [
    r#"{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}"#,
    r#"{"Effect": "Allow", "Action": ["ec2:StartInstances", "ec2:StopInstances", "ec2:RebootInstances"],
        "Resource": "arn:aws:ec2:*:111122223333:instance/*",
        "Condition": {"StringEquals": {"aws:ResourceTag/team": "blue"}}}"#,
    r#"{"Effect": "Deny", "NotAction": ["iam:*", "sts:*"], "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}}}"#,
    r#"{"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::home/alice/*"}"#,
    r#"{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::home",
        "Condition": {"StringLike": {"s3:prefix": ["", "alice/*"]}}}"#,
    r#"{"Effect": "Deny", "Action": "ec2:TerminateInstances", "Resource": "*",
        "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false"}}}"#,
    r#"{"Effect": "Allow", "Action": ["kms:Decrypt", "kms:Encrypt"],
        "Resource": "arn:aws:kms:eu-west-1:111122223333:key/0a1b"}"#,
    r#"{"Effect": "Allow", "Action": ["iam:GetUser", "iam:CreateAccessKey", "iam:DeleteAccessKey"],
        "Resource": "arn:aws:iam::111122223333:user/alice"}"#,
    r#"{"Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.0.2.0/24"]}}}"#,
    r#"{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::111122223333:role/app-*",
        "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}}"#,
];

/// The same in Cedar's.
const CEDAR: &str = r#"
permit(principal == User::"alice", action in Action::"ec2:Describe", resource);
permit(principal == User::"alice",
    action in [Action::"ec2:StartInstances", Action::"ec2:StopInstances", Action::"ec2:RebootInstances"], resource)
    when { resource.arn like "arn:aws:ec2:*:111122223333:instance/*" && resource has team && resource.team == "blue" };
forbid(principal == User::"alice", action, resource)
    when { !(action in [Action::"iam", Action::"sts"]) && !(["eu-west-1", "us-east-1"].contains(context.region)) };
permit(principal == User::"alice", action in [Action::"s3:GetObject", Action::"s3:PutObject"], resource)
    when { resource.arn like "arn:aws:s3:::home/alice/*" };
permit(principal == User::"alice", action == Action::"s3:ListBucket", resource)
    when { resource.arn == "arn:aws:s3:::home" && context has prefix
        && (context.prefix == "" || context.prefix like "alice/*") };
forbid(principal == User::"alice", action == Action::"ec2:TerminateInstances", resource) when { !context.mfa };
permit(principal == User::"alice", action in [Action::"kms:Decrypt", Action::"kms:Encrypt"], resource)
    when { resource.arn == "arn:aws:kms:eu-west-1:111122223333:key/0a1b" };
permit(principal == User::"alice",
    action in [Action::"iam:GetUser", Action::"iam:CreateAccessKey", Action::"iam:DeleteAccessKey"], resource)
    when { resource.arn == "arn:aws:iam::111122223333:user/alice" };
forbid(principal == User::"alice", action, resource)
    when { !(context.sourceIp.isInRange(ip("10.0.0.0/8")) || context.sourceIp.isInRange(ip("192.0.2.0/24"))) };
permit(principal == User::"alice", action == Action::"iam:PassRole", resource)
    when { resource.arn like "arn:aws:iam::111122223333:role/app-*" && context has passedTo
        && context.passedTo == "ec2.amazonaws.com" };
"#;

/// One call and what it carries beyond what all carry.
struct Call {
    action: &'static str,
    resource: &'static str,
    /// A condition key, its name in Cedar's context (its resource's attribute where that is empty), its value.
    extra: Option<(&'static str, &'static str, &'static str)>,
    region: &'static str,
    source: &'static str,
    allowed: bool,
}

const INSTANCE: &str = "arn:aws:ec2:eu-west-1:111122223333:instance/i-0123456789abcdef0";

const fn call(action: &'static str, resource: &'static str, allowed: bool) -> Call {
    Call { action, resource, extra: None, region: "eu-west-1", source: "10.1.2.3", allowed }
}

fn calls() -> Vec<Call> {
    let team = Some(("aws:ResourceTag/team", "", "blue"));
    let service = Some(("iam:PassedToService", "passedTo", "ec2.amazonaws.com"));
    vec![
        call("ec2:DescribeInstances", "*", true),
        Call { extra: team, ..call("ec2:StopInstances", INSTANCE, true) },
        Call {
            extra: Some(("aws:ResourceTag/team", "", "red")),
            ..call("ec2:StopInstances", INSTANCE, false)
        },
        call("ec2:TerminateInstances", INSTANCE, false),
        call("s3:GetObject", "arn:aws:s3:::home/alice/report.txt", true),
        call("s3:GetObject", "arn:aws:s3:::home/bob/report.txt", false),
        Call {
            extra: Some(("s3:prefix", "prefix", "alice/a")),
            ..call("s3:ListBucket", "arn:aws:s3:::home", true)
        },
        call("kms:Decrypt", "arn:aws:kms:eu-west-1:111122223333:key/0a1b", true),
        Call {
            extra: service,
            ..call("iam:PassRole", "arn:aws:iam::111122223333:role/app-web", true)
        },
        Call { region: "ap-south-1", ..call("ec2:DescribeVpcs", "*", false) },
        Call { source: "203.0.113.9", ..call("ec2:DescribeVpcs", "*", false) },
        call("iam:CreateAccessKey", ALICE, true),
    ]
}

fn context(call: &Call) -> Context<'static> {
    let mut context = Context::new();
    for (key, value) in [
        ("aws:PrincipalArn", ALICE),
        ("aws:PrincipalAccount", ACCOUNT),
        ("aws:PrincipalType", "User"),
        ("aws:username", "alice"),
        ("aws:userid", "AIDAEXAMPLE"),
        ("aws:CurrentTime", "2026-11-22T10:00:00Z"),
        ("aws:EpochTime", "1795341600"),
        ("aws:SecureTransport", "true"),
        ("aws:MultiFactorAuthPresent", "false"),
        ("aws:UserAgent", "aws-cli/2"),
        ("aws:RequestedRegion", call.region),
        ("aws:SourceIp", call.source),
    ] {
        context.set(key, value);
    }
    if let Some((key, _, value)) = call.extra {
        context.set(key, value);
    }
    context
}

/// Calls for about so long; how many it did in a second.
fn rate(mut decide: impl FnMut() -> usize) -> f64 {
    let began = Instant::now();
    let mut done = 0;
    while began.elapsed().as_secs_f64() < SECONDS {
        for _ in 0..100 {
            done += decide();
        }
    }
    done as f64 / began.elapsed().as_secs_f64()
}

struct Ours {
    policies: Vec<Arc<Compiled>>,
    calls: Vec<(Call, Context<'static>)>,
}

impl Ours {
    fn new() -> Result<Self, Box<dyn Error>> {
        let compile = |statement: &&str| {
            let text = format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#);
            Ok(Document::parse(&text, text.len(), Kind::Identity)?.compile())
        };
        let policies = STATEMENTS.iter().map(compile).collect::<Result<_, Box<dyn Error>>>()?;
        let calls = calls().into_iter().map(|call| {
            let context = context(&call);
            (call, context)
        });
        Ok(Self { policies, calls: calls.collect() })
    }

    fn allows(&self, call: &Call, context: &Context<'_>) -> bool {
        let account = ACCOUNT.parse().expect("an account");
        let request = Request {
            caller: Caller::User { account, arn: ALICE },
            canonical_user: None,
            action: call.action,
            resource: call.resource,
            context,
        };
        decide(&request, &Policies { identity: &self.policies, ..Policies::default() }).is_allow()
    }
}

struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    calls: Vec<(cedar_policy::Request, Entities, bool)>,
}

impl Cedar {
    fn new() -> Result<Self, Box<dyn Error>> {
        let calls = calls().iter().map(Self::request).collect::<Result<_, _>>()?;
        Ok(Self { authorizer: Authorizer::new(), policies: CEDAR.parse()?, calls })
    }

    fn request(call: &Call) -> Result<(cedar_policy::Request, Entities, bool), Box<dyn Error>> {
        let service = call.action.split(':').next().unwrap_or_default();
        let mut parents = vec![json!({"type": "Action", "id": service})];
        if call.action.starts_with("ec2:Describe") {
            parents.push(json!({"type": "Action", "id": "ec2:Describe"}));
        }
        let mut attributes = json!({"arn": call.resource});
        let mut context = json!({"region": call.region, "mfa": false, "agent": "aws-cli/2",
            "sourceIp": {"__extn": {"fn": "ip", "arg": call.source}}});
        if let Some((_, name, value)) = call.extra {
            let place: &mut Value = if name.is_empty() { &mut attributes } else { &mut context };
            place[if name.is_empty() { "team" } else { name }] = json!(value);
        }
        let entities = json!([
            {"uid": {"type": "User", "id": "alice"}, "attrs": {}, "parents": []},
            {"uid": {"type": "Action", "id": call.action}, "attrs": {}, "parents": parents},
            {"uid": {"type": "Resource", "id": call.resource}, "attrs": attributes, "parents": []},
        ]);
        let id = |kind: &str, id: &str| EntityUid::from_json(json!({"type": kind, "id": id}));
        let request = cedar_policy::Request::new(
            id("User", "alice")?,
            id("Action", call.action)?,
            id("Resource", call.resource)?,
            cedar_policy::Context::from_json_value(context, None)?,
            None,
        )?;
        Ok((request, Entities::from_json_value(entities, None)?, call.allowed))
    }

    fn allows(&self, request: &cedar_policy::Request, entities: &Entities) -> bool {
        let response = self.authorizer.is_authorized(request, &self.policies, entities);
        response.decision() == cedar_policy::Decision::Allow
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (ours, cedar) = (Ours::new()?, Cedar::new()?);
    for ((call, context), (request, entities, allowed)) in ours.calls.iter().zip(&cedar.calls) {
        assert_eq!(
            ours.allows(call, context),
            call.allowed,
            "{} on {}",
            call.action,
            call.resource
        );
        assert_eq!(
            cedar.allows(request, entities),
            *allowed,
            "Cedar: {} on {}",
            call.action,
            call.resource
        );
    }
    let [mut own, mut with_context, mut peer] = [0.0_f64; 3];
    for _ in 0..ROUNDS {
        own = own.max(rate(|| {
            ours.calls.iter().for_each(|(call, context)| {
                black_box(ours.allows(black_box(call), context));
            });
            ours.calls.len()
        }));
        with_context = with_context.max(rate(|| {
            ours.calls.iter().for_each(|(call, _)| {
                black_box(ours.allows(black_box(call), &context(call)));
            });
            ours.calls.len()
        }));
        peer = peer.max(rate(|| {
            cedar.calls.iter().for_each(|(request, entities, _)| {
                black_box(cedar.allows(black_box(request), entities));
            });
            cedar.calls.len()
        }));
    }
    println!("decisions/s on one core, ten policies, {} calls, best of {ROUNDS}", ours.calls.len());
    println!("{:44} {own:>12.0}", "Fogbank");
    println!("{:44} {with_context:>12.0}", "Fogbank, the call's condition keys collected");
    println!("{:44} {peer:>12.0}", "Cedar");
    println!("{:44} {:>12.1}", "ratio", own / peer);
    Ok(())
}
