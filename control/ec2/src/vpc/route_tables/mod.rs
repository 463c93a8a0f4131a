//! Route tables and their routes.

mod associations;
mod routes;

pub use associations::{
    associate_route_table, disassociate_route_table, replace_route_table_association,
};
pub use routes::{create_route, delete_route, replace_route};

use super::{
    describe::{Query, describe},
    egress_only_internet_gateways::EgressOnlyInternetGateway,
    internet_gateways::InternetGateway,
    nat_gateways::NatGateway,
    network_interfaces::NetworkInterface,
    vpcs::Vpc,
};
use crate::{
    errors,
    filters::Wanted,
    idempotency,
    resource::{Resource, find},
    tags,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{Fault, ec2 as api, ec2::ResourceType};
use state::{Row, State, Tx};
use std::{fmt::Display, ops::RangeInclusive, sync::Arc};
use types::{
    EgressOnlyInternetGatewayId, InternetGatewayId, IpNet, NatGatewayId, NetworkInterfaceId,
    RouteTableAssociationId, RouteTableId, Scope, SubnetId, Tags, VpcId,
};

/// AWS's quota of route tables in a VPC.
const MAX_TABLES: usize = 200;
/// AWS's range of `MaxResults`.
const PAGE: RangeInclusive<i32> = 5..=100;

/// A route table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteTable {
    pub id: RouteTableId,
    pub scope: Scope,
    pub vpc: VpcId,
    /// Routes besides the local ones, which follow from the VPC's blocks.
    pub routes: Vec<Route>,
    pub associations: Vec<Association>,
    pub tags: Tags,
}

/// A route that was created; AWS's origin `CreateRoute`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub destination: IpNet,
    pub target: Target,
}

/// Where a route leads. Whether it is a blackhole follows from the target's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    InternetGateway(InternetGatewayId),
    NetworkInterface(NetworkInterfaceId),
    EgressOnlyInternetGateway(EgressOnlyInternetGatewayId),
    NatGateway(NatGatewayId),
}

/// A route table's association: with a subnet, or as its VPC's main table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Association {
    pub id: RouteTableAssociationId,
    pub subnet: Option<SubnetId>,
}

impl Row for RouteTable {
    const TABLE: &'static str = "route-table";
    type Key = RouteTableId;
    fn key(&self) -> RouteTableId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("vpc", &self.vpc);
        for association in &self.associations {
            add("association", &association.id);
            if let Some(subnet) = &association.subnet {
                add("subnet", subnet);
            }
        }
        for route in &self.routes {
            match route.target {
                Target::InternetGateway(gateway) => add("target", &gateway),
                Target::NetworkInterface(interface) => add("target", &interface),
                Target::EgressOnlyInternetGateway(gateway) => add("target", &gateway),
                Target::NatGateway(gateway) => add("target", &gateway),
            }
        }
    }
}

