//! What each operation of KMS asks before it runs. Those about a key ask for it themselves, once they know
//! which one it is: its policy and grants have a say; see [`crate::authorise`].

use crate::aliases;
use iam::{
    Request,
    access::{Check, members::Input},
};

/// What an operation asks before it runs; none if this table doesn't know it.
#[must_use]
#[expect(clippy::too_many_lines, reason = "a table, one row for each operation")]
pub fn checks(request: &Request, operation: &str, input: Input<'_>) -> Option<Vec<Check>> {
    let action = format!("kms:{operation}");
    Some(match operation {
        "CreateKey" => {
            let mut check = Check::new(action, "*");
            let tags = input.tags("Tags");
            check.set_request_tags(tags.iter().map(|(key, value)| (&**key, &**value)));
            for (key, path) in [
                ("kms:KeySpec", "KeySpec"),
                ("kms:KeyUsage", "KeyUsage"),
                ("kms:KeyOrigin", "Origin"),
                ("kms:MultiRegion", "MultiRegion"),
                ("kms:BypassPolicyLockoutSafetyCheck", "BypassPolicyLockoutSafetyCheck"),
            ] {
                if let Some(value) = input.text(path) {
                    check.set(key, value);
                }
            }
            let mut checks = vec![check];
            if !tags.is_empty() {
                let mut tagging = Check::new("kms:TagResource", "*");
                tagging.set_request_tags(tags.iter().map(|(key, value)| (&**key, &**value)));
                checks.push(tagging);
            }
            checks
        }
        "CreateAlias" | "DeleteAlias" | "UpdateAlias" => {
            let name = input.text("AliasName").unwrap_or_default();
            vec![Check::new(action, aliases::arn(&request.scope, &name))]
        }
        "DescribeCustomKeyStores"
        | "GenerateRandom"
        | "ListAliases"
        | "ListKeys"
        | "ListRetirableGrants" => vec![Check::new(action, "*")],
        "CancelKeyDeletion"
        | "CreateGrant"
        | "Decrypt"
        | "DeleteImportedKeyMaterial"
        | "DeriveSharedSecret"
        | "DescribeKey"
        | "DisableKey"
        | "DisableKeyRotation"
        | "EnableKey"
        | "EnableKeyRotation"
        | "Encrypt"
        | "GenerateDataKey"
        | "GenerateDataKeyPair"
        | "GenerateDataKeyPairWithoutPlaintext"
        | "GenerateDataKeyWithoutPlaintext"
        | "GenerateMac"
        | "GetKeyPolicy"
        | "GetKeyRotationStatus"
        | "GetParametersForImport"
        | "GetPublicKey"
        | "ImportKeyMaterial"
        | "ListGrants"
        | "ListKeyPolicies"
        | "ListKeyRotations"
        | "ListResourceTags"
        | "PutKeyPolicy"
        | "ReEncrypt"
        | "ReplicateKey"
        | "RetireGrant"
        | "RevokeGrant"
        | "RotateKeyOnDemand"
        | "ScheduleKeyDeletion"
        | "Sign"
        | "TagResource"
        | "UntagResource"
        | "UpdateKeyDescription"
        | "UpdatePrimaryRegion"
        | "Verify"
        | "VerifyMac" => Vec::new(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::request;
    use shapes::kms::{CreateAliasRequest, SERVICE};

    #[test]
    fn every_operation_is_in_the_table() {
        let input = CreateAliasRequest::default();
        for served in SERVICE.served {
            let checks = checks(&request(), served.name, Input::new(&input));
            assert!(checks.is_some(), "{} is not in the table", served.name);
        }
    }

    #[test]
    fn an_alias_is_asked_for_by_its_arn() {
        let alias_name = Some("alias/app".to_owned());
        let input = CreateAliasRequest { alias_name, ..CreateAliasRequest::default() };
        let checks = checks(&request(), "CreateAlias", Input::new(&input)).unwrap();
        assert_eq!(checks[0].resource, "arn:aws:kms:us-east-1:123456789012:alias/app");
    }
}
