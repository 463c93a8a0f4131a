//! The lines of a list: which columns, and how a version looks in them.

use crate::{
    access::acl::{Acl, Grantee, Owner},
    store::{
        Bucket, LockMode,
        crypt::Wrapping,
        listing::Listed,
        version::{Object, Version},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto;
use serde_json::json;

/// What can be asked for, in the order in which it is written.
const FIELDS: [&str; 15] = [
    dto::InventoryOptionalField::SIZE,
    dto::InventoryOptionalField::LAST_MODIFIED_DATE,
    dto::InventoryOptionalField::E_TAG,
    dto::InventoryOptionalField::STORAGE_CLASS,
    dto::InventoryOptionalField::IS_MULTIPART_UPLOADED,
    dto::InventoryOptionalField::REPLICATION_STATUS,
    dto::InventoryOptionalField::ENCRYPTION_STATUS,
    dto::InventoryOptionalField::OBJECT_LOCK_RETAIN_UNTIL_DATE,
    dto::InventoryOptionalField::OBJECT_LOCK_MODE,
    dto::InventoryOptionalField::OBJECT_LOCK_LEGAL_HOLD_STATUS,
    dto::InventoryOptionalField::INTELLIGENT_TIERING_ACCESS_TIER,
    dto::InventoryOptionalField::BUCKET_KEY_STATUS,
    dto::InventoryOptionalField::CHECKSUM_ALGORITHM,
    dto::InventoryOptionalField::OBJECT_ACCESS_CONTROL_LIST,
    dto::InventoryOptionalField::OBJECT_OWNER,
];

/// What a key keeps of itself.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// Whether a field can be asked for.
pub(crate) fn is_field(name: &str) -> bool {
    FIELDS.contains(&name)
}

/// The columns of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    versions: bool,
    fields: Vec<&'static str>,
}

impl Columns {
    pub(super) fn of(inventory: &dto::InventoryConfiguration) -> Self {
        let asked = inventory.optional_fields.as_deref().unwrap_or_default();
        let is_asked = |name: &&str| asked.iter().any(|field| field.as_str() == *name);
        let versions = inventory.included_object_versions.as_str();
        Self {
            versions: versions == dto::InventoryIncludedObjectVersions::ALL,
            fields: FIELDS.into_iter().filter(is_asked).collect(),
        }
    }

    /// As the manifest names them.
    pub(super) fn schema(&self) -> String {
        let mut names = vec!["Bucket", "Key"];
        if self.versions {
            names.extend(["VersionId", "IsLatest", "IsDeleteMarker"]);
        }
        names.extend(&self.fields);
        names.join(", ")
    }

    /// Adds a version's line.
    pub(super) fn write(&self, bucket: &Bucket, listed: &Listed, text: &mut String) {
        let Listed { key, version_key, version, latest } = listed;
        let mut values = vec![bucket.name.clone(), utf8_percent_encode(key, KEPT).to_string()];
        if self.versions {
            // The null version has no ID here.
            let id = if version.null { String::new() } else { version_key.to_id() };
            let marker = version.object.is_none();
            values.extend([id, latest.to_string(), marker.to_string()]);
        }
        values.extend(self.fields.iter().map(|name| value(name, bucket, version)));
        for (number, value) in values.iter().enumerate() {
            text.push_str(if number == 0 { "\"" } else { ",\"" });
            text.push_str(&value.replace('"', "\"\""));
            text.push('"');
        }
        text.push('\n');
    }
}

fn time(at_ms: u64) -> String {
    types::Timestamp::from_millis(i64::try_from(at_ms).unwrap_or(i64::MAX)).to_string()
}

/// A column's value; most are empty for delete markers.
fn value(name: &str, bucket: &Bucket, version: &Version) -> String {
    use dto::InventoryOptionalField as Field;
    if name == Field::LAST_MODIFIED_DATE {
        return time(version.modified_ms);
    }
    if name == Field::REPLICATION_STATUS {
        return version.replication.map(|status| status.as_str()).unwrap_or_default().to_owned();
    }
    let owner = version.owner.as_ref().unwrap_or(&bucket.owner);
    if name == Field::OBJECT_OWNER {
        return owner.canonical_id.clone();
    }
    match &version.object {
        Some(object) if name == Field::OBJECT_ACCESS_CONTROL_LIST => {
            STANDARD.encode(list(object, &Owner::of(owner)))
        }
        Some(object) => of_object(name, object),
        None => String::new(),
    }
}

fn of_object(name: &str, object: &Object) -> String {
    use dto::InventoryOptionalField as Field;
    let retention = object.lock.retention;
    let by_kms = match &object.seal.wrapping {
        Wrapping::Kms(by) => Some(by),
        Wrapping::Store | Wrapping::Customer { .. } => None,
    };
    match name {
        Field::SIZE => object.size.to_string(),
        Field::E_TAG => object.etag.to_string(),
        Field::STORAGE_CLASS => {
            object.attributes.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned())
        }
        Field::IS_MULTIPART_UPLOADED => object.etag.parts.is_some().to_string(),
        Field::ENCRYPTION_STATUS => match &object.seal.wrapping {
            Wrapping::Store => "SSE-S3",
            Wrapping::Customer { .. } => "SSE-C",
            Wrapping::Kms(_) => "SSE-KMS",
        }
        .to_owned(),
        Field::OBJECT_LOCK_RETAIN_UNTIL_DATE => {
            retention.map(|one| time(one.until_ms)).unwrap_or_default()
        }
        Field::OBJECT_LOCK_MODE => match retention.map(|one| one.mode) {
            Some(LockMode::Governance) => "GOVERNANCE",
            Some(LockMode::Compliance) => "COMPLIANCE",
            None => "",
        }
        .to_owned(),
        Field::OBJECT_LOCK_LEGAL_HOLD_STATUS => {
            let on = object.lock.legal_hold == Some(true);
            if on { "On" } else { "Off" }.to_owned()
        }
        Field::INTELLIGENT_TIERING_ACCESS_TIER => {
            let tiered = object.attributes.storage_class.as_deref() == Some("INTELLIGENT_TIERING");
            if tiered { "FREQUENT" } else { "" }.to_owned()
        }
        Field::BUCKET_KEY_STATUS => {
            let on = by_kms.is_some_and(|by| by.bucket_key);
            if on { "ENABLED" } else { "DISABLED" }.to_owned()
        }
        Field::CHECKSUM_ALGORITHM => object
            .checksum
            .as_ref()
            .map(|checksum| checksum.algorithm.name().to_owned())
            .unwrap_or_default(),
        _ => String::new(),
    }
}

/// The access control list in the form that inventories have.
fn list(object: &Object, owner: &Owner) -> String {
    let acl = object.attributes.acl.as_deref().and_then(Acl::read);
    let acl = acl.unwrap_or_else(|| Acl::private(owner.clone()));
    let grants: Vec<_> = acl
        .grants
        .iter()
        .map(|grant| {
            let permission = grant.permission.as_str();
            let group = |name: &str| {
                let uri = format!("http://acs.amazonaws.com/groups/{name}");
                json!({"uri": uri, "permission": permission, "type": "Group"})
            };
            match &grant.grantee {
                Grantee::User(user) => json!({
                    "canonicalId": user.id, "permission": permission, "type": "CanonicalUser",
                }),
                Grantee::AllUsers => group("global/AllUsers"),
                Grantee::AuthenticatedUsers => group("global/AuthenticatedUsers"),
                Grantee::LogDelivery => group("s3/LogDelivery"),
            }
        })
        .collect();
    json!({"version": "2022-11-10", "status": "AVAILABLE", "grants": grants}).to_string()
}
