//! What each operation of CloudTrail asks.

use iam::access::{Check, members::Input};

/// What an operation of CloudTrail asks; none if this table doesn't know it.
#[must_use]
pub fn checks(operation: &str, _: Input<'_>) -> Option<Vec<Check>> {
    (operation == "LookupEvents").then(|| vec![Check::new("cloudtrail:LookupEvents", "*")])
}
