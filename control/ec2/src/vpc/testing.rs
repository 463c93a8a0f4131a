//! What the tests of this folder share: a cloud with one account, and short calls.

use super::{defaults, subnets, vpcs};
use iam::{Caller, Request};
use shapes::{Fault, ec2 as api};
use state::{Effects, State, Tx};
use types::{AccountId, Scope, Timestamp};

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
