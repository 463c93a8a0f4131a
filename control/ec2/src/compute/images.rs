//! Machine images.

use crate::resource::Resource;
use serde::{Deserialize, Serialize};
use shapes::ec2::ResourceType;
use state::Row;
use types::{AccountId, ImageId, Scope, SnapshotId, Tags, Timestamp};

/// A machine image (AMI).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    pub id: ImageId,
    /// None of the quick-start images, which are in every region.
    pub scope: Option<Scope>,
    pub owner: AccountId,
    /// `amazon` of the quick-start images: what `--owners amazon` finds.
    pub owner_alias: Option<String>,
    pub name: String,
    pub description: String,
    pub creation_date: Timestamp,
    /// `x86_64`.
    pub architecture: String,
    /// `legacy-bios` or `uefi`.
    pub boot_mode: String,
    /// Such as `/dev/xvda`.
    pub root_device_name: String,
    pub root_snapshot: SnapshotId,
    pub root_size_gib: u32,
    pub public: bool,
    /// The user to log in as, such as `ec2-user`; for people.
    pub login: String,
    pub tags: Tags,
}

impl Row for Image {
    const TABLE: &'static str = "image";
    type Key = ImageId;
    fn key(&self) -> ImageId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }
}

impl Resource for Image {
    const TYPE: ResourceType = ResourceType::Image;
    const NOUN: &'static str = "image ID";
    const CODE: &'static str = "InvalidAMIID";
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
