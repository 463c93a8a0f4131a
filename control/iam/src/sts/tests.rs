//! Roles that are assumed, tokens of users, and what stops them.

use super::*;
use crate::{
    Caller, Named, Permissions, PolicyText, Principal, Role, UniqueId, User,
    sts::{
        assume_role::assume_role,
        tokens::{get_federation_token, get_session_token},
    },
};
use session::{OpenError, SessionKey};
use shapes::sts::{
    AssumeRoleRequest, Credentials, GetFederationTokenRequest, GetSessionTokenRequest, Tag,
};
use state::{Effects, Tx};
use types::{AccountId, Scope, Timestamp};

const ACCOUNT: AccountId = AccountId::DEFAULT;
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const OPS: &str = "arn:aws:iam::123456789012:role/ops";

fn document(statement: &str) -> PolicyText {
    PolicyText::unread(format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#))
}

struct World {
    state: State,
    key: SessionKey,
    user: UniqueId,
    seed: u8,
    codes: crate::UsedCodes,
}

/// A user with this statement, and a role with this trust.
fn world(of_user: Option<&str>, trust: &str) -> World {
    let mut tx = Tx::new(&State::new(&crate::tables()), Effects::new(NOW, [1; 32]));
    let named = Named::new(&mut tx, ACCOUNT, "AIDA", None, "alice".to_owned());
    let user = named.id.clone();
    let inline = of_user.map(|one| ("own".to_owned(), document(one))).into_iter().collect();
    tx.put(User {
        named,
        permissions: Permissions { inline, ..Permissions::default() },
        groups: [].into(),
        tags: [].into(),
        password_last_used: None,
    });
    let named = Named::new(&mut tx, ACCOUNT, "AROA", None, "ops".to_owned());
    tx.put(Role {
        named,
        permissions: Permissions {
            inline: [("own".to_owned(), document(ASSUME))].into(),
            ..Permissions::default()
        },
        trust: document(trust),
        description: None,
        max_session_s: 7200,
        tags: [].into(),
        linked_service: None,
        last_used: None,
    });
    World {
        state: tx.finish().0,
        key: SessionKey::new([5; 32]),
        user,
        seed: 1,
        codes: crate::UsedCodes::default(),
    }
}

const ASSUME: &str = r#"{"Effect":"Allow","Action":"sts:*","Resource":"*"}"#;
const BY_ACCOUNT: &str = r#"{"Effect":"Allow","Principal":{"AWS":"123456789012"},
    "Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}"#;
const BY_NAME: &str = r#"{"Effect":"Allow",
    "Principal":{"AWS":"arn:aws:iam::123456789012:user/alice"},"Action":"sts:AssumeRole"}"#;

fn request(caller: Caller) -> Request {
    let scope = Scope { account: caller.account, region: "us-east-1".parse().unwrap() };
    Request { caller, scope }
}

fn ask() -> AssumeRoleRequest {
    AssumeRoleRequest {
        role_arn: Some(OPS.to_owned()),
        role_session_name: Some("me".to_owned()),
        ..AssumeRoleRequest::default()
    }
}

impl World {
    fn user(&self) -> Caller {
        let arn = "arn:aws:iam::123456789012:user/alice".to_owned();
        let principal = Principal::User(self.user.clone());
        Caller::lasting(ACCOUNT, arn, self.user.to_string(), principal)
    }

