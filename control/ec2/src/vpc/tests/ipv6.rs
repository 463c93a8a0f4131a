//! IPv6: blocks of VPCs and subnets, addresses of interfaces, routes, reservations.

use crate::{
    compute::instances::InstanceState,
    settings::Settings,
    vpc::{
        cidr_blocks::{self, subnets as subnet_blocks},
        desired, egress_only_internet_gateways as egress_only,
        network_acls::NetworkAcl,
        network_interfaces::{self as enis, NetworkInterface},
        route_tables as tables,
        security_groups::SecurityGroup,
        subnet_reservations as reservations,
        subnets::{self, Subnet},
        testing::{code, filter, instance, message, request, s, subnet, tx, vpc},
        vpcs::{self, Vpc},
    },
};
use contracts::network::RouteTarget;
use shapes::{Fault, ec2 as api};
use state::Tx;
use std::{collections::BTreeSet, net::Ipv6Addr};
use types::{IpNet, Ipv6Net};

fn add_block(tx: &mut Tx, vpc: &str) -> Result<api::VpcIpv6CidrBlockAssociation, Fault> {
    let input = api::AssociateVpcCidrBlockRequest {
        vpc_id: s(vpc),
        amazon_provided_ipv6_cidr_block: Some(true),
        ..Default::default()
    };
    let answer = cidr_blocks::associate_vpc_cidr_block(tx, &request(), input)?;
    assert_eq!(answer.cidr_block_association, None);
    Ok(answer.ipv6_cidr_block_association.unwrap())
}

fn block(association: &api::VpcIpv6CidrBlockAssociation) -> Ipv6Net {
    association.ipv6_cidr_block.as_ref().unwrap().parse().unwrap()
}

/// The block of this number within a larger one.
fn nth(block: Ipv6Net, length: u8, number: usize) -> Ipv6Net {
    block.subnets(length).unwrap().nth(number).unwrap()
}

fn associate(tx: &mut Tx, subnet: &str, block: &str) -> Result<String, Fault> {
    let input = api::AssociateSubnetCidrBlockRequest {
        subnet_id: s(subnet),
        ipv6_cidr_block: s(block),
        ..Default::default()
    };
    let answer = subnet_blocks::associate_subnet_cidr_block(tx, &request(), input)?;
    let association = answer.ipv6_cidr_block_association.unwrap();
    let state = association.ipv6_cidr_block_state.unwrap().state;
    assert_eq!(state, Some(api::SubnetCidrBlockStateCode::Associating));
    Ok(association.association_id.unwrap())
}

fn disassociate(tx: &mut Tx, association: &str) -> Result<(), Fault> {
    let input = api::DisassociateSubnetCidrBlockRequest { association_id: s(association) };
    subnet_blocks::disassociate_subnet_cidr_block(tx, &request(), input).map(drop)
}

/// A VPC and a subnet with IPv6, and the subnet's block.
fn dual_stack(tx: &mut Tx) -> (String, String, Ipv6Net) {
    let vpc = vpc(tx, "10.0.0.0/16");
    let block = nth(block(&add_block(tx, &vpc).unwrap()), 64, 0);
    let subnet = subnet(tx, &vpc, "10.0.0.0/24");
    associate(tx, &subnet, &block.to_string()).unwrap();
    (vpc, subnet, block)
}

fn on_creation(tx: &mut Tx, subnet: &str, value: bool) -> Result<(), Fault> {
    let input = api::ModifySubnetAttributeRequest {
        subnet_id: s(subnet),
        assign_ipv6_address_on_creation: Some(api::AttributeBooleanValue { value: Some(value) }),
        ..Default::default()
    };
    subnets::modify_subnet_attribute(tx, &request(), input).map(drop)
}

fn create(
    tx: &mut Tx,
    subnet: &str,
    change: impl FnOnce(&mut api::CreateNetworkInterfaceRequest),
) -> Result<api::NetworkInterface, Fault> {
    let mut input =
        api::CreateNetworkInterfaceRequest { subnet_id: s(subnet), ..Default::default() };
    change(&mut input);
    Ok(enis::create_network_interface(tx, &request(), input)?.network_interface.unwrap())
}

fn addresses(interface: &api::NetworkInterface) -> Vec<Ipv6Addr> {
    let list = interface.ipv6_addresses.as_ref().unwrap();
    list.iter().map(|one| one.ipv6_address.as_ref().unwrap().parse().unwrap()).collect()
}

