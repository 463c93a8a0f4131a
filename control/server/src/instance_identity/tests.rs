//! Credentials that follow one another, and profiles and roles that change.

use super::*;
use iam::{InstanceProfile, Named, Permissions, PolicyText, Request};
use shapes::ec2 as api;
use state::{Effects, Tx};
use types::{AccountId, Scope};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const HOUR_MS: i64 = 3600 * 1000;
const TRUSTS_EC2: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow",
    "Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;
const TRUSTS_LAMBDA: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow",
    "Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;

struct World {
    state: State,
    instance: InstanceId,
    role: iam::UniqueId,
    profile: iam::UniqueId,
}

impl World {
    fn change(&mut self, change: impl FnOnce(&mut Tx)) {
        let mut tx = Tx::new(&self.state, Effects::new(NOW, [9; 32]));
        change(&mut tx);
        self.state = tx.finish().0;
    }
}

fn request() -> Request {
    let account = AccountId::DEFAULT;
    let region = "us-east-1".parse().unwrap();
    Request { caller: iam::Caller::root(account), scope: Scope { account, region } }
}

/// A running instance with a profile whose role EC2 may assume.
fn world() -> World {
    let mut tables = iam::tables();
    tables.extend(ec2::tables());
    let mut tx = Tx::new(&State::new(&tables), Effects::new(NOW, [7; 32]));
    ec2::vpc::defaults::set_up(&mut tx, &request().scope);
    let named = Named::new(&mut tx, AccountId::DEFAULT, "AROA", None, "web-role".to_owned());
    let role = Role {
        named,
        permissions: Permissions::default(),
        trust: PolicyText::unread(TRUSTS_EC2.to_owned()),
        description: None,
        max_session_s: 3600,
        tags: types::Tags::new(),
        linked_service: None,
        last_used: None,
    };
    let named = Named::new(&mut tx, AccountId::DEFAULT, "AIPA", None, "web".to_owned());
    let profile =
        InstanceProfile { named, role: Some(role.named.id.clone()), tags: types::Tags::new() };
    let (role_id, profile_id) = (role.named.id.clone(), profile.named.id.clone());
    tx.put(role);
    tx.put(profile);
    let instance = launch(&mut tx);
    World { state: tx.finish().0, instance, role: role_id, profile: profile_id }
}

fn launch(tx: &mut Tx) -> InstanceId {
    use ec2::compute::images::{Image, QuickStart, register_quick_start};
    let quick_start = QuickStart {
        name: "tiny".to_owned(),
        description: "tiny".to_owned(),
        content: "tiny".to_owned(),
        size_gib: 1,
        root_device_name: "/dev/xvda".to_owned(),
        boot_mode: "legacy-bios".to_owned(),
        architecture: "x86_64".to_owned(),
        login: "ec2-user".to_owned(),
        creation: NOW,
    };
    register_quick_start(tx, quick_start);
    let capacity = contracts::host::Capacity {
        vcpus: 64,
        memory_mib: 65536,
        hypervisor: "tcg".to_owned(),
        boot_id: "1".to_owned(),
    };
    ec2::hosts::observe(tx, "local", contracts::host::Observed::Host(capacity));
    let input = api::RunInstancesRequest {
        image_id: tx.iter::<Image>().next().map(|image| image.id.to_string()),
        instance_type: Some("t3.micro".to_owned()),
        min_count: Some(1),
        max_count: Some(1),
        iam_instance_profile: Some(api::IamInstanceProfileSpecification {
            arn: None,
            name: Some("web".to_owned()),
        }),
        ..Default::default()
    };
    let made = ec2::compute::instances::run_instances(tx, &request(), input).unwrap();
    let made = made.instances.unwrap().remove(0);
    assert!(made.iam_instance_profile.unwrap().arn.unwrap().ends_with("instance-profile/web"));
    made.instance_id.unwrap().parse().unwrap()
}

fn keeper(folder: &std::path::Path) -> Keeper {
    let sessions = SessionKey::new([1; 32]);
    let maker = Maker::new(folder.join("identity"), MasterKey::new([2; 32]), sessions);
    Keeper::new(Arc::new(maker), "local")
}

fn credentials(identity: &InstanceIdentity) -> &Credentials {
    match &identity.profile.as_ref().unwrap().gives {
        Gives::Role { credentials, .. } => credentials,
        Gives::Deleted | Gives::NoRole | Gives::NotTrusted { .. } => {
            panic!("no credentials: {identity:?}")
        }
    }
}

