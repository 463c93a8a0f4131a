//! Prints how many decisions a second one core makes for a caller with ten policies.
//!
//! `cargo run --release -p policy --example decisions`

use policy::{Caller, Compiled, Context, Decision, Document, Kind, Policies, Request, decide};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MEASURED: Duration = Duration::from_secs(2);

/// Statements of ten policies as people attach them: broad ones, narrow ones, guards.
const TEN: [&str; 10] = [
    r#"{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}"#,
    r#"{"Effect": "Allow", "Action": ["s3:PutObject", "s3:DeleteObject", "s3:GetObject"],
        "Resource": "arn:aws:s3:::home/${aws:username}/*"}"#,
    r#"{"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"}"#,
    r#"{"Effect": "Allow", "Action": ["ec2:RunInstances", "ec2:StartInstances", "ec2:StopInstances"],
        "Resource": "arn:aws:ec2:*:111122223333:*",
        "Condition": {"StringEquals": {"aws:RequestedRegion": ["us-east-1", "eu-west-1"]},
                      "StringLikeIfExists": {"ec2:InstanceType": ["t3.*", "m5.*"]}}}"#,
    r#"{"Effect": "Allow", "Action": ["iam:*AccessKey*", "iam:ChangePassword", "iam:GetUser"],
        "Resource": "arn:aws:iam::111122223333:user/${aws:username}"}"#,
    r#"{"Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}}}"#,
    r#"{"Effect": "Deny", "NotAction": ["iam:*", "sts:*"], "Resource": "*",
        "Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "203.0.113.0/24"]}}}"#,
    r#"{"Effect": "Deny", "Action": ["s3:DeleteBucket", "s3:DeleteBucketPolicy"], "Resource": "*"}"#,
    r#"{"Effect": "Allow", "Action": "ec2:*", "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}}"#,
    r#"{"Effect": "Allow", "Action": ["logs:*", "cloudwatch:*", "sns:Publish", "sqs:*"],
        "Resource": "*"}"#,
];

const ASKED: [(&str, &str, bool); 6] = [
    ("s3:GetObject", "arn:aws:s3:::photos/2026/11/22/a.jpg", true),
    ("s3:PutObject", "arn:aws:s3:::home/alice/notes.txt", true),
    ("ec2:RunInstances", "arn:aws:ec2:us-east-1:111122223333:instance/*", true),
    ("ec2:TerminateInstances", "arn:aws:ec2:us-east-1:111122223333:instance/i-0123", false),
    ("iam:CreateUser", "arn:aws:iam::111122223333:user/bob", false),
    ("s3:DeleteBucket", "arn:aws:s3:::photos", false),
];

fn compiled(statement: &str) -> Arc<Compiled> {
    let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#);
    let document = Document::parse(&text, 6144, Kind::Identity);
    document.expect("a valid policy").compile()
}

fn circumstances() -> Context<'static> {
    let mut context = Context::new();
    for (key, value) in [
        ("aws:username", "alice"),
        ("aws:userid", "AIDAEXAMPLE"),
        ("aws:PrincipalAccount", "111122223333"),
        ("aws:PrincipalArn", "arn:aws:iam::111122223333:user/alice"),
        ("aws:PrincipalType", "User"),
        ("aws:PrincipalTag/team", "blue"),
        ("aws:SourceIp", "203.0.113.7"),
        ("aws:SecureTransport", "true"),
        ("aws:CurrentTime", "2026-11-22T17:00:00Z"),
        ("aws:EpochTime", "1795366800"),
        ("aws:RequestedRegion", "us-east-1"),
        ("aws:UserAgent", "aws-cli/2.31.0"),
        ("ec2:InstanceType", "t3.micro"),
    ] {
        context.set(key, value);
    }
    context
}

fn measure(name: &str, mut one: impl FnMut(usize) -> Decision) {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < MEASURED {
        for _ in 0..1000 {
            for number in 0..ASKED.len() {
                black_box(one(number));
                count += 1;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{name:<34} {:>10.0} decisions/s", f64::from(count) / seconds);
}

fn main() {
    let policies: Vec<_> = TEN.iter().map(|statement| compiled(statement)).collect();
    let policies = Policies { identity: &policies, ..Policies::default() };
    let account = "111122223333".parse().expect("an account");
    let caller = Caller::User { account, arn: "arn:aws:iam::111122223333:user/alice" };
    let ask = |number: usize, context: &Context<'_>| {
        let (action, resource, expected) = ASKED[number];
        let request = Request { caller, canonical_user: None, action, resource, context };
        let decision = decide(black_box(&request), black_box(&policies));
        assert_eq!(decision.is_allow(), expected, "{action}");
        decision
    };
    let context = circumstances();
    measure("ten policies", |number| ask(number, &context));
    measure("ten policies, context made anew", |number| ask(number, &circumstances()));
}
