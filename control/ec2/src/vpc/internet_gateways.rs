//! Internet gateways.

use super::{
    describe::{PAGE, Query, describe},
    network_interfaces::NetworkInterface,
    vpcs::Vpc,
};
use crate::{
    errors,
    filters::Wanted,
    resource::{Resource, find},
    tags,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{
    Fault, ec2 as api,
    ec2::{AttachmentStatus, ResourceType},
};
use state::{Row, State, Tx};
use std::{fmt::Display, sync::Arc};
use types::{InternetGatewayId, Scope, Tags, VpcId};

/// Gateways of an account in a region: as many as VPCs, as with AWS.
const MAX_GATEWAYS: usize = 100;
/// What AWS calls an attached gateway's state.
const ATTACHED: AttachmentStatus = AttachmentStatus::Available;

/// An internet gateway: what translates public addresses for the VPC that it is attached to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InternetGateway {
    pub id: InternetGatewayId,
    pub scope: Scope,
    pub vpc: Option<VpcId>,
    pub tags: Tags,
}

impl Row for InternetGateway {
    const TABLE: &'static str = "internet-gateway";
    type Key = InternetGatewayId;
    fn key(&self) -> InternetGatewayId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        if let Some(vpc) = &self.vpc {
            add("vpc", vpc);
        }
    }
}

impl Resource for InternetGateway {
    const TYPE: ResourceType = ResourceType::InternetGateway;
    const NOUN: &'static str = "internetGateway ID";
    const CODE: &'static str = "InvalidInternetGatewayID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// Makes an internet gateway, attached to nothing.
///
/// # Errors
/// There are too many.
pub fn create_internet_gateway(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateInternetGatewayRequest,
) -> Result<api::CreateInternetGatewayResult, Fault> {
    let api::CreateInternetGatewayRequest { tag_specifications, dry_run: _ } = input;
    let tags = tags::from_specifications(tag_specifications, ResourceType::InternetGateway)?;
    if tx.count_in_scope::<InternetGateway>(&request.scope) >= MAX_GATEWAYS {
        return Err(errors::internet_gateway_limit());
    }
    let gateway = create(tx, &request.scope, None, tags);
    let internet_gateway = Some(gateway.to_api());
    Ok(api::CreateInternetGatewayResult { internet_gateway })
}

/// Attaches a gateway to a VPC.
///
/// # Errors
/// One doesn't exist, or either has the other kind already.
pub fn attach_internet_gateway(
    tx: &mut Tx,
    request: &Request,
    input: api::AttachInternetGatewayRequest,
) -> Result<api::AttachInternetGatewayResponse, Fault> {
    let api::AttachInternetGatewayRequest { dry_run: _, internet_gateway_id, vpc_id } = input;
    let (gateway, vpc) = both(tx, request, internet_gateway_id, vpc_id)?;
    if let Some(vpc) = gateway.vpc {
        return Err(errors::gateway_attached(gateway.id, vpc));
    }
    if of_vpc(tx, vpc).is_some() {
        return Err(errors::vpc_has_gateway(vpc));
    }
    tx.update::<InternetGateway>(&gateway.id, |gateway| gateway.vpc = Some(vpc));
    Ok(api::AttachInternetGatewayResponse {})
}

/// Detaches a gateway from its VPC.
///
/// # Errors
/// It isn't attached to this VPC, or public addresses lead there.
pub fn detach_internet_gateway(
    tx: &mut Tx,
    request: &Request,
    input: api::DetachInternetGatewayRequest,
) -> Result<api::DetachInternetGatewayResponse, Fault> {
    let api::DetachInternetGatewayRequest { dry_run: _, internet_gateway_id, vpc_id } = input;
    let (gateway, vpc) = both(tx, request, internet_gateway_id, vpc_id)?;
    if gateway.vpc != Some(vpc) {
        return Err(errors::gateway_not_attached(gateway.id, vpc));
    }
    let mut interfaces = tx.find::<NetworkInterface>("vpc", vpc);
    if interfaces.any(|interface| interface.addresses.iter().any(|a| a.public.is_some())) {
        return Err(errors::mapped_addresses(vpc));
    }
    drop(interfaces);
    tx.update::<InternetGateway>(&gateway.id, |gateway| gateway.vpc = None);
    Ok(api::DetachInternetGatewayResponse {})
}

/// Deletes a gateway.
///
/// # Errors
/// It doesn't exist, or is attached.
pub fn delete_internet_gateway(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteInternetGatewayRequest,
) -> Result<api::DeleteInternetGatewayResponse, Fault> {
    let api::DeleteInternetGatewayRequest { dry_run: _, internet_gateway_id } = input;
    let id = internet_gateway_id.ok_or_else(|| errors::missing("internetGatewayId"))?;
    let gateway = find::<InternetGateway>(tx, &request.scope, &id)?;
    if gateway.vpc.is_some() {
        return Err(errors::dependency("internetGateway", id));
    }
    tx.delete::<InternetGateway>(&gateway.id);
    Ok(api::DeleteInternetGatewayResponse {})
}

const FILTERS: &[&str] =
    &["attachment.state", "attachment.vpc-id", "internet-gateway-id", "owner-id"];

/// Describes internet gateways.
///
/// # Errors
/// An ID doesn't exist, a filter is unknown, or the page can't be.
pub fn describe_internet_gateways(
    state: &State,
    request: &Request,
    input: api::DescribeInternetGatewaysRequest,
) -> Result<api::DescribeInternetGatewaysResult, Fault> {
    let api::DescribeInternetGatewaysRequest {
        next_token,
        max_results,
        dry_run: _,
        internet_gateway_ids: ids,
        filters,
    } = input;
    let query = Query { ids, filters, names: FILTERS, max_results, range: PAGE, next_token };
    let (rows, next_token) = describe::<InternetGateway>(state, &request.scope, query, holds)?;
    let internet_gateways = Some(rows.iter().map(|gateway| gateway.to_api()).collect());
    Ok(api::DescribeInternetGatewaysResult { internet_gateways, next_token })
}

fn holds(gateway: &InternetGateway, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "attachment.state" => wanted.any(gateway.vpc.map(|_| ATTACHED)),
        "attachment.vpc-id" => wanted.any(gateway.vpc),
        "internet-gateway-id" => wanted.is(gateway.id),
        "owner-id" => wanted.is(gateway.scope.account),
        _ => false,
    }
}

