//! Routes of route tables.

use super::{Route, RouteTable, Target, local_blocks};
use crate::{
    compute::instances::Instance,
    errors,
    resource::{find, not_found},
    vpc::{
        cidr,
        egress_only_internet_gateways::EgressOnlyInternetGateway,
        internet_gateways::InternetGateway,
        ipv6,
        nat_gateways::NatGateway,
        network_interfaces::{self, NetworkInterface},
    },
};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::{State, Tx};
use std::sync::Arc;
use types::IpNet;

/// AWS's quota of routes in a table, the local ones included.
const MAX_ROUTES: usize = 50;
/// What calls name the local route's target.
const LOCAL: &str = "local";

/// Makes a route.
///
/// # Errors
/// The table or target doesn't exist or is of another VPC, or the destination has a route.
pub fn create_route(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateRouteRequest,
) -> Result<api::CreateRouteResult, Fault> {
    let api::CreateRouteRequest {
        destination_prefix_list_id,
        vpc_endpoint_id,
        transit_gateway_id,
        local_gateway_id,
        carrier_gateway_id,
        core_network_arn,
        odb_network_arn,
        dry_run: _,
        route_table_id,
        destination_cidr_block,
        gateway_id,
        destination_ipv6_cidr_block,
        egress_only_internet_gateway_id,
        instance_id,
        network_interface_id,
        vpc_peering_connection_id,
        nat_gateway_id,
    } = input;
    errors::refuse(&[
        ("DestinationPrefixListId", destination_prefix_list_id.is_some()),
        ("VpcEndpointId", vpc_endpoint_id.is_some()),
        ("TransitGatewayId", transit_gateway_id.is_some()),
        ("LocalGatewayId", local_gateway_id.is_some()),
        ("CarrierGatewayId", carrier_gateway_id.is_some()),
        ("CoreNetworkArn", core_network_arn.is_some()),
        ("OdbNetworkArn", odb_network_arn.is_some()),
        ("VpcPeeringConnectionId", vpc_peering_connection_id.is_some()),
    ])?;
    let table = table(tx, request, route_table_id)?;
    let destination = destination(destination_cidr_block, destination_ipv6_cidr_block)?;
    let named = Named {
        gateway_id,
        egress_only_internet_gateway_id,
        instance_id,
        network_interface_id,
        nat_gateway_id,
    };
    let target = named.target(tx, request, &table)?;
    let locals = local_blocks(tx, table.vpc);
    if locals.contains(&destination) || table.routes.iter().any(|r| r.destination == destination) {
        return Err(errors::route_exists(destination));
    }
    check_within_vpc(&locals, destination, target)?;
    if table.routes.len() + locals.len() >= MAX_ROUTES {
        return Err(errors::route_limit());
    }
    tx.update::<RouteTable>(&table.id, |table| table.routes.push(Route { destination, target }));
    Ok(api::CreateRouteResult { r#return: Some(true) })
}

/// Gives a route another target.
///
/// # Errors
/// There is no such route, or the target doesn't exist or is of another VPC.
pub fn replace_route(
    tx: &mut Tx,
    request: &Request,
    input: api::ReplaceRouteRequest,
) -> Result<api::ReplaceRouteResponse, Fault> {
    let api::ReplaceRouteRequest {
        destination_prefix_list_id,
        vpc_endpoint_id,
        local_target,
        transit_gateway_id,
        local_gateway_id,
        carrier_gateway_id,
        core_network_arn,
        odb_network_arn,
        dry_run: _,
        route_table_id,
        destination_cidr_block,
        gateway_id,
        destination_ipv6_cidr_block,
        egress_only_internet_gateway_id,
        instance_id,
        network_interface_id,
        vpc_peering_connection_id,
        nat_gateway_id,
    } = input;
    errors::refuse(&[
        ("DestinationPrefixListId", destination_prefix_list_id.is_some()),
        ("VpcEndpointId", vpc_endpoint_id.is_some()),
        ("TransitGatewayId", transit_gateway_id.is_some()),
        ("LocalGatewayId", local_gateway_id.is_some()),
        ("CarrierGatewayId", carrier_gateway_id.is_some()),
        ("CoreNetworkArn", core_network_arn.is_some()),
        ("OdbNetworkArn", odb_network_arn.is_some()),
        ("VpcPeeringConnectionId", vpc_peering_connection_id.is_some()),
    ])?;
    let table = table(tx, request, route_table_id)?;
    let destination = destination(destination_cidr_block, destination_ipv6_cidr_block)?;
    let locals = local_blocks(tx, table.vpc);
    let to_local = local_target == Some(true) || gateway_id.as_deref() == Some(LOCAL);
    match (locals.contains(&destination), to_local) {
        (true, true) => return Ok(api::ReplaceRouteResponse {}),
        (true, false) => return Err(errors::unsupported("a target of the local route")),
        (false, true) => return Err(errors::no_route_to_replace(destination)),
        (false, false) => {}
    }
    let named = Named {
        gateway_id,
        egress_only_internet_gateway_id,
        instance_id,
        network_interface_id,
        nat_gateway_id,
    };
    let target = named.target(tx, request, &table)?;
    check_within_vpc(&locals, destination, target)?;
    let at = table.routes.iter().position(|route| route.destination == destination);
    let at = at.ok_or_else(|| errors::no_route_to_replace(destination))?;
    tx.update::<RouteTable>(&table.id, |table| table.routes[at].target = target);
    Ok(api::ReplaceRouteResponse {})
}

/// Deletes a route.
///
/// # Errors
/// There is no such route, or it is the local one.
pub fn delete_route(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteRouteRequest,
) -> Result<api::DeleteRouteResponse, Fault> {
    let api::DeleteRouteRequest {
        destination_prefix_list_id,
        dry_run: _,
        route_table_id,
        destination_cidr_block,
        destination_ipv6_cidr_block,
    } = input;
    errors::refuse(&[("DestinationPrefixListId", destination_prefix_list_id.is_some())])?;
    let table = table(tx, request, route_table_id)?;
    let destination = destination(destination_cidr_block, destination_ipv6_cidr_block)?;
    if local_blocks(tx, table.vpc).contains(&destination) {
        return Err(errors::local_route(destination, table.id));
    }
    if !table.routes.iter().any(|route| route.destination == destination) {
        return Err(errors::route_not_found(destination, table.id));
    }
    tx.update::<RouteTable>(&table.id, |table| {
        table.routes.retain(|route| route.destination != destination);
    });
    Ok(api::DeleteRouteResponse {})
}

fn table(state: &State, request: &Request, id: Option<String>) -> Result<Arc<RouteTable>, Fault> {
    let id = id.ok_or_else(|| errors::missing("routeTableId"))?;
    find::<RouteTable>(state, &request.scope, &id)
}

/// The one destination that a call names.
fn destination(v4: Option<String>, v6: Option<String>) -> Result<IpNet, Fault> {
    match (v4, v6) {
        (Some(text), None) => cidr::parse(&text, "destinationCidrBlock").map(IpNet::V4),
        (None, Some(text)) => ipv6::parse(&text, "destinationIpv6CidrBlock").map(IpNet::V6),
        (Some(_), Some(_)) => {
            Err(errors::exclusive("destinationCidrBlock", "destinationIpv6CidrBlock"))
        }
        (None, None) => Err(errors::missing("destinationCidrBlock")),
    }
}

/// Traffic within the VPC may be led to an interface, but not out of the VPC. An egress-only
/// gateway takes IPv6 only.
fn check_within_vpc(locals: &[IpNet], destination: IpNet, target: Target) -> Result<(), Fault> {
    let within = locals.iter().any(|block| block.contains(&destination));
    match target {
        Target::EgressOnlyInternetGateway(id) if matches!(destination, IpNet::V4(_)) => {
            Err(errors::route_of_ipv4(destination, id))
        }
        Target::NatGateway(id) if matches!(destination, IpNet::V6(_)) => {
            Err(errors::route_of_ipv6(destination, id))
        }
        Target::InternetGateway(_) | Target::EgressOnlyInternetGateway(_) if within => {
            Err(errors::route_within_vpc(destination))
        }
        Target::InternetGateway(_)
        | Target::EgressOnlyInternetGateway(_)
        | Target::NetworkInterface(_)
        | Target::NatGateway(_) => Ok(()),
    }
}

/// The targets that a call names.
struct Named {
    gateway_id: Option<String>,
    egress_only_internet_gateway_id: Option<String>,
    instance_id: Option<String>,
    network_interface_id: Option<String>,
    nat_gateway_id: Option<String>,
}

impl Named {
    fn target(self, state: &State, request: &Request, table: &RouteTable) -> Result<Target, Fault> {
        let scope = &request.scope;
        let Self {
            gateway_id,
            egress_only_internet_gateway_id,
            instance_id,
            network_interface_id,
            nat_gateway_id,
        } = self;
        let named = [
            &gateway_id,
            &egress_only_internet_gateway_id,
            &instance_id,
            &network_interface_id,
            &nat_gateway_id,
        ];
        if named.into_iter().flatten().count() != 1 {
            return Err(errors::one_target());
        }
        if let Some(id) = egress_only_internet_gateway_id {
            return egress_only(state, request, table, &id);
        }
        if let Some(id) = nat_gateway_id {
            return nat_gateway(state, request, table, &id);
        }
        let interface = match (gateway_id, instance_id, network_interface_id) {
            (Some(id), None, None) => return gateway(state, request, table, &id),
            (None, Some(id), None) => {
                let instance = find::<Instance>(state, scope, &id)?;
                network_interfaces::only_of(state, instance.id)?
            }
            (None, None, Some(id)) => find::<NetworkInterface>(state, scope, &id)?,
            (_, _, _) => return Err(errors::one_target()),
        };
        if interface.vpc != table.vpc {
            let (one, other) = ("route table", "interface");
            return Err(errors::different_networks(one, table.id, other, interface.id));
        }
        Ok(Target::NetworkInterface(interface.id))
    }
}

fn gateway(
    state: &State,
    request: &Request,
    table: &RouteTable,
    id: &str,
) -> Result<Target, Fault> {
    if id.starts_with("vgw-") {
        return Err(errors::unsupported("GatewayId of a virtual private gateway"));
    }
    let gateway = find::<InternetGateway>(state, &request.scope, id)?;
    if gateway.vpc != Some(table.vpc) {
        let (one, other) = ("route table", "network gateway");
        return Err(errors::different_networks(one, table.id, other, id));
    }
    Ok(Target::InternetGateway(gateway.id))
}

fn egress_only(
    state: &State,
    request: &Request,
    table: &RouteTable,
    id: &str,
) -> Result<Target, Fault> {
    let gateway = find::<EgressOnlyInternetGateway>(state, &request.scope, id)?;
    if gateway.vpc != table.vpc {
        let (one, other) = ("route table", "network gateway");
        return Err(errors::different_networks(one, table.id, other, id));
    }
    Ok(Target::EgressOnlyInternetGateway(gateway.id))
}

fn nat_gateway(
    state: &State,
    request: &Request,
    table: &RouteTable,
    id: &str,
) -> Result<Target, Fault> {
    let gateway = find::<NatGateway>(state, &request.scope, id)?;
    if !gateway.is_alive() {
        return Err(not_found::<NatGateway>(&[id]));
    }
    if gateway.vpc != table.vpc {
        let (one, other) = ("route table", "nat gateway");
        return Err(errors::different_networks(one, table.id, other, id));
    }
    Ok(Target::NatGateway(gateway.id))
}
