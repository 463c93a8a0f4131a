//! Decisions about callers of all kinds.

use super::*;
use crate::{Circumstances, Group, Named, Permissions, PolicyText};
use session::Session;
use state::{Effects, Tx};
use std::collections::BTreeMap;
use types::{Scope, Timestamp};

const ACCOUNT: AccountId = AccountId::DEFAULT;

fn text(statement: &str) -> PolicyText {
    PolicyText::unread(format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#))
}

fn permissions(statements: &[&str]) -> Permissions {
    let inline = statements.iter().enumerate().map(|(n, one)| (n.to_string(), text(one)));
    Permissions { inline: inline.collect(), ..Permissions::default() }
}

struct World {
    state: State,
    user: UniqueId,
    role: UniqueId,
}

/// A user in a group and a role, with these statements.
fn world(of_user: &[&str], of_group: &[&str], of_role: &[&str]) -> World {
    let mut tx =
        Tx::new(&State::new(&crate::tables()), Effects::new(Timestamp::default(), [1; 32]));
    let named = Named::new(&mut tx, ACCOUNT, "AGPA", None, "all".to_owned());
    let group = named.id.clone();
    tx.put(Group { named, permissions: permissions(of_group) });
    let named = Named::new(&mut tx, ACCOUNT, "AIDA", Some("/team/".to_owned()), "alice".to_owned());
    let user = named.id.clone();
    tx.put(User {
        named,
        permissions: permissions(of_user),
        groups: [group].into(),
        tags: [("team".to_owned(), "blue".to_owned())].into(),
        password_last_used: None,
    });
    let named = Named::new(&mut tx, ACCOUNT, "AROA", None, "ops".to_owned());
    let role = named.id.clone();
    tx.put(Role {
        named,
        permissions: permissions(of_role),
        trust: text(r#"{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}"#),
        description: None,
        max_session_s: 3600,
        tags: BTreeMap::new(),
        linked_service: None,
        last_used: None,
    });
    World { state: tx.finish().0, user, role }
}

fn session(subject: Subject, policy: Option<&str>) -> Session {
    Session {
        account: ACCOUNT,
        subject,
        issued: Timestamp::from_millis(1000),
        expires: Timestamp::from_millis(9_000_000),
        policy: policy.map(|statement| text(statement).text().to_owned()),
        policy_arns: Vec::new(),
        tags: [("team".to_owned(), "red".to_owned())].into(),
        transitive: [].into(),
        source_identity: None,
        mfa_at: None,
        provider: None,
        instance: None,
    }
}

impl World {
    fn user(&self) -> Caller {
        let user = self.state.get::<User>(&self.user).unwrap();
        let principal = Principal::User(self.user.clone());
        Caller::lasting(ACCOUNT, user.arn(), self.user.to_string(), principal)
    }

    fn in_session(&self, subject: Subject, policy: Option<&str>) -> Caller {
        crate::caller_of(&self.state, session(subject, policy)).unwrap()
    }

    fn role_session(&self, policy: Option<&str>) -> Caller {
        let (id, name) = (self.role.to_string(), "ops".to_owned());
        self.in_session(Subject::Role { id, name, session_name: "me".to_owned() }, policy)
    }

    fn ask(&self, caller: Caller, check: Check) -> Result<(), String> {
        let caller = caller.coming(Circumstances {
            source_ip: "192.0.2.7".parse().ok(),
            user_agent: None,
            secure: false,
            vpc: None,
            at: Timestamp::from_millis(60_000),
        });
        let scope = Scope { account: ACCOUNT, region: "eu-west-1".parse().unwrap() };
        let request = Request { caller, scope };
        authorise(&self.state, &request, &[check]).map_err(|denied| denied.message())
    }
}

fn stop(instance: &str) -> Check {
    Check::new("ec2:StopInstances", format!("arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/{instance}"))
}

const ALLOW: &str = r#"{"Effect":"Allow","Action":"ec2:*","Resource":"*"}"#;
const ALLOW_TEAM: &str = r#"{"Effect":"Allow","Action":"ec2:*","Resource":"*",
    "Condition":{"StringEquals":{"ec2:ResourceTag/team":"${aws:PrincipalTag/team}"}}}"#;
const DENY_STOP: &str = r#"{"Effect":"Deny","Action":"ec2:Stop*","Resource":"*"}"#;

#[test]
fn users_have_their_own_and_their_groups_policies() {
    let nobody = world(&[], &[], &[]);
    let why = nobody.ask(nobody.user(), stop("i-1")).unwrap_err();
    let expected = "User: arn:aws:iam::123456789012:user/team/alice is not authorized to perform: \
                    ec2:StopInstances on resource: arn:aws:ec2:eu-west-1:123456789012:instance/i-1 \
                    because no identity-based policy allows the ec2:StopInstances action";
    assert_eq!(why, expected);
    for (of_user, of_group, allowed) in [
        (&[ALLOW][..], &[][..], true),
        (&[], &[ALLOW], true),
        (&[ALLOW], &[DENY_STOP], false),
        (&[DENY_STOP], &[ALLOW], false),
    ] {
        let world = world(of_user, of_group, &[]);
        assert_eq!(world.ask(world.user(), stop("i-1")).is_ok(), allowed);
    }
    let denied = world(&[ALLOW], &[DENY_STOP], &[]);
    let why = denied.ask(denied.user(), stop("i-1")).unwrap_err();
    assert!(why.ends_with("with an explicit deny in an identity-based policy"), "{why}");
    assert!(denied.ask(Caller::root(ACCOUNT), stop("i-1")).is_ok());
}

#[test]
fn session_tags_stand_in_for_the_users_and_session_policies_narrow() {
    let world = world(&[ALLOW_TEAM], &[], &[ALLOW_TEAM]);
    let tagged = |team: &str| stop("i-1").with("ec2:ResourceTag/team", team);
    assert!(world.ask(world.user(), tagged("blue")).is_ok());
    assert!(world.ask(world.user(), tagged("red")).is_err());
    assert!(world.ask(world.role_session(None), tagged("red")).is_ok());
    assert!(world.ask(world.role_session(None), tagged("blue")).is_err());
    let why = world.ask(world.role_session(Some(DENY_STOP)), tagged("red")).unwrap_err();
    assert!(why.ends_with("with an explicit deny in a session policy"), "{why}");
    let other = r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#;
    let why = world.ask(world.role_session(Some(other)), tagged("red")).unwrap_err();
    let who = "User: arn:aws:sts::123456789012:assumed-role/ops/me is not authorized";
    assert!(why.starts_with(who), "{why}");
    assert!(why.contains("because no session policy allows"), "{why}");
}

#[test]
fn a_federated_user_has_what_its_session_policy_and_its_maker_have() {
    let world = world(&[ALLOW], &[], &[]);
    let federated = |user: Option<String>, policy| {
        world.in_session(Subject::Federated { user, name: "bob".to_owned() }, policy)
    };
    for (user, policy, allowed) in [
        (Some(world.user.to_string()), None, false),
        (Some(world.user.to_string()), Some(ALLOW), true),
        (None, None, false),
        (None, Some(ALLOW), true),
        (None, Some(DENY_STOP), false),
    ] {
        let caller = federated(user, policy);
        assert!(!caller.is_unlimited());
        assert_eq!(world.ask(caller, stop("i-1")).is_ok(), allowed, "{policy:?}");
    }
}

#[test]
fn sessions_end_with_their_role_or_user() {
    let mut gone = world(&[ALLOW], &[], &[ALLOW]);
    let callers = [gone.user(), gone.role_session(None)];
    let mut tx = Tx::new(&gone.state, Effects::new(Timestamp::default(), [1; 32]));
    tx.delete::<User>(&gone.user);
    tx.delete::<Role>(&gone.role);
    gone.state = tx.finish().0;
    for caller in callers {
        assert!(gone.ask(caller, stop("i-1")).is_err());
    }
    let subject = Subject::User { id: gone.user.to_string() };
    assert!(crate::caller_of(&gone.state, session(subject, None)).is_none());
}

#[test]
fn the_calls_own_keys() {
    for (condition, allowed) in [
        (r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, true),
        (r#"{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, false),
        (r#"{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}"#, true),
        (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, false),
        (r#"{"StringEquals":{"aws:username":"alice"}}"#, true),
        (r#"{"StringEquals":{"aws:PrincipalType":"User"}}"#, true),
        (r#"{"DateLessThan":{"aws:CurrentTime":"1970-01-02T00:00:00Z"}}"#, true),
        (r#"{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#, false),
        (r#"{"Null":{"aws:MultiFactorAuthPresent":"true"}}"#, true),
        (r#"{"Null":{"aws:PrincipalOrgID":"true"}}"#, true),
        (r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/team/*"}}"#, true),
    ] {
        let statement =
            format!(r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}"#);
        let world = world(&[&statement], &[], &[]);
        assert_eq!(world.ask(world.user(), stop("i-1")).is_ok(), allowed, "{condition}");
    }
}

#[test]
fn every_operation_of_iam_and_sts_is_in_a_table() {
    use crate::access::members::Input;
    let input = shapes::iam::CreateUserRequest::default();
    let world = world(&[], &[], &[]);
    let scope = Scope { account: ACCOUNT, region: "us-east-1".parse().unwrap() };
    let request = Request { caller: world.user(), scope };
    for served in shapes::iam::SERVICE.served {
        let checks = of_iam::checks(&world.state, &request, served.name, Input::new(&input));
        assert!(checks.is_some_and(|checks| !checks.is_empty()), "{}", served.name);
    }
    for served in shapes::sts::SERVICE.served {
        let checks = of_sts::checks(&request, served.name, Input::new(&input));
        assert!(checks.is_some(), "{}", served.name);
    }
}

#[test]
fn the_members_that_the_table_reads_are_in_the_model() {
    for served in shapes::iam::SERVICE.served {
        let Some(member) = of_iam::member(served.name) else { continue };
        let known = served.input.members().iter().any(|one| one.name == member);
        assert!(known, "{} has no {member}", served.name);
    }
}

#[test]
fn a_role_in_a_profile_is_passed_on() {
    use crate::access::members::Input;
    let input = shapes::iam::AddRoleToInstanceProfileRequest {
        instance_profile_name: Some("web".to_owned()),
        role_name: Some("ops".to_owned()),
    };
    let world = world(&[], &[], &[]);
    let scope = Scope { account: ACCOUNT, region: "us-east-1".parse().unwrap() };
    let request = Request { caller: world.user(), scope };
    let operation = "AddRoleToInstanceProfile";
    let checks = of_iam::checks(&world.state, &request, operation, Input::new(&input)).unwrap();
    let names = checks.iter().map(|one| (&*one.action, one.resource.as_str()));
    let expected = [
        ("iam:AddRoleToInstanceProfile", "arn:aws:iam::123456789012:instance-profile/web"),
        ("iam:PassRole", "arn:aws:iam::123456789012:role/ops"),
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}
