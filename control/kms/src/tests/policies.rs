//! Key policies and grants decide.

use super::{World, code, request, request_by, request_of, text};
use crate::{
    Grant, authorise,
    authorise::Asked,
    encryption, grants,
    keys::{create, policies},
};
use shapes::kms::{
    CreateGrantRequest, CreateKeyRequest, EncryptRequest, GetKeyPolicyRequest, GrantConstraints,
    GrantOperation, ListGrantsRequest, ListRetirableGrantsRequest, PutKeyPolicyRequest,
    RetireGrantRequest, RevokeGrantRequest,
};
use types::AccountId;

const ANN: &str = "arn:aws:iam::123456789012:user/ann";

fn encrypt(world: &mut World, by: &iam::Request, key: &str, pairs: &[(&str, &str)]) -> String {
    let context =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let input = EncryptRequest {
        key_id: text(key),
        plaintext: Some(vec![7]),
        encryption_context: Some(context),
        ..EncryptRequest::default()
    };
    match world.compute(encryption::encrypt, by, input) {
        Ok(_) => "done".to_owned(),
        Err(fault) => fault.code.into_owned(),
    }
}

fn put(world: &mut World, key: &str, policy: &str, bypass: bool) -> Result<(), shapes::Fault> {
    let input = PutKeyPolicyRequest {
        key_id: text(key),
        policy: text(policy),
        bypass_policy_lockout_safety_check: Some(bypass),
        ..PutKeyPolicyRequest::default()
    };
    world.mutate(policies::put_key_policy, &request(), input).map(|_| ())
}

fn statement(principal: &str, action: &str) -> String {
    format!(
        r#"{{"Effect": "Allow", "Principal": {{"AWS": "{principal}"}}, "Action": "{action}",
            "Resource": "*"}}"#
    )
}

fn policy(statements: &[String]) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(","))
}

#[test]
fn the_key_policy_decides() {
    let mut world = World::new();
    let key = world.key();
    let root = format!("arn:aws:iam::{}:root", AccountId::DEFAULT);
    assert_eq!(encrypt(&mut world, &request(), &key, &[]), "done");
    assert_eq!(encrypt(&mut world, &request_by("ann"), &key, &[]), "AccessDeniedException");
    let text_of = |world: &World| {
        let input = GetKeyPolicyRequest { key_id: text(&key), policy_name: None };
        policies::get_key_policy(&world.state, &request(), input).unwrap().policy.unwrap()
    };
    assert!(text_of(&world).contains("Enable IAM User Permissions"));

    let with_ann = policy(&[statement(&root, "kms:*"), statement(ANN, "kms:Encrypt")]);
    put(&mut world, &key, &with_ann, false).unwrap();
    assert_eq!(text_of(&world), with_ann);
    assert_eq!(encrypt(&mut world, &request_by("ann"), &key, &[]), "done");
    assert_eq!(encrypt(&mut world, &request_by("bob"), &key, &[]), "AccessDeniedException");

    // Another account needs the policy, and an ARN.
    let stranger = request_of("999999999999".parse().unwrap(), "us-east-1");
    let arn = format!("arn:aws:kms:us-east-1:{}:key/{key}", AccountId::DEFAULT);
    assert_eq!(encrypt(&mut world, &stranger, &key, &[]), "NotFoundException");
    assert_eq!(encrypt(&mut world, &stranger, &arn, &[]), "AccessDeniedException");
    let shared = policy(&[
        statement(&root, "kms:*"),
        statement("arn:aws:iam::999999999999:root", "kms:Encrypt"),
    ]);
    put(&mut world, &key, &shared, false).unwrap();
    assert_eq!(encrypt(&mut world, &stranger, &arn, &[]), "done");

    // Whoever locks everybody out says so.
    let locked = policy(&[statement(&root, "kms:Put*"), statement(ANN, "kms:*")]);
    put(&mut world, &key, &locked, false).unwrap();
    assert_eq!(encrypt(&mut world, &request(), &key, &[]), "AccessDeniedException");
    let locked = policy(&[statement(ANN, "kms:*")]);
    let wrong = put(&mut world, &key, &locked, false);
    assert_eq!(code(wrong), "MalformedPolicyDocumentException");
    put(&mut world, &key, &locked, true).unwrap();
    assert_eq!(code(put(&mut world, &key, &with_ann, true)), "AccessDeniedException");
}

