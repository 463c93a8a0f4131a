//! Route tables, routes and associations.

use crate::compute::instances::InstanceState;
use crate::vpc::{
    internet_gateways::{self, InternetGateway},
    network_interfaces,
    route_tables::{self as tables, RouteTable},
    testing::{
        code, default_network, filter, instance, interface, message, request, s, subnet, tx, vpc,
    },
};
use shapes::{Fault, ec2 as api};
use state::Tx;
use types::VpcId;

fn table(tx: &mut Tx, vpc: &str) -> String {
    let input = api::CreateRouteTableRequest { vpc_id: s(vpc), ..Default::default() };
    let made = tables::create_route_table(tx, &request(), input).unwrap();
    made.route_table.unwrap().route_table_id.unwrap()
}

fn main_table(tx: &Tx, vpc: VpcId) -> String {
    tables::main_of(tx, vpc).unwrap().id.to_string()
}

fn to_gateway(table: &str, destination: &str, gateway: &str) -> api::CreateRouteRequest {
    api::CreateRouteRequest {
        route_table_id: s(table),
        destination_cidr_block: s(destination),
        gateway_id: s(gateway),
        ..Default::default()
    }
}

fn create(tx: &mut Tx, input: api::CreateRouteRequest) -> Result<(), Fault> {
    tables::create_route(tx, &request(), input).map(|_| ())
}

fn routes(tx: &Tx, id: &str) -> Vec<api::Route> {
    let input = api::DescribeRouteTablesRequest {
        route_table_ids: Some(vec![id.to_owned()]),
        ..Default::default()
    };
    let found = tables::describe_route_tables(tx, &request(), input).unwrap();
    found.route_tables.unwrap()[0].routes.clone().unwrap()
}

#[test]
fn routes_are_checked() {
    let mut tx = tx();
    let (vpc_id, _) = default_network(&tx);
    let main = main_table(&tx, vpc_id);
    let gateway = internet_gateways::of_vpc(&tx, vpc_id).unwrap().id.to_string();
    let igw = gateway.as_str();
    for (destination, expected) in [
        ("0.0.0.0/0", "RouteAlreadyExists"),
        ("172.31.0.0/16", "RouteAlreadyExists"),
        ("172.31.1.0/24", "InvalidParameterValue"),
        ("x", "InvalidParameterValue"),
    ] {
        let result = create(&mut tx, to_gateway(&main, destination, igw));
        assert_eq!(code(result), expected, "{destination}");
    }
    let none = api::CreateRouteRequest { gateway_id: None, ..to_gateway(&main, "9.0.0.0/8", igw) };
    assert_eq!(code(create(&mut tx, none)), "InvalidParameterCombination");
    let nat = api::CreateRouteRequest {
        nat_gateway_id: s("nat-1"),
        ..to_gateway(&main, "9.0.0.0/8", igw)
    };
    assert_eq!(code(create(&mut tx, nat)), "InvalidParameterCombination");
    let vgw = to_gateway(&main, "9.0.0.0/8", "vgw-12345678");
    assert_eq!(code(create(&mut tx, vgw)), "UnsupportedOperation");
    let other = vpc(&mut tx, "10.0.0.0/16");
    let foreign = table(&mut tx, &other);
    let said = message(create(&mut tx, to_gateway(&foreign, "0.0.0.0/0", igw)));
    let expected =
        format!("route table {foreign} and network gateway {igw} belong to different networks");
    assert_eq!(said, expected);
    for number in 0..48 {
        create(&mut tx, to_gateway(&main, &format!("{}.0.0.0/8", number + 20), igw)).unwrap();
    }
    let result = create(&mut tx, to_gateway(&main, "9.0.0.0/8", igw));
    assert_eq!(code(result), "RouteLimitExceeded");
}