fn named(texts: &[String]) -> Option<Vec<api::InstanceIpv6Address>> {
    let one = |text: &String| api::InstanceIpv6Address {
        ipv6_address: Some(text.clone()),
        is_primary_ipv6: None,
    };
    Some(texts.iter().map(one).collect())
}

fn assign(
    tx: &mut Tx,
    interface: &str,
    change: impl FnOnce(&mut api::AssignIpv6AddressesRequest),
) -> Result<api::AssignIpv6AddressesResult, Fault> {
    let mut input = api::AssignIpv6AddressesRequest {
        network_interface_id: s(interface),
        ..Default::default()
    };
    change(&mut input);
    enis::assign_ipv6_addresses(tx, &request(), input)
}

fn reserve(tx: &mut Tx, subnet: &str, cidr: &str, prefix: bool) -> Result<String, Fault> {
    let kind = api::SubnetCidrReservationType::Prefix;
    let input = api::CreateSubnetCidrReservationRequest {
        subnet_id: s(subnet),
        cidr: s(cidr),
        reservation_type: Some(if prefix {
            kind
        } else {
            api::SubnetCidrReservationType::Explicit
        }),
        ..Default::default()
    };
    let made = reservations::create_subnet_cidr_reservation(tx, &request(), input)?;
    Ok(made.subnet_cidr_reservation.unwrap().subnet_cidr_reservation_id.unwrap())
}

#[test]
fn a_vpc_has_blocks_of_the_pool() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    let first = add_block(&mut tx, &id).unwrap();
    assert_eq!(first.network_border_group, s("us-east-1"));
    assert_eq!(first.ipv6_pool, s("Amazon"));
    let state = first.ipv6_cidr_block_state.as_ref().unwrap().state;
    assert_eq!(state, Some(api::VpcCidrBlockStateCode::Associating));
    let pool = Settings::of(&tx).ipv6_pool;
    let block = block(&first);
    assert!(pool.contains(&block) && block.prefix_len() == 56, "{block}");
    assert_ne!(block.network(), pool.network(), "the host's own");

    let find = |tx: &Tx, name: &str, value: &str| {
        let filters = filter(name, value);
        let input = api::DescribeVpcsRequest { filters, ..Default::default() };
        vpcs::describe_vpcs(tx, &request(), input).unwrap().vpcs.unwrap()
    };
    let name = "ipv6-cidr-block-association.";
    for (filter, value) in [
        ("ipv6-cidr-block", block.to_string()),
        ("association-id", first.association_id.clone().unwrap()),
        ("ipv6-pool", "Amazon".to_owned()),
        ("state", "associated".to_owned()),
    ] {
        let found = find(&tx, &format!("{name}{filter}"), &value);
        assert_eq!(found.len(), 1, "{filter}");
        let shown = found[0].ipv6_cidr_block_association_set.as_ref().unwrap();
        assert_eq!(shown[0].association_id, first.association_id);
    }
    assert_eq!(find(&tx, "is-default", "true")[0].ipv6_cidr_block_association_set, None);
    for _ in 1..5 {
        add_block(&mut tx, &id).unwrap();
    }
    assert_eq!(code(add_block(&mut tx, &id)), "CidrLimitExceeded");
    let blocks = tx.iter::<Vpc>().flat_map(|vpc| vpc.ipv6_cidrs.clone()).collect::<BTreeSet<_>>();
    assert_eq!(blocks.iter().map(|(_, block)| block).collect::<BTreeSet<_>>().len(), 5);
}

