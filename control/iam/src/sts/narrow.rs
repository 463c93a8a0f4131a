//! What a session is narrowed and marked by: session policies, session tags.

use crate::{policies, sts::errors};
use policy::{Document, Kind};
use session::Session;
use shapes::{
    Fault,
    sts::{PolicyDescriptorType, Tag},
};
use state::State;
use std::collections::{BTreeMap, BTreeSet};

/// AWS's limit of a session policy, in characters.
const MAX_POLICY: usize = 2048;
/// AWS's limit of managed policies.
const MAX_POLICIES: usize = 10;
/// AWS's limit of session tags.
const MAX_TAGS: usize = 50;
/// What policies and tags may take in a token, in bytes.
const MAX_PACKED_BYTES: usize = 4096;

/// Checks the text of a session policy.
///
/// # Errors
/// It is no policy, or too long.
pub(super) fn policy(text: Option<String>) -> Result<Option<String>, Fault> {
    if let Some(text) = &text {
        Document::parse(text, MAX_POLICY * 4, Kind::Session).map_err(errors::malformed_policy)?;
        if text.chars().count() > MAX_POLICY {
            return Err(errors::packed_too_large(text.chars().count() * 100 / MAX_POLICY));
        }
    }
    Ok(text)
}

/// Checks the ARNs of session policies.
///
/// # Errors
/// There are too many, or one of them doesn't exist or is another account's.
pub(super) fn policy_arns(
    state: &State,
    account: types::AccountId,
    given: Option<Vec<PolicyDescriptorType>>,
) -> Result<Vec<String>, Fault> {
    let arns = given.unwrap_or_default().into_iter().filter_map(|one| one.arn);
    let arns = arns.collect::<Vec<_>>();
    if arns.len() > MAX_POLICIES {
        return Err(errors::validation(format!(
            "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: \
             Member must have length less than or equal to {MAX_POLICIES}"
        )));
    }
    for arn in &arns {
        let found = policies::find(state, arn);
        if found.is_none_or(|row| !row.is_aws() && row.named.account != account) {
            return Err(errors::validation(format!(
                "Policy {arn} does not exist or is not attachable."
            )));
        }
    }
    Ok(arns)
}

/// Reads session tags.
///
/// # Errors
/// There are too many, one comes twice (without regard to case), or is reserved.
pub(super) fn tags(given: Option<Vec<Tag>>) -> Result<BTreeMap<String, String>, Fault> {
    let given = given.unwrap_or_default();
    if given.len() > MAX_TAGS {
        return Err(errors::validation(format!(
            "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member \
             must have length less than or equal to {MAX_TAGS}"
        )));
    }
    let mut seen = BTreeSet::new();
    let mut tags = BTreeMap::new();
    for Tag { key, value } in given {
        let key = key.unwrap_or_default();
        if !seen.insert(key.to_lowercase()) {
            return Err(errors::invalid_parameter(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(errors::invalid_parameter(
                "Tag keys that begin with 'aws:' are reserved for internal use.",
            ));
        }
        tags.insert(key, value.unwrap_or_default());
    }
    Ok(tags)
}

/// How much of the space for policies and tags a session takes, in percent; none if it has none.
///
/// # Errors
/// More than there is.
pub(super) fn packed_percent(session: &Session) -> Result<Option<i32>, Fault> {
    if !session.is_narrowed() && session.tags.is_empty() {
        return Ok(None);
    }
    let percent = (session::packed_bytes(session) * 100).div_ceil(MAX_PACKED_BYTES);
    if percent > 100 {
        return Err(errors::packed_too_large(percent));
    }
    Ok(i32::try_from(percent).ok())
}