#[test]
fn routes_are_replaced_and_deleted() {
    let mut tx = tx();
    let (vpc_id, _) = default_network(&tx);
    let main = main_table(&tx, vpc_id);
    let eni = interface(&mut tx);
    let request = request();
    let replace = |tx: &mut Tx, destination: &str| {
        let input = api::ReplaceRouteRequest {
            route_table_id: s(&main),
            destination_cidr_block: s(destination),
            network_interface_id: s(&eni.to_string()),
            ..Default::default()
        };
        tables::replace_route(tx, &request, input)
    };
    assert_eq!(code(replace(&mut tx, "9.0.0.0/8")), "InvalidParameterValue");
    assert_eq!(code(replace(&mut tx, "172.31.0.0/16")), "UnsupportedOperation");
    replace(&mut tx, "0.0.0.0/0").unwrap();
    let local = api::ReplaceRouteRequest {
        route_table_id: s(&main),
        destination_cidr_block: s("172.31.0.0/16"),
        local_target: Some(true),
        ..Default::default()
    };
    tables::replace_route(&mut tx, &request, local).unwrap();
    // An interface without an instance takes no traffic.
    assert_eq!(routes(&tx, &main)[1].state, Some(api::RouteState::Blackhole));
    let machine = instance(&mut tx, InstanceState::Running);
    network_interfaces::attach(&mut tx, eni, machine, 0, true);
    assert_eq!(routes(&tx, &main)[1].state, Some(api::RouteState::Active));
    assert_eq!(routes(&tx, &main)[1].instance_id, s(&machine.to_string()));
    let filters = filter("route.instance-id", &machine.to_string());
    let input = api::DescribeRouteTablesRequest { filters, ..Default::default() };
    let found = tables::describe_route_tables(&tx, &request, input).unwrap();
    assert_eq!(found.route_tables.unwrap().len(), 1);

    let delete = |tx: &mut Tx, destination: &str| {
        let input = api::DeleteRouteRequest {
            route_table_id: s(&main),
            destination_cidr_block: s(destination),
            ..Default::default()
        };
        tables::delete_route(tx, &request, input)
    };
    assert_eq!(code(delete(&mut tx, "172.31.0.0/16")), "InvalidParameterValue");
    delete(&mut tx, "0.0.0.0/0").unwrap();
    assert_eq!(code(delete(&mut tx, "0.0.0.0/0")), "InvalidRoute.NotFound");
}

#[test]
fn routes_to_an_instance_lead_to_its_interface() {
    let mut tx = tx();
    let (vpc_id, _) = default_network(&tx);
    let main = main_table(&tx, vpc_id);
    let machine = instance(&mut tx, InstanceState::Running);
    let route = || api::CreateRouteRequest {
        route_table_id: s(&main),
        destination_cidr_block: s("9.0.0.0/8"),
        instance_id: s(&machine.to_string()),
        ..Default::default()
    };
    assert_eq!(code(create(&mut tx, route())), "InvalidInstanceID");
    let eni = interface(&mut tx);
    network_interfaces::attach(&mut tx, eni, machine, 0, true);
    create(&mut tx, route()).unwrap();
    assert_eq!(routes(&tx, &main)[2].network_interface_id, s(&eni.to_string()));
    let second = interface(&mut tx);
    network_interfaces::attach(&mut tx, second, machine, 1, true);
    assert_eq!(code(create(&mut tx, route())), "InvalidInstanceID");
    let other = vpc(&mut tx, "10.0.0.0/16");
    let foreign = table(&mut tx, &other);
    let input = api::CreateRouteRequest {
        route_table_id: s(&foreign),
        destination_cidr_block: s("9.0.0.0/8"),
        network_interface_id: s(&eni.to_string()),
        ..Default::default()
    };
    assert_eq!(code(create(&mut tx, input)), "InvalidParameterValue");
}

#[test]
fn routes_of_a_detached_gateway_are_blackholes() {
    let mut tx = tx();
    let (vpc_id, _) = default_network(&tx);
    let gateway = internet_gateways::of_vpc(&tx, vpc_id).unwrap().id;
    let main = main_table(&tx, vpc_id);
    assert_eq!(routes(&tx, &main)[1].state, Some(api::RouteState::Active));
    tx.update::<InternetGateway>(&gateway, |gateway| gateway.vpc = None);
    assert_eq!(routes(&tx, &main)[1].state, Some(api::RouteState::Blackhole));
}

