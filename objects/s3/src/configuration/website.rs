//! A bucket's website, checked as S3 checks it.

use super::{invalid_argument, invalid_request, malformed_xml};
use s3s::{S3Result, dto};

/// The most routing rules of one website.
const MAX_ROUTING_RULES: usize = 50;

/// Checks a website that is to be kept.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`, `InvalidRequest`.
pub fn check(website: &dto::WebsiteConfiguration) -> S3Result<()> {
    let rules = website.routing_rules.as_deref().unwrap_or_default();
    if let Some(all) = &website.redirect_all_requests_to {
        if website.index_document.is_some() || website.error_document.is_some() || !rules.is_empty()
        {
            return Err(invalid_argument(
                "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
            ));
        }
        if all.host_name.is_empty() {
            return Err(malformed_xml());
        }
        return check_protocol(all.protocol.as_ref());
    }
    let Some(index) = &website.index_document else {
        return Err(invalid_argument(
            "A value for IndexDocument Suffix must be provided if \
             RedirectAllRequestsTo is empty",
        ));
    };
    if index.suffix.is_empty() || index.suffix.contains('/') {
        return Err(invalid_argument("The IndexDocument Suffix is not well formed"));
    }
    if website.error_document.as_ref().is_some_and(|document| document.key.is_empty()) {
        return Err(invalid_argument("The ErrorDocument Key is not well formed"));
    }
    if website.routing_rules.is_some() && rules.is_empty() {
        return Err(malformed_xml());
    }
    if rules.len() > MAX_ROUTING_RULES {
        return Err(invalid_request(format!(
            "{} routing rules provided, the number of routing rules in a website configuration is \
             limited to {MAX_ROUTING_RULES}.",
            rules.len()
        )));
    }
    rules.iter().try_for_each(check_rule)
}

fn check_protocol(protocol: Option<&dto::Protocol>) -> S3Result<()> {
    match protocol.map(dto::Protocol::as_str) {
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err(invalid_request(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be \
             selected automatically.",
        )),
    }
}

fn check_rule(rule: &dto::RoutingRule) -> S3Result<()> {
    let redirect = &rule.redirect;
    check_protocol(redirect.protocol.as_ref())?;
    let empty = redirect.host_name.is_none()
        && redirect.http_redirect_code.is_none()
        && redirect.protocol.is_none()
        && redirect.replace_key_with.is_none()
        && redirect.replace_key_prefix_with.is_none();
    if empty {
        return Err(malformed_xml());
    }
    if redirect.replace_key_with.is_some() && redirect.replace_key_prefix_with.is_some() {
        return Err(invalid_request(
            "You can only define ReplaceKeyPrefix or ReplaceKey but not both.",
        ));
    }
    if let Some(code) = &redirect.http_redirect_code
        && !matches!(code.as_str(), "301" | "302" | "303" | "304" | "305" | "307" | "308")
    {
        return Err(invalid_request(format!(
            "The provided HTTP redirect code ({code}) is not valid. Valid codes are 3XX except \
             300."
        )));
    }
    if let Some(condition) = &rule.condition {
        if condition.key_prefix_equals.is_none()
            && condition.http_error_code_returned_equals.is_none()
        {
            return Err(invalid_request(
                "Condition cannot be empty. To redirect all requests without a condition, the \
                 condition element shouldn't be present.",
            ));
        }
        if let Some(code) = &condition.http_error_code_returned_equals {
            let number = code.parse::<u16>().unwrap_or(0);
            if !(400..600).contains(&number) {
                return Err(invalid_request(format!(
                    "The provided HTTP error code ({code}) is not valid. Valid codes are 4XX or \
                     5XX."
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks() {
        let table = [
            (r#"{"index_document":{"suffix":"index.html"}}"#, None),
            (r#"{"index_document":{"suffix":"i"},"error_document":{"key":"e/x.html"}}"#, None),
            (
                r#"{"redirect_all_requests_to":{"host_name":"example.com","protocol":"https"}}"#,
                None,
            ),
            (
                r#"{"redirect_all_requests_to":{"host_name":"example.com","protocol":"ftp"}}"#,
                Some("InvalidRequest"),
            ),
            (
                r#"{"redirect_all_requests_to":{"host_name":"a"},"index_document":{"suffix":"i"}}"#,
                Some("InvalidArgument"),
            ),
            (r"{}", Some("InvalidArgument")),
            (r#"{"index_document":{"suffix":"a/b"}}"#, Some("InvalidArgument")),
            (r#"{"index_document":{"suffix":""}}"#, Some("InvalidArgument")),
            (
                r#"{"index_document":{"suffix":"i"},"routing_rules":[{"redirect":{"replace_key_with":"a"}}]}"#,
                None,
            ),
            (
                r#"{"index_document":{"suffix":"i"},"routing_rules":[{"redirect":{}}]}"#,
                Some("MalformedXML"),
            ),
            (
                r#"{"index_document":{"suffix":"i"},"routing_rules":[{"redirect":{"replace_key_with":"a","replace_key_prefix_with":"b"}}]}"#,
                Some("InvalidRequest"),
            ),
            (
                r#"{"index_document":{"suffix":"i"},"routing_rules":[{"redirect":{"http_redirect_code":"200"}}]}"#,
                Some("InvalidRequest"),
            ),
            (
                r#"{"index_document":{"suffix":"i"},"routing_rules":[{"condition":{},"redirect":{"host_name":"a"}}]}"#,
                Some("InvalidRequest"),
            ),
            (
                r#"{"index_document":{"suffix":"i"},"routing_rules":[{"condition":{"http_error_code_returned_equals":"300"},"redirect":{"host_name":"a"}}]}"#,
                Some("InvalidRequest"),
            ),
        ];
        for (json, expected) in table {
            let website: dto::WebsiteConfiguration = serde_json::from_str(json).expect(json);
            let code = check(&website).err().map(|fault| fault.code().as_str().to_owned());
            assert_eq!(code.as_deref(), expected, "{json}");
        }
    }
}
