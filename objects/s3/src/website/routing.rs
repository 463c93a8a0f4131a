//! Where a website's request leads: to which key, or elsewhere; a pure function of the website's
//! configuration.

use s3s::dto;

/// Another address, and the status that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    pub status: u16,
    pub location: String,
}

/// How the request came.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// `http` or `https`.
    pub protocol: &'a str,
    /// The `Host` header.
    pub host: &'a str,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The object under this key.
    Object(String),
    Redirect(Redirect),
}

/// Routes a request before anything is looked up. The key comes decoded, without the first `/`.
#[must_use]
pub fn route(website: &dto::WebsiteConfiguration, key: &str, origin: Origin<'_>) -> Route {
    if let Some(all) = &website.redirect_all_requests_to {
        let protocol = all.protocol.as_ref().map_or(origin.protocol, dto::Protocol::as_str);
        let location = format!("{protocol}://{}/{}", all.host_name, encode(key));
        return Route::Redirect(Redirect { status: 301, location });
    }
    match rule(website, key, None) {
        Some(rule) => Route::Redirect(redirect(rule, key, origin)),
        None => Route::Object(object(website, key)),
    }
}

/// What a rule says after the object gave an error, if one does.
#[must_use]
pub fn after_error(
    website: &dto::WebsiteConfiguration,
    key: &str,
    status: u16,
    origin: Origin<'_>,
) -> Option<Redirect> {
    rule(website, key, Some(status)).map(|rule| redirect(rule, key, origin))
}

/// The key of the object that a request is answered with: in a folder it is the index.
#[must_use]
pub fn object(website: &dto::WebsiteConfiguration, key: &str) -> String {
    let suffix = website.index_document.as_ref().map_or("", |index| index.suffix.as_str());
    if key.is_empty() || key.ends_with('/') { format!("{key}{suffix}") } else { key.to_owned() }
}

/// The folder's index that a missing key without a slash may mean.
#[must_use]
pub fn folder_index(website: &dto::WebsiteConfiguration, key: &str) -> Option<String> {
    let index = website.index_document.as_ref()?;
    (!key.is_empty() && !key.ends_with('/')).then(|| format!("{key}/{}", index.suffix))
}

fn rule<'a>(
    website: &'a dto::WebsiteConfiguration,
    key: &str,
    error: Option<u16>,
) -> Option<&'a dto::RoutingRule> {
    website.routing_rules.iter().flatten().find(|rule| {
        let condition = rule.condition.as_ref();
        let prefix = condition.and_then(|condition| condition.key_prefix_equals.as_deref());
        let code =
            condition.and_then(|condition| condition.http_error_code_returned_equals.as_deref());
        // A rule with an error code waits for the error; one without comes before the lookup.
        let now = match (code, error) {
            (Some(code), Some(error)) => code.parse() == Ok(error),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        now && prefix.is_none_or(|prefix| key.starts_with(prefix))
    })
}

fn redirect(rule: &dto::RoutingRule, key: &str, origin: Origin<'_>) -> Redirect {
    let to = &rule.redirect;
    let prefix = rule
        .condition
        .as_ref()
        .and_then(|condition| condition.key_prefix_equals.as_deref())
        .unwrap_or_default();
    let key = match (&to.replace_key_with, &to.replace_key_prefix_with) {
        (Some(key), _) => key.clone(),
        (None, Some(with)) => format!("{with}{}", key.strip_prefix(prefix).unwrap_or(key)),
        (None, None) => key.to_owned(),
    };
    let protocol = to.protocol.as_ref().map_or(origin.protocol, dto::Protocol::as_str);
    let host = to.host_name.as_deref().unwrap_or(origin.host);
    Redirect {
        status: to.http_redirect_code.as_deref().and_then(|code| code.parse().ok()).unwrap_or(301),
        location: format!("{protocol}://{host}/{}", encode(&key)),
    }
}

