//! Tests of whose policies count, and of what their rows keep.

use super::{Principal, policies_of};
use crate::{AccessKey, KeyOwner, Role, User, groups, place, policies, roles, testing, users};
use policy::{Caller, Context, Decision, Policies, Request as PolicyRequest, decide};
use shapes::iam as api;
use state::{State, Tx};
use types::AccountId;

fn document(effect: &str, action: &str) -> Option<String> {
    Some(format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}}}"#
    ))
}

fn name(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A user `u` in a group `g`, with an inline policy, an attached one, and the group's.
fn user(tx: &mut Tx) -> Principal {
    let request = &testing::request();
    let input = api::CreateUserRequest { user_name: name("u"), ..Default::default() };
    users::create_user(tx, request, input).unwrap();
    let input = api::CreateGroupRequest { group_name: name("g"), ..Default::default() };
    groups::create_group(tx, request, input).unwrap();
    let input = api::AddUserToGroupRequest { group_name: name("g"), user_name: name("u") };
    groups::add_user_to_group(tx, request, input).unwrap();
    let input = api::PutUserPolicyRequest {
        user_name: name("u"),
        policy_name: name("inline"),
        policy_document: document("Allow", "s3:GetObject"),
    };
    users::policies::put_user_policy(tx, request, input).unwrap();
    let input = api::PutGroupPolicyRequest {
        group_name: name("g"),
        policy_name: name("inline"),
        policy_document: document("Allow", "ec2:*"),
    };
    groups::policies::put_group_policy(tx, request, input).unwrap();
    let arn = managed(tx, "p", "Allow", "sqs:*");
    let input = api::AttachUserPolicyRequest { user_name: name("u"), policy_arn: Some(arn) };
    users::policies::attach_user_policy(tx, request, input).unwrap();
    let id = tx.find::<User>("name", place(AccountId::DEFAULT, "U")).next().unwrap();
    Principal::User(id.named.id.clone())
}

fn managed(tx: &mut Tx, policy: &str, effect: &str, action: &str) -> String {
    let input = api::CreatePolicyRequest {
        policy_name: name(policy),
        policy_document: document(effect, action),
        ..Default::default()
    };
    let made = policies::create_policy(tx, &testing::request(), input).unwrap();
    made.policy.unwrap().arn.unwrap()
}

fn may(state: &State, principal: &Principal, action: &str) -> Decision {
    let found = policies_of(state, principal).unwrap();
    let context = Context::new();
    let request = PolicyRequest {
        caller: Caller::User {
            account: AccountId::DEFAULT,
            arn: "arn:aws:iam::123456789012:user/u",
        },
        canonical_user: None,
        action,
        resource: "*",
        context: &context,
    };
    let policies = Policies {
        identity: &found.identity,
        boundary: found.boundary.as_deref(),
        ..Policies::default()
    };
    decide(&request, &policies)
}

#[test]
fn own_attached_and_groups_policies_count() {
    let mut tx = testing::tx();
    let user = user(&mut tx);
    for action in ["s3:GetObject", "ec2:RunInstances", "sqs:SendMessage"] {
        assert_eq!(may(&tx, &user, action), Decision::Allow, "{action}");
    }
    assert!(!may(&tx, &user, "iam:CreateUser").is_allow());
    let boundary = managed(&mut tx, "b", "Allow", "ec2:*");
    let input = api::PutUserPermissionsBoundaryRequest {
        user_name: name("u"),
        permissions_boundary: Some(boundary),
    };
    users::policies::put_user_permissions_boundary(&mut tx, &testing::request(), input).unwrap();
    assert!(may(&tx, &user, "ec2:RunInstances").is_allow());
    assert!(!may(&tx, &user, "s3:GetObject").is_allow());
}

#[test]
fn a_new_default_version_counts_at_once() {
    let mut tx = testing::tx();
    let user = user(&mut tx);
    let input = api::CreatePolicyVersionRequest {
        policy_arn: Some("arn:aws:iam::123456789012:policy/p".to_owned()),
        policy_document: document("Deny", "*"),
        set_as_default: Some(true),
    };
    policies::versions::create_policy_version(&mut tx, &testing::request(), input).unwrap();
    assert!(matches!(may(&tx, &user, "s3:GetObject"), Decision::ExplicitDeny(_)));
}

#[test]
fn documents_are_compiled_once_for_a_row() {
    let mut tx = testing::tx();
    let user = user(&mut tx);
    let (state, _) = tx.finish();
    let pointers = || {
        let found = policies_of(&state, &user).unwrap();
        found.identity.iter().map(std::sync::Arc::as_ptr).collect::<Vec<_>>()
    };
    assert_eq!(pointers().len(), 3);
    assert_eq!(pointers(), pointers());
}

#[test]
fn rows_are_the_same_after_a_restart() {
    let mut tx = testing::tx();
    let user = user(&mut tx);
    let Principal::User(id) = &user else { unreachable!() };
    let key = AccessKey::create_for(&mut tx, AccountId::DEFAULT, KeyOwner::User(id.clone()));
    let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;
    let input = api::CreateRoleRequest {
        role_name: name("r"),
        assume_role_policy_document: name(trust),
        ..Default::default()
    };
    roles::create_role(&mut tx, &testing::request(), input).unwrap();
    let (before, changes) = tx.finish();
    let mut after = State::new(&crate::tables());
    for row in changes.stored() {
        after.load(row.table, &row.value.unwrap()).unwrap();
    }
    assert!(may(&after, &user, "ec2:RunInstances").is_allow());
    assert!(!may(&after, &user, "iam:CreateUser").is_allow());
    let (caller, secret) = crate::authenticate(&after, &key.id).unwrap();
    assert_eq!(caller.principal, user);
    assert_eq!(secret, key.secret);
    let role = after.iter::<Role>().next().unwrap();
    assert_eq!(Some(role), before.iter::<Role>().next());
    assert_eq!(role.trust.text(), trust);
}

#[test]
fn a_document_that_cannot_be_read_denies_all() {
    let text = crate::PolicyText::unread("garbled".to_owned());
    let context = Context::new();
    let request = PolicyRequest {
        caller: Caller::User {
            account: AccountId::DEFAULT,
            arn: "arn:aws:iam::123456789012:user/u",
        },
        canonical_user: None,
        action: "s3:GetObject",
        resource: "*",
        context: &context,
    };
    let identity = [text.identity().clone()];
    let policies = Policies { identity: &identity, ..Policies::default() };
    assert!(matches!(decide(&request, &policies), Decision::ExplicitDeny(_)));
}

#[test]
fn keys_of_before_users_are_the_root_users() {
    let row = r#"{"id":"AKIA1","secret":"s","account":"123456789012","created":1}"#;
    let key = serde_json::from_str::<AccessKey>(row).unwrap();
    assert_eq!(key.owner, KeyOwner::Root);
    assert!(!key.inactive);
    assert!(!format!("{key:?}").contains("\"s\""));
}

#[test]
fn a_deleted_user_has_no_policies_and_no_keys() {
    let mut tx = testing::tx();
    let user = user(&mut tx);
    let Principal::User(id) = &user else { unreachable!() };
    let key = AccessKey::create_for(&mut tx, AccountId::DEFAULT, KeyOwner::User(id.clone()));
    tx.delete::<User>(id);
    assert!(policies_of(&tx, &user).is_none());
    assert!(crate::authenticate(&tx, &key.id).is_none());
}

#[test]
fn a_reset_leaves_root_keys() {
    let mut tx = testing::tx();
    let user = user(&mut tx);
    let Principal::User(id) = &user else { unreachable!() };
    let of_user = AccessKey::create_for(&mut tx, AccountId::DEFAULT, KeyOwner::User(id.clone()));
    let of_root = AccessKey::create(&mut tx, AccountId::DEFAULT);
    crate::reset(&mut tx);
    assert_eq!(tx.count::<User>(), 0);
    assert!(crate::authenticate(&tx, &of_user.id).is_none());
    assert!(crate::authenticate(&tx, &of_root.id).is_some());
}
