//! The network as hosts shall have it, computed from rows, and which of it a change affects.

use super::{
    dhcp_options::{AMAZON_PROVIDED_DNS, DhcpOptions},
    egress_only_internet_gateways::EgressOnlyInternetGateway,
    internet_gateways::InternetGateway,
    names,
    nat_gateways::NatGateway,
    network_acls::{self, NetworkAcl},
    network_interfaces::{self, NetworkInterface},
    route_tables::{self, RouteTable, Target},
    security_groups::{self, SecurityGroup},
    subnets::Subnet,
    traffic::{ICMP, ICMPV6, Protocol, TCP, UDP},
    vpcs::Vpc,
};
use crate::compute::instances::Instance;
use contracts::{host::EntryKey, network};
use shapes::ec2::HostnameType;
use state::{Change, ChangeSet, Row, State};
use std::{collections::BTreeSet, net::Ipv4Addr};
use types::{NetworkInterfaceId, SecurityGroupId, SubnetId, VpcId};

/// The MTU of every port: AWS's jumbo frames.
const MTU: u16 = 9001;
/// The hop limit of metadata packets where no instance says.
const HOP_LIMIT: u8 = 1;

/// An attached interface as a port.
#[must_use]
pub fn port(state: &State, id: NetworkInterfaceId) -> Option<network::Port> {
    let row = state.get::<NetworkInterface>(&id)?;
    let instance = state.get::<Instance>(&row.attachment.as_ref()?.instance);
    let by_id = instance.filter(|row| row.hostname_type == HostnameType::ResourceName.as_str());
    let host_name = match by_id {
        Some(instance) => instance.id.to_string(),
        None => names::host_name(row.primary_ip()?),
    };
    let is_primary = row.attachment.as_ref().is_some_and(|it| it.device_index == 0);
    let primary_of = instance.filter(|_| is_primary);
    let address = |address: &network_interfaces::PrivateAddress| network::Address {
        private: address.ip,
        public: address.public.as_ref().map(|public| public.ip),
    };
    Some(network::Port {
        id,
        ipv6_prefixes: Vec::new(),
        vpc: row.vpc,
        subnet: row.subnet,
        mac: row.mac,
        mtu: MTU,
        addresses: row.addresses.iter().map(address).collect(),
        ipv6: row.ipv6.clone(),
        groups: row.groups.clone(),
        source_dest_check: row.source_dest_check,
        host_name,
        resource_name: primary_of.map(|row| network::ResourceName {
            name: row.id.to_string(),
            a: row.resource_name_dns_a,
            aaaa: row.resource_name_dns_aaaa,
        }),
        metadata_ipv6: instance.is_some_and(|row| row.metadata.ipv6),
        metadata_hop_limit: instance.map_or(HOP_LIMIT, |row| row.metadata.hop_limit),
        connections: None,
    })
}

/// A VPC.
#[must_use]
pub fn vpc(state: &State, id: VpcId) -> Option<network::Vpc> {
    let row = state.get::<Vpc>(&id)?;
    let options = row.dhcp_options.and_then(|id| state.get::<DhcpOptions>(&id));
    let servers = |name| {
        let values = options.map_or(&[][..], |options| options.values(name));
        // What is no address here is AmazonProvidedDNS: the VPC's resolver.
        values.iter().filter_map(|value| value.parse::<Ipv4Addr>().ok()).collect::<Vec<_>>()
    };
    let own_resolver = options.is_some_and(|options| {
        options.values("domain-name-servers").iter().any(|value| value == AMAZON_PROVIDED_DNS)
    });
    let name_servers = if own_resolver { Vec::new() } else { servers("domain-name-servers") };
    let domain_name = options.and_then(|options| options.values("domain-name").first().cloned());
    Some(network::Vpc {
        id,
        cidrs: row.cidrs.iter().map(|(_, cidr)| *cidr).collect(),
        ipv6_cidrs: row.ipv6_cidrs.iter().map(|(_, cidr)| *cidr).collect(),
        dns_support: row.dns_support,
        dns_hostnames: row.dns_hostnames,
        private_domain: row.scope.region.private_domain(),
        public_domain: row.scope.region.public_domain(),
        dhcp: network::Dhcp {
            domain_name,
            no_name_servers: name_servers.is_empty() && !own_resolver,
            name_servers,
            ntp_servers: servers("ntp-servers"),
            netbios_servers: servers("netbios-name-servers"),
            netbios_node_type: options
                .and_then(|set| set.values("netbios-node-type").first()?.parse().ok()),
        },
    })
}

