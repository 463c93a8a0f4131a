//! Where a bucket's access logs go.

use super::malformed_xml;
use crate::access::acl::{self, Grantee};
use s3s::{S3Error, S3ErrorCode, S3Result, dto};
use serde::{Deserialize, Serialize};

/// A bucket's logging.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Logging {
    pub bucket: String,
    pub prefix: String,
    /// Grants on the log objects: `FULL_CONTROL`, `READ` or `WRITE`.
    pub grants: Vec<(Grantee, String)>,
    pub format: KeyFormat,
}

/// How the keys of log objects are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyFormat {
    /// None was named: as [`Self::Simple`], and not shown.
    #[default]
    Unnamed,
    /// `PREFIXYYYY-mm-DD-HH-MM-SS-UNIQUE`
    Simple,
    /// `PREFIXaccount/region/bucket/YYYY/MM/DD/YYYY-mm-DD-HH-MM-SS-UNIQUE`, by the time of the
    /// event (`00-00-00`) or of delivery.
    PartitionedByEvent,
    PartitionedByDelivery,
}

impl Logging {
    /// From the API.
    ///
    /// # Errors
    /// `MalformedXML` and those of grantees.
    pub fn from_api(enabled: dto::LoggingEnabled) -> S3Result<Self> {
        let mut grants = Vec::new();
        for grant in enabled.target_grants.unwrap_or_default() {
            let permission = grant.permission.ok_or_else(malformed_xml)?;
            if !matches!(permission.as_str(), "FULL_CONTROL" | "READ" | "WRITE") {
                return Err(malformed_xml());
            }
            let grantee = acl::grantee_from_api(grant.grantee.ok_or_else(malformed_xml)?)?;
            grants.push((grantee, permission.as_str().to_owned()));
        }
        if grants.len() > acl::MAX_GRANTS {
            return Err(malformed_xml());
        }
        let format = match enabled.target_object_key_format {
            None => KeyFormat::Unnamed,
            Some(format) => match (format.partitioned_prefix, format.simple_prefix) {
                (None, Some(_)) => KeyFormat::Simple,
                (Some(partitioned), None) => match partitioned.partition_date_source {
                    Some(source) if source.as_str() == "EventTime" => KeyFormat::PartitionedByEvent,
                    Some(source) if source.as_str() != "DeliveryTime" => {
                        return Err(malformed_xml());
                    }
                    _ => KeyFormat::PartitionedByDelivery,
                },
                (Some(_), Some(_)) | (None, None) => return Err(malformed_xml()),
            },
        };
        Ok(Self { bucket: enabled.target_bucket, prefix: enabled.target_prefix, grants, format })
    }

    /// To the API.
    #[must_use]
    pub fn to_api(&self) -> dto::LoggingEnabled {
        let partitioned = |source| dto::TargetObjectKeyFormat {
            partitioned_prefix: Some(dto::PartitionedPrefix {
                partition_date_source: Some(dto::PartitionDateSource::from_static(source)),
            }),
            simple_prefix: None,
        };
        let grants = self.grants.iter().map(|(grantee, permission)| dto::TargetGrant {
            grantee: Some(acl::grantee_to_api(grantee)),
            permission: Some(dto::BucketLogsPermission::from(permission.clone())),
        });
        dto::LoggingEnabled {
            target_bucket: self.bucket.clone(),
            target_prefix: self.prefix.clone(),
            target_grants: (!self.grants.is_empty()).then(|| grants.collect()),
            target_object_key_format: match self.format {
                KeyFormat::Unnamed => None,
                KeyFormat::Simple => Some(dto::TargetObjectKeyFormat {
                    partitioned_prefix: None,
                    simple_prefix: Some(dto::SimplePrefix::default()),
                }),
                KeyFormat::PartitionedByEvent => Some(partitioned("EventTime")),
                KeyFormat::PartitionedByDelivery => Some(partitioned("DeliveryTime")),
            },
        }
    }
}

/// The target isn't there, or isn't the caller's, or can't take logs.
#[must_use]
pub fn no_target(why: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidTargetBucketForLogging, why)
}
