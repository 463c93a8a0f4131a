//! A call that terminates in part: protected instances keep those of their zone.

use contracts::host::{Capacity, Observed};
use ec2::{
    Settings,
    compute::{
        images::{Image, QuickStart, register_quick_start},
        instances::{self, Instance, InstanceState},
    },
    hosts, vpc,
};
use iam::{Caller, Request};
use shapes::{Fault, ec2 as api};
use state::{Effects, State, Tx};
use types::{AccountId, InstanceId, Scope, Timestamp};

fn request() -> Request {
    let scope = Scope { account: AccountId::DEFAULT, region: "us-east-1".parse().unwrap() };
    Request { caller: Caller::root(scope.account), scope }
}

fn cloud() -> Tx {
    let mut tables = iam::tables();
    tables.extend(ec2::tables());
    let now = Timestamp::from_millis(1_700_000_000_000);
    let mut tx = Tx::new(&State::new(&tables), Effects::new(now, [7; 32]));
    vpc::defaults::set_up(&mut tx, &request().scope);
    tx.put(Settings {
        public_pool: "198.18.4.0/24".parse().unwrap(),
        vcpu_overcommit: 4,
        memory_overcommit_percent: 100,
        ..Settings::default()
    });
    register_quick_start(
        &mut tx,
        QuickStart {
            name: "tiny".to_owned(),
            description: "tiny".to_owned(),
            content: "tiny".to_owned(),
            size_gib: 1,
            root_device_name: "/dev/xvda".to_owned(),
            boot_mode: "legacy-bios".to_owned(),
            architecture: "x86_64".to_owned(),
            login: "ec2-user".to_owned(),
            creation: now,
        },
    );
    let (hypervisor, boot_id) = ("simulated".to_owned(), "1".to_owned());
    let capacity = Capacity { vcpus: 64, memory_mib: 65536, hypervisor, boot_id };
    hosts::observe(&mut tx, "local", Observed::Host(capacity));
    tx
}

fn launch(tx: &mut Tx, zone: &str, protected: bool) -> InstanceId {
    let image = tx.iter::<Image>().next().map(|image| image.id.to_string());
    let zone = Some(format!("us-east-1{zone}"));
    let input = api::RunInstancesRequest {
        image_id: image,
        instance_type: Some("t3.micro".to_owned()),
        min_count: Some(1),
        max_count: Some(1),
        placement: Some(api::Placement { availability_zone: zone, ..Default::default() }),
        disable_api_termination: Some(protected),
        ..Default::default()
    };
    let made = instances::run_instances(tx, &request(), input).unwrap().instances.unwrap();
    made[0].instance_id.as_ref().unwrap().parse().unwrap()
}

fn terminate(tx: &mut Tx, ids: &[InstanceId]) -> Result<usize, Fault> {
    let ids = ids.iter().map(ToString::to_string).collect();
    let input = api::TerminateInstancesRequest { instance_ids: Some(ids), ..Default::default() };
    let in_part = instances::terminate_instances(tx, &request(), input).unwrap();
    in_part.map(|output| output.terminating_instances.unwrap().len())
}

fn going(tx: &Tx, id: InstanceId) -> bool {
    tx.get::<Instance>(&id).unwrap().state == InstanceState::ShuttingDown
}

#[test]
fn a_protected_instance_keeps_those_of_its_zone() {
    // The example of TerminateInstances' documentation, and a third zone with another protected one.
    let mut tx = cloud();
    let (a, b) = (launch(&mut tx, "a", false), launch(&mut tx, "a", false));
    let (c, d) = (launch(&mut tx, "b", true), launch(&mut tx, "b", false));
    let (e, f) = (launch(&mut tx, "c", false), launch(&mut tx, "c", true));
    let fault = terminate(&mut tx, &[a, d, c, b, e, f]).unwrap_err();
    assert_eq!((&*fault.code, fault.status), ("OperationNotPermitted", 400));
    assert!(fault.message.contains(&c.to_string()), "the first protected one: {}", fault.message);
    assert_eq!(
        [a, b, c, d, e, f].map(|id| going(&tx, id)),
        [true, true, false, false, false, false]
    );
    // Only those named count: the others of the zone may go.
    assert_eq!(terminate(&mut tx, &[a, d]), Ok(2));
    assert!(going(&tx, d));
}

#[test]
fn an_unknown_instance_keeps_all() {
    let mut tx = cloud();
    let a = launch(&mut tx, "a", false);
    let ids = Some(vec![a.to_string(), "i-0123456789abcdef0".to_owned()]);
    let input = api::TerminateInstancesRequest { instance_ids: ids, ..Default::default() };
    let fault = instances::terminate_instances(&mut tx, &request(), input).unwrap_err();
    assert_eq!(fault.code, "InvalidInstanceID.NotFound");
    assert!(!going(&tx, a));
}
