//! NAT gateways: their lives, addresses, interface, routes and what hosts get of them.

use crate::vpc::{
    addresses::{self, Address},
    desired, internet_gateways,
    nat_gateways::{self as nats, NatGateway},
    network_interfaces as enis,
    route_tables::{self as tables, Target},
    testing::{begin, code, default_network, filter, message, request, s, subnet, tx, vpc},
};
use contracts::{host::EntryKey, network};
use shapes::{Fault, ec2 as api};
use state::Tx;
use std::collections::BTreeSet;

fn allocate(tx: &mut Tx) -> String {
    let made = addresses::allocate_address(tx, &request(), api::AllocateAddressRequest::default());
    made.unwrap().allocation_id.unwrap()
}

fn input(subnet: &str, allocation: &str) -> api::CreateNatGatewayRequest {
    api::CreateNatGatewayRequest {
        subnet_id: s(subnet),
        allocation_id: s(allocation),
        ..Default::default()
    }
}

fn try_create(tx: &mut Tx, input: api::CreateNatGatewayRequest) -> Result<api::NatGateway, Fault> {
    let made = nats::create_nat_gateway(tx, &request(), input)?;
    Ok(made.nat_gateway.unwrap())
}

/// A public gateway in the default subnet, available; its ID and its allocation.
fn gateway(tx: &mut Tx) -> (String, String) {
    let (_, subnet) = default_network(tx);
    let allocation = allocate(tx);
    let made = try_create(tx, input(&subnet.id.to_string(), &allocation)).unwrap();
    nats::tick(tx);
    (made.nat_gateway_id.unwrap(), allocation)
}

fn private(subnet: &str) -> api::CreateNatGatewayRequest {
    api::CreateNatGatewayRequest {
        subnet_id: s(subnet),
        connectivity_type: Some(api::ConnectivityType::Private),
        ..Default::default()
    }
}

fn describe(tx: &Tx, id: &str) -> api::NatGateway {
    let input = api::DescribeNatGatewaysRequest {
        nat_gateway_ids: Some(vec![id.to_owned()]),
        ..Default::default()
    };
    let found = nats::describe_nat_gateways(tx, &request(), input).unwrap();
    found.nat_gateways.unwrap().remove(0)
}

fn delete(tx: &mut Tx, id: &str) -> Result<api::DeleteNatGatewayResult, Fault> {
    let input = api::DeleteNatGatewayRequest { dry_run: None, nat_gateway_id: s(id) };
    nats::delete_nat_gateway(tx, &request(), input)
}

/// A transaction so many milliseconds on.
fn later(tx: Tx, millis: i64) -> Tx {
    let now = tx.now().plus_millis(millis);
    let (state, _) = tx.finish();
    Tx::new(&state, state::Effects::new(now, [3; 32]))
}

fn statuses(row: &api::NatGateway) -> Vec<api::NatGatewayAddressStatus> {
    row.nat_gateway_addresses.iter().flatten().filter_map(|own| own.status).collect()
}

