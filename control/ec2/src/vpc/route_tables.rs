//! Route tables and their routes.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use std::fmt::Display;
use types::{
    InternetGatewayId, Ipv4Net, NetworkInterfaceId, RouteTableAssociationId, RouteTableId, Scope,
    SubnetId, Tags, VpcId,
};

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
    pub destination: Ipv4Net,
    pub target: Target,
}

/// Where a route leads. Whether it is a blackhole follows from the target's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    InternetGateway(InternetGatewayId),
    NetworkInterface(NetworkInterfaceId),
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