/// A subnet with its routes and ACL.
#[must_use]
pub fn subnet(state: &State, id: SubnetId) -> Option<network::Subnet> {
    let row = state.get::<Subnet>(&id)?;
    let local = network::RouteTarget::Local;
    let mut routes = route_tables::local_blocks(state, row.vpc)
        .into_iter()
        .map(|destination| network::Route { destination, target: local.clone() })
        .collect::<Vec<_>>();
    let table = route_tables::of_subnet(state, id, row.vpc);
    routes.extend(table.into_iter().flat_map(|table| &table.routes).map(|route| {
        let target = if route_tables::is_active(state, row.vpc, route.target) {
            match route.target {
                Target::InternetGateway(_) => network::RouteTarget::InternetGateway,
                Target::NetworkInterface(id) => network::RouteTarget::Interface(id),
                Target::EgressOnlyInternetGateway(_) => network::RouteTarget::EgressOnlyGateway,
                Target::NatGateway(id) => network::RouteTarget::NatGateway(id),
            }
        } else {
            network::RouteTarget::Blackhole
        };
        network::Route { destination: route.destination, target }
    }));
    let entries = network_acls::of_subnet(state, id).map_or(&[][..], |acl| &acl.entries);
    let mut acl = entries.iter().map(acl_entry).collect::<Vec<_>>();
    acl.sort_by_key(|entry| (entry.egress, entry.number));
    let ipv6_cidr = row.ipv6_cidr.map(|(_, block)| block);
    Some(network::Subnet { id, vpc: row.vpc, cidr: row.cidr, ipv6_cidr, routes, acl })
}

fn acl_entry(entry: &network_acls::Entry) -> network::AclEntry {
    let (from, to) = (entry.from.unwrap_or(0), entry.to.unwrap_or(u16::MAX));
    let narrow = |value: Option<u16>| value.and_then(|value| u8::try_from(value).ok());
    let traffic = match entry.protocol {
        None => network::Traffic::All,
        Some(TCP) => network::Traffic::Tcp { from, to },
        Some(UDP) => network::Traffic::Udp { from, to },
        Some(ICMP) => network::Traffic::Icmp { kind: narrow(entry.from), code: narrow(entry.to) },
        Some(ICMPV6) => {
            network::Traffic::Icmp6 { kind: narrow(entry.from), code: narrow(entry.to) }
        }
        Some(number) => network::Traffic::Protocol(number),
    };
    network::AclEntry {
        number: entry.number,
        egress: entry.egress,
        allow: entry.allow,
        traffic,
        cidr: entry.cidr,
    }
}

/// A security group with its members' addresses.
#[must_use]
pub fn group(state: &State, id: SecurityGroupId) -> Option<network::Group> {
    let row = state.get::<SecurityGroup>(&id)?;
    let rules = |egress| {
        let rules = row.rules.iter().filter(move |rule| rule.egress == egress);
        rules.map(rule).collect::<Vec<_>>()
    };
    let interfaces = state.find::<NetworkInterface>("group", id);
    let members = interfaces.flat_map(|interface| interface.ips());
    Some(network::Group {
        id,
        vpc: row.vpc,
        ingress: rules(false),
        egress: rules(true),
        members: members.collect(),
    })
}

fn rule(rule: &security_groups::Rule) -> network::Rule {
    let peer = match rule.peer {
        security_groups::Peer::Cidr(block) => network::Peer::Cidr(block),
        security_groups::Peer::Group(group, _) => network::Peer::Group(group),
    };
    let port = |value: Option<i32>, all| value.and_then(|v| u16::try_from(v).ok()).unwrap_or(all);
    let (from, to) = (port(rule.from, 0), port(rule.to, u16::MAX));
    let part = |value: Option<i32>| value.and_then(|value| u8::try_from(value).ok());
    let traffic = match rule.protocol {
        Protocol::All => network::Traffic::All,
        Protocol::Number(TCP) => network::Traffic::Tcp { from, to },
        Protocol::Number(UDP) => network::Traffic::Udp { from, to },
        Protocol::Number(ICMP) => {
            network::Traffic::Icmp { kind: part(rule.from), code: part(rule.to) }
        }
        Protocol::Number(ICMPV6) => {
            network::Traffic::Icmp6 { kind: part(rule.from), code: part(rule.to) }
        }
        Protocol::Number(number) => network::Traffic::Protocol(number),
    };
    network::Rule { traffic, peer }
}