#[test]
fn policies_are_validated() {
    let mut world = World::new();
    let key = world.key();
    for bad in ["", "{}", "[]", "{\"Statement\": []}", &policy(&["{}".to_owned()])] {
        let wrong = put(&mut world, &key, bad, true);
        assert_eq!(code(wrong), "MalformedPolicyDocumentException", "{bad}");
        let input = CreateKeyRequest { policy: text(bad), ..CreateKeyRequest::default() };
        let wrong = world.compute(create::create_key, &request(), input);
        assert_eq!(code(wrong), "MalformedPolicyDocumentException");
    }
    let long = format!("{}{}", policy(&[statement(ANN, "kms:*")]), " ".repeat(32 << 10));
    assert_eq!(code(put(&mut world, &key, &long, true)), "LimitExceededException");
}

fn grant(key: &str) -> CreateGrantRequest {
    CreateGrantRequest {
        key_id: text(key),
        grantee_principal: text(ANN),
        operations: Some(vec![GrantOperation::Encrypt]),
        ..CreateGrantRequest::default()
    }
}

#[test]
fn a_grant_lets_its_grantee() {
    let mut world = World::new();
    let key = world.key();
    let subset = [("a".to_owned(), "1".to_owned())].into();
    let input = CreateGrantRequest {
        constraints: Some(GrantConstraints {
            encryption_context_subset: Some(subset),
            encryption_context_equals: None,
        }),
        name: text("mine"),
        retiring_principal: text("arn:aws:iam::123456789012:user/bob"),
        ..grant(&key)
    };
    let made = world.mutate(grants::create_grant, &request(), input.clone()).unwrap();
    let again = world.mutate(grants::create_grant, &request(), input).unwrap();
    assert_eq!(made, again);
    let ann = request_by("ann");
    assert_eq!(encrypt(&mut world, &ann, &key, &[]), "AccessDeniedException");
    assert_eq!(encrypt(&mut world, &ann, &key, &[("a", "2")]), "AccessDeniedException");
    assert_eq!(encrypt(&mut world, &ann, &key, &[("a", "1"), ("b", "2")]), "done");
    assert_eq!(
        encrypt(&mut world, &request_by("bob"), &key, &[("a", "1")]),
        "AccessDeniedException"
    );

    let row = world.state.iter::<crate::Key>().next().unwrap().clone();
    let inputs = authorise::authorise_inputs(&world.state, &row, &[ANN]).unwrap();
    assert_eq!((inputs.grants.len(), inputs.account), (1, AccountId::DEFAULT));
    let context = [("a".to_owned(), "1".to_owned())].into();
    let asked = Asked { context: Some(&context), ..Asked::granted("kms:Encrypt") };
    assert!(authorise::granted(&inputs.grants, &asked));
    let asked = Asked { context: Some(&context), ..Asked::granted("kms:Decrypt") };
    assert!(!authorise::granted(&inputs.grants, &asked));

    let retirable = ListRetirableGrantsRequest {
        retiring_principal: text("arn:aws:iam::123456789012:user/bob"),
        ..ListRetirableGrantsRequest::default()
    };
    let listed = grants::list_retirable_grants(&world.state, &request(), retirable).unwrap();
    assert_eq!(listed.grants.unwrap()[0].name, text("mine"));
    let retire = || RetireGrantRequest {
        grant_token: made.grant_token.clone(),
        ..RetireGrantRequest::default()
    };
    let wrong = world.mutate(grants::retire_grant, &ann, retire());
    assert_eq!(code(wrong), "AccessDeniedException");
    world.mutate(grants::retire_grant, &request_by("bob"), retire()).unwrap();
    assert_eq!(encrypt(&mut world, &ann, &key, &[("a", "1")]), "AccessDeniedException");
    let wrong = world.mutate(grants::retire_grant, &request(), retire());
    assert_eq!(code(wrong), "InvalidGrantTokenException");
}

