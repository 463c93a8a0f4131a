//! An event of the audit log, in CloudTrail's own form.
//!
//! The server writes the log. The object store, which answers calls of its own, sends it their
//! events over a socket: JSON values, one a line, each as it will stand in the log.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The socket in the run folder on which the server takes in events.
pub const SOCKET: &str = "audit.sock";
/// The version of the form.
pub const VERSION: &str = "1.11";
/// What stands in place of a secret.
pub const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";
/// The longest event, in bytes of JSON: CloudTrail's own limit.
pub const MAX_EVENT_BYTES: usize = 256 << 10;
/// The longest user agent and error message, in bytes: CloudTrail's own limit.
pub const MAX_TEXT_BYTES: usize = 1 << 10;

/// A call that was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// [`VERSION`].
    pub event_version: String,
    /// Who called.
    pub user_identity: UserIdentity,
    /// When the call was done: `2026-11-22T13:37:00Z`.
    pub event_time: String,
    /// As `ec2.amazonaws.com`.
    pub event_source: String,
    /// The operation.
    pub event_name: String,
    /// The region called; of services that have none, `us-east-1`.
    pub aws_region: String,
    /// The client's address.
    #[serde(rename = "sourceIPAddress")]
    pub source_ip_address: String,
    /// What the client says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The error answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What was asked, without secrets.
    #[serde(default)]
    pub request_parameters: Option<Value>,
    /// What was answered, without secrets; of calls that change something.
    #[serde(default)]
    pub response_elements: Option<Value>,
    /// What the service adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_event_data: Option<Value>,
    /// The ID in the answer.
    #[serde(rename = "requestID")]
    pub request_id: String,
    /// The event's own ID.
    #[serde(rename = "eventID")]
    pub event_id: String,
    /// Whether the call changes nothing.
    pub read_only: bool,
    /// Resources that the call is about, where the service names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Resource>,
    /// `AwsApiCall`.
    pub event_type: String,
    /// Whether the call is about the account's resources, rather than about what is in them.
    pub management_event: bool,
    /// Whose log it is in.
    pub recipient_account_id: String,
    /// Of events that are in two accounts' logs.
    #[serde(rename = "sharedEventID", default, skip_serializing_if = "Option::is_none")]
    pub shared_event_id: Option<String>,
    /// `Management` or `Data`.
    pub event_category: String,
    /// Of calls over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_details: Option<TlsDetails>,
}

/// Who called.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserIdentity {
    /// `Root`, `IAMUser`, `AssumedRole`, `FederatedUser`, `WebIdentityUser` or `AWSAccount`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The unique ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// The ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// The account acted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The key that signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// Of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_context: Option<SessionContext>,
}

/// Whence temporary credentials came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionContext {
    /// The role, or who made a federated user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_issuer: Option<SessionIssuer>,
    /// When and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<SessionAttributes>,
    /// The source identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
}

/// Who issued temporary credentials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionIssuer {
    /// `Role`, `IAMUser` or `Root`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The unique ID.
    pub principal_id: String,
    /// The ARN.
    pub arn: String,
    /// Its account.
    pub account_id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
}

/// When and how temporary credentials came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionAttributes {
    /// When they were issued: `2026-11-22T13:37:00Z`.
    pub creation_date: String,
    /// `true` or `false`.
    pub mfa_authenticated: String,
}

/// A resource that a call is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its ARN.
    #[serde(rename = "ARN")]
    pub arn: String,
    /// Its account.
    #[serde(rename = "accountId")]
    pub account_id: String,
    /// As `AWS::KMS::Key`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// How TLS was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsDetails {
    /// As `TLSv1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    /// As `TLS_AES_128_GCM_SHA256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cipher_suite: Option<String>,
    /// The host that the client asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_provided_host_header: Option<String>,
}

/// A text of at most [`MAX_TEXT_BYTES`] bytes.
#[must_use]
pub fn clipped(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_clipped_between_characters() {
        assert_eq!(clipped("short"), "short");
        let long = format!("x{}", "é".repeat(MAX_TEXT_BYTES));
        assert_eq!(clipped(&long).len(), MAX_TEXT_BYTES - 1);
    }
}
