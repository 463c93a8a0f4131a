//! Instance profiles: what gives a role to instances.

pub mod tags;

use crate::{
    Named, Request, Role, UniqueId,
    entity::{self, Entity, Identity as _},
    errors,
    page::{Asked, Page, page},
    tags as tagging,
};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        AddRoleToInstanceProfileRequest, AddRoleToInstanceProfileResponse,
        CreateInstanceProfileRequest, CreateInstanceProfileResponse, DeleteInstanceProfileRequest,
        DeleteInstanceProfileResponse, GetInstanceProfileRequest, GetInstanceProfileResponse,
        InstanceProfile as ApiProfile, ListInstanceProfilesForRoleRequest,
        ListInstanceProfilesForRoleResponse, ListInstanceProfilesRequest,
        ListInstanceProfilesResponse, RemoveRoleFromInstanceProfileRequest,
        RemoveRoleFromInstanceProfileResponse,
    },
};
use state::{Row, State, Tx};
use std::fmt::Display;
use types::{Scope, Tags};

/// An instance profile: the container in which a role reaches an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Path, name, `AIPA…`.
    pub named: Named,
    /// Its role: one at most.
    pub role: Option<UniqueId>,
    /// Its tags.
    pub tags: Tags,
}

impl Row for InstanceProfile {
    const TABLE: &'static str = "iam-instance-profile";
    type Key = UniqueId;
    fn key(&self) -> UniqueId {
        self.named.id.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("account", &self.named.account);
        add("name", &self.named.place());
        if let Some(role) = &self.role {
            add("role", role);
        }
    }
}

impl Entity for InstanceProfile {
    const KIND: &'static str = "instance profile";
    const QUOTA: (&'static str, usize) = ("InstanceProfilesPerAccount", 1000);
    fn named(&self) -> &Named {
        &self.named
    }
    fn not_found(name: &str) -> Fault {
        errors::profile_not_found(name)
    }
    fn exists(name: &str) -> Fault {
        errors::already(format!("Instance Profile {name} already exists."))
    }
}

impl InstanceProfile {
    /// `arn:aws:iam::ACCOUNT:instance-profile/PATH/NAME`.
    #[must_use]
    pub fn arn(&self) -> String {
        self.named.arn("instance-profile")
    }