#[test]
fn a_grantee_gives_no_more_than_it_has() {
    let mut world = World::new();
    let key = world.key();
    let pairs = |value: &str| Some([("a".to_owned(), value.to_owned())].into());
    let constrained = |equals, subset| {
        Some(GrantConstraints {
            encryption_context_subset: subset,
            encryption_context_equals: equals,
        })
    };
    let parent = CreateGrantRequest {
        operations: Some(vec![GrantOperation::Encrypt, GrantOperation::CreateGrant]),
        constraints: constrained(None, pairs("1")),
        ..grant(&key)
    };
    world.mutate(grants::create_grant, &request(), parent).unwrap();
    let (ann, bob) = (request_by("ann"), "arn:aws:iam::123456789012:user/bob");
    let child = |operation, constraints| CreateGrantRequest {
        grantee_principal: text(bob),
        operations: Some(vec![operation]),
        constraints,
        ..grant(&key)
    };
    for (operation, constraints) in [
        (GrantOperation::Decrypt, constrained(None, pairs("1"))),
        (GrantOperation::Encrypt, None),
        (GrantOperation::Encrypt, constrained(None, pairs("2"))),
        (GrantOperation::Encrypt, constrained(pairs("2"), None)),
    ] {
        let wrong = world.mutate(grants::create_grant, &ann, child(operation, constraints));
        assert_eq!(code(wrong), "AccessDeniedException");
    }
    for constraints in [constrained(None, pairs("1")), constrained(pairs("1"), None)] {
        let input = child(GrantOperation::Encrypt, constraints);
        world.mutate(grants::create_grant, &ann, input).unwrap();
    }
    assert_eq!(encrypt(&mut world, &request_by("bob"), &key, &[("a", "1")]), "done");
}

#[test]
fn grants_are_listed_and_revoked() {
    let mut world = World::new();
    let (key, other) = (world.key(), world.key());
    for _ in 0..3 {
        world.mutate(grants::create_grant, &request(), grant(&key)).unwrap();
    }
    let list = |world: &World, limit, marker| {
        let input =
            ListGrantsRequest { key_id: text(&key), limit, marker, ..ListGrantsRequest::default() };
        grants::list_grants(&world.state, &request(), input).unwrap()
    };
    let first = list(&world, Some(2), None);
    let second = list(&world, Some(2), first.next_marker);
    assert_eq!((first.grants.unwrap().len(), second.truncated), (2, Some(false)));
    let id = second.grants.unwrap()[0].grant_id.clone();
    let revoke =
        |key: &str| RevokeGrantRequest { key_id: text(key), grant_id: id.clone(), dry_run: None };
    let wrong = world.mutate(grants::revoke_grant, &request(), revoke(&other));
    assert_eq!(code(wrong), "NotFoundException");
    world.mutate(grants::revoke_grant, &request(), revoke(&key)).unwrap();
    assert_eq!(world.state.count::<Grant>(), 2);
}

#[test]
fn grants_must_make_sense() {
    let mut world = World::new();
    let key = world.key();
    for (input, wrong) in [
        (
            CreateGrantRequest { operations: Some(vec![GrantOperation::Sign]), ..grant(&key) },
            "ValidationException",
        ),
        (CreateGrantRequest { operations: Some(Vec::new()), ..grant(&key) }, "ValidationException"),
        (
            CreateGrantRequest { grantee_principal: text("ann"), ..grant(&key) },
            "InvalidArnException",
        ),
        (
            CreateGrantRequest { grant_tokens: Some(vec!["x".to_owned()]), ..grant(&key) },
            "InvalidGrantTokenException",
        ),
        (CreateGrantRequest { dry_run: Some(true), ..grant(&key) }, "DryRunOperationException"),
        (CreateGrantRequest { name: text("a b"), ..grant(&key) }, "ValidationException"),
    ] {
        assert_eq!(code(world.mutate(grants::create_grant, &request(), input)), wrong);
    }
    assert_eq!(world.state.count::<Grant>(), 0);
}