    fn run<I, O>(
        &mut self,
        run: fn(&State, &Request, I, &mut Issuer<'_>) -> Result<O, Fault>,
        caller: Caller,
        input: I,
    ) -> Result<O, Fault> {
        self.seed += 1;
        let mut effects = Effects::new(NOW, [self.seed; 32]);
        let mut issuer = Issuer { key: &self.key, effects: &mut effects, codes: &self.codes };
        run(&self.state, &request(caller), input, &mut issuer)
    }

    fn assume(&mut self, caller: Caller, input: AssumeRoleRequest) -> Result<Caller, Fault> {
        let output = self.run(assume_role, caller, input)?;
        Ok(self.caller(output.credentials.as_ref().unwrap()))
    }

    /// Who signs with these credentials.
    fn caller(&self, credentials: &Credentials) -> Caller {
        let session = self.open(credentials, NOW).unwrap();
        crate::caller_of(&self.state, session).unwrap()
    }

    fn open(
        &self,
        credentials: &Credentials,
        at: Timestamp,
    ) -> Result<session::Session, OpenError> {
        let text = |text: &Option<String>| text.clone().unwrap();
        let (id, token) = (text(&credentials.access_key_id), text(&credentials.session_token));
        let (session, secret) = self.key.open(&id, &token, at)?;
        assert_eq!(Some(secret), credentials.secret_access_key);
        Ok(session)
    }
}

#[test]
fn trust_and_the_callers_policies_decide_together() {
    for (of_user, trust, allowed) in [
        (Some(ASSUME), BY_ACCOUNT, true),
        (None, BY_ACCOUNT, false),
        (None, BY_NAME, true),
        (Some(ASSUME), BY_NAME, true),
        (
            Some(ASSUME),
            r#"{"Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"sts:AssumeRole"}"#,
            false,
        ),
        (Some(r#"{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"*"}"#), BY_NAME, false),
    ] {
        let mut world = world(of_user, trust);
        let user = world.user();
        let assumed = world.assume(user, ask());
        assert_eq!(assumed.is_ok(), allowed, "{of_user:?} {trust}");
        if let Err(fault) = assumed {
            let message = "User: arn:aws:iam::123456789012:user/alice is not authorized to \
                           perform: sts:AssumeRole on resource: \
                           arn:aws:iam::123456789012:role/ops";
            assert_eq!(
                (&*fault.code, fault.status, &*fault.message),
                ("AccessDenied", 403, message)
            );
        }
    }
    let mut world = world(None, BY_NAME);
    let fault = world.assume(Caller::root(ACCOUNT), ask()).unwrap_err();
    assert_eq!(fault.message, "Roles may not be assumed by root accounts.");
}

#[test]
fn a_session_has_its_names_and_its_end() {
    let mut world = world(Some(ASSUME), BY_ACCOUNT);
    let user = world.user();
    let output = world.run(assume_role, user.clone(), ask()).unwrap();
    let credentials = output.credentials.unwrap();
    assert_eq!(credentials.expiration, Some(NOW.plus_millis(3_600_000)));
    assert!(world.open(&credentials, NOW.plus_millis(3_599_999)).is_ok());
    assert_eq!(world.open(&credentials, NOW.plus_millis(3_600_000)), Err(OpenError::Expired));
    let caller = world.caller(&credentials);
    assert_eq!(caller.arn, "arn:aws:sts::123456789012:assumed-role/ops/me");
    assert!(caller.user_id.starts_with("AROA") && caller.user_id.ends_with(":me"));
    assert_eq!(output.packed_policy_size, None);

    for (caller, seconds, allowed) in
        [(&user, 7200, true), (&user, 7201, false), (&caller, 3600, true), (&caller, 3601, false)]
    {
        let input = AssumeRoleRequest { duration_seconds: Some(seconds), ..ask() };
        let assumed = world.assume(caller.clone(), input);
        assert_eq!(assumed.is_ok(), allowed, "{seconds}");
        if let Err(fault) = assumed {
            assert_eq!(fault.code, "ValidationError");
        }
    }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) }
}

#[test]
fn transitive_tags_and_the_source_identity_go_on() {
    let mut world = world(Some(ASSUME), BY_ACCOUNT);
    let user = world.user();
    let input = AssumeRoleRequest {
        tags: Some(vec![tag("team", "blue"), tag("cost", "1")]),
        transitive_tag_keys: Some(vec!["team".to_owned()]),
        source_identity: Some("alice".to_owned()),
        ..ask()
    };
    let first = world.assume(user, input).unwrap();
    let session = &first.session.as_ref().unwrap().session;
    assert_eq!(session.tags.len(), 2);
    let second = world.assume(first.clone(), ask()).unwrap();
    let session = &second.session.as_ref().unwrap().session;
    assert_eq!(session.tags, [("team".to_owned(), "blue".to_owned())].into());
    assert_eq!(session.source_identity.as_deref(), Some("alice"));

    let other = AssumeRoleRequest { source_identity: Some("bob".to_owned()), ..ask() };
    assert_eq!(world.assume(first.clone(), other).unwrap_err().code, "AccessDenied");
    let again = AssumeRoleRequest { tags: Some(vec![tag("Team", "red")]), ..ask() };
    assert_eq!(world.assume(first, again).unwrap_err().code, "InvalidParameterValue");
}

#[test]
fn tags_need_their_own_permission() {
    let mut world = world(Some(ASSUME), BY_NAME);
    let user = world.user();
    let input = AssumeRoleRequest { tags: Some(vec![tag("team", "blue")]), ..ask() };
    let fault = world.assume(user, input).unwrap_err();
    assert!(fault.message.contains("sts:TagSession"), "{}", fault.message);
}

#[test]
fn an_external_id_that_the_trust_asks_for() {
    let trust = r#"{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole",
        "Condition":{"StringEquals":{"sts:ExternalId":"x-1"}}}"#;
    let mut world = world(Some(ASSUME), trust);
    for (given, allowed) in [(None, false), (Some("x-2"), false), (Some("x-1"), true)] {
        let user = world.user();
        let input = AssumeRoleRequest { external_id: given.map(ToOwned::to_owned), ..ask() };
        assert_eq!(world.assume(user, input).is_ok(), allowed, "{given:?}");
    }
}

