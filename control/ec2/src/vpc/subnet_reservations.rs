//! Reservations of ranges of subnets: addresses that are given by name only, or as prefixes only.

use super::{cidr, describe::PAGE, ipv6, subnets::Subnet};
use crate::{
    errors,
    filters::{Filters, Wanted},
    page::page,
    resource::{Resource, find},
    tags,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{
    Fault, ec2 as api,
    ec2::{ResourceType, SubnetCidrReservationType},
};
use state::{Row, State, Tx};
use std::{fmt::Display, sync::Arc};
use types::{IpNet, Scope, SubnetCidrReservationId, SubnetId, Tags};

/// Reservations of one subnet: the walk over them for each new address is that long.
const MAX_RESERVATIONS: usize = 1_000;
/// AWS's limit of characters in a description.
const MAX_DESCRIPTION: usize = 255;

/// A reserved range of a subnet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubnetReservation {
    pub id: SubnetCidrReservationId,
    pub scope: Scope,
    pub subnet: SubnetId,
    pub cidr: IpNet,
    pub kind: Kind,
    pub description: Option<String>,
    pub tags: Tags,
}

/// What the addresses are kept for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// To be given by name.
    Explicit,
    /// To be given as prefixes.
    Prefix,
}

impl Row for SubnetReservation {
    const TABLE: &'static str = "subnet-cidr-reservation";
    type Key = SubnetCidrReservationId;
    fn key(&self) -> SubnetCidrReservationId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("subnet", &self.subnet);
    }
}

