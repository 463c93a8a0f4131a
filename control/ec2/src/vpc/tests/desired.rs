//! The network that hosts shall have, and what changes affect.

use crate::{
    compute::instances::InstanceState,
    vpc::{
        addresses, desired,
        internet_gateways::{self, InternetGateway},
        network_interfaces as enis,
        route_tables::{self, Route, RouteTable, Target},
        security_groups::{Peer, Rule, SecurityGroup},
        testing::{begin, default_network, instance, interface, request, tx},
        traffic::Protocol,
        vpcs::Vpc,
    },
};
use contracts::{host::EntryKey, network};
use state::{State, Tx};
use std::collections::BTreeSet;
use types::{IpNet, Ipv6Net, Tags};

fn affected(before: &State, tx: Tx) -> BTreeSet<EntryKey> {
    let mut keys = BTreeSet::new();
    desired::affected(before, &tx.finish().1, &mut |key| {
        keys.insert(key);
    });
    keys
}

#[test]
fn ports() {
    let mut tx = tx();
    let eni = interface(&mut tx);
    assert_eq!(desired::port(&tx, eni), None, "attached to nothing");
    let machine = instance(&mut tx, InstanceState::Running);
    enis::attach(&mut tx, eni, machine, 0, true);
    addresses::lend_public(&mut tx, eni).unwrap();
    let port = desired::port(&tx, eni).unwrap();
    let row = tx.get::<enis::NetworkInterface>(&eni).unwrap();
    assert_eq!(port.addresses[0].private, row.addresses[0].ip);
    assert_eq!(port.addresses[0].public, row.addresses[0].public.as_ref().map(|p| p.ip));
    assert_eq!((port.mtu, port.metadata_hop_limit), (9001, 2));
    assert!(port.host_name.starts_with("ip-172-31-"));
    tx.update::<crate::compute::instances::Instance>(&machine, |row| {
        "resource-name".clone_into(&mut row.hostname_type);
    });
    assert_eq!(desired::port(&tx, eni).unwrap().host_name, machine.to_string());
}

#[test]
fn vpcs_and_subnets() {
    let mut tx = tx();
    let (vpc, subnet) = default_network(&tx);
    let told = desired::vpc(&tx, vpc).unwrap();
    assert_eq!(told.dhcp.domain_name.as_deref(), Some("ec2.internal"));
    assert!(told.dhcp.name_servers.is_empty(), "the VPC's resolver");
    let told = desired::subnet(&tx, subnet.id).unwrap();
    let targets = told.routes.iter().map(|route| route.target.clone()).collect::<Vec<_>>();
    let expected = [network::RouteTarget::Local, network::RouteTarget::InternetGateway];
    assert_eq!(targets, expected);
    assert_eq!(told.acl.len(), 2);
    assert!(told.acl.iter().all(|entry| entry.allow && entry.traffic == network::Traffic::All));
    let gateway = internet_gateways::of_vpc(&tx, vpc).unwrap().id;
    tx.update::<InternetGateway>(&gateway, |gateway| gateway.vpc = None);
    let told = desired::subnet(&tx, subnet.id).unwrap();
    assert_eq!(told.routes[1].target, network::RouteTarget::Blackhole);
}

#[test]
fn groups() {
    let mut tx = tx();
    let eni = interface(&mut tx);
    let row = tx.get::<enis::NetworkInterface>(&eni).unwrap().clone();
    let id = row.groups[0];
    let v6 = Peer::Cidr(IpNet::V6(Ipv6Net::default()));
    let everywhere = Peer::Cidr(IpNet::V4(types::Ipv4Net::default()));
    let kinds = [
        (Protocol::Number(6), Some(80), Some(81), everywhere),
        (Protocol::Number(17), Some(53), Some(53), everywhere),
        (Protocol::Number(1), Some(8), None, everywhere),
        (Protocol::Number(1), None, None, everywhere),
        (Protocol::Number(58), Some(128), None, v6),
        (Protocol::Number(50), None, None, everywhere),
        (Protocol::All, None, None, v6),
    ];
    for (protocol, from, to, peer) in kinds {
        let id = tx.new_id();
        let (description, tags) = (None, Tags::new());
        let rule = Rule { id, egress: false, protocol, from, to, peer, description, tags };
        tx.update::<SecurityGroup>(&row.groups[0], |group| group.rules.push(rule));
    }
    let group = desired::group(&tx, id).unwrap();
    assert_eq!(group.members, [row.addresses[0].ip]);
    assert_eq!(group.egress.len(), 1);
    let traffic = group.ingress.iter().map(|rule| rule.traffic).collect::<Vec<_>>();
    let expected = [
        network::Traffic::All,
        network::Traffic::Tcp { from: 80, to: 81 },
        network::Traffic::Udp { from: 53, to: 53 },
        network::Traffic::Icmp { kind: Some(8), code: None },
        network::Traffic::Icmp { kind: None, code: None },
        network::Traffic::Icmp6 { kind: Some(128), code: None },
        network::Traffic::Protocol(50),
        network::Traffic::All,
    ];
    assert_eq!(traffic, expected);
    assert_eq!(group.ingress[0].peer, network::Peer::Group(id));
}

