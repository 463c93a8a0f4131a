//! What proves an instance's identity, as paths: its signed document, its profile, its role's credentials.

use crate::tree::{Entry, dir, value};
use contracts::instance_identity::{Credentials, Gives, Profile, SignedDocument};
use types::Timestamp;

/// Where AWS sends those whose role EC2 can't assume.
const TROUBLE: &str =
    "http://docs.amazonwebservices.com/IAM/latest/UserGuide/RolesTroubleshooting.html";

/// `dynamic/instance-identity/`: there is one key, so that both PKCS #7 messages are the same.
pub(crate) fn signed(signed: &SignedDocument) -> Vec<Entry> {
    vec![
        value("document", signed.document.as_str()),
        value("pkcs7", signed.pkcs7.as_str()),
        value("rsa2048", signed.pkcs7.as_str()),
        value("signature", signed.signature.as_str()),
    ]
}

/// `meta-data/iam/`
pub(crate) fn profile(profile: &Profile) -> Vec<Entry> {
    let updated = time(profile.updated);
    let mut entries = vec![value("info", info(profile))];
    let credentials = match &profile.gives {
        Gives::Deleted | Gives::NoRole => return entries,
        Gives::NotTrusted { role } => {
            let why = format!(
                "EC2 cannot assume the role {role}.  Please see documentation at {TROUBLE}."
            );
            let members = [
                ("Code", "AssumeRoleUnauthorizedAccess"),
                ("Message", &why),
                ("LastUpdated", &updated),
            ];
            value(role.as_str(), object(&members))
        }
        Gives::Role { role, credentials } => value(role.as_str(), of_role(credentials, &updated)),
    };
    entries.push(dir("security-credentials", vec![credentials]));
    entries
}

fn info(profile: &Profile) -> String {
    let updated = time(profile.updated);
    let found = [
        ("LastUpdated", updated.as_str()),
        ("InstanceProfileArn", &profile.arn),
        ("InstanceProfileId", &profile.id),
    ];
    let without_role = format!("Instance Profile does not contain a role: {}", profile.arn);
    let members = match &profile.gives {
        Gives::Deleted => {
            let why = "Instance Profile not found for the associated instance profile ARN and ID.";
            vec![("Code", "InstanceProfileNotFound"), ("Message", why)]
        }
        Gives::NoRole => vec![("Code", "Success"), ("Message", without_role.as_str())],
        Gives::NotTrusted { .. } | Gives::Role { .. } => vec![("Code", "Success")],
    };
    object(&[members.as_slice(), &found].concat())
}

fn of_role(credentials: &Credentials, updated: &str) -> String {
    object(&[
        ("Code", "Success"),
        ("LastUpdated", updated),
        ("Type", "AWS-HMAC"),
        ("AccessKeyId", &credentials.access_key_id),
        ("SecretAccessKey", &credentials.secret),
        ("Token", &credentials.token),
        ("Expiration", &time(credentials.expires)),
    ])
}

/// With seconds, as EC2 writes times here.
fn time(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}Z", text.split('.').next().unwrap_or_default())
}

/// An object of texts in EC2's own layout. None of the values has a character that JSON escapes but
/// quotes and backslashes.
fn object(members: &[(&str, &str)]) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let lines = members.iter().map(|(name, text)| format!("  \"{name}\" : \"{}\"", quoted(text)));
    format!("{{\n{}\n}}", lines.collect::<Vec<_>>().join(",\n"))
}