impl Resource for SubnetReservation {
    const TYPE: ResourceType = ResourceType::SubnetCidrReservation;
    const NOUN: &'static str = "subnet-cidr-reservation ID";
    const CODE: &'static str = "InvalidSubnetCidrReservationID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// Reserves a range of a subnet. Addresses that interfaces have of it stay theirs.
///
/// # Errors
/// The subnet doesn't exist, or the range isn't in one of its blocks or overlaps a reserved one.
pub fn create_subnet_cidr_reservation(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateSubnetCidrReservationRequest,
) -> Result<api::CreateSubnetCidrReservationResult, Fault> {
    let api::CreateSubnetCidrReservationRequest {
        subnet_id,
        cidr,
        reservation_type,
        description,
        dry_run: _,
        tag_specifications,
    } = input;
    let subnet = subnet_id.ok_or_else(|| errors::missing("subnetId"))?;
    let text = cidr.ok_or_else(|| errors::missing("cidr"))?;
    let kind = match reservation_type.ok_or_else(|| errors::missing("reservationType"))? {
        SubnetCidrReservationType::Explicit => Kind::Explicit,
        SubnetCidrReservationType::Prefix => Kind::Prefix,
    };
    if let Some(text) = description.as_ref().filter(|text| text.len() > MAX_DESCRIPTION) {
        let why = format!("It has {} characters; {MAX_DESCRIPTION} are allowed.", text.len());
        return Err(errors::invalid_value("…", "description", why));
    }
    let tags = tags::from_specifications(tag_specifications, ResourceType::SubnetCidrReservation)?;
    let subnet = find::<Subnet>(tx, &request.scope, &subnet)?;
    let cidr = match text.contains(':') {
        true => IpNet::V6(ipv6::parse(&text, "cidr")?),
        false => IpNet::V4(cidr::parse(&text, "cidr")?),
    };
    check(tx, &subnet, cidr)?;
    let row = SubnetReservation {
        id: tx.new_id(),
        scope: request.scope.clone(),
        subnet: subnet.id,
        cidr,
        kind,
        description,
        tags,
    };
    tx.put(row.clone());
    let subnet_cidr_reservation = Some(row.to_api());
    Ok(api::CreateSubnetCidrReservationResult { subnet_cidr_reservation })
}

fn check(state: &State, subnet: &Subnet, cidr: IpNet) -> Result<(), Fault> {
    let block = match cidr {
        IpNet::V4(_) => Some(IpNet::V4(subnet.cidr)),
        IpNet::V6(_) => subnet.ipv6_cidr.map(|(_, block)| IpNet::V6(block)),
    };
    if !block.is_some_and(|block| block.contains(&cidr)) {
        return Err(errors::reservation_out_of_subnet(
            block.map_or_else(|| subnet.cidr.to_string(), |block| block.to_string()),
        ));
    }
    let mut others = of_subnet(state, subnet.id);
    if others.any(|other| other.cidr.contains(&cidr) || cidr.contains(&other.cidr)) {
        return Err(errors::reservation_overlaps(cidr));
    }
    if of_subnet(state, subnet.id).count() >= MAX_RESERVATIONS {
        return Err(errors::reservation_limit());
    }
    Ok(())
}

/// Gives a reserved range free.
///
/// # Errors
/// There is no such reservation.
pub fn delete_subnet_cidr_reservation(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteSubnetCidrReservationRequest,
) -> Result<api::DeleteSubnetCidrReservationResult, Fault> {
    let api::DeleteSubnetCidrReservationRequest { subnet_cidr_reservation_id, dry_run: _ } = input;
    let id =
        subnet_cidr_reservation_id.ok_or_else(|| errors::missing("subnetCidrReservationId"))?;
    let row = find::<SubnetReservation>(tx, &request.scope, &id)?;
    tx.delete::<SubnetReservation>(&row.id);
    let deleted_subnet_cidr_reservation = Some(row.to_api());
    Ok(api::DeleteSubnetCidrReservationResult { deleted_subnet_cidr_reservation })
}

const FILTERS: &[&str] = &["reservationType", "subnet-id"];

/// The reservations of a subnet, those of IPv4 and of IPv6 apart.
///
/// # Errors
/// The subnet doesn't exist, a filter is unknown, or the page can't be.
pub fn get_subnet_cidr_reservations(
    state: &State,
    request: &Request,
    input: api::GetSubnetCidrReservationsRequest,
) -> Result<api::GetSubnetCidrReservationsResult, Fault> {
    let api::GetSubnetCidrReservationsRequest {
        filters,
        subnet_id,
        dry_run: _,
        next_token,
        max_results,
    } = input;
    let subnet = subnet_id.ok_or_else(|| errors::missing("subnetId"))?;
    let filters = Filters::new(filters, FILTERS)?;
    let subnet = find::<Subnet>(state, &request.scope, &subnet)?;
    let mut rows = of_subnet(state, subnet.id).cloned().collect::<Vec<_>>();
    rows.retain(|row| filters.accept(&row.tags, |name, wanted| holds(row, name, wanted)));
    rows.sort_by_key(|row| row.id);
    let key = |row: &Arc<SubnetReservation>| row.id.to_string();
    let (rows, next_token) = page(rows, key, max_results, PAGE, next_token.as_deref())?;
    let (v4, v6) = rows.iter().partition::<Vec<_>, _>(|row| matches!(row.cidr, IpNet::V4(_)));
    let to_api = |rows: Vec<&Arc<SubnetReservation>>| {
        Some(rows.into_iter().map(|row| row.to_api()).collect())
    };
    Ok(api::GetSubnetCidrReservationsResult {
        subnet_ipv4_cidr_reservations: to_api(v4),
        subnet_ipv6_cidr_reservations: to_api(v6),
        next_token,
    })
}

fn holds(row: &SubnetReservation, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "reservationType" => wanted.is(row.kind.to_api()),
        "subnet-id" => wanted.is(row.subnet),
        _ => false,
    }
}

/// The reservations of a subnet.
pub(super) fn of_subnet(
    state: &State,
    subnet: SubnetId,
) -> impl Iterator<Item = &Arc<SubnetReservation>> {
    state.find::<SubnetReservation>("subnet", subnet)
}

impl Kind {
    fn to_api(self) -> SubnetCidrReservationType {
        match self {
            Self::Explicit => SubnetCidrReservationType::Explicit,
            Self::Prefix => SubnetCidrReservationType::Prefix,
        }
    }
}

impl SubnetReservation {
    fn to_api(&self) -> api::SubnetCidrReservation {
        api::SubnetCidrReservation {
            subnet_cidr_reservation_id: Some(self.id.to_string()),
            subnet_id: Some(self.subnet.to_string()),
            cidr: Some(self.cidr.to_string()),
            reservation_type: Some(self.kind.to_api()),
            owner_id: Some(self.scope.account.to_string()),
            description: self.description.clone(),
            tags: tags::to_api(&self.tags),
        }
    }
}
