//! The constraints of the model, in AWS's words.

use crate::{EncryptionContext, errors};
use shapes::Fault;
use std::ops::RangeInclusive;

/// The most bytes of an encryption context.
const MAX_CONTEXT_BYTES: usize = 8192;

/// A blob within a range of bytes.
///
/// # Errors
/// It isn't.
pub(crate) fn blob(member: &str, bytes: &[u8], range: RangeInclusive<usize>) -> Result<(), Fault> {
    // AWS doesn't repeat blobs, which may be secret.
    match outside(bytes.len(), &range) {
        None => Ok(()),
        Some(constraint) => Err(errors::validation(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: \
             {constraint}"
        ))),
    }
}

/// A text within a range of characters.
///
/// # Errors
/// It isn't.
pub(crate) fn text(member: &str, text: &str, range: RangeInclusive<usize>) -> Result<(), Fault> {
    match outside(text.chars().count(), &range) {
        None => Ok(()),
        Some(constraint) => {
            let shown = text.chars().take(256).collect::<String>();
            Err(errors::constraint(format!("'{shown}'"), member, constraint))
        }
    }
}

fn outside(length: usize, range: &RangeInclusive<usize>) -> Option<String> {
    let (low, high) = (*range.start(), *range.end());
    let (bound, which) = match length {
        length if length < low => (low, "greater"),
        length if length > high => (high, "less"),
        _ => return None,
    };
    Some(format!("Member must have length {which} than or equal to {bound}"))
}

/// A number within a range.
///
/// # Errors
/// It isn't.
pub(crate) fn number(member: &str, value: i32, range: RangeInclusive<i32>) -> Result<(), Fault> {
    let (bound, which) = match value {
        value if value < *range.start() => (range.start(), "greater"),
        value if value > *range.end() => (range.end(), "less"),
        _ => return Ok(()),
    };
    let constraint = format!("Member must have value {which} than or equal to {bound}");
    Err(errors::constraint(format!("'{value}'"), member, constraint))
}

/// A text of these characters.
///
/// # Errors
/// It has others.
pub(crate) fn pattern(
    member: &str,
    text: &str,
    pattern: &str,
    allowed: impl Fn(char) -> bool,
) -> Result<(), Fault> {
    if text.chars().all(allowed) {
        return Ok(());
    }
    let shown = text.chars().take(256).collect::<String>();
    let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
    Err(errors::constraint(format!("'{shown}'"), member, constraint))
}

/// An encryption context within its limit.
///
/// # Errors
/// It is too long.
pub(crate) fn context(context: Option<EncryptionContext>) -> Result<EncryptionContext, Fault> {
    let context = context.unwrap_or_default();
    let bytes = context.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    if bytes > MAX_CONTEXT_BYTES {
        let message =
            format!("EncryptionContext must not be longer than {MAX_CONTEXT_BYTES} bytes");
        return Err(errors::validation(message));
    }
    Ok(context)
}

/// A member that the model requires.
///
/// # Errors
/// It is missing.
pub(crate) fn required<T>(member: &str, value: Option<T>) -> Result<T, Fault> {
    value.ok_or_else(|| errors::constraint("null", member, "Member must not be null"))
}

/// Answers a dry run that came this far.
///
/// # Errors
/// It is a dry run.
pub(crate) fn dry_run(dry_run: Option<bool>) -> Result<(), Fault> {
    if dry_run == Some(true) { Err(errors::dry_run()) } else { Ok(()) }
}
