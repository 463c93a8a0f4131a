//! Custom key stores: there are none, and none can be made.

use crate::{errors, page::page};
use iam::Request;
use shapes::{
    Fault,
    kms::{DescribeCustomKeyStoresRequest, DescribeCustomKeyStoresResponse},
};
use state::State;

/// Lists custom key stores: none.
///
/// # Errors
/// A store is asked for by ID or name, or the limit or the marker is invalid.
pub fn describe_custom_key_stores(
    _: &State,
    _: &Request,
    input: DescribeCustomKeyStoresRequest,
) -> Result<DescribeCustomKeyStoresResponse, Fault> {
    let DescribeCustomKeyStoresRequest {
        custom_key_store_id,
        custom_key_store_name,
        limit,
        marker,
    } = input;
    if let Some(wanted) = custom_key_store_id.or(custom_key_store_name) {
        return Err(errors::key_store_not_found(wanted));
    }
    let none = std::iter::empty::<String>();
    let page = page(none, Clone::clone, limit, 100, marker.as_deref())?;
    Ok(DescribeCustomKeyStoresResponse {
        custom_key_stores: Some(Vec::new()),
        truncated: page.truncated(),
        next_marker: page.next,
    })
}