#[test]
fn changes_of_interfaces_affect_ports_and_groups() {
    let mut first = tx();
    let before = begin(first.state()).finish().0;
    let eni = interface(&mut first);
    let group = first.get::<enis::NetworkInterface>(&eni).unwrap().groups[0];
    let state = first.finish().0;
    let mut again = begin(&before);
    let made = interface(&mut again);
    let keys = affected(&before, again);
    assert_eq!(keys, BTreeSet::from([EntryKey::Port(made), EntryKey::Group(group)]));

    let mut described = begin(&state);
    described.update::<enis::NetworkInterface>(&eni, |row| row.source_dest_check = false);
    assert_eq!(affected(&state, described), BTreeSet::from([EntryKey::Port(eni)]));
}

#[test]
fn changes_of_routes_affect_subnets() {
    let mut first = tx();
    let (vpc, subnet) = default_network(&first);
    let eni = interface(&mut first);
    let main = route_tables::main_of(&first, vpc).unwrap().id;
    let target = Target::NetworkInterface(eni);
    let destination = "9.0.0.0/8".parse().unwrap();
    first.update::<RouteTable>(&main, |table| table.routes.push(Route { destination, target }));
    let machine = instance(&mut first, InstanceState::Running);
    let state = first.finish().0;
    let subnets = state
        .in_scope::<crate::vpc::subnets::Subnet>(&request().scope)
        .map(|subnet| EntryKey::Subnet(subnet.id))
        .collect::<BTreeSet<_>>();
    assert!(subnets.len() == 3 && subnets.contains(&EntryKey::Subnet(subnet.id)));

    let mut gateway = begin(&state);
    let id = internet_gateways::of_vpc(&state, vpc).unwrap().id;
    gateway.update::<InternetGateway>(&id, |gateway| gateway.vpc = None);
    assert_eq!(affected(&state, gateway), subnets);

    let mut routes = begin(&state);
    routes.update::<RouteTable>(&main, |table| table.routes.clear());
    assert_eq!(affected(&state, routes), subnets);

    let mut attached = begin(&state);
    enis::attach(&mut attached, eni, machine, 0, true);
    let keys = affected(&state, attached);
    assert!(keys.is_superset(&subnets) && keys.contains(&EntryKey::Port(eni)), "{keys:?}");

    let mut tagged = begin(&state);
    tagged.update::<RouteTable>(&main, |table| {
        table.tags.insert("a".to_owned(), "b".to_owned());
    });
    assert!(affected(&state, tagged).is_empty());
}

#[test]
fn changes_of_other_rows() {
    let first = tx();
    let (vpc, _) = default_network(&first);
    let group = first.find::<SecurityGroup>("vpc", vpc).next().unwrap().id;
    let state = first.finish().0;
    let mut rules = begin(&state);
    rules.update::<SecurityGroup>(&group, |group| group.rules.clear());
    assert_eq!(affected(&state, rules), BTreeSet::from([EntryKey::Group(group)]));
    let mut dns = begin(&state);
    dns.update::<Vpc>(&vpc, |vpc| vpc.dns_support = false);
    assert_eq!(affected(&state, dns), BTreeSet::from([EntryKey::Vpc(vpc)]));
    let mut hops = begin(&state);
    let machine = instance(&mut hops, InstanceState::Running);
    let eni = interface(&mut hops);
    enis::attach(&mut hops, eni, machine, 0, true);
    let state = hops.finish().0;
    let mut hops = begin(&state);
    hops.update::<crate::compute::instances::Instance>(&machine, |row| {
        row.metadata.hop_limit = 5;
    });
    assert_eq!(affected(&state, hops), BTreeSet::from([EntryKey::Port(eni)]));
}
