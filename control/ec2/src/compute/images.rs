//! Machine images.
//!
//! The quick-start images are the cloud's own: they are in every region, everybody's to launch, and
//! come and go with what the hosts have built.

use crate::{
    ebs::snapshots::{Owner, Snapshot, User, owners, users},
    errors,
    filters::{Filters, Wanted},
    page::page,
    resource::{Resource, find, find_all},
    tags,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shapes::{
    Fault,
    ec2::{
        self as api, AttributeValue, BlockDeviceMapping, DescribeImageAttributeRequest,
        DescribeImagesRequest, DescribeImagesResult, DeviceType, EbsBlockDevice, HypervisorType,
        ImageAttribute, ImageAttributeName, ImageState, ImageTypeValues, ImdsSupportValues,
        LaunchPermission, PermissionGroup, ResourceType, VirtualizationType, VolumeType,
    },
};
use state::{Row, State, Tx};
use std::{fmt::Display, sync::Arc};
use types::{AccountId, ImageId, ResourceId, Scope, SnapshotId, Tags, Timestamp};

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
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        if self.scope.is_none() {
            add("everywhere", &true);
        }
    }
}

impl Resource for Image {
    const TYPE: ResourceType = ResourceType::Image;
    const NOUN: &'static str = "image id";
    const CODE: &'static str = "InvalidAMIID";
    const QUOTES: (&'static str, &'static str) = ("'[", "]'");
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

/// A built image that every account can launch.
#[derive(Debug, Clone)]
pub struct QuickStart {
    pub name: String,
    pub description: String,
    /// The built image: a folder's name on the hosts, made from its recipe's hash.
    pub content: String,
    pub size_gib: u32,
    pub root_device_name: String,
    /// `legacy-bios` or `uefi`.
    pub boot_mode: String,
    pub architecture: String,
    pub login: String,
    pub creation: Timestamp,
}

/// The ID of what is made from this content: the same in every cloud, for ever.
fn id_of<I: ResourceId>(content: &str) -> I {
    let digest = Sha256::digest(format!("{} {content}", I::PREFIX));
    let number = digest.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte));
    I::from_number(number)
}

/// Makes the image and its snapshot, or brings them up to date.
pub fn register_quick_start(tx: &mut Tx, image: QuickStart) -> ImageId {
    let QuickStart {
        name,
        description,
        content,
        size_gib,
        root_device_name,
        boot_mode,
        architecture,
        login,
        creation,
    } = image;
    let id = id_of::<ImageId>(&content);
    let root_snapshot = id_of::<SnapshotId>(&content);
    tx.put(Snapshot {
        id: root_snapshot,
        scope: None,
        owner: AccountId::SYSTEM,
        volume: None,
        size_gib,
        image: content,
        description: format!("The root volume of {name}"),
        start_time: creation,
        encrypted: false,
        tags: Tags::new(),
    });
    tx.put(Image {
        id,
        scope: None,
        owner: AccountId::SYSTEM,
        owner_alias: Some("amazon".to_owned()),
        name,
        description,
        creation_date: creation,
        architecture,
        boot_mode,
        root_device_name,
        root_snapshot,
        root_size_gib: size_gib,
        public: true,
        login,
        tags: Tags::new(),
    });
    id
}

/// Removes the quick-start images whose content is not among these.
///
/// Their snapshots stay: volumes may still be made of them.
pub fn retire_missing(tx: &mut Tx, contents: &[impl AsRef<str>]) {
    let kept = |image: &Image| {
        let snapshot = tx.get::<Snapshot>(&image.root_snapshot);
        let content = snapshot.map(|row| row.image.as_str());
        content.is_some_and(|content| contents.iter().any(|kept| kept.as_ref() == content))
    };
    let images = tx.find::<Image>("everywhere", true);
    let gone = images.filter(|image| !kept(image)).map(|image| image.id).collect::<Vec<_>>();
    for id in gone {
        tx.delete::<Image>(&id);
    }
}

const FILTERS: &[&str] = &[
    "architecture",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "boot-mode",
    "creation-date",
    "description",
    "ena-support",
    "free-tier-eligible",
    "hypervisor",
    "image-allowed",
    "image-id",
    "image-type",
    "is-public",
    "kernel-id",
    "manifest-location",
    "name",
    "owner-alias",
    "owner-id",
    "platform",
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "root-device-name",
    "root-device-type",
    "source-image-id",
    "source-image-region",
    "source-instance-id",
    "sriov-net-support",
    "state",
    "state-reason-code",
    "state-reason-message",
    "virtualization-type",
];