#[test]
fn a_public_gateway_lives_and_dies() {
    let mut tx = tx();
    let (vpc, subnet) = default_network(&tx);
    let allocation = allocate(&mut tx);
    let made = try_create(&mut tx, input(&subnet.id.to_string(), &allocation)).unwrap();
    let id = made.nat_gateway_id.clone().unwrap();
    assert_eq!(made.state, Some(api::NatGatewayState::Pending));
    assert_eq!(made.vpc_id, s(&vpc.to_string()));
    assert_eq!(statuses(&made), [api::NatGatewayAddressStatus::Associating]);
    nats::tick(&mut tx);
    let row = describe(&tx, &id);
    assert_eq!(row.state, Some(api::NatGatewayState::Available));
    let own = row.nat_gateway_addresses.unwrap().remove(0);
    assert_eq!(own.status, Some(api::NatGatewayAddressStatus::Succeeded));
    assert_eq!((own.is_primary, own.allocation_id), (Some(true), s(&allocation)));
    // The same is said by the address and by the interface.
    let address = tx.in_scope::<Address>(&request().scope).next().unwrap();
    let association = address.association.clone().unwrap();
    assert_eq!(own.association_id, Some(association.id.to_string()));
    assert_eq!(own.public_ip, Some(address.ip.to_string()));
    let interface = tx.get::<enis::NetworkInterface>(&association.interface).unwrap();
    assert_eq!(interface.description, format!("Interface for NAT Gateway {id}"));
    let input = api::DescribeNetworkInterfacesRequest {
        filters: filter("interface-type", "nat_gateway"),
        ..Default::default()
    };
    let shown = enis::describe_network_interfaces(&tx, &request(), input).unwrap();
    let shown = shown.network_interfaces.unwrap().remove(0);
    assert_eq!(shown.interface_type, Some(api::NetworkInterfaceType::NatGateway));
    assert_eq!(shown.status, Some(api::NetworkInterfaceStatus::InUse));
    assert_eq!((shown.requester_managed, shown.source_dest_check), (Some(true), Some(false)));
    assert_eq!(shown.groups, Some(Vec::new()));

    delete(&mut tx, &id).unwrap();
    assert_eq!(describe(&tx, &id).state, Some(api::NatGatewayState::Deleting));
    nats::tick(&mut tx);
    let row = describe(&tx, &id);
    assert_eq!(row.state, Some(api::NatGatewayState::Deleted));
    assert!(row.delete_time.is_some() && !row.nat_gateway_addresses.unwrap().is_empty());
    let address = tx.in_scope::<Address>(&request().scope).next().unwrap();
    assert_eq!(address.association, None, "it stays the account's");
    assert_eq!(tx.iter::<enis::NetworkInterface>().count(), 0);
    assert_eq!(code(delete(&mut tx, &id)), "NatGatewayNotFound");
    let mut tx = later(tx, 3_599_000);
    nats::tick(&mut tx);
    assert_eq!(tx.count::<NatGateway>(), 1);
    let mut tx = later(tx, 1_000);
    nats::tick(&mut tx);
    assert_eq!(tx.count::<NatGateway>(), 0);
}

#[test]
fn gateways_fail_as_aws_finds_out() {
    let mut tx = tx();
    let other = vpc(&mut tx, "10.0.0.0/16");
    let lonely = subnet(&mut tx, &other, "10.0.1.0/24");
    let (taken, free) = (gateway(&mut tx).1, allocate(&mut tx));
    let (_, home) = default_network(&tx);
    for (subnet, allocation, expected) in [
        (lonely, &free, "Gateway.NotAttached"),
        (home.id.to_string(), &taken, "Resource.AlreadyAssociated"),
    ] {
        let id = try_create(&mut tx, input(&subnet, allocation)).unwrap().nat_gateway_id.unwrap();
        nats::tick(&mut tx);
        let row = describe(&tx, &id);
        assert_eq!(row.state, Some(api::NatGatewayState::Failed));
        assert_eq!(row.failure_code.as_deref(), Some(expected));
        assert!(row.failure_message.is_some());
        delete(&mut tx, &id).unwrap();
        assert_eq!(describe(&tx, &id).state, Some(api::NatGatewayState::Failed));
    }
    let interfaces = tx.iter::<enis::NetworkInterface>().count();
    assert_eq!(interfaces, 1, "the one that works has one");
}

#[test]
fn what_can_not_be_is_refused_at_once() {
    let mut tx = tx();
    let (_, home) = default_network(&tx);
    let home = home.id.to_string();
    let one = allocate(&mut tx);
    let base = || input(&home, &one);
    let none = "eipalloc-00000000000000000";
    let cases = [
        (input("subnet-00000000000000000", &one), "InvalidSubnetID.NotFound"),
        (input(&home, none), "InvalidAllocationID.NotFound"),
        (api::CreateNatGatewayRequest { subnet_id: None, ..base() }, "MissingParameter"),
        (api::CreateNatGatewayRequest { allocation_id: None, ..base() }, "MissingParameter"),
        (
            api::CreateNatGatewayRequest { allocation_id: s(&one), ..private(&home) },
            "InvalidParameterCombination",
        ),
        (
            api::CreateNatGatewayRequest { secondary_private_ip_address_count: Some(1), ..base() },
            "InvalidParameterCombination",
        ),
        (
            api::CreateNatGatewayRequest {
                secondary_private_ip_addresses: Some(vec!["172.31.0.9".to_owned()]),
                ..base()
            },
            "InvalidParameterCombination",
        ),
        (
            api::CreateNatGatewayRequest {
                secondary_private_ip_address_count: Some(8),
                ..private(&home)
            },
            "InvalidParameterValue",
        ),
        (
            api::CreateNatGatewayRequest { private_ip_address: s("9.9.9.9"), ..private(&home) },
            "InvalidParameterValue",
        ),
        (
            api::CreateNatGatewayRequest {
                availability_mode: Some(api::AvailabilityMode::Regional),
                ..base()
            },
            "UnsupportedOperation",
        ),
    ];
    for (input, expected) in cases {
        assert_eq!(code(try_create(&mut tx, input)), expected);
    }
    for _ in 0..5 {
        try_create(&mut tx, private(&home)).unwrap();
    }
    assert_eq!(code(try_create(&mut tx, private(&home))), "NatGatewayLimitExceeded");
    assert_eq!(code(delete(&mut tx, "nat-00000000000000000")), "NatGatewayNotFound");
    assert_eq!(code(delete(&mut tx, "nat")), "NatGatewayMalformed");
}

