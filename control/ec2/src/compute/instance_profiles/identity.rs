//! What an instance shows to prove who it is: a document to be signed, and the role that it acts in.
//!
//! This says what is to be given. The server, which has the keys, makes signatures and credentials of it
//! and sends them to the instance's host beside desired state: they are in no row and no entry.

use super::{ProfileAssociation, of_instance};
use crate::{
    compute::instances::{Instance, machine},
    vpc::network_interfaces,
};
use iam::{InstanceOrigin, InstanceProfile, Role, UniqueId};
use state::{ChangeSet, State};
use std::collections::BTreeSet;
use types::InstanceId;

/// An instance's identity, before anything is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The identity document.
    pub document: String,
    /// What its profile gives it; none of an instance without a profile.
    pub given: Option<Given>,
}

/// What a profile gives an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The profile's ARN.
    pub arn: String,
    /// The profile's unique ID.
    pub id: UniqueId,
    /// Whether the profile is still there.
    pub exists: bool,
    /// The role that the instance acts in.
    pub role: Option<UniqueId>,
    /// What the role's sessions say of the instance.
    pub origin: InstanceOrigin,
}

/// The identity of an instance on a host that has or shall have a VM.
#[must_use]
pub fn identity(state: &State, host: &str, id: InstanceId) -> Option<Identity> {
    let row = state.get::<Instance>(&id).filter(|row| row.host == host)?;
    if !row.state.holds_capacity() {
        return None;
    }
    let machine = machine(state, row, None)?;
    Some(Identity {
        document: machine.metadata.identity_document(),
        given: of_instance(state, id).map(|association| given(state, row, association)),
    })
}

fn given(state: &State, row: &Instance, association: &ProfileAssociation) -> Given {
    let profile = state.get::<InstanceProfile>(&association.profile);
    let card = network_interfaces::of_instance(state, row.id).into_iter().next();
    let scope = &row.scope;
    Given {
        arn: association.arn.clone(),
        id: association.profile.clone(),
        exists: profile.is_some(),
        role: profile.and_then(|profile| profile.role.clone()),
        origin: InstanceOrigin {
            arn: format!("arn:aws:ec2:{}:{}:instance/{}", scope.region, scope.account, row.id),
            vpc: row.vpc.to_string(),
            private_ip: card.and_then(|card| card.primary_ip()).map(|ip| ip.to_string()),
            // Where a session token is optional, whoever asks may have had none.
            delivery: if row.metadata.token_required { "2.0" } else { "1.0" }.to_owned(),
        },
    }
}

/// Adds the instances whose identity a change of profiles and roles may have changed.
pub fn affected(after: &State, changes: &ChangeSet, add: &mut dyn FnMut(InstanceId)) {
    let mut profiles = BTreeSet::new();
    for change in changes.of::<ProfileAssociation>() {
        for row in [&change.before, &change.after].into_iter().flatten() {
            add(row.instance);
        }
    }
    profiles.extend(changes.of::<InstanceProfile>().map(|change| change.key.clone()));
    for role in changes.of::<Role>() {
        let of_role = after.find::<InstanceProfile>("role", &role.key);
        profiles.extend(of_role.map(|profile| profile.named.id.clone()));
    }
    for profile in profiles {
        for association in after.find::<ProfileAssociation>("profile", &profile) {
            add(association.instance);
        }
    }
}