impl Resource for RouteTable {
    const TYPE: ResourceType = ResourceType::RouteTable;
    const NOUN: &'static str = "routeTable ID";
    const CODE: &'static str = "InvalidRouteTableID";
    const MALFORMED: &'static str = "InvalidRouteTableId";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// Makes a route table with the local routes only.
///
/// # Errors
/// The VPC doesn't exist, or has too many tables.
pub fn create_route_table(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateRouteTableRequest,
) -> Result<api::CreateRouteTableResult, Fault> {
    const OPERATION: &str = "CreateRouteTable";
    let parameters = format!("{input:?}");
    let api::CreateRouteTableRequest { tag_specifications, client_token, dry_run: _, vpc_id } =
        input;
    let scope = &request.scope;
    let token = client_token.as_deref();
    let earlier = idempotency::earlier(tx, scope, OPERATION, token, &parameters)?;
    let table = if let Some(id) = earlier {
        find::<RouteTable>(tx, scope, &id)?
    } else {
        let tags = tags::from_specifications(tag_specifications, ResourceType::RouteTable)?;
        let vpc_id = vpc_id.ok_or_else(|| errors::missing("vpcId"))?;
        let vpc = find::<Vpc>(tx, scope, &vpc_id)?;
        if tx.find::<RouteTable>("vpc", vpc.id).count() >= MAX_TABLES {
            return Err(errors::route_table_limit());
        }
        let table = create(tx, &vpc, tags);
        idempotency::remember(tx, scope, OPERATION, token, &parameters, table.id.to_string());
        Arc::new(table)
    };
    let route_table = Some(table.to_api(tx));
    Ok(api::CreateRouteTableResult { route_table, client_token })
}

/// Deletes a route table.
///
/// # Errors
/// It doesn't exist, is a VPC's main one or a subnet's.
pub fn delete_route_table(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteRouteTableRequest,
) -> Result<api::DeleteRouteTableResponse, Fault> {
    let api::DeleteRouteTableRequest { dry_run: _, route_table_id } = input;
    let id = route_table_id.ok_or_else(|| errors::missing("routeTableId"))?;
    let table = find::<RouteTable>(tx, &request.scope, &id)?;
    if !table.associations.is_empty() {
        return Err(errors::dependency("routeTable", id));
    }
    tx.delete::<RouteTable>(&table.id);
    Ok(api::DeleteRouteTableResponse {})
}

const FILTERS: &[&str] = &[
    "association.gateway-id",
    "association.route-table-association-id",
    "association.route-table-id",
    "association.subnet-id",
    "association.main",
    "owner-id",
    "route-table-id",
    "route.destination-cidr-block",
    "route.destination-ipv6-cidr-block",
    "route.destination-prefix-list-id",
    "route.egress-only-internet-gateway-id",
    "route.gateway-id",
    "route.instance-id",
    "route.nat-gateway-id",
    "route.transit-gateway-id",
    "route.origin",
    "route.state",
    "route.vpc-peering-connection-id",
    "vpc-id",
];

/// Describes route tables.
///
/// # Errors
/// An ID doesn't exist, a filter is unknown, or the page can't be.
pub fn describe_route_tables(
    state: &State,
    request: &Request,
    input: api::DescribeRouteTablesRequest,
) -> Result<api::DescribeRouteTablesResult, Fault> {
    let api::DescribeRouteTablesRequest {
        next_token,
        max_results,
        dry_run: _,
        route_table_ids: ids,
        filters,
    } = input;
    let query = Query { ids, filters, names: FILTERS, max_results, range: PAGE, next_token };
    let (rows, next_token) =
        describe::<RouteTable>(state, &request.scope, query, |table, name, wanted| {
            holds(state, table, name, wanted)
        })?;
    let route_tables = Some(rows.iter().map(|table| table.to_api(state)).collect());
    Ok(api::DescribeRouteTablesResult { route_tables, next_token })
}

fn holds(state: &State, table: &RouteTable, name: &str, wanted: Wanted<'_>) -> bool {
    let associations = || table.associations.iter();
    match name {
        "association.route-table-association-id" => wanted.any(associations().map(|a| a.id)),
        "association.route-table-id" => !table.associations.is_empty() && wanted.is(table.id),
        "association.subnet-id" => wanted.any(associations().filter_map(|a| a.subnet)),
        "association.main" => wanted.any(associations().map(|a| a.subnet.is_none())),
        "owner-id" => wanted.is(table.scope.account),
        "route-table-id" => wanted.is(table.id),
        "vpc-id" => wanted.is(table.vpc),
        name => table.routes_to_api(state).iter().any(|route| route_holds(route, name, wanted)),
    }
}

fn route_holds(route: &api::Route, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "route.destination-cidr-block" => wanted.any(route.destination_cidr_block.as_ref()),
        "route.destination-ipv6-cidr-block" => {
            wanted.any(route.destination_ipv6_cidr_block.as_ref())
        }
        "route.egress-only-internet-gateway-id" => {
            wanted.any(route.egress_only_internet_gateway_id.as_ref())
        }
        "route.gateway-id" => wanted.any(route.gateway_id.as_ref()),
        "route.instance-id" => wanted.any(route.instance_id.as_ref()),
        "route.nat-gateway-id" => wanted.any(route.nat_gateway_id.as_ref()),
        "route.origin" => wanted.any(route.origin),
        "route.state" => wanted.any(route.state),
        _ => false,
    }
}

fn create(tx: &mut Tx, vpc: &Vpc, tags: Tags) -> RouteTable {
    let table = RouteTable {
        id: tx.new_id(),
        scope: vpc.scope.clone(),
        vpc: vpc.id,
        routes: Vec::new(),
        associations: Vec::new(),
        tags,
    };
    tx.put(table.clone());
    table
}

/// Makes a VPC's main table.
pub(super) fn create_main(tx: &mut Tx, vpc: &Vpc) {
    let mut table = create(tx, vpc, Tags::new());
    table.associations.push(Association { id: tx.new_id(), subnet: None });
    tx.put(table);
}

/// Adds a route to a VPC's main table.
pub(super) fn add_to_main(tx: &mut Tx, vpc: VpcId, route: Route) {
    let main = main_of(tx, vpc).map(|table| table.id);
    if let Some(main) = main {
        tx.update::<RouteTable>(&main, |table| table.routes.push(route));
    }
}

/// A VPC's main table.
#[must_use]
pub fn main_of(state: &State, vpc: VpcId) -> Option<&Arc<RouteTable>> {
    state.find::<RouteTable>("vpc", vpc).find(|table| table.is_main())
}