#[test]
fn what_a_call_about_a_vpcs_block_may_say() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    let base = api::AssociateVpcCidrBlockRequest { vpc_id: s(&id), ..Default::default() };
    for (input, expected) in [
        (base.clone(), "MissingParameter"),
        (
            api::AssociateVpcCidrBlockRequest {
                cidr_block: s("10.1.0.0/16"),
                amazon_provided_ipv6_cidr_block: Some(true),
                ..base.clone()
            },
            "InvalidParameterCombination",
        ),
        (
            api::AssociateVpcCidrBlockRequest {
                ipv6_cidr_block_network_border_group: s("us-east-1"),
                ..base.clone()
            },
            "MissingParameter",
        ),
        (
            api::AssociateVpcCidrBlockRequest {
                ipv6_cidr_block_network_border_group: s("us-east-1-wl1"),
                amazon_provided_ipv6_cidr_block: Some(true),
                ..base.clone()
            },
            "InvalidParameterValue",
        ),
        (
            api::AssociateVpcCidrBlockRequest { ipv6_pool: s("ipv6pool-ec2-1"), ..base.clone() },
            "UnsupportedOperation",
        ),
    ] {
        let text = format!("{input:?}");
        let result = cidr_blocks::associate_vpc_cidr_block(&mut tx, &request(), input);
        assert_eq!(code(result), expected, "{text}");
    }
    let input = api::CreateVpcRequest {
        cidr_block: s("10.0.0.0/16"),
        amazon_provided_ipv6_cidr_block: Some(true),
        ipv6_cidr_block_network_border_group: s("us-east-1"),
        ..Default::default()
    };
    let made = vpcs::create_vpc(&mut tx, &request(), input).unwrap().vpc.unwrap();
    assert_eq!(made.ipv6_cidr_block_association_set.unwrap().len(), 1);
}

#[test]
fn a_pool_is_used_up() {
    let mut tx = tx();
    let ipv6_pool = "fd12:3456:7800::/54".parse().unwrap();
    tx.put(Settings { ipv6_pool, ..Settings::default() });
    let id = vpc(&mut tx, "10.0.0.0/16");
    let blocks = (0..3).map(|_| block(&add_block(&mut tx, &id).unwrap()).to_string());
    let blocks = blocks.collect::<BTreeSet<_>>();
    let expected =
        ["fd12:3456:7800:100::/56", "fd12:3456:7800:200::/56", "fd12:3456:7800:300::/56"];
    assert_eq!(blocks, expected.map(ToOwned::to_owned).into());
    assert_eq!(code(add_block(&mut tx, &id)), "InsufficientCidrBlocks");
    tx.put(Settings { ipv6_pool: "fd12::/56".parse().unwrap(), ..Settings::default() });
    let other = vpc(&mut tx, "10.0.0.0/16");
    assert_eq!(code(add_block(&mut tx, &other)), "InsufficientCidrBlocks");
}

#[test]
fn a_vpcs_block_goes_when_no_subnet_is_in_it() {
    let mut tx = tx();
    let (vpc, subnet, _) = dual_stack(&mut tx);
    let row = tx.get::<Vpc>(&vpc.parse().unwrap()).unwrap();
    let association = row.ipv6_cidrs[0].0.to_string();
    let input = || api::DisassociateVpcCidrBlockRequest { association_id: s(&association) };
    let result = cidr_blocks::disassociate_vpc_cidr_block(&mut tx, &request(), input());
    assert_eq!(code(result), "InvalidCidrBlock.InUse");
    let id = tx.get::<Subnet>(&subnet.parse().unwrap()).unwrap().ipv6_cidr.unwrap().0;
    disassociate(&mut tx, &id.to_string()).unwrap();
    let gone = cidr_blocks::disassociate_vpc_cidr_block(&mut tx, &request(), input()).unwrap();
    let gone = gone.ipv6_cidr_block_association.unwrap();
    assert_eq!(gone.association_id.as_ref(), Some(&association));
    let state = gone.ipv6_cidr_block_state.unwrap().state;
    assert_eq!(state, Some(api::VpcCidrBlockStateCode::Disassociating));
    let result = cidr_blocks::disassociate_vpc_cidr_block(&mut tx, &request(), input());
    assert_eq!(code(result), "InvalidVpcCidrBlockAssociationID.NotFound");
}