    /// The profile with its role; tags where they are shown.
    pub(crate) fn to_api(&self, state: &State) -> ApiProfile {
        let role = self.role.as_ref().and_then(|id| state.get::<Role>(id));
        ApiProfile {
            path: Some(self.named.path.clone()),
            instance_profile_name: Some(self.named.name.clone()),
            instance_profile_id: Some(self.named.id.to_string()),
            arn: Some(self.arn()),
            create_date: Some(self.named.created),
            roles: Some(role.into_iter().map(|role| role.to_api()).collect()),
            tags: None,
        }
    }
}

/// Puts a role into a profile, which has room for one.
///
/// # Errors
/// The profile or the role doesn't exist, or the profile has a role.
pub fn add_role_to_instance_profile(
    tx: &mut Tx,
    request: &Request,
    input: AddRoleToInstanceProfileRequest,
) -> Result<AddRoleToInstanceProfileResponse, Fault> {
    let AddRoleToInstanceProfileRequest { instance_profile_name, role_name } = input;
    let mut profile =
        entity::take::<InstanceProfile>(tx, request, instance_profile_name.as_deref())?;
    let role = entity::find::<Role>(tx, request.caller.account, role_name.as_deref())?;
    role.may_change()?;
    if profile.role.is_some() {
        return Err(errors::quota("InstanceSessionsPerInstanceProfile", 1));
    }
    profile.role = Some(role.named.id.clone());
    tx.put(profile);
    Ok(AddRoleToInstanceProfileResponse {})
}

/// Makes an instance profile.
///
/// # Errors
/// The name is taken, tags are invalid, or the quota is reached.
pub fn create_instance_profile(
    tx: &mut Tx,
    request: &Request,
    input: CreateInstanceProfileRequest,
) -> Result<CreateInstanceProfileResponse, Fault> {
    let CreateInstanceProfileRequest { instance_profile_name, path, tags } = input;
    let account = request.caller.account;
    let name = instance_profile_name.unwrap_or_default();
    entity::check_new::<InstanceProfile>(tx, account, &name)?;
    let tags = tagging::new(tags)?;
    let named = Named::new(tx, account, "AIPA", path, name);
    let profile = InstanceProfile { named, role: None, tags };
    let tags = tagging::to_api(&profile.tags);
    let answer = ApiProfile { tags, ..profile.to_api(tx) };
    tx.put(profile);
    Ok(CreateInstanceProfileResponse { instance_profile: Some(answer) })
}

/// Deletes a profile without a role.
///
/// # Errors
/// There is no such profile, or it has a role.
pub fn delete_instance_profile(
    tx: &mut Tx,
    request: &Request,
    input: DeleteInstanceProfileRequest,
) -> Result<DeleteInstanceProfileResponse, Fault> {
    let DeleteInstanceProfileRequest { instance_profile_name } = input;
    let profile = entity::take::<InstanceProfile>(tx, request, instance_profile_name.as_deref())?;
    if profile.role.is_some() {
        let must = "must remove roles from instance profile first.";
        return Err(errors::delete_conflict(must));
    }
    tx.delete::<InstanceProfile>(&profile.named.id);
    Ok(DeleteInstanceProfileResponse {})
}

/// A profile with its role.
///
/// # Errors
/// There is no such profile.
pub fn get_instance_profile(
    state: &State,
    request: &Request,
    input: GetInstanceProfileRequest,
) -> Result<GetInstanceProfileResponse, Fault> {
    let GetInstanceProfileRequest { instance_profile_name } = input;
    let name = instance_profile_name.as_deref();
    let profile = entity::find::<InstanceProfile>(state, request.caller.account, name)?;
    let tags = tagging::to_api(&profile.tags);
    let answer = ApiProfile { tags, ..profile.to_api(state) };
    Ok(GetInstanceProfileResponse { instance_profile: Some(answer) })
}

/// The account's profiles.
///
/// # Errors
/// The page is invalid.
pub fn list_instance_profiles(
    state: &State,
    request: &Request,
    input: ListInstanceProfilesRequest,
) -> Result<ListInstanceProfilesResponse, Fault> {
    let ListInstanceProfilesRequest { path_prefix, marker, max_items } = input;
    let asked = Asked { marker, max_items };
    let Page { items, is_truncated, marker } =
        entity::list::<InstanceProfile>(state, request, path_prefix.as_deref(), asked)?;
    let profiles = items.into_iter().map(|profile| profile.to_api(state)).collect();
    Ok(ListInstanceProfilesResponse {
        instance_profiles: Some(profiles),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// The profiles that a role is in.
///
/// # Errors
/// There is no such role, or the page is invalid.
pub fn list_instance_profiles_for_role(
    state: &State,
    request: &Request,
    input: ListInstanceProfilesForRoleRequest,
) -> Result<ListInstanceProfilesForRoleResponse, Fault> {
    let ListInstanceProfilesForRoleRequest { role_name, marker, max_items } = input;
    let role = entity::find::<Role>(state, request.caller.account, role_name.as_deref())?;
    let profiles = of_role(state, role);
    let key = |profile: &&InstanceProfile| entity::by_name(&profile.named);
    let Page { items, is_truncated, marker } = page(profiles, key, Asked { marker, max_items })?;
    let profiles = items.into_iter().map(|profile| profile.to_api(state)).collect();
    Ok(ListInstanceProfilesForRoleResponse {
        instance_profiles: Some(profiles),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// The profiles that a role is in.
pub(crate) fn of_role<'a>(
    state: &'a State,
    role: &Role,
) -> impl Iterator<Item = &'a InstanceProfile> + use<'a> {
    let id = role.named.id.to_string();
    state.find::<InstanceProfile>("role", id).map(AsRef::as_ref)
}

/// Takes a role out of a profile.
///
/// # Errors
/// The profile or the role doesn't exist, or the role isn't in the profile.
pub fn remove_role_from_instance_profile(
    tx: &mut Tx,
    request: &Request,
    input: RemoveRoleFromInstanceProfileRequest,
) -> Result<RemoveRoleFromInstanceProfileResponse, Fault> {
    let RemoveRoleFromInstanceProfileRequest { instance_profile_name, role_name } = input;
    let mut profile =
        entity::take::<InstanceProfile>(tx, request, instance_profile_name.as_deref())?;
    let role = entity::find::<Role>(tx, request.caller.account, role_name.as_deref())?;
    if profile.role.as_ref() != Some(&role.named.id) {
        let role = &role.named.name;
        return Err(errors::not_found("role", role));
    }
    profile.role = None;
    tx.put(profile);
    Ok(RemoveRoleFromInstanceProfileResponse {})
}