/// The table whose routes hold for a subnet: its own, or its VPC's main one.
#[must_use]
pub fn of_subnet(state: &State, subnet: SubnetId, vpc: VpcId) -> Option<&Arc<RouteTable>> {
    state.find::<RouteTable>("subnet", subnet).next().or_else(|| main_of(state, vpc))
}

/// Whether a target takes traffic of a VPC; else its routes are blackholes.
#[must_use]
pub fn is_active(state: &State, vpc: VpcId, target: Target) -> bool {
    match target {
        Target::InternetGateway(id) => {
            state.get::<InternetGateway>(&id).is_some_and(|gateway| gateway.vpc == Some(vpc))
        }
        Target::NetworkInterface(id) => {
            state.get::<NetworkInterface>(&id).is_some_and(|row| row.attachment.is_some())
        }
        Target::EgressOnlyInternetGateway(id) => {
            state.get::<EgressOnlyInternetGateway>(&id).is_some_and(|gateway| gateway.vpc == vpc)
        }
        Target::NatGateway(id) => {
            state.get::<NatGateway>(&id).is_some_and(|row| row.is_available())
        }
    }
}

/// The blocks that local routes lead to.
#[must_use]
pub fn local_blocks(state: &State, vpc: VpcId) -> Vec<IpNet> {
    let Some(vpc) = state.get::<Vpc>(&vpc) else { return Vec::new() };
    let v4 = vpc.cidrs.iter().map(|(_, block)| IpNet::V4(*block));
    v4.chain(vpc.ipv6_cidrs.iter().map(|(_, block)| IpNet::V6(*block))).collect()
}

impl RouteTable {
    /// Whether it is its VPC's main table.
    #[must_use]
    pub fn is_main(&self) -> bool {
        self.associations.iter().any(|association| association.subnet.is_none())
    }

    fn routes_to_api(&self, state: &State) -> Vec<api::Route> {
        let local = local_blocks(state, self.vpc).into_iter().map(|block| api::Route {
            gateway_id: Some("local".to_owned()),
            origin: Some(api::RouteOrigin::CreateRouteTable),
            state: Some(api::RouteState::Active),
            ..to(block)
        });
        let others = self.routes.iter().map(|route| route.to_api(state, self.vpc));
        local.chain(others).collect()
    }

    fn to_api(&self, state: &State) -> api::RouteTable {
        let association = |association: &Association| api::RouteTableAssociation {
            main: Some(association.subnet.is_none()),
            route_table_association_id: Some(association.id.to_string()),
            route_table_id: Some(self.id.to_string()),
            subnet_id: association.subnet.map(|subnet| subnet.to_string()),
            gateway_id: None,
            public_ipv4_pool: None,
            association_state: Some(associations::associated()),
        };
        api::RouteTable {
            associations: Some(self.associations.iter().map(association).collect()),
            propagating_vgws: Some(Vec::new()),
            route_table_id: Some(self.id.to_string()),
            routes: Some(self.routes_to_api(state)),
            tags: tags::to_api(&self.tags),
            vpc_id: Some(self.vpc.to_string()),
            owner_id: Some(self.scope.account.to_string()),
        }
    }
}

/// A route to this destination, with nothing else.
fn to(destination: IpNet) -> api::Route {
    let text = Some(destination.to_string());
    match destination {
        IpNet::V4(_) => api::Route { destination_cidr_block: text, ..Default::default() },
        IpNet::V6(_) => api::Route { destination_ipv6_cidr_block: text, ..Default::default() },
    }
}

impl Route {
    fn to_api(&self, state: &State, vpc: VpcId) -> api::Route {
        let active = is_active(state, vpc, self.target);
        let status = if active { api::RouteState::Active } else { api::RouteState::Blackhole };
        let mut route = api::Route {
            origin: Some(api::RouteOrigin::CreateRoute),
            state: Some(status),
            ..to(self.destination)
        };
        match self.target {
            Target::InternetGateway(id) => route.gateway_id = Some(id.to_string()),
            Target::EgressOnlyInternetGateway(id) => {
                route.egress_only_internet_gateway_id = Some(id.to_string());
            }
            Target::NatGateway(id) => route.nat_gateway_id = Some(id.to_string()),
            Target::NetworkInterface(id) => {
                route.network_interface_id = Some(id.to_string());
                let interface = state.get::<NetworkInterface>(&id);
                let attached = interface.and_then(|row| Some((row, row.attachment.as_ref()?)));
                if let Some((row, attachment)) = attached {
                    route.instance_id = Some(attachment.instance.to_string());
                    route.instance_owner_id = Some(row.scope.account.to_string());
                }
            }
        }
        route
    }
}
