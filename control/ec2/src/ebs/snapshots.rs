//! Snapshots of volumes.

use crate::{
    errors,
    filters::{Filters, Wanted},
    page::page,
    resource::{Resource, find_all},
    tags,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    ec2::{
        self as api, DescribeSnapshotsRequest, DescribeSnapshotsResult, ResourceType,
        SnapshotState, StorageTier,
    },
};
use state::{Row, State};
use std::{fmt::Display, sync::Arc};
use types::{AccountId, Scope, SnapshotId, Tags, Timestamp, VolumeId};

/// A snapshot; those of the quick-start images belong to the cloud itself and all may read them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub id: SnapshotId,
    /// None of the quick-start images' snapshots, which are in every region.
    pub scope: Option<Scope>,
    pub owner: AccountId,
    pub volume: Option<VolumeId>,
    pub size_gib: u32,
    /// The built image that holds the data: a folder's name on the hosts.
    pub image: String,
    pub description: String,
    pub start_time: Timestamp,
    pub encrypted: bool,
    pub tags: Tags,
}

impl Row for Snapshot {
    const TABLE: &'static str = "snapshot";
    type Key = SnapshotId;
    fn key(&self) -> SnapshotId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        if self.scope.is_none() {
            add("everywhere", &true);
        }
    }
}

impl Resource for Snapshot {
    const TYPE: ResourceType = ResourceType::Snapshot;
    const NOUN: &'static str = "snapshot";
    const CODE: &'static str = "InvalidSnapshot";
    const MALFORMED: &'static str = "InvalidSnapshotID";
    const STOP: &'static str = ".";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
    fn visible(&self, scope: &Scope) -> bool {
        self.scope.as_ref().is_none_or(|own| own == scope)
    }
}

/// What AWS says where a snapshot was made from no volume.
const NO_VOLUME: &str = "vol-ffffffff";

const FILTERS: &[&str] = &[
    "description",
    "encrypted",
    "owner-alias",
    "owner-id",
    "progress",
    "snapshot-id",
    "start-time",
    "status",
    "storage-tier",
    "transfer-type",
    "volume-id",
    "volume-size",
];

impl Snapshot {
    /// Of the quick-start images: Amazon's, to whoever asks.
    fn owner_alias(&self) -> Option<&'static str> {
        (self.owner == AccountId::SYSTEM).then_some("amazon")
    }

    /// All may make volumes from it.
    fn public(&self) -> bool {
        self.scope.is_none()
    }
}

/// The snapshots that the caller may use.
///
/// # Errors
/// A snapshot doesn't exist, or an account, a filter or the page is invalid.
pub fn describe_snapshots(
    state: &State,
    request: &Request,
    input: DescribeSnapshotsRequest,
) -> Result<DescribeSnapshotsResult, Fault> {
    let DescribeSnapshotsRequest {
        max_results,
        next_token,
        owner_ids,
        restorable_by_user_ids,
        snapshot_ids,
        dry_run: _,
        filters,
    } = input;
    let filters = Filters::new(filters, FILTERS)?;
    let owners = owners(owner_ids, request)?;
    let users = users(restorable_by_user_ids, request)?;
    let scope = &request.scope;
    let mut rows = match snapshot_ids.filter(|ids| !ids.is_empty()) {
        Some(ids) => find_all::<Snapshot>(state, scope, &ids)?,
        None => {
            let own = state.in_scope::<Snapshot>(scope);
            own.chain(state.find::<Snapshot>("everywhere", true)).cloned().collect()
        }
    };
    rows.retain(|row| {
        owners.as_ref().is_none_or(|owners| {
            owners.iter().any(|owner| match owner {
                Owner::Alias(alias) => row.owner_alias() == Some(alias),
                Owner::Account(id) => row.owner == *id,
            })
        }) && users.as_ref().is_none_or(|users| {
            users.iter().any(|user| match user {
                User::All => row.public(),
                User::Account(id) => row.owner == *id,
            })
        }) && filters.accept(&row.tags, |name, wanted| holds(row, name, wanted))
    });
    rows.sort_by_key(|row| row.id);
    let key = |row: &Arc<Snapshot>| row.id.to_string();
    let (rows, next_token) = page(rows, key, max_results, 5..=1000, next_token.as_deref())?;
    let snapshots = rows.iter().map(|row| to_api(row)).collect();
    Ok(DescribeSnapshotsResult { next_token, snapshots: Some(snapshots) })
}

/// An owner that a Describe call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    Account(AccountId),
    Alias(&'static str),
}

/// The owners that a call asks for; none if it asks for none in particular.
///
/// # Errors
/// One is neither an account's ID nor a word that AWS knows.
pub(crate) fn owners(
    names: Option<Vec<String>>,
    request: &Request,
) -> Result<Option<Vec<Owner>>, Fault> {
    let owner = |name: &String| match name.as_str() {
        "self" => Ok(Owner::Account(request.scope.account)),
        "amazon" => Ok(Owner::Alias("amazon")),
        "aws-marketplace" => Ok(Owner::Alias("aws-marketplace")),
        "aws-backup-vault" => Ok(Owner::Alias("aws-backup-vault")),
        id => id.parse().map(Owner::Account).map_err(|_| errors::invalid_user_id(id)),
    };
    names
        .filter(|names| !names.is_empty())
        .map(|names| names.iter().map(owner).collect())
        .transpose()
}

