//! The quick-start images: built into folders, registered as AMIs of every account.

use crate::cloud::Cloud;
use anyhow::Context as _;
use ec2::compute::images::{self, QuickStart};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path, sync::Arc};
use types::Timestamp;

/// What `image.json` beside a built image's `disk.raw` says of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BuiltImage {
    /// The AMI's name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Its disk's size.
    pub size_gib: u32,
    /// Such as `/dev/xvda`.
    pub root_device_name: String,
    /// `legacy-bios` or `uefi`.
    pub boot_mode: String,
    /// `x86_64`.
    pub architecture: String,
    /// The user to log in as.
    pub login: String,
    /// When it was built, milliseconds since 1970.
    pub created_ms: i64,
}

/// The built images by their folders' names; what can't be read is passed over with a warning.
pub fn found(data: &Path) -> Vec<(String, BuiltImage)> {
    let mut found = Vec::new();
    let Ok(folders) = fs::read_dir(data.join("images")) else { return found };
    for folder in folders.flatten() {
        let Ok(folder_name) = folder.file_name().into_string() else { continue };
        let Ok(text) = fs::read(folder.path().join("image.json")) else { continue };
        match serde_json::from_slice(&text) {
            Ok(image) if folder.path().join("disk.raw").is_file() => {
                found.push((folder_name, image));
            }
            Ok(_) => log::warn!("image {folder_name} has no disk"),
            Err(error) => log::warn!("image {folder_name} can't be read: {error}"),
        }
    }
    found.sort();
    found
}

/// Registers the built images, and retires those that are gone.
pub async fn register(cloud: &Arc<Cloud>, data: &Path) -> anyhow::Result<()> {
    let found = found(data);
    let done = cloud.mutate(false, move |tx| {
        let contents = found.iter().map(|(folder, _)| folder.clone()).collect::<Vec<_>>();
        for (folder, image) in found {
            let quick_start = QuickStart {
                name: image.name,
                description: image.description,
                content: folder,
                size_gib: image.size_gib,
                root_device_name: image.root_device_name,
                boot_mode: image.boot_mode,
                architecture: image.architecture,
                login: image.login,
                creation: Timestamp::from_millis(image.created_ms),
            };
            images::register_quick_start(tx, quick_start);
        }
        images::retire_missing(tx, &contents);
        Ok(())
    });
    done.await.context("register the images")
}