/// Calls `add` with each entry that a change set may have changed; some may come twice.
///
/// `before` is the state that the changes began with. Which entries a host has at all (those of
/// the VPCs that it has ports of) is not decided here.
pub fn affected(before: &State, changes: &ChangeSet, add: &mut dyn FnMut(EntryKey)) {
    interfaces(before, changes, add);
    for change in changes.of::<Instance>() {
        let part = |row: &Instance| {
            let dns = (row.resource_name_dns_a, row.resource_name_dns_aaaa);
            (row.hostname_type.clone(), dns, row.metadata.hop_limit, row.metadata.ipv6)
        };
        if differs(change, part) {
            for interface in network_interfaces::of_instance(before, change.key) {
                add(EntryKey::Port(interface.id));
            }
        }
    }
    for change in changes.of::<SecurityGroup>() {
        if differs(change, |row| row.rules.clone()) {
            add(EntryKey::Group(change.key));
        }
    }
    for change in changes.of::<Subnet>() {
        add(EntryKey::Subnet(change.key));
    }
    for change in changes.of::<Vpc>() {
        add(EntryKey::Vpc(change.key));
        if differs(change, |row| (row.cidrs.clone(), row.ipv6_cidrs.clone())) {
            subnets_of(before, change.key, add);
        }
    }
    for change in changes.of::<DhcpOptions>() {
        for row in both(change) {
            let vpcs = before.in_scope::<Vpc>(&row.scope);
            for vpc in vpcs.filter(|vpc| vpc.dhcp_options == Some(change.key)) {
                add(EntryKey::Vpc(vpc.id));
            }
        }
    }
    for change in changes.of::<InternetGateway>() {
        if differs(change, |row| row.vpc) {
            both(change).filter_map(|row| row.vpc).for_each(|vpc| subnets_of(before, vpc, add));
        }
    }
    for change in changes.of::<EgressOnlyInternetGateway>() {
        both(change).for_each(|row| subnets_of(before, row.vpc, add));
    }
    for change in changes.of::<NatGateway>() {
        add(EntryKey::NatGateway(change.key));
        if differs(change, NatGateway::is_available) {
            let tables = before.find::<RouteTable>("target", change.key);
            tables.for_each(|table| table_subnets(before, table, add));
            // The subnet may have nothing else that a host needs.
            both(change).for_each(|row| add(EntryKey::Subnet(row.subnet)));
        }
    }
    for change in changes.of::<RouteTable>() {
        if differs(change, |row| (row.routes.clone(), row.associations.clone())) {
            both(change).for_each(|table| table_subnets(before, table, add));
        }
    }
    for change in changes.of::<NetworkAcl>() {
        if differs(change, |row| (row.entries.clone(), row.associations.clone())) {
            let associations = both(change).flat_map(|row| &row.associations);
            associations.for_each(|(_, subnet)| add(EntryKey::Subnet(*subnet)));
        }
    }
}

fn interfaces(before: &State, changes: &ChangeSet, add: &mut dyn FnMut(EntryKey)) {
    for change in changes.of::<NetworkInterface>() {
        add(EntryKey::Port(change.key));
        let members = |row: &NetworkInterface| (row.ips().collect::<Vec<_>>(), row.groups.clone());
        if differs(change, members) {
            let groups = both(change).flat_map(|row| &row.groups).copied();
            groups.collect::<BTreeSet<_>>().into_iter().map(EntryKey::Group).for_each(&mut *add);
        }
        // Routes to an interface are blackholes while it is attached to nothing.
        if differs(change, |row| row.attachment.is_some()) {
            let tables = before.find::<RouteTable>("target", change.key);
            tables.for_each(|table| table_subnets(before, table, add));
        }
    }
}

/// Whether this part of a row changed, or the row came or went.
fn differs<R: Row, T: PartialEq>(change: &Change<R>, part: impl Fn(&R) -> T) -> bool {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => part(before) != part(after),
        (Some(_), None) | (None, Some(_)) => true,
        (None, None) => false,
    }
}

/// The row before and the row after.
fn both<R: Row>(change: &Change<R>) -> impl Iterator<Item = &R> {
    change.before.iter().chain(&change.after).map(AsRef::as_ref)
}

fn subnets_of(before: &State, vpc: VpcId, add: &mut dyn FnMut(EntryKey)) {
    before.find::<Subnet>("vpc", vpc).for_each(|subnet| add(EntryKey::Subnet(subnet.id)));
}

/// The subnets that a table's routes may hold for; of a main table, all of its VPC.
fn table_subnets(before: &State, table: &RouteTable, add: &mut dyn FnMut(EntryKey)) {
    if table.is_main() {
        subnets_of(before, table.vpc, add);
    }
    let subnets = table.associations.iter().filter_map(|association| association.subnet);
    subnets.for_each(|subnet| add(EntryKey::Subnet(subnet)));
}
