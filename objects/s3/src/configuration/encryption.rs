//! The default encryption of what is put into a bucket.

use super::{invalid_argument, malformed_xml};
use crate::fault;
use s3s::{S3Result, dto};

/// Checks a configuration that is to be kept.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`; `NotImplemented` for keys of KMS.
pub fn check(configuration: &dto::ServerSideEncryptionConfiguration) -> S3Result<()> {
    let [rule] = configuration.rules.as_slice() else { return Err(malformed_xml()) };
    let Some(default) = &rule.apply_server_side_encryption_by_default else {
        return Err(malformed_xml());
    };
    let algorithm = default.sse_algorithm.as_str();
    match algorithm {
        "AES256" if default.kms_master_key_id.is_some() => Err(invalid_argument(
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or \
             aws:kms:dsse",
        )),
        "AES256" => Ok(()),
        "aws:kms" | "aws:kms:dsse" => {
            Err(fault::not_implemented("Default encryption with AWS KMS (SSE-KMS)"))
        }
        _ => Err(malformed_xml()),
    }
}

/// What a bucket has that was never configured: SSE-S3.
#[must_use]
pub fn default() -> dto::ServerSideEncryptionConfiguration {
    let by_default = dto::ServerSideEncryptionByDefault {
        kms_master_key_id: None,
        sse_algorithm: dto::ServerSideEncryption::from_static("AES256"),
    };
    dto::ServerSideEncryptionConfiguration {
        rules: vec![dto::ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: Some(by_default),
            bucket_key_enabled: Some(false),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms() {
        assert!(check(&default()).is_ok());
        let with = |algorithm: &'static str, key: Option<&str>| {
            let mut configuration = default();
            configuration.rules[0].apply_server_side_encryption_by_default =
                Some(dto::ServerSideEncryptionByDefault {
                    kms_master_key_id: key.map(str::to_owned),
                    sse_algorithm: dto::ServerSideEncryption::from_static(algorithm),
                });
            check(&configuration).is_ok()
        };
        assert!(with("AES256", None));
        assert!(!with("aws:kms", Some("alias/a")));
        assert!(!with("AES256", Some("alias/a")));
        assert!(!with("ROT13", None));
        assert!(check(&dto::ServerSideEncryptionConfiguration { rules: vec![] }).is_err());
    }
}