#[test]
fn tokens_of_users_and_of_federated_users() {
    let mut world = world(Some(ASSUME), BY_ACCOUNT);
    let user = world.user();
    let output =
        world.run(get_session_token, user.clone(), GetSessionTokenRequest::default()).unwrap();
    let credentials = output.credentials.unwrap();
    assert_eq!(credentials.expiration, Some(NOW.plus_millis(43_200_000)));
    let caller = world.caller(&credentials);
    assert_eq!((&caller.arn, &caller.principal), (&user.arn, &user.principal));
    let again = world.run(get_session_token, caller, GetSessionTokenRequest::default());
    let message = "Cannot call GetSessionToken with session credentials";
    assert_eq!(again.unwrap_err().message, message);
    let root = Caller::root(ACCOUNT);
    let output = world.run(get_session_token, root, GetSessionTokenRequest::default()).unwrap();
    assert_eq!(output.credentials.unwrap().expiration, Some(NOW.plus_millis(3_600_000)));

    let input = |policy: &str| GetFederationTokenRequest {
        name: Some("bob".to_owned()),
        policy: Some(policy.to_owned()),
        ..GetFederationTokenRequest::default()
    };
    let policy = document(ASSUME).text().to_owned();
    let output = world.run(get_federation_token, user.clone(), input(&policy)).unwrap();
    let federated = world.caller(&output.credentials.unwrap());
    assert_eq!(federated.arn, "arn:aws:sts::123456789012:federated-user/bob");
    assert!(output.packed_policy_size.unwrap() > 0);
    assert!(world.assume(federated, ask()).is_err());
    let fault = world.run(get_federation_token, user, input("{}")).unwrap_err();
    assert_eq!(fault.code, "MalformedPolicyDocument");
}

#[test]
fn whose_a_key_is() {
    let mut world = world(Some(ASSUME), BY_ACCOUNT);
    let user = world.user();
    let output = world.run(assume_role, user.clone(), ask()).unwrap();
    let access_key_id = output.credentials.unwrap().access_key_id;
    let input = GetAccessKeyInfoRequest { access_key_id };
    let answer = get_access_key_info(&world.state, &request(user), input).unwrap();
    assert_eq!(answer.account.as_deref(), Some("123456789012"));
}
