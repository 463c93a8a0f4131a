//! Prefix lists of AWS's own services: this cloud has no gateway endpoints, so there are none.

use crate::{errors, filters::Filters, page::page};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::State;

/// Describes prefix lists: always an empty list.
///
/// # Errors
/// An ID is asked for, or a filter is unknown.
pub fn describe_prefix_lists(
    _: &State,
    _: &Request,
    input: api::DescribePrefixListsRequest,
) -> Result<api::DescribePrefixListsResult, Fault> {
    let api::DescribePrefixListsRequest {
        dry_run: _,
        filters,
        max_results,
        next_token,
        prefix_list_ids,
    } = input;
    Filters::new(filters, &["prefix-list-id", "prefix-list-name"])?;
    if let Some(id) = prefix_list_ids.unwrap_or_default().first() {
        return Err(errors::prefix_list_not_found(id));
    }
    let token = next_token.as_deref();
    let (lists, next_token) = page(Vec::new(), |()| String::new(), max_results, 1..=1000, token)?;
    let prefix_lists = Some(lists.into_iter().map(|()| api::PrefixList::default()).collect());
    Ok(api::DescribePrefixListsResult { next_token, prefix_lists })
}
