//! Egress-only internet gateways: IPv6 out of a VPC, and no flow into it but answers.

use super::{
    describe::{Query, describe},
    vpcs::Vpc,
};
use crate::{
    errors, idempotency,
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
use std::{fmt::Display, ops::RangeInclusive, sync::Arc};
use types::{EgressOnlyInternetGatewayId, Scope, Tags, VpcId};

/// Gateways of an account in a region: as many as VPCs.
const MAX_GATEWAYS: usize = 100;
/// AWS's range of `MaxResults`.
const PAGE: RangeInclusive<i32> = 5..=255;

/// An egress-only internet gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EgressOnlyInternetGateway {
    pub id: EgressOnlyInternetGatewayId,
    pub scope: Scope,
    pub vpc: VpcId,
    pub tags: Tags,
}

impl Row for EgressOnlyInternetGateway {
    const TABLE: &'static str = "egress-only-internet-gateway";
    type Key = EgressOnlyInternetGatewayId;
    fn key(&self) -> EgressOnlyInternetGatewayId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("vpc", &self.vpc);
    }
}

impl Resource for EgressOnlyInternetGateway {
    const TYPE: ResourceType = ResourceType::EgressOnlyInternetGateway;
    const NOUN: &'static str = "eigw ID";
    const CODE: &'static str = "InvalidGatewayID";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// Makes a gateway for a VPC.
///
/// # Errors
/// The VPC doesn't exist or has one, or there are too many.
pub fn create_egress_only_internet_gateway(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateEgressOnlyInternetGatewayRequest,
) -> Result<api::CreateEgressOnlyInternetGatewayResult, Fault> {
    const OPERATION: &str = "CreateEgressOnlyInternetGateway";
    let parameters = format!("{input:?}");
    let api::CreateEgressOnlyInternetGatewayRequest {
        client_token,
        dry_run: _,
        vpc_id,
        tag_specifications,
    } = input;
    let scope = &request.scope;
    let token = client_token.as_deref();
    let earlier = idempotency::earlier(tx, scope, OPERATION, token, &parameters)?;
    let gateway = if let Some(id) = earlier {
        find::<EgressOnlyInternetGateway>(tx, scope, &id)?
    } else {
        let kind = ResourceType::EgressOnlyInternetGateway;
        let tags = tags::from_specifications(tag_specifications, kind)?;
        let vpc = vpc_id.ok_or_else(|| errors::missing("vpcId"))?;
        let vpc = find::<Vpc>(tx, scope, &vpc)?.id;
        if tx.find::<EgressOnlyInternetGateway>("vpc", vpc).next().is_some() {
            return Err(errors::vpc_has_egress_only_gateway(vpc));
        }
        if tx.count_in_scope::<EgressOnlyInternetGateway>(scope) >= MAX_GATEWAYS {
            return Err(errors::egress_only_gateway_limit());
        }
        let gateway =
            EgressOnlyInternetGateway { id: tx.new_id(), scope: scope.clone(), vpc, tags };
        tx.put(gateway.clone());
        idempotency::remember(tx, scope, OPERATION, token, &parameters, gateway.id.to_string());
        Arc::new(gateway)
    };
    let egress_only_internet_gateway = Some(gateway.to_api());
    Ok(api::CreateEgressOnlyInternetGatewayResult { client_token, egress_only_internet_gateway })
}

/// Deletes a gateway; routes to it lead nowhere then.
///
/// # Errors
/// It doesn't exist.
pub fn delete_egress_only_internet_gateway(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteEgressOnlyInternetGatewayRequest,
) -> Result<api::DeleteEgressOnlyInternetGatewayResult, Fault> {
    let api::DeleteEgressOnlyInternetGatewayRequest { dry_run: _, egress_only_internet_gateway_id } =
        input;
    let id = egress_only_internet_gateway_id
        .ok_or_else(|| errors::missing("egressOnlyInternetGatewayId"))?;
    let gateway = find::<EgressOnlyInternetGateway>(tx, &request.scope, &id)?;
    tx.delete::<EgressOnlyInternetGateway>(&gateway.id);
    Ok(api::DeleteEgressOnlyInternetGatewayResult { return_code: Some(true) })
}

/// Describes gateways; AWS has filters by tags only.
///
/// # Errors
/// An ID doesn't exist, a filter is unknown, or the page can't be.
pub fn describe_egress_only_internet_gateways(
    state: &State,
    request: &Request,
    input: api::DescribeEgressOnlyInternetGatewaysRequest,
) -> Result<api::DescribeEgressOnlyInternetGatewaysResult, Fault> {
    let api::DescribeEgressOnlyInternetGatewaysRequest {
        dry_run: _,
        egress_only_internet_gateway_ids: ids,
        max_results,
        next_token,
        filters,
    } = input;
    let query = Query { ids, filters, names: &[], max_results, range: PAGE, next_token };
    let (rows, next_token) =
        describe::<EgressOnlyInternetGateway>(state, &request.scope, query, |_, _, _| false)?;
    let egress_only_internet_gateways = Some(rows.iter().map(|row| row.to_api()).collect());
    Ok(api::DescribeEgressOnlyInternetGatewaysResult { egress_only_internet_gateways, next_token })
}

impl EgressOnlyInternetGateway {
    fn to_api(&self) -> api::EgressOnlyInternetGateway {
        api::EgressOnlyInternetGateway {
            attachments: Some(vec![api::InternetGatewayAttachment {
                state: Some(AttachmentStatus::Attached),
                vpc_id: Some(self.vpc.to_string()),
            }]),
            egress_only_internet_gateway_id: Some(self.id.to_string()),
            tags: tags::to_api(&self.tags),
        }
    }
}