/// A user whose permission a Describe call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    All,
    Account(AccountId),
}

/// The users that a call asks for; none if it asks for none in particular.
///
/// # Errors
/// One is neither an account's ID nor a word that AWS knows.
pub(crate) fn users(
    names: Option<Vec<String>>,
    request: &Request,
) -> Result<Option<Vec<User>>, Fault> {
    let user = |name: &String| match name.as_str() {
        "all" => Ok(User::All),
        "self" => Ok(User::Account(request.scope.account)),
        id => id.parse().map(User::Account).map_err(|_| errors::invalid_user_id(id)),
    };
    names
        .filter(|names| !names.is_empty())
        .map(|names| names.iter().map(user).collect())
        .transpose()
}

fn holds(row: &Snapshot, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "description" => wanted.is(&row.description),
        "encrypted" => wanted.is(row.encrypted),
        "owner-alias" => row.owner_alias().is_some_and(|alias| wanted.is(alias)),
        "owner-id" => wanted.is(row.owner),
        "progress" => wanted.is("100%"),
        "snapshot-id" => wanted.is(row.id),
        "start-time" => wanted.is(row.start_time),
        "status" => wanted.is(SnapshotState::Completed),
        "storage-tier" | "transfer-type" => wanted.is("standard"),
        "volume-id" => match row.volume {
            Some(volume) => wanted.is(volume),
            None => wanted.is(NO_VOLUME),
        },
        "volume-size" => wanted.is(row.size_gib),
        _ => false,
    }
}

/// The snapshot as DescribeSnapshots answers it.
#[must_use]
pub fn to_api(row: &Snapshot) -> api::Snapshot {
    api::Snapshot {
        owner_alias: row.owner_alias().map(ToOwned::to_owned),
        // AWS has no list where there are no tags.
        tags: tags::to_api(&row.tags).filter(|tags| !tags.is_empty()),
        storage_tier: Some(StorageTier::Standard),
        // Every snapshot is made whole, in one transaction.
        completion_time: Some(row.start_time),
        snapshot_id: Some(row.id.to_string()),
        volume_id: Some(row.volume.map_or_else(|| NO_VOLUME.to_owned(), |id| id.to_string())),
        state: Some(SnapshotState::Completed),
        start_time: Some(row.start_time),
        progress: Some("100%".to_owned()),
        owner_id: Some(row.owner.to_string()),
        description: Some(row.description.clone()),
        volume_size: i32::try_from(row.size_gib).ok(),
        encrypted: Some(row.encrypted),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{filter, request, request_of, tx};
    use state::Tx;

    fn put(tx: &mut Tx, scope: Option<Scope>, owner: AccountId) -> SnapshotId {
        let id = tx.new_id();
        tx.put(Snapshot {
            id,
            scope,
            owner,
            volume: None,
            size_gib: 8,
            image: "tiny".to_owned(),
            description: "of a test".to_owned(),
            start_time: tx.now(),
            encrypted: false,
            tags: Tags::new(),
        });
        id
    }

    #[test]
    fn who_sees_which() {
        let mut tx = tx();
        let public = put(&mut tx, None, AccountId::SYSTEM);
        let own = put(&mut tx, Some(request().scope), AccountId::DEFAULT);
        let other: AccountId = "111111111111".parse().unwrap();
        let foreign = put(&mut tx, Some(request_of(other).scope), other);
        let ids = |input| {
            let result = describe_snapshots(tx.state(), &request(), input)?;
            let snapshots = result.snapshots.unwrap_or_default();
            Ok::<_, Fault>(snapshots.into_iter().filter_map(|row| row.snapshot_id).collect())
        };
        let one = |id: SnapshotId| vec![id.to_string()];
        let words = |word: &str| Some(vec![word.to_owned()]);
        let mut both = vec![public.to_string(), own.to_string()];
        both.sort();
        assert_eq!(ids(Default::default()), Ok(both));
        for (word, id) in [("self", own), ("amazon", public), ("000000000000", public)] {
            let input = DescribeSnapshotsRequest { owner_ids: words(word), ..Default::default() };
            assert_eq!(ids(input), Ok(one(id)), "{word}");
        }
        for (word, id) in [("self", own), ("all", public)] {
            let restorable_by_user_ids = words(word);
            let input = DescribeSnapshotsRequest { restorable_by_user_ids, ..Default::default() };
            assert_eq!(ids(input), Ok(one(id)), "{word}");
        }
        let filters = Some(vec![filter("owner-alias", &["amazon"])]);
        let input = DescribeSnapshotsRequest { filters, ..Default::default() };
        assert_eq!(ids(input), Ok(one(public)));
        let snapshot_ids = Some(one(foreign));
        let fault = ids(DescribeSnapshotsRequest { snapshot_ids, ..Default::default() });
        let fault = fault.unwrap_err();
        assert_eq!(fault.code, "InvalidSnapshot.NotFound");
        assert_eq!(fault.message, format!("The snapshot '{foreign}' does not exist."));
        let input = DescribeSnapshotsRequest { owner_ids: words("me"), ..Default::default() };
        assert_eq!(ids(input).unwrap_err().code, "InvalidUserID.Malformed");
    }
}