#[test]
fn a_token_makes_one_gateway() {
    let mut tx = tx();
    let (_, home) = default_network(&tx);
    let home = home.id.to_string();
    let call = || api::CreateNatGatewayRequest { client_token: s("once"), ..private(&home) };
    let one = try_create(&mut tx, call()).unwrap();
    assert_eq!(try_create(&mut tx, call()).unwrap(), one);
    let other = api::CreateNatGatewayRequest { private_ip_address: s("172.31.0.9"), ..call() };
    assert_eq!(code(try_create(&mut tx, other)), "IdempotentParameterMismatch");
}

#[test]
fn routes_lead_to_it_while_it_is_available() {
    let mut tx = tx();
    let (vpc_id, home) = default_network(&tx);
    let (id, _) = gateway(&mut tx);
    let table = tables::main_of(&tx, vpc_id).unwrap().id.to_string();
    let route = |table: &str, destination: &str| api::CreateRouteRequest {
        route_table_id: s(table),
        destination_cidr_block: s(destination),
        nat_gateway_id: s(&id),
        ..Default::default()
    };
    tables::create_route(&mut tx, &request(), route(&table, "192.0.2.0/24")).unwrap();
    let shown = |tx: &Tx| {
        let input = api::DescribeRouteTablesRequest {
            filters: filter("route.nat-gateway-id", &id),
            ..Default::default()
        };
        let found = tables::describe_route_tables(tx, &request(), input).unwrap();
        let routes = found.route_tables.unwrap().remove(0).routes.unwrap();
        routes.into_iter().find(|route| route.nat_gateway_id.is_some()).unwrap().state
    };
    assert_eq!(shown(&tx), Some(api::RouteState::Active));
    let told = |tx: &Tx| {
        let routes = desired::subnet(tx, home.id).unwrap().routes;
        let to = "192.0.2.0/24".parse::<types::Ipv4Net>().unwrap().into();
        routes.into_iter().find(|route| route.destination == to).unwrap().target
    };
    let gateway = id.parse().unwrap();
    assert_eq!(told(&tx), network::RouteTarget::NatGateway(gateway));
    let entry = nats::desired(&tx, gateway).unwrap();
    assert_eq!((entry.subnet, entry.addresses.len()), (home.id, 1));
    assert!(entry.addresses[0].public.is_some() && !entry.addresses[0].draining);

    let other = vpc(&mut tx, "10.0.0.0/16");
    let foreign = tables::main_of(&tx, other.parse().unwrap()).unwrap().id.to_string();
    let wrong = tables::create_route(&mut tx, &request(), route(&foreign, "192.0.2.0/24"));
    assert_eq!(code(wrong), "InvalidParameterValue");
    let two = api::CreateRouteRequest { gateway_id: s("igw-1"), ..route(&table, "1.0.0.0/8") };
    assert_eq!(code(tables::create_route(&mut tx, &request(), two)), "InvalidParameterCombination");

    let before = begin(&tx.finish().0);
    let mut tx = begin(before.state());
    delete(&mut tx, &id).unwrap();
    assert_eq!(told(&tx), network::RouteTarget::Blackhole);
    assert_eq!(nats::desired(&tx, gateway), None);
    assert_eq!(shown(&tx), Some(api::RouteState::Blackhole));
    let gone = tables::create_route(&mut tx, &request(), route(&table, "1.0.0.0/8"));
    assert_eq!(code(gone), "InvalidNatGatewayID.NotFound");
    let mut keys = BTreeSet::new();
    desired::affected(before.state(), &tx.finish().1, &mut |key| {
        keys.insert(key);
    });
    assert!(keys.contains(&EntryKey::NatGateway(gateway)));
    assert!(keys.contains(&EntryKey::Subnet(home.id)));
}