#[test]
fn associations() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    let net = subnet(&mut tx, &id, "10.0.0.0/24");
    let (one, two) = (table(&mut tx, &id), table(&mut tx, &id));
    let request = request();
    let associate = |tx: &mut Tx, table: &str, subnet: &str| {
        let input = api::AssociateRouteTableRequest {
            route_table_id: s(table),
            subnet_id: s(subnet),
            ..Default::default()
        };
        tables::associate_route_table(tx, &request, input).map(|made| made.association_id.unwrap())
    };
    let replace = |tx: &mut Tx, association: &str, table: &str| {
        let (association_id, route_table_id) = (s(association), s(table));
        let input = api::ReplaceRouteTableAssociationRequest {
            dry_run: None,
            association_id,
            route_table_id,
        };
        let made = tables::replace_route_table_association(tx, &request, input);
        made.map(|made| made.new_association_id.unwrap())
    };
    let end = |tx: &mut Tx, association: &str| {
        let association_id = s(association);
        let input = api::DisassociateRouteTableRequest { dry_run: None, association_id };
        tables::disassociate_route_table(tx, &request, input)
    };
    let (_, foreign) = default_network(&tx);
    let result = associate(&mut tx, &one, &foreign.id.to_string());
    assert_eq!(code(result), "InvalidParameterValue");
    let association = associate(&mut tx, &one, &net).unwrap();
    assert_eq!(associate(&mut tx, &one, &net), Ok(association.clone()));
    assert_eq!(code(associate(&mut tx, &two, &net)), "Resource.AlreadyAssociated");
    let delete = api::DeleteRouteTableRequest { dry_run: None, route_table_id: s(&one) };
    let result = tables::delete_route_table(&mut tx, &request, delete.clone());
    assert_eq!(code(result), "DependencyViolation");
    let moved = replace(&mut tx, &association, &two).unwrap();
    assert_ne!(moved, association);
    tables::delete_route_table(&mut tx, &request, delete).unwrap();
    assert_eq!(code(end(&mut tx, &association)), "InvalidAssociationID.NotFound");
    assert_eq!(code(end(&mut tx, "x")), "InvalidAssociationID.Malformed");
    end(&mut tx, &moved).unwrap();

    // The main table is replaced, never disassociated.
    let main = tables::main_of(&tx, id.parse().unwrap()).unwrap().clone();
    let main_association = main.associations[0].id.to_string();
    assert_eq!(code(end(&mut tx, &main_association)), "InvalidParameterValue");
    let (default, _) = default_network(&tx);
    let foreign = main_table(&tx, default);
    let result = replace(&mut tx, &main_association, &foreign);
    assert_eq!(code(result), "InvalidParameterValue");
    replace(&mut tx, &main_association, &two).unwrap();
    assert_eq!(main_table(&tx, id.parse().unwrap()), two);
    assert!(!tx.get::<RouteTable>(&main.id).unwrap().is_main());
}

#[test]
fn a_token_makes_one_table() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    let input = api::CreateRouteTableRequest {
        vpc_id: s(&id),
        client_token: s("once"),
        ..Default::default()
    };
    let one = tables::create_route_table(&mut tx, &request(), input.clone()).unwrap();
    let again = tables::create_route_table(&mut tx, &request(), input.clone()).unwrap();
    assert_eq!(one, again);
    let other = api::CreateRouteTableRequest { tag_specifications: Some(Vec::new()), ..input };
    let result = tables::create_route_table(&mut tx, &request(), other);
    assert_eq!(code(result), "IdempotentParameterMismatch");
    for _ in 0..198 {
        table(&mut tx, &id);
    }
    let input = api::CreateRouteTableRequest { vpc_id: s(&id), ..Default::default() };
    let result = tables::create_route_table(&mut tx, &request(), input);
    assert_eq!(code(result), "RouteTableLimitExceeded");
}