#[tokio::test]
async fn credentials_follow_one_another_before_they_expire() {
    let (folder, world) = (tempfile::tempdir().unwrap(), world());
    let mut keeper = keeper(folder.path());
    let id = world.instance;
    let first = keeper.news(&world.state, id, NOW).await.unwrap().unwrap();
    assert!(first.signed.document.contains(&id.to_string()));
    let given = credentials(&first);
    assert_eq!(given.expires, NOW.plus_millis(6 * HOUR_MS));
    let sessions = SessionKey::new([1; 32]);
    let open = |given: &Credentials, at| sessions.open(&given.access_key_id, &given.token, at);
    let (session, secret) = open(given, NOW).unwrap();
    assert_eq!(secret, given.secret);
    let arn = format!("arn:aws:sts::123456789012:assumed-role/web-role/{id}");
    assert_eq!(session.arn(), Some(arn.clone()));
    let origin = session.instance.clone().unwrap();
    assert!(origin.arn.ends_with(&format!(":instance/{id}")) && origin.vpc.starts_with("vpc-"));
    assert!(origin.private_ip.unwrap().starts_with("172.31."));
    assert_eq!(iam::caller_of(&world.state, session).unwrap().arn, arn);

    // Nothing new, until they are about to expire.
    assert_eq!(keeper.news(&world.state, id, NOW.plus_millis(HOUR_MS)).await.unwrap(), None);
    assert!(keeper.due(NOW.plus_millis(5 * HOUR_MS - 1)).is_empty());
    let later = NOW.plus_millis(5 * HOUR_MS);
    assert_eq!(keeper.due(later), [id]);
    let second = keeper.news(&world.state, id, later).await.unwrap().unwrap();
    assert_eq!(second.signed, first.signed);
    assert_ne!(credentials(&second).access_key_id, given.access_key_id);
    assert_eq!(credentials(&second).expires, later.plus_millis(6 * HOUR_MS));
    // An hour is left in which both are good: four times the quarter that clients want.
    assert!(open(given, later.plus_millis(HOUR_MS - 1)).is_ok());
    assert!(keeper.due(later).is_empty());
}

#[tokio::test]
async fn what_changes_is_told_and_nothing_else() {
    let (folder, mut world) = (tempfile::tempdir().unwrap(), world());
    let mut keeper = keeper(folder.path());
    let id = world.instance;
    let first = keeper.news(&world.state, id, NOW).await.unwrap().unwrap();
    let (role, profile) = (world.role.clone(), world.profile.clone());
    let region = "us-east-1".to_owned();
    world.change(|tx| {
        tx.update::<Role>(&role, |row| row.last_used = Some((NOW, region)));
    });
    assert_eq!(keeper.news(&world.state, id, NOW).await.unwrap(), None);

    let trusts = |text: &str| PolicyText::unread(text.to_owned());
    world.change(|tx| {
        tx.update::<Role>(&role, |row| row.trust = trusts(TRUSTS_LAMBDA));
    });
    let news = keeper.news(&world.state, id, NOW).await.unwrap().unwrap();
    let refused = Gives::NotTrusted { role: "web-role".to_owned() };
    assert_eq!(news.profile.as_ref().unwrap().gives, refused);
    world.change(|tx| {
        tx.update::<Role>(&role, |row| row.trust = trusts(TRUSTS_EC2));
    });
    let news = keeper.news(&world.state, id, NOW).await.unwrap().unwrap();
    assert_ne!(credentials(&news), credentials(&first));

    world.change(|tx| {
        tx.update::<InstanceProfile>(&profile, |row| row.role = None);
    });
    let news = keeper.news(&world.state, id, NOW).await.unwrap().unwrap();
    assert_eq!(news.profile.unwrap().gives, Gives::NoRole);
    world.change(|tx| {
        tx.delete::<InstanceProfile>(&profile);
    });
    let news = keeper.news(&world.state, id, NOW).await.unwrap().unwrap();
    assert_eq!(news.profile.unwrap().gives, Gives::Deleted);
    world.change(|tx| instance_profiles::forget(tx, id));
    let news = keeper.news(&world.state, id, NOW).await.unwrap().unwrap();
    assert_eq!((news.profile, news.signed), (None, first.signed));
    let gone: InstanceId = "i-00000000000000009".parse().unwrap();
    assert_eq!(keeper.news(&world.state, gone, NOW).await.unwrap(), None);
}