/// A key as a URL's path has it. What a `Location` header can't carry is escaped.
fn encode(key: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'<')
        .add(b'>')
        .add(b'`')
        .add(b'\\')
        .add(b'%');
    percent_encoding::utf8_percent_encode(key, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'_> = Origin { protocol: "http", host: "b.s3-website.example" };

    fn website(json: &str) -> dto::WebsiteConfiguration {
        let website = serde_json::from_str(json).expect(json);
        crate::configuration::website::check(&website).expect("valid");
        website
    }

    /// Routing rules, key, error after the lookup, status, location (or the object's key).
    const CASES: &[(&str, &str, Option<u16>, u16, &str)] = &[
        ("", "", None, 200, "index.html"),
        ("", "docs/", None, 200, "docs/index.html"),
        ("", "docs", None, 200, "docs"),
        ("", "docs", Some(404), 0, ""),
        (
            r#"{"condition":{"key_prefix_equals":"docs/"},"redirect":{"replace_key_prefix_with":"documents/"}}"#,
            "docs/a b.html",
            None,
            301,
            "http://b.s3-website.example/documents/a%20b.html",
        ),
        (
            r#"{"condition":{"key_prefix_equals":"docs/"},"redirect":{"replace_key_prefix_with":"documents/"}}"#,
            "other",
            None,
            200,
            "other",
        ),
        (
            r#"{"condition":{"key_prefix_equals":"images/"},"redirect":{"replace_key_with":"deleted.html"}}"#,
            "images/x.png",
            None,
            301,
            "http://b.s3-website.example/deleted.html",
        ),
        (
            r#"{"condition":{"http_error_code_returned_equals":"404"},"redirect":{"host_name":"ec2.example","replace_key_prefix_with":"report-404/","protocol":"https","http_redirect_code":"307"}}"#,
            "x.html",
            Some(404),
            307,
            "https://ec2.example/report-404/x.html",
        ),
        (
            r#"{"condition":{"http_error_code_returned_equals":"404"},"redirect":{"host_name":"ec2.example"}}"#,
            "x.html",
            None,
            200,
            "x.html",
        ),
        (
            r#"{"condition":{"http_error_code_returned_equals":"404"},"redirect":{"host_name":"ec2.example"}}"#,
            "x.html",
            Some(403),
            0,
            "",
        ),
        (
            r#"{"condition":{"http_error_code_returned_equals":"404","key_prefix_equals":"a/"},"redirect":{"host_name":"h"}}"#,
            "b/x",
            Some(404),
            0,
            "",
        ),
        (r#"{"redirect":{"host_name":"h"}}"#, "any", None, 301, "http://h/any"),
    ];

    #[test]
    fn routing_rules() {
        for &(rule, key, error, status, to) in CASES {
            let rules = if rule.is_empty() {
                String::new()
            } else {
                format!(r#","routing_rules":[{rule}]"#)
            };
            let website =
                website(&format!(r#"{{"index_document":{{"suffix":"index.html"}}{rules}}}"#));
            let got = match error {
                Some(error) => after_error(&website, key, error, ORIGIN),
                None => match route(&website, key, ORIGIN) {
                    Route::Redirect(redirect) => Some(redirect),
                    Route::Object(object) => Some(Redirect { status: 200, location: object }),
                },
            };
            let got = got.map_or((0, String::new()), |got| (got.status, got.location));
            assert_eq!(got, (status, to.to_owned()), "{rule} {key} {error:?}");
        }
    }

    #[test]
    fn all_requests_elsewhere() {
        let website = website(
            r#"{"redirect_all_requests_to":{"host_name":"example.com","protocol":"https"}}"#,
        );
        let Route::Redirect(redirect) = route(&website, "a/b", ORIGIN) else {
            panic!("no redirect")
        };
        assert_eq!(
            redirect,
            Redirect { status: 301, location: "https://example.com/a/b".to_owned() }
        );
    }

    #[test]
    fn folders() {
        let website = website(r#"{"index_document":{"suffix":"i"}}"#);
        assert_eq!(folder_index(&website, "a").as_deref(), Some("a/i"));
        assert_eq!(folder_index(&website, "a/"), None);
        assert_eq!(folder_index(&website, ""), None);
    }
}
