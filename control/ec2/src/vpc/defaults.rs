//! What an account has in a region before its first call: the default VPC.

use super::{
    cidr, dhcp_options, internet_gateways,
    route_tables::{self, Route, Target},
    subnets::{self, DEFAULT_PREFIX},
    vpcs::{self, Vpc},
};
use crate::errors;
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{Fault, ec2 as api};
use state::{Row, State, Tx};
use std::net::Ipv4Addr;
use types::{IpNet, Ipv4Net, Scope, Tags, Timestamp};

/// AWS's block of default VPCs: 172.31.0.0/16.
const DEFAULT_NETWORK: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 0);
const DEFAULT_NETWORK_PREFIX: u8 = 16;

/// Says that a scope was set up: a default VPC that its owner deleted doesn't come back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionSetup {
    pub scope: Scope,
    pub done: Timestamp,
}

impl Row for RegionSetup {
    const TABLE: &'static str = "region-setup";
    type Key = String;
    fn key(&self) -> String {
        key(&self.scope)
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
}

/// Makes another default VPC after the first was deleted.
///
/// # Errors
/// There is one, or there are too many VPCs.
pub fn create_default_vpc(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateDefaultVpcRequest,
) -> Result<api::CreateDefaultVpcResult, Fault> {
    let api::CreateDefaultVpcRequest { dry_run: _ } = input;
    if vpcs::default_of(tx, &request.scope).is_some() {
        return Err(errors::default_vpc_exists());
    }
    vpcs::check_quota(tx, &request.scope)?;
    let vpc = create(tx, &request.scope);
    Ok(api::CreateDefaultVpcResult { vpc: Some(vpc.to_api()) })
}

/// Gives a scope its default VPC, unless it was set up before.
pub fn set_up(tx: &mut Tx, scope: &Scope) {
    if is_set_up(tx, scope) {
        return;
    }
    let done = tx.now();
    tx.put(RegionSetup { scope: scope.clone(), done });
    dhcp_options::ensure_default(tx, scope);
    create(tx, scope);
}

/// Whether a scope was set up.
#[must_use]
pub fn is_set_up(state: &State, scope: &Scope) -> bool {
    state.get::<RegionSetup>(&key(scope)).is_some()
}

fn key(scope: &Scope) -> String {
    format!("{}/{}", scope.account, scope.region)
}

/// The default VPC with a gateway, a route to it, and a public subnet in each zone.
fn create(tx: &mut Tx, scope: &Scope) -> Vpc {
    let block = Ipv4Net::new(DEFAULT_NETWORK, DEFAULT_NETWORK_PREFIX).unwrap_or_default();
    let vpc = vpcs::create(tx, scope, block, "default", true, Tags::new());
    let gateway = internet_gateways::create(tx, scope, Some(vpc.id), Tags::new());
    let target = Target::InternetGateway(gateway.id);
    route_tables::add_to_main(
        tx,
        vpc.id,
        Route { destination: IpNet::V4(Ipv4Net::default()), target },
    );
    let size = 1 << (32 - DEFAULT_PREFIX);
    for (zone, number) in scope.region.zones().into_iter().zip(0..) {
        let first = cidr::nth(&block, number * size);
        let cidr = Ipv4Net::new(first, DEFAULT_PREFIX).unwrap_or_default();
        subnets::create(tx, &vpc, zone, cidr, true, Tags::new());
    }
    vpc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpc::{
        dhcp_options::DhcpOptions,
        internet_gateways::InternetGateway,
        network_acls::NetworkAcl,
        route_tables::RouteTable,
        security_groups::SecurityGroup,
        subnets::Subnet,
        testing::{code, request, scope, tx, vpc},
    };

    #[test]
    fn the_default_vpc_is_as_aws_makes_it() {
        let mut tx = tx();
        let scope = scope();
        assert!(is_set_up(&tx, &scope));
        let vpc = vpcs::default_of(&tx, &scope).unwrap();
        assert_eq!(vpc.cidrs[0].1.to_string(), "172.31.0.0/16");
        assert!(vpc.dns_hostnames && vpc.dns_support);
        let mut subnets = tx.find::<Subnet>("vpc", vpc.id).cloned().collect::<Vec<_>>();
        subnets.sort_by_key(|subnet| subnet.zone.clone());
        let found = subnets
            .iter()
            .map(|s| (s.zone.to_string(), s.cidr.to_string(), s.map_public_ip_on_launch))
            .collect::<Vec<_>>();
        let expected = [("a", "172.31.0.0/20"), ("b", "172.31.16.0/20"), ("c", "172.31.32.0/20")]
            .map(|(zone, cidr)| (format!("us-east-1{zone}"), cidr.to_owned(), true));
        assert_eq!(found, expected);
        let gateway = tx.find::<InternetGateway>("vpc", vpc.id).next().unwrap();
        let table = tx.find::<RouteTable>("vpc", vpc.id).next().unwrap();
        assert!(table.is_main());
        assert_eq!(table.routes[0].target, Target::InternetGateway(gateway.id));
        let acl = tx.find::<NetworkAcl>("vpc", vpc.id).next().unwrap();
        assert_eq!(acl.associations.len(), 3);
        let group = tx.find::<SecurityGroup>("vpc", vpc.id).next().unwrap();
        assert_eq!((group.name.as_str(), group.rules.len()), ("default", 2));
        let options = tx.get::<DhcpOptions>(&vpc.dhcp_options.unwrap()).unwrap();
        assert_eq!(options.values("domain-name"), ["ec2.internal"]);

        let revision = format!("{:?}", tx.in_scope::<Vpc>(&scope).collect::<Vec<_>>());
        set_up(&mut tx, &scope);
        assert_eq!(revision, format!("{:?}", tx.in_scope::<Vpc>(&scope).collect::<Vec<_>>()));
    }

    #[test]
    fn a_second_default_vpc_is_refused() {
        let mut tx = tx();
        let again =
            create_default_vpc(&mut tx, &request(), api::CreateDefaultVpcRequest::default());
        assert_eq!(code(again), "DefaultVpcAlreadyExists");
        let id = vpcs::default_of(&tx, &scope()).unwrap().id;
        tx.delete::<Vpc>(&id);
        set_up(&mut tx, &scope());
        assert!(vpcs::default_of(&tx, &scope()).is_none(), "a deleted VPC stays away");
        vpc(&mut tx, "10.0.0.0/16");
        let made = create_default_vpc(&mut tx, &request(), api::CreateDefaultVpcRequest::default());
        assert_eq!(made.unwrap().vpc.unwrap().is_default, Some(true));
    }
}
