//! What each operation of STS asks. Those that a role's trust decides about decide for themselves.

use crate::{
    Request,
    access::{Check, members::Input},
};

/// What an operation of STS asks; none if this table doesn't know it.
#[must_use]
pub fn checks(request: &Request, operation: &str, input: Input<'_>) -> Option<Vec<Check>> {
    let account = request.caller.account;
    Some(match operation {
        // Everybody may ask who they are; tokens of one's own take no permission; of the others, the
        // role's trust policy has a say, which the operation knows.
        "GetCallerIdentity" | "GetSessionToken" | "AssumeRole" | "AssumeRoleWithWebIdentity" => {
            Vec::new()
        }
        "GetAccessKeyInfo" | "DecodeAuthorizationMessage" => {
            vec![Check::new(format!("sts:{operation}"), "*")]
        }
        "GetFederationToken" => {
            let name = input.text("Name").unwrap_or_default();
            let arn = format!("arn:aws:sts::{account}:federated-user/{name}");
            let mut checks = vec![Check::new("sts:GetFederationToken", arn.clone())];
            let tags = input.tags("Tags");
            if !tags.is_empty() {
                checks.push(Check::new("sts:TagSession", arn));
            }
            for check in &mut checks {
                check.set_request_tags(tags.iter().map(|(key, value)| (&**key, &**value)));
            }
            checks
        }
        _ => return None,
    })
}
