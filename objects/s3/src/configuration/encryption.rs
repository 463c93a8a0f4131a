//! The default encryption of what is put into a bucket.

use super::{invalid_argument, malformed_xml};
use crate::fault;
use s3s::{S3Result, dto};

/// The longest name of a key of KMS.
const MAX_KEY_ID_BYTES: usize = 2048;

/// Checks a configuration that is to be kept. Whether there is such a key, only writes will say.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`; `NotImplemented` for two layers.
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
        "aws:kms" => match default.kms_master_key_id.as_deref() {
            Some(key) if key.is_empty() || key.len() > MAX_KEY_ID_BYTES => {
                Err(invalid_argument("The KMSMasterKeyID is not valid."))
            }
            Some(_) | None => Ok(()),
        },
        "aws:kms:dsse" => {
            Err(fault::not_implemented("Dual-layer server-side encryption (aws:kms:dsse)"))
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
        assert!(with("aws:kms", Some("alias/a")) && with("aws:kms", None));
        assert!(!with("aws:kms", Some("")) && !with("aws:kms:dsse", None));
        assert!(!with("AES256", Some("alias/a")));
        assert!(!with("ROT13", None));
        assert!(check(&dto::ServerSideEncryptionConfiguration { rules: vec![] }).is_err());
    }
}
