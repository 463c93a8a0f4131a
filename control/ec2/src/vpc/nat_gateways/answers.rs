//! NAT gateways as answers show them.

use super::{AddressStatus, GatewayAddress, NatGateway, NatGatewayState, by_id};
use crate::{
    filters::Wanted,
    tags,
    vpc::describe::{PAGE, Query, describe},
};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::State;

const FILTERS: &[&str] = &["nat-gateway-id", "state", "subnet-id", "vpc-id"];

/// Describes NAT gateways.
///
/// # Errors
/// An ID doesn't exist, a filter is unknown, or the page can't be.
pub fn describe_nat_gateways(
    state: &State,
    request: &Request,
    input: api::DescribeNatGatewaysRequest,
) -> Result<api::DescribeNatGatewaysResult, Fault> {
    let api::DescribeNatGatewaysRequest {
        dry_run: _,
        filter: filters,
        max_results,
        nat_gateway_ids: ids,
        next_token,
    } = input;
    for id in ids.iter().flatten() {
        by_id(state, &request.scope, id)?;
    }
    let query = Query { ids, filters, names: FILTERS, max_results, range: PAGE, next_token };
    let (rows, next_token) = describe::<NatGateway>(state, &request.scope, query, holds)?;
    let nat_gateways = Some(rows.iter().map(|row| row.to_api()).collect());
    Ok(api::DescribeNatGatewaysResult { nat_gateways, next_token })
}

fn holds(row: &NatGateway, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "nat-gateway-id" => wanted.is(row.id),
        "state" => wanted.is(row.state.to_api()),
        "subnet-id" => wanted.is(row.subnet),
        "vpc-id" => wanted.is(row.vpc),
        _ => false,
    }
}

/// The addresses of a gateway that `shown` picks.
pub(super) fn addresses(
    row: &NatGateway,
    shown: impl Fn(&GatewayAddress) -> bool,
) -> Vec<api::NatGatewayAddress> {
    let all = row.addresses.iter().enumerate();
    all.filter(|(_, own)| shown(own)).map(|(at, own)| address(row, at, own)).collect()
}

fn address(row: &NatGateway, at: usize, own: &GatewayAddress) -> api::NatGatewayAddress {
    let failed = row.state == NatGatewayState::Failed;
    let status = match own.status {
        _ if failed => api::NatGatewayAddressStatus::Failed,
        AddressStatus::Coming if row.public => api::NatGatewayAddressStatus::Associating,
        AddressStatus::Coming => api::NatGatewayAddressStatus::Assigning,
        AddressStatus::Succeeded => api::NatGatewayAddressStatus::Succeeded,
        AddressStatus::Draining(_) if row.public => api::NatGatewayAddressStatus::Disassociating,
        AddressStatus::Draining(_) => api::NatGatewayAddressStatus::Unassigning,
    };
    let failure = row.failure.as_ref().filter(|_| failed);
    api::NatGatewayAddress {
        allocation_id: own.elastic.map(|(allocation, ..)| allocation.to_string()),
        network_interface_id: Some(row.interface.to_string()),
        private_ip: Some(own.private.to_string()),
        public_ip: own.elastic.map(|(.., ip)| ip.to_string()),
        association_id: own.elastic.map(|(_, association, _)| association.to_string()),
        is_primary: Some(at == 0),
        failure_message: failure.map(|failure| failure.message.clone()),
        status: Some(status),
        availability_zone: None,
        availability_zone_id: None,
    }
}

impl NatGatewayState {
    /// In AWS's words.
    pub(super) const fn to_api(self) -> api::NatGatewayState {
        match self {
            Self::Pending => api::NatGatewayState::Pending,
            Self::Failed => api::NatGatewayState::Failed,
            Self::Available => api::NatGatewayState::Available,
            Self::Deleting => api::NatGatewayState::Deleting,
            Self::Deleted => api::NatGatewayState::Deleted,
        }
    }
}

impl NatGateway {
    pub(super) fn to_api(&self) -> api::NatGateway {
        let failure = self.failure.as_ref().filter(|_| self.state == NatGatewayState::Failed);
        let connectivity = match self.public {
            true => api::ConnectivityType::Public,
            false => api::ConnectivityType::Private,
        };
        api::NatGateway {
            create_time: Some(self.created),
            delete_time: self.deleted,
            failure_code: failure.map(|failure| failure.code.clone()),
            failure_message: failure.map(|failure| failure.message.clone()),
            nat_gateway_addresses: Some(addresses(self, |_| true)),
            nat_gateway_id: Some(self.id.to_string()),
            provisioned_bandwidth: None,
            state: Some(self.state.to_api()),
            subnet_id: Some(self.subnet.to_string()),
            vpc_id: Some(self.vpc.to_string()),
            tags: tags::to_api(&self.tags),
            connectivity_type: Some(connectivity),
            availability_mode: Some(api::AvailabilityMode::Zonal),
            auto_scaling_ips: None,
            auto_provision_zones: None,
            attached_appliances: None,
            route_table_id: None,
        }
    }
}
