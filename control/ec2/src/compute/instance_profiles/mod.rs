//! Instance profiles on instances: which role an instance acts in.
//!
//! ```text
//!           associate, or launch
//!  (none) ───────────────────────▶ associated ──┐ replace: another association
//!    ▲                                 ▲        │
//!    └── disassociate, or terminated ──┴────────┘
//! ```
//! The calls answer `associating` and `disassociating`, as AWS's do; the change is one commit, and what
//! the guest finds in its metadata follows it ([`identity`]). An association outlives its profile: the
//! instance then has no credentials, until another profile takes its place.

mod identity;
#[cfg(test)]
mod tests;

pub use identity::{Given, Identity, affected, identity};

use crate::{
    compute::instances::{Instance, InstanceState},
    errors,
    filters::Filters,
    page::page,
    resource::find,
};
use iam::{InstanceProfile, Request, UniqueId};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    ec2::{
        AssociateIamInstanceProfileRequest, AssociateIamInstanceProfileResult,
        DescribeIamInstanceProfileAssociationsRequest,
        DescribeIamInstanceProfileAssociationsResult, DisassociateIamInstanceProfileRequest,
        DisassociateIamInstanceProfileResult, IamInstanceProfile, IamInstanceProfileAssociation,
        IamInstanceProfileAssociationState, IamInstanceProfileSpecification,
        ReplaceIamInstanceProfileAssociationRequest, ReplaceIamInstanceProfileAssociationResult,
    },
};
use state::{Row, State, Tx};
use std::{fmt::Display, sync::Arc};
use types::{AccountId, InstanceId, ProfileAssociationId, Scope, Timestamp};

/// An instance profile on an instance: one at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileAssociation {
    pub id: ProfileAssociationId,
    pub scope: Scope,
    pub instance: InstanceId,
    /// The profile, which may be gone.
    pub profile: UniqueId,
    /// The profile's ARN, as it was.
    pub arn: String,
    pub since: Timestamp,
}

impl Row for ProfileAssociation {
    const TABLE: &'static str = "profile-association";
    type Key = ProfileAssociationId;
    fn key(&self) -> ProfileAssociationId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("instance", &self.instance);
        add("profile", &self.profile);
    }
}

/// Gives an instance a profile.
///
/// # Errors
/// The instance doesn't exist, is neither running nor stopped, or has a profile; or there is no such
/// profile, or it has no role.
pub fn associate_iam_instance_profile(
    tx: &mut Tx,
    request: &Request,
    input: AssociateIamInstanceProfileRequest,
) -> Result<AssociateIamInstanceProfileResult, Fault> {
    let AssociateIamInstanceProfileRequest { iam_instance_profile, instance_id } = input;
    let id = instance_id.ok_or_else(|| errors::missing("InstanceId"))?;
    let specified = iam_instance_profile.unwrap_or_default();
    let instance = find::<Instance>(tx, &request.scope, &id)?;
    let profile = specified_profile(tx, request.scope.account, specified)?
        .ok_or_else(|| errors::missing("IamInstanceProfile"))?;
    check_state(&instance)?;
    if of_instance(tx, instance.id).is_some() {
        return Err(errors::has_profile(instance.id));
    }
    let row = associate(tx, &request.scope, instance.id, &profile);
    let association = to_api(&row, IamInstanceProfileAssociationState::Associating);
    Ok(AssociateIamInstanceProfileResult { iam_instance_profile_association: Some(association) })
}

/// The associations asked for.
///
/// # Errors
/// An association doesn't exist, or a filter or the page is invalid.
pub fn describe_iam_instance_profile_associations(
    state: &State,
    request: &Request,
    input: DescribeIamInstanceProfileAssociationsRequest,
) -> Result<DescribeIamInstanceProfileAssociationsResult, Fault> {
    let DescribeIamInstanceProfileAssociationsRequest {
        association_ids,
        filters,
        max_results,
        next_token,
    } = input;
    let filters = Filters::new(filters, &["instance-id", "state"])?;
    let mut rows = match association_ids.filter(|ids| !ids.is_empty()) {
        Some(ids) => ids
            .iter()
            .map(|id| find_association(state, &request.scope, id))
            .collect::<Result<Vec<_>, _>>()?,
        None => state.in_scope::<ProfileAssociation>(&request.scope).cloned().collect(),
    };
    let associated = IamInstanceProfileAssociationState::Associated;
    rows.retain(|row| {
        filters.accept(&types::Tags::default(), |name, wanted| match name {
            "instance-id" => wanted.is(row.instance),
            _ => wanted.is(associated),
        })
    });
    rows.sort_by_key(|row| row.id);
    rows.dedup_by_key(|row| row.id);
    let key = |row: &Arc<ProfileAssociation>| row.id.to_string();
    let (rows, next_token) = page(rows, key, max_results, 5..=1000, next_token.as_deref())?;
    let rows = rows.iter().map(|row| to_api(row, associated)).collect();
    Ok(DescribeIamInstanceProfileAssociationsResult {
        iam_instance_profile_associations: Some(rows),
        next_token,
    })
}