/// Makes a gateway.
pub(super) fn create(
    tx: &mut Tx,
    scope: &Scope,
    vpc: Option<VpcId>,
    tags: Tags,
) -> InternetGateway {
    let gateway = InternetGateway { id: tx.new_id(), scope: scope.clone(), vpc, tags };
    tx.put(gateway.clone());
    gateway
}

/// The VPC's gateway, if it has one.
#[must_use]
pub fn of_vpc(state: &State, vpc: VpcId) -> Option<&Arc<InternetGateway>> {
    state.find::<InternetGateway>("vpc", vpc).next()
}

fn both(
    state: &State,
    request: &Request,
    gateway: Option<String>,
    vpc: Option<String>,
) -> Result<(Arc<InternetGateway>, VpcId), Fault> {
    let gateway = gateway.ok_or_else(|| errors::missing("internetGatewayId"))?;
    let vpc = vpc.ok_or_else(|| errors::missing("vpcId"))?;
    let gateway = find::<InternetGateway>(state, &request.scope, &gateway)?;
    let vpc = find::<Vpc>(state, &request.scope, &vpc)?;
    Ok((gateway, vpc.id))
}

impl InternetGateway {
    fn to_api(&self) -> api::InternetGateway {
        let attachment = |vpc: VpcId| api::InternetGatewayAttachment {
            state: Some(ATTACHED),
            vpc_id: Some(vpc.to_string()),
        };
        api::InternetGateway {
            attachments: Some(self.vpc.map(attachment).into_iter().collect()),
            internet_gateway_id: Some(self.id.to_string()),
            owner_id: Some(self.scope.account.to_string()),
            tags: tags::to_api(&self.tags),
        }
    }
}
