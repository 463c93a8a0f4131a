//! The values of condition keys for one request.

use super::Caller;
use percent_encoding::percent_decode_str;
use policy::Context;
use std::collections::BTreeMap;

/// Headers that are condition keys by their own name, after `s3:`; fields of forms, too.
pub(crate) const HEADERS: [&str; 21] = [
    "x-amz-acl",
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
    "x-amz-object-ownership",
    "x-amz-bypass-governance-retention",
    "if-match",
    "if-none-match",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
];

/// The name of the key for a header.
fn key_of(header: &str) -> String {
    let name = match header {
        "x-amz-object-lock-mode" => "object-lock-mode",
        "x-amz-object-lock-retain-until-date" => "object-lock-retain-until-date",
        "x-amz-object-lock-legal-hold" => "object-lock-legal-hold",
        header => header,
    };
    format!("s3:{name}")
}

/// Parameters that are condition keys, with the key.
const PARAMETERS: [(&str, &str); 4] = [
    ("prefix", "s3:prefix"),
    ("delimiter", "s3:delimiter"),
    ("max-keys", "s3:max-keys"),
    ("versionId", "s3:VersionId"),
];

/// A parameter of a query, decoded.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The values for a request; `tags` are those of the object that is there.
pub(super) fn of<'a>(
    caller: &'a Caller,
    owner_account: &'a str,
    now_ms: u64,
    tags: Option<&'a BTreeMap<String, String>>,
) -> Context<'a> {
    let mut context = Context::new();
    let header = |name: &str| caller.headers.get(name).and_then(|value| value.to_str().ok());
    // As at AWS, a private address is not told as if it were a public one.
    let ip_key = if caller.peer.vpc.is_some() { "aws:VpcSourceIp" } else { "aws:SourceIp" };
    if let Some(address) = caller.peer.address {
        context.set(ip_key, address.ip().to_canonical().to_string());
    }
    if let Some(vpc) = caller.peer.vpc {
        context.set("aws:SourceVpc", vpc.to_string());
    }
    context.set("aws:SecureTransport", if caller.peer.secure { "true" } else { "false" });
    let now = types::Timestamp::from_millis(i64::try_from(now_ms).unwrap_or(i64::MAX));
    context.set("aws:CurrentTime", now.to_string());
    context.set("aws:EpochTime", (now_ms / 1000).to_string());
    for (name, key) in [("referer", "aws:Referer"), ("user-agent", "aws:UserAgent")] {
        if let Some(value) = header(name) {
            context.set(key, value);
        }
    }
    context.set("s3:ResourceAccount", owner_account);
    context.set("aws:ResourceAccount", owner_account);
    for name in HEADERS {
        if let Some(value) = header(name) {
            context.set(key_of(name), value);
        }
    }
    for (name, key) in PARAMETERS {
        if let Some(value) = parameter(&caller.query, name) {
            context.set(key, value);
        }
    }
    set_tags(&mut context, header("x-amz-tagging"), tags);
    set_principal(&mut context, caller);
    context
}

/// The values when S3 itself acts on behalf of a bucket.
pub(super) fn of_service<'a>(now_ms: u64, account: &'a str, source: &'a str) -> Context<'a> {
    let mut context = Context::new();
    let now = types::Timestamp::from_millis(i64::try_from(now_ms).unwrap_or(i64::MAX));
    context.set("aws:CurrentTime", now.to_string());
    context.set("aws:EpochTime", (now_ms / 1000).to_string());
    context.set("aws:SecureTransport", "true");
    context.set("aws:PrincipalIsAWSService", "true");
    context.set("aws:PrincipalServiceName", "s3.amazonaws.com");
    context.set("aws:SourceAccount", account);
    context.set("aws:SourceArn", source);
    context.set("s3:x-amz-acl", "bucket-owner-full-control");
    context
}

fn set_tags<'a>(
    context: &mut Context<'a>,
    requested: Option<&str>,
    existing: Option<&'a BTreeMap<String, String>>,
) {
    if let Some(tagging) = requested {
        let mut keys = Vec::new();
        for pair in tagging.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            context.set(format!("s3:RequestObjectTag/{}", decode(key)), decode(value));
            keys.push(decode(key));
        }
        context.set_all("s3:RequestObjectTagKeys", keys);
    }
    for (key, value) in existing.into_iter().flatten() {
        context.set(format!("s3:ExistingObjectTag/{key}"), value.as_str());
    }
}

fn set_principal<'a>(context: &mut Context<'a>, caller: &'a Caller) {
    let Some(identity) = &caller.identity else {
        context.set("aws:PrincipalType", "Anonymous");
        return;
    };
    context.set("aws:PrincipalAccount", identity.account.as_str());
    context.set("aws:PrincipalArn", identity.arn.as_str());
    context.set("aws:userid", identity.user_id.as_str());
    if let Some(organization) = &identity.organization {
        context.set("aws:PrincipalOrgID", organization.as_str());
    }
    let session = identity.arn.contains(":assumed-role/");
    let kind = if identity.root {
        "Account"
    } else if session {
        "AssumedRole"
    } else {
        "User"
    };
    context.set("aws:PrincipalType", kind);
    if !identity.root
        && !session
        && let Some((_, name)) = identity.arn.rsplit_once('/')
    {
        context.set("aws:username", name);
    }
    for (key, value) in identity.own.iter().flat_map(|own| &own.keys) {
        context.set(key.as_str(), value.as_str());
    }
    let signed = caller.headers.get("authorization").and_then(|value| value.to_str().ok());
    let (kind, version) = match signed {
        Some(text) if text.starts_with("AWS4") => ("REST-HEADER", "AWS4-HMAC-SHA256"),
        Some(_) => ("REST-HEADER", "AWS"),
        None if caller.query.contains("X-Amz-Signature") => {
            ("REST-QUERY-STRING", "AWS4-HMAC-SHA256")
        }
        None if caller.query.contains("Signature") => ("REST-QUERY-STRING", "AWS"),
        None => ("POST", "AWS4-HMAC-SHA256"),
    };
    context.set("s3:authType", kind);
    context.set("s3:signatureversion", version);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let query = "list-type=2&prefix=a%2Fb+c&max-keys=5&delimiter";
        assert_eq!(parameter(query, "prefix").as_deref(), Some("a/b c"));
        assert_eq!(parameter(query, "delimiter").as_deref(), Some(""));
        assert_eq!(parameter(query, "marker"), None);
    }
}