/// Takes an instance's profile from it.
///
/// # Errors
/// There is no such association.
pub fn disassociate_iam_instance_profile(
    tx: &mut Tx,
    request: &Request,
    input: DisassociateIamInstanceProfileRequest,
) -> Result<DisassociateIamInstanceProfileResult, Fault> {
    let DisassociateIamInstanceProfileRequest { association_id } = input;
    let id = association_id.ok_or_else(|| errors::missing("AssociationId"))?;
    let row = find_association(tx, &request.scope, &id)?;
    tx.delete::<ProfileAssociation>(&row.id);
    let association = to_api(&row, IamInstanceProfileAssociationState::Disassociating);
    Ok(DisassociateIamInstanceProfileResult { iam_instance_profile_association: Some(association) })
}

/// Gives an instance another profile; the association is a new one.
///
/// # Errors
/// There is no such association or profile, the profile has no role, or the instance is neither running
/// nor stopped.
pub fn replace_iam_instance_profile_association(
    tx: &mut Tx,
    request: &Request,
    input: ReplaceIamInstanceProfileAssociationRequest,
) -> Result<ReplaceIamInstanceProfileAssociationResult, Fault> {
    let ReplaceIamInstanceProfileAssociationRequest { iam_instance_profile, association_id } =
        input;
    let id = association_id.ok_or_else(|| errors::missing("AssociationId"))?;
    let old = find_association(tx, &request.scope, &id)?;
    let specified = iam_instance_profile.unwrap_or_default();
    let profile = specified_profile(tx, request.scope.account, specified)?
        .ok_or_else(|| errors::missing("IamInstanceProfile"))?;
    if let Some(instance) = tx.get::<Instance>(&old.instance) {
        check_state(instance)?;
    }
    tx.delete::<ProfileAssociation>(&old.id);
    let row = associate(tx, &request.scope, old.instance, &profile);
    let association = to_api(&row, IamInstanceProfileAssociationState::Associating);
    Ok(ReplaceIamInstanceProfileAssociationResult {
        iam_instance_profile_association: Some(association),
    })
}

fn check_state(instance: &Instance) -> Result<(), Fault> {
    match instance.state {
        InstanceState::Running | InstanceState::Stopped => Ok(()),
        InstanceState::Pending
        | InstanceState::ShuttingDown
        | InstanceState::Terminated
        | InstanceState::Stopping => Err(errors::incorrect_instance_state(format!(
            "The instance '{}' is not in the 'running' or 'stopped' states.",
            instance.id
        ))),
    }
}

fn find_association(
    state: &State,
    scope: &Scope,
    id: &str,
) -> Result<Arc<ProfileAssociation>, Fault> {
    let row = id.parse().ok().and_then(|key| state.get::<ProfileAssociation>(&key));
    let row = row.filter(|row| row.scope == *scope);
    row.cloned().ok_or_else(|| errors::no_profile_association(id))
}

/// The profile that a call specifies by its name or its ARN; none if it specifies none.
///
/// # Errors
/// There is no such profile, or it has no role.
pub fn specified_profile(
    state: &State,
    account: AccountId,
    specified: IamInstanceProfileSpecification,
) -> Result<Option<Arc<InstanceProfile>>, Fault> {
    let IamInstanceProfileSpecification { arn, name } = specified;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (name, part, fault) = match (given(arn), given(name)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(errors::profile_by_both()),
        (None, Some(name)) => {
            let fault = errors::no_profile_of_name(&name);
            (name.clone(), name, fault)
        }
        (Some(arn), None) => {
            let fault = errors::no_profile_of_arn(&arn);
            let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
            (name, arn, fault)
        }
    };
    let found = state.find::<InstanceProfile>("name", iam::place(account, &name)).next();
    let found = found.filter(|row| row.named.name == part || row.arn() == part).ok_or(fault)?;
    match found.role {
        Some(_) => Ok(Some(found.clone())),
        None => Err(errors::profile_without_role(found.arn())),
    }
}

/// Associates a profile with an instance that has none.
pub fn associate(
    tx: &mut Tx,
    scope: &Scope,
    instance: InstanceId,
    profile: &InstanceProfile,
) -> ProfileAssociation {
    let row = ProfileAssociation {
        id: tx.new_id(),
        scope: scope.clone(),
        instance,
        profile: profile.named.id.clone(),
        arn: profile.arn(),
        since: tx.now(),
    };
    tx.put(row.clone());
    row
}

/// Takes the profile of an instance that is terminated.
pub fn forget(tx: &mut Tx, instance: InstanceId) {
    if let Some(id) = of_instance(tx, instance).map(|row| row.id) {
        tx.delete::<ProfileAssociation>(&id);
    }
}

/// The association of an instance.
#[must_use]
pub fn of_instance(state: &State, instance: InstanceId) -> Option<&Arc<ProfileAssociation>> {
    state.find::<ProfileAssociation>("instance", instance).next()
}

/// An instance's profile as answers have it.
#[must_use]
pub fn profile_to_api(row: &ProfileAssociation) -> IamInstanceProfile {
    IamInstanceProfile { arn: Some(row.arn.clone()), id: Some(row.profile.to_string()) }
}

fn to_api(
    row: &ProfileAssociation,
    state: IamInstanceProfileAssociationState,
) -> IamInstanceProfileAssociation {
    IamInstanceProfileAssociation {
        association_id: Some(row.id.to_string()),
        instance_id: Some(row.instance.to_string()),
        iam_instance_profile: Some(profile_to_api(row)),
        state: Some(state),
        timestamp: None,
    }
}
