//! A line of an access log, in S3's format.

use std::fmt::Write as _;
use time::OffsetDateTime;

/// What is logged of one request. What is absent is written as `-`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub owner_id: String,
    pub bucket: String,
    pub at_ms: i64,
    pub remote_ip: Option<String>,
    /// The caller's ARN or canonical ID; none if anonymous.
    pub requester: Option<String>,
    pub request_id: String,
    /// Such as `REST.GET.OBJECT`.
    pub operation: String,
    pub key: Option<String>,
    pub request_uri: String,
    pub status: u16,
    pub error: Option<String>,
    pub bytes_sent: Option<u64>,
    pub object_size: Option<u64>,
    pub total_ms: u64,
    pub referer: Option<String>,
    pub user_agent: Option<String>,
    pub version_id: Option<String>,
    pub host_id: String,
    pub signature_version: Option<&'static str>,
    pub auth_type: Option<&'static str>,
    pub host: Option<String>,
}

fn plain(text: Option<&str>) -> String {
    match text {
        // A space ends a field, and a line break a line.
        Some(text) if !text.is_empty() => text
            .chars()
            .map(|c| if c.is_whitespace() || c.is_control() { '+' } else { c })
            .collect(),
        _ => "-".to_owned(),
    }
}

fn quoted(text: Option<&str>) -> String {
    match text {
        Some(text) => {
            let kept: String = text
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect::<String>()
                .replace('"', "%22");
            format!("\"{kept}\"")
        }
        None => "\"-\"".to_owned(),
    }
}

fn number(value: Option<u64>) -> String {
    value.filter(|value| *value > 0).map_or("-".to_owned(), |value| value.to_string())
}

impl Line {
    /// The line, with its end.
    pub(crate) fn to_text(&self) -> String {
        let at = types::Timestamp::from_millis(self.at_ms).to_date();
        let mut line = String::with_capacity(512);
        let key = self.key.as_deref().map(|key| {
            percent_encoding::utf8_percent_encode(key, percent_encoding::CONTROLS)
                .to_string()
                .replace(' ', "+")
        });
        let _ = writeln!(
            line,
            "{} {} [{}] {} {} {} {} {} {} {} {} {} {} {} - {} {} {} {} {} - {} {} - - -",
            plain(Some(&self.owner_id)),
            plain(Some(&self.bucket)),
            date(at),
            plain(self.remote_ip.as_deref()),
            plain(self.requester.as_deref()),
            plain(Some(&self.request_id)),
            plain(Some(&self.operation)),
            plain(key.as_deref()),
            quoted(Some(&self.request_uri)),
            self.status,
            plain(self.error.as_deref()),
            number(self.bytes_sent),
            number(self.object_size),
            self.total_ms,
            quoted(self.referer.as_deref()),
            quoted(self.user_agent.as_deref()),
            plain(self.version_id.as_deref()),
            plain(Some(&self.host_id)),
            plain(self.signature_version),
            plain(self.auth_type),
            plain(self.host.as_deref()),
        );
        line
    }
}

/// `06/Feb/2019:00:00:38 +0000`
fn date(at: OffsetDateTime) -> String {
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    let month = month.to_string();
    let month = month.get(..3).unwrap_or_default();
    format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// The operation's name in logs: `REST.METHOD.KIND`, by the query's subresource.
pub(crate) fn operation(method: &str, query: &str, has_key: bool) -> String {
    const SUBRESOURCES: [(&str, &str); 28] = [
        ("acl", "ACL"),
        ("tagging", "TAGGING"),
        ("versioning", "VERSIONING"),
        ("versions", "BUCKETVERSIONS"),
        ("uploads", "UPLOADS"),
        ("uploadId", "PART"),
        ("location", "LOCATION"),
        ("policyStatus", "POLICY_STATUS"),
        ("policy", "BUCKETPOLICY"),
        ("cors", "CORS"),
        ("lifecycle", "LIFECYCLE"),
        ("website", "WEBSITE"),
        ("notification", "NOTIFICATION"),
        ("logging", "LOGGING_STATUS"),
        ("encryption", "ENCRYPTION"),
        ("replication", "REPLICATION"),
        ("accelerate", "ACCELERATE"),
        ("requestPayment", "REQUEST_PAYMENT"),
        ("object-lock", "OBJECT_LOCK_CONFIGURATION"),
        ("retention", "OBJECT_LOCK_RETENTION"),
        ("legal-hold", "OBJECT_LOCK_LEGALHOLD"),
        ("publicAccessBlock", "PUBLIC_ACCESS_BLOCK"),
        ("ownershipControls", "OWNERSHIP_CONTROLS"),
        ("inventory", "INVENTORY"),
        ("metrics", "METRICS"),
        ("analytics", "ANALYTICS"),
        ("delete", "MULTI_OBJECT_DELETE"),
        ("restore", "RESTORE"),
    ];
    let mut names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |it| it.0));
    let named = names.find_map(|name| {
        SUBRESOURCES.iter().find(|(parameter, _)| *parameter == name).map(|(_, kind)| *kind)
    });
    let kind = match (named, has_key, method) {
        (Some("UPLOADS"), true, _) => "UPLOADS",
        (Some("PART"), _, "POST" | "GET" | "DELETE") => "UPLOAD",
        (Some(kind), _, _) => kind,
        (None, true, _) => "OBJECT",
        (None, false, _) => "BUCKET",
    };
    format!("REST.{method}.{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format() {
        let line = Line {
            owner_id: "79a5".to_owned(),
            bucket: "b".to_owned(),
            at_ms: 1_549_411_238_000,
            remote_ip: Some("192.0.2.3".to_owned()),
            requester: None,
            request_id: "3E57".to_owned(),
            operation: "REST.GET.OBJECT".to_owned(),
            key: Some("a b".to_owned()),
            request_uri: "GET /b/a%20b HTTP/1.1".to_owned(),
            status: 404,
            error: Some("NoSuchKey".to_owned()),
            bytes_sent: Some(113),
            object_size: None,
            total_ms: 7,
            referer: None,
            user_agent: Some("evil\"\n agent".to_owned()),
            version_id: None,
            host_id: "s9lz".to_owned(),
            signature_version: None,
            auth_type: None,
            host: Some("b.s3.example".to_owned()),
        };
        assert_eq!(
            line.to_text(),
            "79a5 b [06/Feb/2019:00:00:38 +0000] 192.0.2.3 - 3E57 REST.GET.OBJECT a+b \
             \"GET /b/a%20b HTTP/1.1\" 404 NoSuchKey 113 - 7 - \"-\" \"evil%22  agent\" - s9lz - - \
             - b.s3.example - - -\n"
        );
    }

    #[test]
    fn operations() {
        let table = [
            ("GET", "", true, "REST.GET.OBJECT"),
            ("GET", "list-type=2&prefix=acl", false, "REST.GET.BUCKET"),
            ("PUT", "acl", true, "REST.PUT.ACL"),
            ("POST", "uploads", true, "REST.POST.UPLOADS"),
            ("PUT", "partNumber=1&uploadId=x", true, "REST.PUT.PART"),
            ("POST", "uploadId=x", true, "REST.POST.UPLOAD"),
            ("POST", "delete", false, "REST.POST.MULTI_OBJECT_DELETE"),
        ];
        for (method, query, has_key, name) in table {
            assert_eq!(operation(method, query, has_key), name);
        }
    }
}