/// The images that the caller may launch.
///
/// # Errors
/// An image doesn't exist, or an account, a filter or the page is invalid.
pub fn describe_images(
    state: &State,
    request: &Request,
    input: DescribeImagesRequest,
) -> Result<DescribeImagesResult, Fault> {
    let DescribeImagesRequest {
        executable_users,
        image_ids,
        owners: owner_names,
        // No image here is deprecated or disabled: both include nothing more.
        include_deprecated: _,
        include_disabled: _,
        max_results,
        next_token,
        dry_run: _,
        filters,
    } = input;
    let filters = Filters::new(filters, FILTERS)?;
    let owners = owners(owner_names, request)?;
    let users = users(executable_users, request)?;
    let scope = &request.scope;
    let mut rows = match image_ids.filter(|ids| !ids.is_empty()) {
        Some(ids) => find_all::<Image>(state, scope, &ids)?,
        None => {
            let own = state.in_scope::<Image>(scope);
            own.chain(state.find::<Image>("everywhere", true)).cloned().collect()
        }
    };
    rows.retain(|row| {
        owners.as_ref().is_none_or(|owners| {
            owners.iter().any(|owner| match owner {
                Owner::Alias(alias) => row.owner_alias.as_deref() == Some(alias),
                Owner::Account(id) => row.owner == *id,
            })
            // Permissions are to all or, so far, to nobody.
        }) && users.as_ref().is_none_or(|users| users.contains(&User::All) && row.public)
            && filters.accept(&row.tags, |name, wanted| holds(row, name, wanted))
    });
    rows.sort_by_key(|row| row.id);
    let key = |row: &Arc<Image>| row.id.to_string();
    let (rows, next_token) = page(rows, key, max_results, 1..=1000, next_token.as_deref())?;
    let images = rows.iter().map(|row| to_api(row)).collect();
    Ok(DescribeImagesResult { next_token, images: Some(images) })
}

fn holds(row: &Image, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "architecture" => wanted.is(&row.architecture),
        "block-device-mapping.delete-on-termination" => wanted.is(true),
        "block-device-mapping.device-name" | "root-device-name" => wanted.is(&row.root_device_name),
        "block-device-mapping.encrypted" => wanted.is(false),
        "block-device-mapping.snapshot-id" => wanted.is(row.root_snapshot),
        "block-device-mapping.volume-size" => wanted.is(row.root_size_gib),
        "block-device-mapping.volume-type" => wanted.is(VolumeType::Gp3),
        "boot-mode" => wanted.is(&row.boot_mode),
        "creation-date" => wanted.is(row.creation_date),
        "description" => wanted.is(&row.description),
        "ena-support" | "free-tier-eligible" | "image-allowed" => wanted.is(true),
        "hypervisor" => wanted.is(HypervisorType::Xen),
        "image-id" => wanted.is(row.id),
        "image-type" => wanted.is(ImageTypeValues::Machine),
        "is-public" => wanted.is(row.public),
        "manifest-location" => wanted.is(row.location()),
        "name" => wanted.is(&row.name),
        "owner-alias" => row.owner_alias.as_ref().is_some_and(|alias| wanted.is(alias)),
        "owner-id" => wanted.is(row.owner),
        "root-device-type" => wanted.is(DeviceType::Ebs),
        "sriov-net-support" => wanted.is("simple"),
        "state" => wanted.is(ImageState::Available),
        "virtualization-type" => wanted.is(VirtualizationType::Hvm),
        // Windows, product codes, kernels, sources, reasons: no image here has them.
        _ => false,
    }
}