#[test]
fn the_default_group_and_acl_let_ipv6_through() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    let everything = IpNet::V6(Ipv6Net::default());
    let rules = |tx: &Tx| {
        let group = tx.find::<SecurityGroup>("vpc", &id).next().unwrap();
        let v6 = group.rules.iter().filter(|rule| {
            rule.peer == crate::vpc::security_groups::Peer::Cidr(everything) && rule.egress
        });
        v6.count()
    };
    let entries = |tx: &Tx| {
        let acl = tx.find::<NetworkAcl>("vpc", &id).next().unwrap();
        let v6 = acl.entries.iter().filter(|entry| entry.cidr == everything);
        v6.map(|entry| (entry.number, entry.egress, entry.allow)).collect::<Vec<_>>()
    };
    assert_eq!((rules(&tx), entries(&tx)), (0, vec![]));
    add_block(&mut tx, &id).unwrap();
    assert_eq!((rules(&tx), entries(&tx)), (1, vec![(101, true, true), (101, false, true)]));
    add_block(&mut tx, &id).unwrap();
    assert_eq!((rules(&tx), entries(&tx).len()), (1, 2), "with the first block only");

    // What its owner has changed stays so.
    let other = vpc(&mut tx, "10.1.0.0/16");
    let group = tx.find::<SecurityGroup>("vpc", &other).next().unwrap().id;
    tx.update::<SecurityGroup>(&group, |group| group.rules.retain(|rule| !rule.egress));
    let acl = tx.find::<NetworkAcl>("vpc", &other).next().unwrap().id;
    tx.update::<NetworkAcl>(&acl, |acl| acl.entries.retain(|entry| entry.egress));
    add_block(&mut tx, &other).unwrap();
    let group = tx.get::<SecurityGroup>(&group).unwrap();
    assert!(!group.rules.iter().any(|rule| rule.egress));
    let acl = tx.get::<NetworkAcl>(&acl).unwrap();
    assert_eq!(acl.entries.iter().filter(|entry| !entry.egress).count(), 0);
    assert_eq!(acl.entries.iter().filter(|entry| entry.egress).count(), 2);
}

#[test]
fn blocks_of_subnets() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    let subnet_id = subnet(&mut tx, &id, "10.0.0.0/24");
    assert_eq!(code(associate(&mut tx, &subnet_id, "fd00::/64")), "InvalidSubnet.Range");
    let block = block(&add_block(&mut tx, &id).unwrap());
    let first = nth(block, 64, 0);
    for (text, expected) in [
        ("fd00::/64".to_owned(), "InvalidSubnet.Range"),
        (nth(block, 62, 0).to_string(), "InvalidSubnet.Range"),
        (nth(block, 68, 0).to_string(), "InvalidSubnet.Range"),
        ("10.0.0.0/24".to_owned(), "InvalidParameterValue"),
    ] {
        assert_eq!(code(associate(&mut tx, &subnet_id, &text)), expected, "{text}");
    }
    let association = associate(&mut tx, &subnet_id, &first.to_string()).unwrap();
    let second = nth(block, 64, 1).to_string();
    assert_eq!(code(associate(&mut tx, &subnet_id, &second)), "CidrLimitExceeded");
    let other = api::CreateSubnetRequest {
        vpc_id: s(&id),
        cidr_block: s("10.0.1.0/24"),
        ipv6_cidr_block: s(&nth(block, 60, 0).to_string()),
        ..Default::default()
    };
    let result = subnets::create_subnet(&mut tx, &request(), other.clone());
    assert_eq!(code(result), "InvalidSubnet.Conflict");
    let other = api::CreateSubnetRequest { ipv6_cidr_block: s(&second), ..other };
    let made = subnets::create_subnet(&mut tx, &request(), other).unwrap().subnet.unwrap();
    let shown = made.ipv6_cidr_block_association_set.unwrap();
    assert_eq!(shown[0].ipv6_cidr_block, s(&second));
    for (name, value) in [("ipv6-cidr-block", &second), ("association-id", &association)] {
        let filters = filter(&format!("ipv6-cidr-block-association.{name}"), value);
        let input = api::DescribeSubnetsRequest { filters, ..Default::default() };
        let found = subnets::describe_subnets(&tx, &request(), input).unwrap();
        assert_eq!(found.subnets.unwrap().len(), 1, "{name}");
    }
    disassociate(&mut tx, &association).unwrap();
    assert_eq!(
        code(disassociate(&mut tx, &association)),
        "InvalidSubnetCidrBlockAssociationID.NotFound"
    );
    assert_eq!(code(disassociate(&mut tx, "x")), "InvalidSubnetCidrBlockAssociationId.Malformed");
}

