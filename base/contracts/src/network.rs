//! The network as cards know it: ports, subnets, VPCs and groups of rules.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use types::{
    IpNet, Ipv4Net, Ipv6Net, Mac, NatGatewayId, NetworkInterfaceId, SecurityGroupId, SubnetId,
    VpcId,
};

/// A network interface as a switch port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// The interface.
    pub id: NetworkInterfaceId,
    /// Its VPC: the space that its addresses are of.
    pub vpc: VpcId,
    /// Its subnet.
    pub subnet: SubnetId,
    /// Its Ethernet address; frames with another source are dropped.
    pub mac: Mac,
    /// MTU told to the guest.
    pub mtu: u16,
    /// Its addresses, primary first; packets with another source are dropped while
    /// `source_dest_check`.
    pub addresses: Vec<Address>,
    /// Its IPv6 addresses, which nothing translates.
    #[serde(default)]
    pub ipv6: Vec<Ipv6Addr>,
    /// IPv6 prefixes, of 80 bits, all addresses of which are its own.
    #[serde(default)]
    pub ipv6_prefixes: Vec<Ipv6Net>,
    /// Its security groups.
    pub groups: Vec<SecurityGroupId>,
    /// Whether only its own addresses may be its packets' source and destination.
    pub source_dest_check: bool,
    /// The host name that DHCP and DNS give, without domain, such as `ip-10-0-0-1`.
    pub host_name: String,
    /// The name that follows from the instance's ID, if it has an interface here that is named by
    /// it.
    #[serde(default)]
    pub resource_name: Option<ResourceName>,
    /// TTL of the metadata service's packets.
    pub metadata_hop_limit: u8,
    /// Connections that its filter follows at once; none = the card's default.
    #[serde(default)]
    pub connections: Option<u32>,
    /// Whether the metadata service answers at its IPv6 address too.
    #[serde(default)]
    pub metadata_ipv6: bool,
}

/// A host name such as `i-0123456789abcdef0`, without domain, and what the resolver tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceName {
    /// The name.
    pub name: String,
    /// Whether it has an A record: the primary private address.
    pub a: bool,
    /// Whether it has an AAAA record: the first IPv6 address.
    pub aaaa: bool,
}

/// A private address, and the public one that is translated to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Within the subnet.
    pub private: Ipv4Addr,
    /// Translated 1:1 at the internet gateway.
    pub public: Option<Ipv4Addr>,
}

/// A VPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vpc {
    /// The VPC.
    pub id: VpcId,
    /// Its blocks, the primary first; the resolver is at the primary's base + 2.
    pub cidrs: Vec<Ipv4Net>,
    /// Its IPv6 blocks.
    #[serde(default)]
    pub ipv6_cidrs: Vec<Ipv6Net>,
    /// Whether the resolver answers.
    pub dns_support: bool,
    /// Whether public host names resolve.
    pub dns_hostnames: bool,
    /// Domain of private host names, such as `ec2.internal`.
    pub private_domain: String,
    /// Domain of public host names, such as `compute-1.amazonaws.com`.
    pub public_domain: String,
    /// What DHCP tells the guests.
    pub dhcp: Dhcp,
}

/// A DHCP option set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dhcp {
    /// Domain name; none is told if none.
    pub domain_name: Option<String>,
    /// Name servers; empty = the VPC's resolver.
    pub name_servers: Vec<Ipv4Addr>,
    /// Whether not even the VPC's resolver is told.
    pub no_name_servers: bool,
    /// NTP servers.
    pub ntp_servers: Vec<Ipv4Addr>,
    /// NetBIOS name servers.
    pub netbios_servers: Vec<Ipv4Addr>,
    /// How guests ask NetBIOS name servers: 1, 2, 4 or 8 (RFC 2132, 8.7).
    pub netbios_node_type: Option<u8>,
}

/// A subnet with the routes that hold for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// The subnet.
    pub id: SubnetId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its block; the router is at base + 1.
    pub cidr: Ipv4Net,
    /// Its IPv6 block; the router is at a link-local address.
    #[serde(default)]
    pub ipv6_cidr: Option<Ipv6Net>,
    /// The routes of its route table; the longest prefix wins.
    pub routes: Vec<Route>,
    /// Its network ACL: in number order, the first match decides, none = deny. The direction is
    /// the subnet's: ingress comes into the subnet.
    pub acl: Vec<AclEntry>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destinations.
    pub destination: IpNet,
    /// Where they go.
    pub target: RouteTarget,
}

/// A route's target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteTarget {
    /// Within the VPC.
    Local,
    /// Out by the internet gateway, with a public address only.
    InternetGateway,
    /// Out by the egress-only internet gateway, for IPv6: what began inside, and its answers.
    EgressOnlyGateway,
    /// To an interface of the VPC (a router of the customer's own).
    Interface(NetworkInterfaceId),
    /// Out of the subnet by a NAT gateway of the VPC.
    NatGateway(NatGatewayId),
    /// Nowhere: the target is gone.
    Blackhole,
}

/// A NAT gateway: what translates many inner addresses to its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGateway {
    /// The gateway.
    pub id: NatGatewayId,
    /// Its VPC.
    pub vpc: VpcId,
    /// Its subnet, whose ACL and routes hold for what it sends on.
    pub subnet: SubnetId,
    /// Its addresses.
    pub addresses: Vec<NatAddress>,
    /// What its ports are derived from: the same for ever, and unknown to strangers.
    pub port_key: (u64, u64),
}

/// An address of a NAT gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatAddress {
    /// Within the subnet.
    pub private: Ipv4Addr,
    /// Translated 1:1 at the internet gateway; none of a private gateway.
    pub public: Option<Ipv4Addr>,
    /// It is being taken away: no connection begins there.
    pub draining: bool,
}

/// A security group's rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The group.
    pub id: SecurityGroupId,
    /// Its VPC.
    pub vpc: VpcId,
    /// What may come in.
    pub ingress: Vec<Rule>,
    /// What may go out.
    pub egress: Vec<Rule>,
    /// The private addresses of its members' interfaces, on any host.
    pub members: Vec<IpAddr>,
}

/// What a rule allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The traffic.
    pub traffic: Traffic,
    /// The other end.
    pub peer: Peer,
}

/// A kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Traffic {
    /// Everything.
    All,
    /// TCP to destination ports `from..=to`.
    Tcp { from: u16, to: u16 },
    /// UDP to destination ports `from..=to`.
    Udp { from: u16, to: u16 },
    /// ICMP of this type and code; none = all.
    Icmp { kind: Option<u8>, code: Option<u8> },
    /// ICMP for IPv6 of this type and code; none = all.
    Icmp6 { kind: Option<u8>, code: Option<u8> },
    /// Another IP protocol.
    Protocol(u8),
}

/// The other end of what a rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// Addresses of this block.
    Cidr(IpNet),
    /// Members of this group, by their private addresses.
    Group(SecurityGroupId),
}

/// One entry of a network ACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclEntry {
    /// Order.
    pub number: u16,
    /// Direction: out of the subnet, or into it.
    pub egress: bool,
    /// Allow or deny.
    pub allow: bool,
    /// The traffic.
    pub traffic: Traffic,
    /// Source (ingress) or destination (egress).
    pub cidr: IpNet,
}