#[test]
fn its_interface_and_address_are_nobody_elses() {
    let mut tx = tx();
    let (_, allocation) = gateway(&mut tx);
    let row = tx.iter::<enis::NetworkInterface>().next().unwrap().clone();
    let id = row.id.to_string();
    let input = api::DeleteNetworkInterfaceRequest { network_interface_id: s(&id), dry_run: None };
    let deleted = enis::delete_network_interface(&mut tx, &request(), input);
    assert_eq!(code(deleted), "InvalidParameterValue");
    let input = api::ModifyNetworkInterfaceAttributeRequest {
        network_interface_id: s(&id),
        source_dest_check: Some(api::AttributeBooleanValue { value: Some(true) }),
        ..Default::default()
    };
    let modified = enis::modify_network_interface_attribute(&mut tx, &request(), input);
    assert_eq!(code(modified), "OperationNotPermitted");
    let address = tx.in_scope::<Address>(&request().scope).next().unwrap().clone();
    let association_id = address.association.as_ref().map(|it| it.id.to_string());
    let input = api::DisassociateAddressRequest { association_id, ..Default::default() };
    let ended = addresses::disassociate_address(&mut tx, &request(), input);
    assert_eq!(code(ended), "AuthFailure");
    let input = api::AssociateAddressRequest {
        allocation_id: s(&allocate(&mut tx)),
        network_interface_id: s(&id),
        ..Default::default()
    };
    let led = addresses::associate_address(&mut tx, &request(), input);
    assert_eq!(code(led), "OperationNotPermitted");
    let input = api::ReleaseAddressRequest { allocation_id: s(&allocation), ..Default::default() };
    let released = addresses::release_address(&mut tx, &request(), input);
    assert_eq!(code(released), "InvalidIPAddress.InUse");
    // While it stands, neither its subnet nor its VPC's gateway can go.
    let gateway = internet_gateways::of_vpc(&tx, row.vpc).unwrap().id.to_string();
    let input = api::DetachInternetGatewayRequest {
        internet_gateway_id: s(&gateway),
        vpc_id: s(&row.vpc.to_string()),
        dry_run: None,
    };
    let detached = internet_gateways::detach_internet_gateway(&mut tx, &request(), input);
    assert_eq!(code(detached), "DependencyViolation");
}

#[test]
fn elastic_addresses_come_and_drain() {
    let mut tx = tx();
    let (id, _) = gateway(&mut tx);
    let (one, two) = (allocate(&mut tx), allocate(&mut tx));
    let call = |ids: &[&String]| api::AssociateNatGatewayAddressRequest {
        nat_gateway_id: s(&id),
        allocation_ids: Some(ids.iter().map(|id| (*id).clone()).collect()),
        ..Default::default()
    };
    let made = nats::associate_nat_gateway_address(&mut tx, &request(), call(&[&one])).unwrap();
    let new = made.nat_gateway_addresses.unwrap().remove(0);
    assert_eq!(new.status, Some(api::NatGatewayAddressStatus::Associating));
    let entry = |tx: &Tx| nats::desired(tx, id.parse().unwrap()).unwrap().addresses;
    assert_eq!(entry(&tx).len(), 1, "not in use yet");
    let busy = nats::associate_nat_gateway_address(&mut tx, &request(), call(&[&two]));
    assert_eq!(code(busy), "IncorrectState");
    nats::tick(&mut tx);
    assert_eq!(entry(&tx).len(), 2);
    let again = nats::associate_nat_gateway_address(&mut tx, &request(), call(&[&one]));
    assert_eq!(code(again), "Resource.AlreadyAssociated");

    let leave = |association: &str, seconds| api::DisassociateNatGatewayAddressRequest {
        nat_gateway_id: s(&id),
        association_ids: Some(vec![association.to_owned()]),
        max_drain_duration_seconds: seconds,
        dry_run: None,
    };
    let primary = describe(&tx, &id).nat_gateway_addresses.unwrap().remove(0);
    let primary = leave(&primary.association_id.unwrap(), None);
    let kept = nats::disassociate_nat_gateway_address(&mut tx, &request(), primary);
    assert_eq!(code(kept), "InvalidParameterValue");
    let association = new.association_id.unwrap();
    let short = leave(&association, Some(4001));
    let wrong = nats::disassociate_nat_gateway_address(&mut tx, &request(), short);
    assert_eq!(code(wrong), "InvalidParameterValue");
    let input = leave(&association, Some(10));
    let left = nats::disassociate_nat_gateway_address(&mut tx, &request(), input).unwrap();
    let left = left.nat_gateway_addresses.unwrap().remove(0);
    assert_eq!(left.status, Some(api::NatGatewayAddressStatus::Disassociating));
    assert!(entry(&tx)[1].draining);
    let mut tx = later(tx, 9_000);
    nats::tick(&mut tx);
    assert_eq!(entry(&tx).len(), 2);
    let mut tx = later(tx, 1_000);
    nats::tick(&mut tx);
    assert_eq!(entry(&tx).len(), 1);
    let interface = tx.iter::<enis::NetworkInterface>().next().unwrap();
    assert_eq!(interface.addresses.len(), 1);
    let free = tx.in_scope::<Address>(&request().scope).filter(|row| row.association.is_none());
    assert_eq!(free.count(), 2);
}