#[test]
fn a_subnet_gives_addresses_on_creation() {
    let mut tx = tx();
    let plain = vpc(&mut tx, "10.5.0.0/16");
    let plain = subnet(&mut tx, &plain, "10.5.0.0/24");
    let told = message(on_creation(&mut tx, &plain, true));
    assert!(told.contains("unless the subnet"), "{told}");
    let (_, subnet, block) = dual_stack(&mut tx);
    assert!(addresses(&create(&mut tx, &subnet, |_| ()).unwrap()).is_empty());
    on_creation(&mut tx, &subnet, true).unwrap();
    let made = create(&mut tx, &subnet, |_| ()).unwrap();
    let given = addresses(&made);
    assert!(given.len() == 1 && block.contains(&given[0]), "{given:?}");
    let without = create(&mut tx, &subnet, |input| input.ipv6_address_count = Some(0)).unwrap();
    assert!(addresses(&without).is_empty());
    let three = create(&mut tx, &subnet, |input| input.ipv6_address_count = Some(3)).unwrap();
    assert_eq!(addresses(&three).len(), 3);
    let association = tx.get::<Subnet>(&subnet.parse().unwrap()).unwrap().ipv6_cidr.unwrap().0;
    let association = association.to_string();
    assert_eq!(code(disassociate(&mut tx, &association)), "InvalidCidrBlock.InUse");
    on_creation(&mut tx, &subnet, false).unwrap();
    assert_eq!(code(disassociate(&mut tx, &association)), "InvalidCidrBlock.InUse");
    let rows = tx.find::<NetworkInterface>("subnet", &subnet).map(|row| row.id);
    rows.collect::<Vec<_>>().into_iter().for_each(|id| enis::delete(&mut tx, id));
    disassociate(&mut tx, &association).unwrap();
}

#[test]
fn addresses_that_are_named() {
    let mut tx = tx();
    let (_, subnet, block) = dual_stack(&mut tx);
    let at = |offset: u128| Ipv6Addr::from(u128::from(block.network()) + offset).to_string();
    let with = |text: String| {
        move |input: &mut api::CreateNetworkInterfaceRequest| {
            input.ipv6_addresses = named(&[text]);
        }
    };
    let made = create(&mut tx, &subnet, with(at(4))).unwrap();
    assert_eq!(made.ipv6_address, Some(at(4)));
    for (text, expected) in [
        (at(4), "InvalidIPAddress.InUse"),
        (at(3), "InvalidParameterValue"),
        (at(0), "InvalidParameterValue"),
        (block.broadcast().to_string(), "InvalidParameterValue"),
        ("fd00::7".to_owned(), "InvalidParameterValue"),
        ("10.0.0.7".to_owned(), "InvalidParameterValue"),
        (String::new(), "InvalidParameterValue"),
    ] {
        assert_eq!(code(create(&mut tx, &subnet, with(text.clone()))), expected, "{text}");
    }
    let twice = create(&mut tx, &subnet, |input| input.ipv6_addresses = named(&[at(9), at(9)]));
    assert_eq!(code(twice), "InvalidIPAddress.InUse");
    let both = create(&mut tx, &subnet, |input| {
        input.ipv6_addresses = named(&[at(9)]);
        input.ipv6_address_count = Some(1);
    });
    assert_eq!(code(both), "InvalidParameterCombination");
    let many = create(&mut tx, &subnet, |input| input.ipv6_address_count = Some(51));
    assert_eq!(code(many), "PrivateIpAddressLimitExceeded");
    let negative = create(&mut tx, &subnet, |input| input.ipv6_address_count = Some(-1));
    assert_eq!(code(negative), "InvalidParameterValue");

    let filters = filter("ipv6-addresses.ipv6-address", &at(4));
    let input = api::DescribeNetworkInterfacesRequest { filters, ..Default::default() };
    let found = enis::describe_network_interfaces(&tx, &request(), input).unwrap();
    assert_eq!(found.network_interfaces.unwrap().len(), 1);
}

