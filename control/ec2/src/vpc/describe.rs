//! What the Describe calls of this folder share: select, filter, page.

use crate::{
    filters::{Filters, Wanted},
    page::page,
    resource::{Resource, select},
};
use shapes::{Fault, ec2::Filter};
use state::State;
use std::{fmt::Display, ops::RangeInclusive, sync::Arc};
use types::{Arn, Scope};

/// AWS's range of `MaxResults` of most calls.
pub const PAGE: RangeInclusive<i32> = 5..=1000;

/// What a Describe call asks for.
pub struct Query<'a> {
    pub ids: Option<Vec<String>>,
    pub filters: Option<Vec<Filter>>,
    /// The names of the resource's own filters.
    pub names: &'a [&'a str],
    pub max_results: Option<i32>,
    pub range: RangeInclusive<i32>,
    pub next_token: Option<String>,
}

/// The rows of the page that is asked for, and the token of the next.
///
/// # Errors
/// An ID doesn't exist, a filter is unknown, or the page can't be.
pub fn describe<R: Resource>(
    state: &State,
    scope: &Scope,
    query: Query<'_>,
    mut holds: impl FnMut(&R, &str, Wanted<'_>) -> bool,
) -> Result<(Vec<Arc<R>>, Option<String>), Fault> {
    let Query { ids, filters, names, max_results, range, next_token } = query;
    let filters = Filters::new(filters, names)?;
    let mut rows = select::<R>(state, scope, ids.as_deref())?;
    if !filters.is_empty() {
        rows.retain(|row| filters.accept(row.tags(), |name, wanted| holds(row, name, wanted)));
    }
    if max_results.is_some() || next_token.is_some() {
        rows.sort_by_key(|row| row.key());
    }
    page(rows, |row| row.key().to_string(), max_results, range, next_token.as_deref())
}

/// The ARN of a resource of EC2.
pub fn arn(scope: &Scope, kind: &str, id: impl Display) -> String {
    let region = Some(scope.region.clone());
    let resource = format!("{kind}/{id}");
    Arn { service: "ec2", region, account: Some(scope.account), resource }.to_string()
}