/// One attribute of an image that the caller owns.
///
/// # Errors
/// The image doesn't exist or is another's.
pub fn describe_image_attribute(
    state: &State,
    request: &Request,
    input: DescribeImageAttributeRequest,
) -> Result<ImageAttribute, Fault> {
    let DescribeImageAttributeRequest { attribute, image_id, dry_run: _ } = input;
    let attribute = attribute.ok_or_else(|| errors::missing("attribute"))?;
    let image_id = image_id.ok_or_else(|| errors::missing("imageId"))?;
    let row = find::<Image>(state, &request.scope, &image_id)?;
    if row.owner != request.scope.account {
        return Err(errors::image_not_yours(row.id));
    }
    let value = |text: &str| Some(AttributeValue { value: Some(text.to_owned()) });
    let none = Some(AttributeValue::default());
    let mut answer = ImageAttribute { image_id: Some(row.id.to_string()), ..Default::default() };
    match attribute {
        ImageAttributeName::Description => answer.description = value(&row.description),
        ImageAttributeName::Kernel => answer.kernel_id = none,
        ImageAttributeName::Ramdisk => answer.ramdisk_id = none,
        ImageAttributeName::LaunchPermission => {
            let all = LaunchPermission { group: Some(PermissionGroup::All), ..Default::default() };
            let permissions = row.public.then_some(all);
            answer.launch_permissions = Some(permissions.into_iter().collect());
        }
        ImageAttributeName::ProductCodes => answer.product_codes = Some(Vec::new()),
        ImageAttributeName::BlockDeviceMapping => {
            answer.block_device_mappings = Some(vec![row.root_mapping()]);
        }
        ImageAttributeName::SriovNetSupport => answer.sriov_net_support = value("simple"),
        ImageAttributeName::BootMode => answer.boot_mode = value(&row.boot_mode),
        ImageAttributeName::TpmSupport => answer.tpm_support = none,
        ImageAttributeName::UefiData => answer.uefi_data = none,
        ImageAttributeName::LastLaunchedTime => answer.last_launched_time = none,
        ImageAttributeName::ImdsSupport => {
            answer.imds_support = value(ImdsSupportValues::V2_0.as_str());
        }
        ImageAttributeName::DeregistrationProtection => {
            answer.deregistration_protection = value("disabled");
        }
    }
    Ok(answer)
}

impl Image {
    /// Where AWS says that the image comes from: its owner and its name.
    #[must_use]
    pub fn location(&self) -> String {
        match &self.owner_alias {
            Some(alias) => format!("{alias}/{}", self.name),
            None => format!("{}/{}", self.owner, self.name),
        }
    }

    /// The root volume that a launch makes where it is not told otherwise.
    #[must_use]
    pub fn root_mapping(&self) -> BlockDeviceMapping {
        BlockDeviceMapping {
            device_name: Some(self.root_device_name.clone()),
            ebs: Some(EbsBlockDevice {
                delete_on_termination: Some(true),
                iops: Some(3000),
                snapshot_id: Some(self.root_snapshot.to_string()),
                volume_size: i32::try_from(self.root_size_gib).ok(),
                volume_type: Some(VolumeType::Gp3),
                throughput: Some(125),
                encrypted: Some(false),
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

/// The image as DescribeImages answers it.
#[must_use]
pub fn to_api(row: &Image) -> api::Image {
    api::Image {
        platform_details: Some("Linux/UNIX".to_owned()),
        usage_operation: Some("RunInstances".to_owned()),
        block_device_mappings: Some(vec![row.root_mapping()]),
        description: Some(row.description.clone()),
        ena_support: Some(true),
        hypervisor: Some(HypervisorType::Xen),
        image_owner_alias: row.owner_alias.clone(),
        name: Some(row.name.clone()),
        root_device_name: Some(row.root_device_name.clone()),
        root_device_type: Some(DeviceType::Ebs),
        sriov_net_support: Some("simple".to_owned()),
        // AWS has no list where there are no tags.
        tags: tags::to_api(&row.tags).filter(|tags| !tags.is_empty()),
        virtualization_type: Some(VirtualizationType::Hvm),
        boot_mode: row.boot_mode.parse().ok(),
        imds_support: Some(ImdsSupportValues::V2_0),
        deregistration_protection: Some("disabled".to_owned()),
        image_allowed: Some(true),
        free_tier_eligible: Some(true),
        image_id: Some(row.id.to_string()),
        image_location: Some(row.location()),
        state: Some(ImageState::Available),
        owner_id: Some(row.owner.to_string()),
        creation_date: Some(row.creation_date.to_string()),
        public: Some(row.public),
        architecture: row.architecture.parse().ok(),
        image_type: Some(ImageTypeValues::Machine),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