#[test]
fn addresses_come_and_go() {
    let mut tx = tx();
    let (_, subnet, block) = dual_stack(&mut tx);
    let id = create(&mut tx, &subnet, |_| ()).unwrap().network_interface_id.unwrap();
    assert_eq!(code(assign(&mut tx, &id, |_| ())), "MissingParameter");
    let given = assign(&mut tx, &id, |input| input.ipv6_address_count = Some(2)).unwrap();
    let given = given.assigned_ipv6_addresses.unwrap();
    assert!(given.iter().all(|text| block.contains(&text.parse::<Ipv6Addr>().unwrap())));
    let again = assign(&mut tx, &id, |input| input.ipv6_addresses = Some(given[..1].to_vec()));
    assert_eq!(code(again), "InvalidIPAddress.InUse");

    // A t3.micro has two of them.
    let machine = instance(&mut tx, InstanceState::Running);
    enis::attach(&mut tx, id.parse().unwrap(), machine, 1, true);
    let more = assign(&mut tx, &id, |input| input.ipv6_address_count = Some(1));
    assert_eq!(code(more), "PrivateIpAddressLimitExceeded");

    let primary = |tx: &mut Tx, value| {
        let input = api::ModifyNetworkInterfaceAttributeRequest {
            network_interface_id: s(&id),
            enable_primary_ipv6: Some(value),
            ..Default::default()
        };
        enis::modify_network_interface_attribute(tx, &request(), input).map(drop)
    };
    primary(&mut tx, true).unwrap();
    assert_eq!(code(primary(&mut tx, false)), "InvalidParameterValue");
    let unassign = |tx: &mut Tx, addresses: &[String]| {
        let input = api::UnassignIpv6AddressesRequest {
            network_interface_id: s(&id),
            ipv6_addresses: Some(addresses.to_vec()),
            ..Default::default()
        };
        enis::unassign_ipv6_addresses(tx, &request(), input)
    };
    let told = message(unassign(&mut tx, &given));
    assert!(told.contains("primary IPv6 address"), "{told}");
    let gone = unassign(&mut tx, &given[1..]).unwrap().unassigned_ipv6_addresses.unwrap();
    assert_eq!(gone, given[1..]);
    assert_eq!(code(unassign(&mut tx, &given[1..])), "InvalidParameterValue");
    assert_eq!(code(unassign(&mut tx, &[])), "MissingParameter");
    let port = desired::port(&tx, id.parse().unwrap()).unwrap();
    assert_eq!(port.ipv6, [given[0].parse::<Ipv6Addr>().unwrap()]);
}

#[test]
fn reserved_addresses_are_given_by_name_only() {
    let mut tx = tx();
    let (_, subnet, block) = dual_stack(&mut tx);
    // Of IPv4, 10.0.0.4 to .15 are left; of IPv6, one sixteenth of the block.
    let ranges =
        ["10.0.0.128/25", "10.0.0.64/26", "10.0.0.32/27", "10.0.0.16/28"].map(ToOwned::to_owned);
    let v6 = block.subnets(68).unwrap().skip(1).map(|one| one.to_string());
    let mut ids = Vec::new();
    for range in ranges.into_iter().chain(v6) {
        ids.push(reserve(&mut tx, &subnet, &range, false).unwrap());
    }
    let left = nth(block, 68, 0);
    for _ in 0..12 {
        let made = create(&mut tx, &subnet, |input| input.ipv6_address_count = Some(1)).unwrap();
        let last = made.private_ip_address.as_ref().unwrap().rsplit('.').next().unwrap();
        assert!((4..16).contains(&last.parse::<u32>().unwrap()));
        assert!(left.contains(&addresses(&made)[0]));
    }
    let full = create(&mut tx, &subnet, |_| ());
    assert_eq!(code(full), "InsufficientFreeAddressesInSubnet");
    let by_name = nth(block, 68, 9).hosts().nth(9).unwrap().to_string();
    create(&mut tx, &subnet, |input| {
        input.private_ip_address = s("10.0.0.200");
        input.ipv6_addresses = named(&[by_name]);
    })
    .unwrap();

    for (cidr, expected) in [
        ("10.0.0.200/32", "has overlap with existing"),
        ("10.0.1.0/28", "should be within subnet CIDR block (10.0.0.0/24)"),
        ("fd00::/80", "should be within subnet CIDR block"),
        ("x", "valid CIDR block"),
    ] {
        let told = message(reserve(&mut tx, &subnet, cidr, false));
        assert!(told.contains(expected), "{cidr}: {told}");
    }
    let get = |tx: &Tx, filters| {
        let input = api::GetSubnetCidrReservationsRequest {
            subnet_id: s(&subnet),
            filters,
            ..Default::default()
        };
        let found = reservations::get_subnet_cidr_reservations(tx, &request(), input).unwrap();
        let count = |list: Option<Vec<_>>| list.unwrap().len();
        (count(found.subnet_ipv4_cidr_reservations), count(found.subnet_ipv6_cidr_reservations))
    };
    assert_eq!(get(&tx, None), (4, 15));
    assert_eq!(get(&tx, filter("reservationType", "prefix")), (0, 0));
    let delete = |tx: &mut Tx, id: &str| {
        let input = api::DeleteSubnetCidrReservationRequest {
            subnet_cidr_reservation_id: s(id),
            ..Default::default()
        };
        reservations::delete_subnet_cidr_reservation(tx, &request(), input)
    };
    delete(&mut tx, &ids[3]).unwrap();
    assert_eq!(code(delete(&mut tx, &ids[3])), "InvalidSubnetCidrReservationID.NotFound");
    assert_eq!(get(&tx, None), (3, 15));
    create(&mut tx, &subnet, |_| ()).expect("there is room again");
}