#[test]
fn private_addresses_come_and_drain() {
    let mut tx = tx();
    let (_, home) = default_network(&tx);
    let made = try_create(&mut tx, private(&home.id.to_string())).unwrap();
    let id = made.nat_gateway_id.unwrap();
    nats::tick(&mut tx);
    let call = |ips: &[&str], count| api::AssignPrivateNatGatewayAddressRequest {
        nat_gateway_id: s(&id),
        private_ip_addresses: Some(ips.iter().map(|&ip| ip.to_owned()).collect()),
        private_ip_address_count: count,
        dry_run: None,
    };
    for (input, expected) in [
        (call(&[], None), "MissingParameter"),
        (call(&["172.31.0.9"], Some(1)), "InvalidParameterCombination"),
        (call(&["9.9.9.9"], None), "InvalidParameterValue"),
        (call(&[], Some(8)), "InvalidParameterValue"),
    ] {
        let refused = nats::assign_private_nat_gateway_address(&mut tx, &request(), input);
        assert_eq!(code(refused), expected);
    }
    for input in [call(&["172.31.0.9"], None), call(&[], Some(6))] {
        nats::assign_private_nat_gateway_address(&mut tx, &request(), input).unwrap();
        nats::tick(&mut tx);
    }
    assert_eq!(describe(&tx, &id).nat_gateway_addresses.unwrap().len(), 8);
    let more = nats::assign_private_nat_gateway_address(&mut tx, &request(), call(&[], Some(1)));
    assert_eq!(code(more), "PrivateIpAddressLimitExceeded");
    let leave = |ip: &str| api::UnassignPrivateNatGatewayAddressRequest {
        nat_gateway_id: s(&id),
        private_ip_addresses: Some(vec![ip.to_owned()]),
        max_drain_duration_seconds: None,
        dry_run: None,
    };
    let unknown = nats::unassign_private_nat_gateway_address(&mut tx, &request(), leave("1.1.1.1"));
    assert_eq!(code(unknown), "InvalidParameterValue");
    nats::unassign_private_nat_gateway_address(&mut tx, &request(), leave("172.31.0.9")).unwrap();
    let row = describe(&tx, &id);
    assert!(statuses(&row).contains(&api::NatGatewayAddressStatus::Unassigning));
    let mut tx = later(tx, 350_000);
    nats::tick(&mut tx);
    assert_eq!(describe(&tx, &id).nat_gateway_addresses.unwrap().len(), 7);
    let public = api::AssociateNatGatewayAddressRequest {
        nat_gateway_id: s(&id),
        allocation_ids: Some(vec![allocate(&mut tx)]),
        ..Default::default()
    };
    let refused = nats::associate_nat_gateway_address(&mut tx, &request(), public);
    assert!(message(refused).contains("private"));
}

#[test]
fn gateways_are_found_by_filters() {
    let mut tx = tx();
    let (id, _) = gateway(&mut tx);
    let (vpc, home) = default_network(&tx);
    let count = |name: &str, value: &str| {
        let input =
            api::DescribeNatGatewaysRequest { filter: filter(name, value), ..Default::default() };
        nats::describe_nat_gateways(&tx, &request(), input)
            .map(|found| found.nat_gateways.unwrap().len())
    };
    for (name, value) in [
        ("nat-gateway-id", id.as_str()),
        ("state", "available"),
        ("subnet-id", &home.id.to_string()),
        ("vpc-id", &vpc.to_string()),
    ] {
        assert_eq!((count(name, value), count(name, "x")), (Ok(1), Ok(0)), "{name}");
    }
    assert_eq!(code(count("color", "red")), "InvalidParameterValue");
    assert!(matches!(
        tables::of_subnet(&tx, home.id, vpc).unwrap().routes[0].target,
        Target::InternetGateway(_)
    ));
}
