//! NAT gateways.
//!
//! ```text
//! create ──▶ pending ──▶ available ──delete──▶ deleting ──▶ deleted
//!               └──────▶ failed
//! ```
//! The arrows without a name are the clock's: [`tick`] goes them. A gateway that is deleted or
//! failed has lost its interface and its Elastic IP addresses, and is described for an hour more.

mod addresses;
mod answers;
mod create;

pub use addresses::{
    assign_private_nat_gateway_address, associate_nat_gateway_address,
    disassociate_nat_gateway_address, unassign_private_nat_gateway_address,
};
pub use answers::describe_nat_gateways;
pub use create::create_nat_gateway;

use super::{addresses as elastic, network_interfaces};
use crate::{
    errors,
    resource::{Resource, parse_id},
};
use contracts::network;
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{Fault, ec2 as api, ec2::ResourceType};
use state::{Row, State, Tx};
use std::{fmt::Display, net::Ipv4Addr, sync::Arc};
use types::{
    AllocationId, AssociationId, AvailabilityZone, NatGatewayId, NetworkInterfaceId, Scope,
    SubnetId, Tags, Timestamp, VpcId,
};

/// How long a gateway that is deleted or failed is described.
const SHOWN_MS: i64 = 3_600_000;

/// A NAT gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NatGateway {
    pub id: NatGatewayId,
    pub scope: Scope,
    pub vpc: VpcId,
    pub subnet: SubnetId,
    pub zone: AvailabilityZone,
    /// Whether it translates to Elastic IP addresses.
    pub public: bool,
    pub state: NatGatewayState,
    pub interface: NetworkInterfaceId,
    /// Its addresses, the primary first; a deleted gateway's are those that it had.
    pub addresses: Vec<GatewayAddress>,
    pub created: Timestamp,
    pub deleted: Option<Timestamp>,
    /// Why it failed, or is about to.
    pub failure: Option<Failure>,
    /// What its ports are derived from.
    pub port_key: (u64, u64),
    pub tags: Tags,
}

/// A gateway's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NatGatewayState {
    Pending,
    Failed,
    Available,
    Deleting,
    Deleted,
}

/// Why a gateway could not be made: AWS's code and message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub message: String,
}

/// An address of a gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayAddress {
    pub private: Ipv4Addr,
    /// The Elastic IP address of a public gateway, with its association.
    pub elastic: Option<(AllocationId, AssociationId, Ipv4Addr)>,
    pub status: AddressStatus,
}

/// An address's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressStatus {
    /// On its way in; until the clock's next turn.
    Coming,
    /// In use.
    Succeeded,
    /// On its way out: its connections may go on until then, and none begins.
    Draining(Timestamp),
}

impl Row for NatGateway {
    const TABLE: &'static str = "nat-gateway";
    type Key = NatGatewayId;
    fn key(&self) -> NatGatewayId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("vpc", &self.vpc);
        add("subnet", &self.subnet);
    }
}