#[test]
fn no_address_is_left_of_a_reserved_block() {
    let mut tx = tx();
    let (_, subnet, block) = dual_stack(&mut tx);
    reserve(&mut tx, &subnet, &block.to_string(), false).unwrap();
    let none = create(&mut tx, &subnet, |input| input.ipv6_address_count = Some(1));
    assert_eq!(code(none), "InsufficientFreeAddressesInSubnet");
    let prefix = create(&mut tx, &subnet, |input| input.ipv6_prefix_count = Some(1));
    assert_eq!(code(prefix), "UnsupportedOperation");
}

#[test]
fn hosts_are_told() {
    let mut tx = tx();
    let (vpc, subnet, block) = dual_stack(&mut tx);
    let made = create(&mut tx, &subnet, |input| input.ipv6_address_count = Some(1)).unwrap();
    let ip = addresses(&made)[0];
    let input =
        api::CreateEgressOnlyInternetGatewayRequest { vpc_id: s(&vpc), ..Default::default() };
    let gateway = egress_only::create_egress_only_internet_gateway(&mut tx, &request(), input);
    let gateway = gateway.unwrap().egress_only_internet_gateway.unwrap();
    let gateway = gateway.egress_only_internet_gateway_id;
    let id = vpc.parse().unwrap();
    let route = |destination: &str, v4: &str| api::CreateRouteRequest {
        route_table_id: s(&tables::main_of(&tx, id).unwrap().id.to_string()),
        destination_ipv6_cidr_block: s(destination).filter(|text| !text.is_empty()),
        destination_cidr_block: s(v4).filter(|text| !text.is_empty()),
        egress_only_internet_gateway_id: gateway.clone(),
        ..Default::default()
    };
    let (out, within, v4) =
        (route("::/0", ""), route(&block.to_string(), ""), route("", "0.0.0.0/0"));
    tables::create_route(&mut tx, &request(), out).unwrap();
    for wrong in [within, v4] {
        assert_eq!(code(tables::create_route(&mut tx, &request(), wrong)), "InvalidParameterValue");
    }
    let told = |tx: &Tx| {
        let told = desired::subnet(tx, subnet.parse().unwrap()).unwrap();
        assert_eq!(told.ipv6_cidr, Some(block));
        let routes = told.routes.into_iter().map(|route| (route.destination, route.target));
        let v6 = routes.filter(|(to, _)| matches!(to, IpNet::V6(_))).collect::<Vec<_>>();
        let entries = told.acl.iter().filter(|entry| matches!(entry.cidr, IpNet::V6(_)));
        assert_eq!(entries.count(), 2);
        v6
    };
    let own = IpNet::V6(tx.get::<Vpc>(&id).unwrap().ipv6_cidrs[0].1);
    let everywhere = IpNet::V6(Ipv6Net::default());
    assert_eq!(
        told(&tx),
        [(own, RouteTarget::Local), (everywhere, RouteTarget::EgressOnlyGateway)]
    );
    assert_eq!(IpNet::V6(desired::vpc(&tx, id).unwrap().ipv6_cidrs[0]), own);
    let group = tx.find::<SecurityGroup>("vpc", id).next().unwrap().id;
    let members = desired::group(&tx, group).unwrap().members;
    assert!(members.contains(&ip.into()) && members.len() == 2, "{members:?}");

    let (before, _) = tx.finish();
    let mut tx = crate::vpc::testing::begin(&before);
    let input = api::DeleteEgressOnlyInternetGatewayRequest {
        egress_only_internet_gateway_id: gateway,
        ..Default::default()
    };
    egress_only::delete_egress_only_internet_gateway(&mut tx, &request(), input).unwrap();
    assert_eq!(told(&tx)[1].1, RouteTarget::Blackhole);
    let mut keys = Vec::new();
    desired::affected(&before, &tx.finish().1, &mut |key| keys.push(key));
    assert_eq!(keys, [contracts::host::EntryKey::Subnet(subnet.parse().unwrap())]);
}
