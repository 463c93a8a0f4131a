//! What all resources with an ID share: finding them, with AWS's faults, and their tags.

use shapes::{Fault, ec2::ResourceType};
use state::{Row, State};
use std::sync::Arc;
use types::{IdError, ResourceId, Scope, Tags};

/// A resource with an ID and tags.
pub trait Resource: Row<Key: ResourceId> {
    /// Its name in tag specifications and DescribeTags.
    const TYPE: ResourceType;
    /// AWS's word for it in messages, such as `vpc ID`.
    const NOUN: &'static str;
    /// AWS's code before `.NotFound`, such as `InvalidVpcID`.
    const CODE: &'static str;
    /// AWS's code before `.Malformed`, where it differs.
    const MALFORMED: &'static str = Self::CODE;

    /// What stands around the IDs in the message of `.NotFound`.
    const QUOTES: (&'static str, &'static str) = ("'", "'");
    /// What ends the message of `.NotFound`.
    const STOP: &'static str = "";

    /// The resource's tags.
    fn tags(&self) -> &Tags;

    /// The resource's tags, to change.
    fn tags_mut(&mut self) -> &mut Tags;

    /// Whether a caller of this scope may see it.
    fn visible(&self, scope: &Scope) -> bool {
        self.scope() == Some(scope)
    }
}

/// The ID's own type.
///
/// # Errors
/// The text is no ID (`….Malformed`), or was never one of ours (`….NotFound`).
pub fn parse_id<R: Resource>(id: &str) -> Result<R::Key, Fault> {
    id.parse::<R::Key>().map_err(|error| match error {
        IdError::Malformed => Fault::sender(
            format!("{}.Malformed", R::MALFORMED),
            format!("Invalid id: \"{id}\" (expecting \"{}-...\")", R::Key::PREFIX),
        ),
        IdError::Foreign => not_found::<R>(&[id]),
    })
}

/// The fault for IDs that don't exist.
pub fn not_found<R: Resource>(ids: &[&str]) -> Fault {
    let (list, noun, stop) = (ids.join(", "), R::NOUN, R::STOP);
    let (left, right) = R::QUOTES;
    let message = match ids.len() {
        1 => format!("The {noun} {left}{list}{right} does not exist{stop}"),
        _ => format!("The {noun}s {left}{list}{right} do not exist{stop}"),
    };
    Fault::sender(format!("{}.NotFound", R::CODE), message)
}

/// The resource with this ID.
///
/// # Errors
/// It is malformed, doesn't exist or belongs to another account or region.
pub fn find<R: Resource>(state: &State, scope: &Scope, id: &str) -> Result<Arc<R>, Fault> {
    let key = parse_id::<R>(id)?;
    let row = state.get::<R>(&key).filter(|row| row.visible(scope));
    row.cloned().ok_or_else(|| not_found::<R>(&[id]))
}

/// The resources with these IDs, in their order and without repetition.
///
/// # Errors
/// One is malformed, or some don't exist: the message names them all.
pub fn find_all<R: Resource>(
    state: &State,
    scope: &Scope,
    ids: &[String],
) -> Result<Vec<Arc<R>>, Fault> {
    let mut found: Vec<Arc<R>> = Vec::with_capacity(ids.len());
    let mut missing = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for id in ids {
        let Ok(key) = id.parse::<R::Key>() else {
            match parse_id::<R>(id) {
                Err(fault) if fault.code.ends_with(".Malformed") => return Err(fault),
                Err(_) | Ok(_) => missing.push(id.as_str()),
            }
            continue;
        };
        match state.get::<R>(&key).filter(|row| row.visible(scope)) {
            Some(row) if seen.insert(key) => found.push(row.clone()),
            Some(_) => {}
            None => missing.push(id.as_str()),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(not_found::<R>(&missing)) }
}

/// The resources that a Describe call is about: those with the IDs, or all of the scope.
///
/// # Errors
/// As [`find_all`].
pub fn select<R: Resource>(
    state: &State,
    scope: &Scope,
    ids: Option<&[String]>,
) -> Result<Vec<Arc<R>>, Fault> {
    match ids {
        Some(ids) if !ids.is_empty() => find_all(state, scope, ids),
        _ => Ok(state.in_scope::<R>(scope).cloned().collect()),
    }
}