impl Resource for NatGateway {
    const TYPE: ResourceType = ResourceType::Natgateway;
    const NOUN: &'static str = "natGateway ID";
    const CODE: &'static str = "InvalidNatGatewayID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// Deletes a gateway: at once for its routes, a little later for its addresses.
///
/// # Errors
/// There is no such gateway.
pub fn delete_nat_gateway(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteNatGatewayRequest,
) -> Result<api::DeleteNatGatewayResult, Fault> {
    let api::DeleteNatGatewayRequest { dry_run: _, nat_gateway_id } = input;
    let gateway = named(tx, &request.scope, nat_gateway_id)?;
    match gateway.state {
        NatGatewayState::Pending | NatGatewayState::Available => {
            tx.update::<NatGateway>(&gateway.id, |row| row.state = NatGatewayState::Deleting);
        }
        // To delete again what goes already changes nothing, as with AWS.
        NatGatewayState::Deleting | NatGatewayState::Failed => {}
        NatGatewayState::Deleted => return Err(errors::nat_gateway_not_found(gateway.id)),
    }
    Ok(api::DeleteNatGatewayResult { nat_gateway_id: Some(gateway.id.to_string()) })
}

/// Whether a gateway or an address comes or goes.
#[must_use]
pub fn is_in_transition(state: &State) -> bool {
    state.iter::<NatGateway>().any(|row| match row.state {
        NatGatewayState::Pending | NatGatewayState::Deleting => true,
        NatGatewayState::Available => {
            row.addresses.iter().any(|own| own.status != AddressStatus::Succeeded)
        }
        NatGatewayState::Failed | NatGatewayState::Deleted => false,
    })
}

/// Does what is due: gateways come and go, addresses too.
pub fn tick(tx: &mut Tx) {
    let now = tx.now();
    for row in tx.iter::<NatGateway>().cloned().collect::<Vec<_>>() {
        match row.state {
            NatGatewayState::Pending if row.failure.is_some() => {
                end(tx, &row, NatGatewayState::Failed);
            }
            NatGatewayState::Pending => {
                tx.update::<NatGateway>(&row.id, |row| {
                    row.state = NatGatewayState::Available;
                    let addresses = row.addresses.iter_mut();
                    addresses.for_each(|own| own.status = AddressStatus::Succeeded);
                });
            }
            NatGatewayState::Available => addresses::advance(tx, &row, now),
            NatGatewayState::Deleting => end(tx, &row, NatGatewayState::Deleted),
            NatGatewayState::Failed | NatGatewayState::Deleted => {
                let ended = row.deleted.unwrap_or(row.created);
                if ended.plus_millis(SHOWN_MS) <= now {
                    tx.delete::<NatGateway>(&row.id);
                }
            }
        }
    }
}

/// Takes a gateway's interface and addresses away.
fn end(tx: &mut Tx, row: &NatGateway, state: NatGatewayState) {
    network_interfaces::delete(tx, row.interface);
    let now = tx.now();
    tx.update::<NatGateway>(&row.id, |row| {
        row.state = state;
        row.deleted = Some(now);
    });
}

/// The gateway that a call names, in the words of the calls about gateways.
fn named(state: &State, scope: &Scope, id: Option<String>) -> Result<Arc<NatGateway>, Fault> {
    let id = id.ok_or_else(|| errors::missing("natGatewayId"))?;
    by_id(state, scope, &id)
}

fn by_id(state: &State, scope: &Scope, id: &str) -> Result<Arc<NatGateway>, Fault> {
    let key =
        parse_id::<NatGateway>(id).map_err(|fault| match fault.code.ends_with("NotFound") {
            true => errors::nat_gateway_not_found(id),
            false => errors::nat_gateway_malformed(id),
        })?;
    let row = state.get::<NatGateway>(&key).filter(|row| row.scope == *scope);
    row.cloned().ok_or_else(|| errors::nat_gateway_not_found(id))
}

/// The gateway as a card has it, while it is available.
#[must_use]
pub fn desired(state: &State, id: NatGatewayId) -> Option<network::NatGateway> {
    let row = state.get::<NatGateway>(&id).filter(|row| row.is_available())?;
    let addresses = row.addresses.iter().filter_map(|own| {
        let draining = match own.status {
            AddressStatus::Coming => return None,
            AddressStatus::Succeeded => false,
            AddressStatus::Draining(_) => true,
        };
        let public = own.elastic.map(|(.., ip)| ip);
        Some(network::NatAddress { private: own.private, public, draining })
    });
    Some(network::NatGateway {
        id,
        vpc: row.vpc,
        subnet: row.subnet,
        addresses: addresses.collect(),
        port_key: row.port_key,
    })
}

impl NatGateway {
    /// Whether it translates.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.state == NatGatewayState::Available
    }

    /// Whether routes may be made to it.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match self.state {
            NatGatewayState::Pending | NatGatewayState::Available => true,
            NatGatewayState::Failed | NatGatewayState::Deleting | NatGatewayState::Deleted => false,
        }
    }

    fn link(&mut self, tx: &mut Tx, private: Ipv4Addr, allocation: &elastic::Address) {
        let association = elastic::link(tx, allocation, self.interface, private);
        self.addresses.push(GatewayAddress {
            private,
            elastic: Some((allocation.id, association, allocation.ip)),
            status: AddressStatus::Coming,
        });
    }
}
