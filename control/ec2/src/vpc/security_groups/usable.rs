//! The groups that interfaces of a VPC may have.

use super::SecurityGroup;
use crate::{
    errors,
    filters::Filters,
    page::page,
    resource::find,
    tags,
    vpc::{describe::PAGE, vpcs::Vpc},
};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::State;
use std::sync::Arc;

const FILTERS: [&str; 5] = ["group-id", "description", "group-name", "owner-id", "primary-vpc-id"];

/// The groups that interfaces of a VPC may have.
///
/// # Errors
/// The VPC doesn't exist, a filter is unknown, or the page can't be.
pub fn get_security_groups_for_vpc(
    state: &State,
    request: &Request,
    input: api::GetSecurityGroupsForVpcRequest,
) -> Result<api::GetSecurityGroupsForVpcResult, Fault> {
    let api::GetSecurityGroupsForVpcRequest {
        vpc_id,
        next_token,
        max_results,
        filters,
        dry_run: _,
    } = input;
    let vpc = vpc_id.ok_or_else(|| errors::missing("VpcId"))?;
    let vpc = find::<Vpc>(state, &request.scope, &vpc)?.id;
    let filters = Filters::new(filters, &FILTERS)?;
    let mut groups: Vec<_> = state.find::<SecurityGroup>("vpc", vpc).collect();
    groups.retain(|group| {
        filters.accept(&group.tags, |name, wanted| match name {
            "group-id" => wanted.is(group.id),
            "description" => wanted.is(&group.description),
            "group-name" => wanted.is(&group.name),
            "owner-id" => wanted.is(group.scope.account),
            _ => wanted.is(group.vpc),
        })
    });
    groups.sort_by_key(|group| group.id);
    let key = |group: &&Arc<SecurityGroup>| group.id.to_string();
    let (groups, next_token) = page(groups, key, max_results, PAGE, next_token.as_deref())?;
    let groups = groups.into_iter().map(|group| api::SecurityGroupForVpc {
        description: Some(group.description.clone()),
        group_name: Some(group.name.clone()),
        owner_id: Some(group.scope.account.to_string()),
        group_id: Some(group.id.to_string()),
        tags: tags::to_api(&group.tags),
        primary_vpc_id: Some(group.vpc.to_string()),
    });
    Ok(api::GetSecurityGroupsForVpcResult {
        next_token,
        security_group_for_vpcs: Some(groups.collect()),
    })
}
