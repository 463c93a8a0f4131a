//! Associations of route tables with subnets, and of the main table with its VPC.

use super::{Association, RouteTable};
use crate::{errors, resource::find, vpc::subnets::Subnet};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::{State, Tx};
use std::sync::Arc;
use types::{IdError, RouteTableAssociationId};

/// Gives a subnet a route table of its own.
///
/// # Errors
/// One doesn't exist, they are of different VPCs, or the subnet has another table.
pub fn associate_route_table(
    tx: &mut Tx,
    request: &Request,
    input: api::AssociateRouteTableRequest,
) -> Result<api::AssociateRouteTableResult, Fault> {
    let api::AssociateRouteTableRequest {
        gateway_id,
        public_ipv4_pool,
        dry_run: _,
        subnet_id,
        route_table_id,
    } = input;
    errors::refuse(&[
        ("GatewayId", gateway_id.is_some()),
        ("PublicIpv4Pool", public_ipv4_pool.is_some()),
    ])?;
    let table = route_table_id.ok_or_else(|| errors::missing("routeTableId"))?;
    let subnet = subnet_id.ok_or_else(|| errors::missing("subnetId"))?;
    let table = find::<RouteTable>(tx, &request.scope, &table)?;
    let subnet = find::<Subnet>(tx, &request.scope, &subnet)?;
    if table.vpc != subnet.vpc {
        let (one, other) = ("Route table", "subnet");
        return Err(errors::different_networks(one, table.id, other, subnet.id));
    }
    // The same association again changes nothing.
    let same = table.associations.iter().find(|a| a.subnet == Some(subnet.id)).map(|a| a.id);
    let id = match same {
        Some(id) => id,
        None if tx.find::<RouteTable>("subnet", subnet.id).next().is_some() => {
            return Err(errors::route_table_associated(table.id));
        }
        None => {
            let id = tx.new_id();
            let association = Association { id, subnet: Some(subnet.id) };
            tx.update::<RouteTable>(&table.id, |table| table.associations.push(association));
            id
        }
    };
    Ok(api::AssociateRouteTableResult {
        association_id: Some(id.to_string()),
        association_state: Some(associated()),
    })
}

/// Takes a subnet's own route table away: the main one holds again.
///
/// # Errors
/// There is no such association, or it is the main table's.
pub fn disassociate_route_table(
    tx: &mut Tx,
    request: &Request,
    input: api::DisassociateRouteTableRequest,
) -> Result<api::DisassociateRouteTableResponse, Fault> {
    let api::DisassociateRouteTableRequest { dry_run: _, association_id } = input;
    let (table, association) = by_association(tx, request, association_id)?;
    if association.subnet.is_none() {
        return Err(errors::main_association(association.id));
    }
    tx.update::<RouteTable>(&table.id, |table| {
        table.associations.retain(|other| other.id != association.id);
    });
    Ok(api::DisassociateRouteTableResponse {})
}

/// Gives a subnet another table, or a VPC another main table. The association's ID changes.
///
/// # Errors
/// The association or table doesn't exist, or they are of different VPCs.
pub fn replace_route_table_association(
    tx: &mut Tx,
    request: &Request,
    input: api::ReplaceRouteTableAssociationRequest,
) -> Result<api::ReplaceRouteTableAssociationResult, Fault> {
    let api::ReplaceRouteTableAssociationRequest { dry_run: _, association_id, route_table_id } =
        input;
    let new = route_table_id.ok_or_else(|| errors::missing("routeTableId"))?;
    let (old, association) = by_association(tx, request, association_id)?;
    let new = find::<RouteTable>(tx, &request.scope, &new)?;
    if new.vpc != old.vpc {
        let other = association.subnet.map_or_else(|| old.vpc.to_string(), |s| s.to_string());
        let noun = if association.subnet.is_some() { "subnet" } else { "VPC" };
        return Err(errors::different_networks("Route table", new.id, noun, other));
    }
    let mut id = association.id;
    if new.id != old.id {
        id = tx.new_id();
        tx.update::<RouteTable>(&old.id, |table| {
            table.associations.retain(|other| other.id != association.id);
        });
        tx.update::<RouteTable>(&new.id, |table| {
            table.associations.push(Association { id, subnet: association.subnet });
        });
    }
    Ok(api::ReplaceRouteTableAssociationResult {
        new_association_id: Some(id.to_string()),
        association_state: Some(associated()),
    })
}

/// What every association's state is: it takes no time.
pub(super) fn associated() -> api::RouteTableAssociationState {
    let state = Some(api::RouteTableAssociationStateCode::Associated);
    api::RouteTableAssociationState { state, status_message: None }
}

fn by_association(
    state: &State,
    request: &Request,
    id: Option<String>,
) -> Result<(Arc<RouteTable>, Association), Fault> {
    let text = id.ok_or_else(|| errors::missing("associationId"))?;
    let id = text.parse::<RouteTableAssociationId>().map_err(|error| match error {
        IdError::Malformed => errors::association_malformed(&text),
        IdError::Foreign => errors::association_not_found(&text),
    })?;
    let mut tables = state.find::<RouteTable>("association", id);
    let table = tables.find(|table| table.scope == request.scope);
    let found = table.and_then(|table| {
        let association = table.associations.iter().find(|association| association.id == id)?;
        Some((table.clone(), association.clone()))
    });
    found.ok_or_else(|| errors::association_not_found(text))
}
