//! A small VPC to test with.

use contracts::{
    card::{PortConfig, VpcPatch},
    network::{
        AclEntry, Address, Dhcp, Group, Peer, Port, Route, RouteTarget, Rule, Subnet, Traffic, Vpc,
    },
};
use std::{net::Ipv4Addr, path::PathBuf};
use types::{
    Ipv4Net, Ipv6Net, Mac, NetworkInterfaceId, ResourceId as _, SecurityGroupId, SubnetId, VpcId,
};

pub const POOL: &str = "198.18.0.0/24";
pub const POOL6: &str = "fd12:3456:7800::/40";
pub const ANY: &str = "0.0.0.0/0";
pub const ANY6: &str = "::/0";

pub fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

pub fn mac(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, number]
}

pub fn eni(number: u8) -> NetworkInterfaceId {
    NetworkInterfaceId::from_number(number.into())
}

pub fn sg(number: u64) -> SecurityGroupId {
    SecurityGroupId::from_number(number)
}

pub fn port(number: u8, subnet: u64, private: &str, public: Option<&str>) -> PortConfig {
    PortConfig {
        port: Port {
            id: eni(number),
            vpc: VpcId::from_number(if subnet < 10 { 1 } else { 2 }),
            subnet: SubnetId::from_number(subnet),
            mac: Mac(mac(number)),
            mtu: 9001,
            addresses: vec![Address { private: ip(private), public: public.map(ip) }],
            ipv6: Vec::new(),
            ipv6_prefixes: Vec::new(),
            groups: vec![sg(u64::from(number))],
            source_dest_check: true,
            host_name: format!("ip-{}", private.replace('.', "-")),
            resource_name: None,
            metadata_hop_limit: 1,
            connections: None,
            metadata_ipv6: false,
        },
        socket: PathBuf::new(),
        uid: None,
        services: Vec::new(),
    }
}

pub fn vpc(number: u64) -> Vpc {
    Vpc {
        id: VpcId::from_number(number),
        cidrs: vec![net("10.0.0.0/16")],
        ipv6_cidrs: Vec::new(),
        dns_support: true,
        dns_hostnames: true,
        private_domain: "ec2.internal".to_owned(),
        public_domain: "compute-1.amazonaws.com".to_owned(),
        dhcp: Dhcp { domain_name: Some("ec2.internal".to_owned()), ..Dhcp::default() },
    }
}

pub fn subnet(number: u64, cidr: &str) -> Subnet {
    let route = |destination, target| Route { destination: net(destination).into(), target };
    let all = |egress| AclEntry {
        number: 100,
        egress,
        allow: true,
        traffic: Traffic::All,
        cidr: net(ANY).into(),
    };
    Subnet {
        id: SubnetId::from_number(number),
        vpc: VpcId::from_number(if number < 10 { 1 } else { 2 }),
        cidr: net(cidr),
        ipv6_cidr: None,
        routes: vec![
            route("10.0.0.0/16", RouteTarget::Local),
            route(ANY, RouteTarget::InternetGateway),
        ],
        acl: vec![all(true), all(false)],
    }
}

pub fn rule(traffic: Traffic, cidr: &str) -> Rule {
    Rule { traffic, peer: Peer::Cidr(net(cidr).into()) }
}

pub fn group(number: u64, ingress: Vec<Rule>, members: &[&str]) -> Group {
    Group {
        id: sg(number),
        vpc: VpcId::from_number(1),
        ingress,
        egress: vec![rule(Traffic::All, ANY)],
        members: members.iter().map(|text| ip(text).into()).collect(),
    }
}

/// Ports 1 (10.0.1.11, public 198.18.0.11) and 3 (10.0.1.13) in one subnet, 2 (10.0.2.12, public
/// 198.18.0.12) in another; everything is allowed. Port 11 in another VPC has port 1's address.
pub fn patch() -> VpcPatch {
    let open = |number| group(number, vec![rule(Traffic::All, ANY)], &[]);
    VpcPatch {
        reset: true,
        ports: vec![
            port(1, 1, "10.0.1.11", Some("198.18.0.11")),
            port(2, 2, "10.0.2.12", Some("198.18.0.12")),
            port(3, 1, "10.0.1.13", None),
            port(11, 11, "10.0.1.11", None),
        ],
        vpcs: vec![vpc(1), vpc(2)],
        subnets: vec![
            subnet(1, "10.0.1.0/24"),
            subnet(2, "10.0.2.0/24"),
            subnet(11, "10.0.1.0/24"),
        ],
        groups: vec![open(1), open(2), open(3), open(11)],
        ..VpcPatch::default()
    }
}

/// `patch()` with IPv6: port N of subnet S has fd12:3456:7801:S::N, but port 11, of the other VPC,
/// fd12:3456:7802:1::11; everything is allowed, and the internet gateway is the way out.
pub fn patch6() -> VpcPatch {
    let mut patch = patch();
    let net6 = |text: &str| text.parse::<Ipv6Net>().unwrap();
    for (vpc, block) in patch.vpcs.iter_mut().zip(["fd12:3456:7801::/56", "fd12:3456:7802::/56"]) {
        vpc.ipv6_cidrs = vec![net6(block)];
    }
    for (subnet, block) in patch.subnets.iter_mut().zip(["7801:1", "7801:2", "7802:1"]) {
        let all = |egress| AclEntry {
            number: 101,
            egress,
            allow: true,
            traffic: Traffic::All,
            cidr: net6(ANY6).into(),
        };
        subnet.ipv6_cidr = Some(net6(&format!("fd12:3456:{block}::/64")));
        let vpc = format!("fd12:3456:{}::/56", &block[..4]);
        subnet.routes.push(Route { destination: net6(&vpc).into(), target: RouteTarget::Local });
        let gateway = RouteTarget::InternetGateway;
        subnet.routes.push(Route { destination: net6(ANY6).into(), target: gateway });
        subnet.acl.extend([all(true), all(false)]);
    }
    let addresses = ["7801:1::11", "7801:2::12", "7801:1::13", "7802:1::11"];
    for (port, address) in patch.ports.iter_mut().zip(addresses) {
        port.port.ipv6 = vec![format!("fd12:3456:{address}").parse().unwrap()];
    }
    for group in &mut patch.groups {
        group.ingress.push(rule6(Traffic::All, ANY6));
        group.egress.push(rule6(Traffic::All, ANY6));
    }
    patch
}

pub fn rule6(traffic: Traffic, cidr: &str) -> Rule {
    Rule { traffic, peer: Peer::Cidr(cidr.parse::<Ipv6Net>().unwrap().into()) }
}
