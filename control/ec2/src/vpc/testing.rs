//! What the tests of this folder share: a cloud with one account, and short calls.

use super::{
    defaults,
    network_interfaces::{self, NewInterface},
    security_groups,
    subnets::{self, Subnet},
    vpcs,
};
use crate::compute::instances::{Instance, InstanceState, MetadataOptions};
use iam::{Caller, Request};
use shapes::{Fault, ec2 as api};
use state::{Effects, State, Tx};
use std::sync::Arc;
use types::{AccountId, InstanceId, NetworkInterfaceId, Scope, Timestamp, VpcId};

/// The scope of all calls.
pub fn scope() -> Scope {
    Scope { account: AccountId::DEFAULT, region: "us-east-1".parse().unwrap() }
}

/// The circumstances of all calls.
pub fn request() -> Request {
    Request { caller: Caller::root(AccountId::DEFAULT), scope: scope() }
}

/// A transaction on a cloud without anything.
pub fn empty() -> Tx {
    begin(&State::new(&crate::tables()))
}

/// A transaction on this state.
pub fn begin(state: &State) -> Tx {
    let seed = [u8::try_from(state.revision() % 256).unwrap(); 32];
    Tx::new(state, Effects::new(Timestamp::from_millis(1_600_000_000_000), seed))
}

/// A transaction on a cloud whose account has its default VPC.
pub fn tx() -> Tx {
    let mut tx = empty();
    defaults::set_up(&mut tx, &scope());
    begin(&tx.finish().0)
}

/// The code of a call's fault.
#[track_caller]
pub fn code<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
    result.expect_err("the call should fail").code.into_owned()
}

/// The message of a call's fault.
#[track_caller]
pub fn message<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
    result.expect_err("the call should fail").message
}

/// Makes a VPC; gives its ID.
#[track_caller]
pub fn vpc(tx: &mut Tx, cidr: &str) -> String {
    let input = api::CreateVpcRequest { cidr_block: Some(cidr.to_owned()), ..Default::default() };
    vpcs::create_vpc(tx, &request(), input).unwrap().vpc.unwrap().vpc_id.unwrap()
}

/// Makes a subnet; gives its ID.
#[track_caller]
pub fn subnet(tx: &mut Tx, vpc: &str, cidr: &str) -> String {
    try_subnet(tx, vpc, cidr).unwrap()
}

/// Makes a subnet, or tells why not.
pub fn try_subnet(tx: &mut Tx, vpc: &str, cidr: &str) -> Result<String, Fault> {
    let input = api::CreateSubnetRequest {
        vpc_id: Some(vpc.to_owned()),
        cidr_block: Some(cidr.to_owned()),
        ..Default::default()
    };
    let subnet = subnets::create_subnet(tx, &request(), input)?.subnet;
    Ok(subnet.unwrap().subnet_id.unwrap())
}

/// A parameter's text.
pub fn s(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// One filter with one value.
pub fn filter(name: &str, value: &str) -> Option<Vec<api::Filter>> {
    Some(vec![api::Filter { name: s(name), values: Some(vec![value.to_owned()]) }])
}

/// The account's default VPC and one of its subnets.
pub fn default_network(tx: &Tx) -> (VpcId, Arc<Subnet>) {
    let subnet = subnets::default_in(tx, &scope(), None).unwrap();
    (subnet.vpc, subnet)
}

/// Makes an interface in the default subnet; gives its ID.
#[track_caller]
pub fn interface(tx: &mut Tx) -> NetworkInterfaceId {
    let (vpc, subnet) = default_network(tx);
    let new = NewInterface {
        subnet: &subnet,
        address: None,
        secondary_count: 0,
        ipv6: Default::default(),
        groups: security_groups::resolve(tx, &scope(), vpc, &[], &[]).unwrap(),
        description: String::new(),
        source_dest_check: true,
        tags: types::Tags::new(),
    };
    network_interfaces::create(tx, &scope(), new).unwrap().id
}

/// Makes an instance in the default subnet; gives its ID.
pub fn instance(tx: &mut Tx, state: InstanceState) -> InstanceId {
    let (vpc, subnet) = default_network(tx);
    let row = Instance {
        id: tx.new_id(),
        scope: scope(),
        reservation: tx.new_id(),
        launch_index: 0,
        image: tx.new_id(),
        instance_type: "t3.micro".to_owned(),
        architecture: "x86_64".to_owned(),
        key_name: None,
        public_key: None,
        state,
        state_reason: None,
        transition_reason: String::new(),
        launch_time: tx.now(),
        has_run: true,
        vm_running: state == InstanceState::Running,
        ended: false,
        lends_public: true,
        terminated_at: None,
        zone: subnet.zone.clone(),
        vpc,
        subnet: subnet.id,
        host: "local".to_owned(),
        incarnation: 1,
        reboots: 0,
        recoveries: Vec::new(),
        grace_ms: 0,
        root_device_name: "/dev/xvda".to_owned(),
        user_data: None,
        shutdown_terminates: false,
        termination_protection: false,
        stop_protection: false,
        ebs_optimized: false,
        detailed_monitoring: false,
        metadata: MetadataOptions {
            enabled: true,
            token_required: true,
            hop_limit: 2,
            tags: false,
            ipv6: false,
        },
        cpu_credits: String::new(),
        cores: 1,
        threads_per_core: 2,
        memory_mib: 1024,
        auto_recovery: true,
        hostname_type: "ip-name".to_owned(),
        resource_name_dns_a: false,
        resource_name_dns_aaaa: false,
        client_token: String::new(),
        tags: types::Tags::new(),
    };
    let id = row.id;
    tx.put(row);
    id
}
