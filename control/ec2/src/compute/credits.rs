//! CPU credits of burstable instances.

use super::instances::Instance;
use crate::{
    errors,
    filters::Filters,
    page::page,
    resource::{find_all, select},
};
use iam::Request;
use shapes::{
    Fault,
    ec2::{
        DescribeInstanceCreditSpecificationsRequest, DescribeInstanceCreditSpecificationsResult,
        InstanceCreditSpecification,
    },
};
use state::State;
use std::sync::Arc;

/// AWS's limit of instances named in one call.
const MAX_INSTANCES: usize = 1000;

/// How the instances named pay for bursts; where none are named, those that never run out.
///
/// # Errors
/// An instance doesn't exist or isn't burstable, or a filter or the page is invalid.
pub fn describe_instance_credit_specifications(
    state: &State,
    request: &Request,
    input: DescribeInstanceCreditSpecificationsRequest,
) -> Result<DescribeInstanceCreditSpecificationsResult, Fault> {
    let DescribeInstanceCreditSpecificationsRequest {
        dry_run: _,
        filters,
        instance_ids,
        max_results,
        next_token,
    } = input;
    let filters = Filters::new(filters, &["instance-id"])?;
    let mut rows = match instance_ids.filter(|ids| !ids.is_empty()) {
        Some(ids) if ids.len() > MAX_INSTANCES => {
            let why = format!("The limit of instances in one request is {MAX_INSTANCES}.");
            return Err(errors::invalid_value(ids.len(), "InstanceId", why));
        }
        Some(ids) => {
            let rows = find_all::<Instance>(state, &request.scope, &ids)?;
            if let Some(row) = rows.iter().find(|row| row.cpu_credits.is_empty()) {
                return Err(errors::not_burstable(row.id));
            }
            rows
        }
        None => {
            let mut rows = select::<Instance>(state, &request.scope, None)?;
            rows.retain(|row| row.cpu_credits == "unlimited");
            rows
        }
    };
    rows.retain(|row| filters.accept(&row.tags, |_, wanted| wanted.is(row.id)));
    rows.sort_by_key(|row| row.id);
    let key = |row: &Arc<Instance>| row.id.to_string();
    let (rows, next_token) = page(rows, key, max_results, 5..=1000, next_token.as_deref())?;
    let specifications = rows.iter().map(|row| InstanceCreditSpecification {
        instance_id: Some(row.id.to_string()),
        cpu_credits: Some(row.cpu_credits.clone()),
    });
    Ok(DescribeInstanceCreditSpecificationsResult {
        instance_credit_specifications: Some(specifications.collect()),
        next_token,
    })
}
