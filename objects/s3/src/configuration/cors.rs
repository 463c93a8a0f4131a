//! Cross-origin rules: checked when they are put, and matched with a request's origin, method and
//! headers.

use super::invalid_request;
use s3s::{S3Result, dto};

/// The most rules of one bucket.
const MAX_CORS_RULES: usize = 100;
const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];

/// Checks rules that are to be kept.
///
/// # Errors
/// `MalformedXML`, `InvalidRequest`.
pub fn check(configuration: &dto::CORSConfiguration) -> S3Result<()> {
    let rules = &configuration.cors_rules;
    if rules.is_empty() {
        return Err(super::malformed_xml());
    }
    if rules.len() > MAX_CORS_RULES {
        return Err(invalid_request(format!(
            "The number of CORS rules should not exceed allowed limit of {MAX_CORS_RULES} rules."
        )));
    }
    for rule in rules {
        if rule.allowed_methods.is_empty() || rule.allowed_origins.is_empty() {
            return Err(super::malformed_xml());
        }
        if rule.id.as_ref().is_some_and(|id| id.chars().count() > 255) {
            return Err(invalid_request("The ID of a CORS rule must not exceed 255 characters."));
        }
        for method in &rule.allowed_methods {
            if !METHODS.contains(&method.as_str()) {
                return Err(invalid_request(format!(
                    "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
                )));
            }
        }
        for origin in &rule.allowed_origins {
            if stars(origin) > 1 {
                return Err(invalid_request(format!(
                    "AllowedOrigin \"{origin}\" can not have more than one wildcard."
                )));
            }
        }
        for header in rule.allowed_headers.iter().flatten() {
            if stars(header) > 1 {
                return Err(invalid_request(format!(
                    "AllowedHeader \"{header}\" can not have more than one wildcard."
                )));
            }
        }
        for header in rule.expose_headers.iter().flatten() {
            if stars(header) > 0 {
                return Err(invalid_request(format!(
                    "ExposeHeader \"{header}\" contains wildcard. We currently do not support \
                     wildcard for ExposeHeader"
                )));
            }
        }
    }
    Ok(())
}

fn stars(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'*').count()
}

/// What a browser asks about.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub origin: &'a str,
    pub method: &'a str,
    /// `Access-Control-Request-Headers`, as sent; none on an actual request.
    pub headers: Option<&'a str>,
}

/// What it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    pub allow_origin: String,
    pub allow_methods: String,
    pub allow_headers: Option<String>,
    pub expose_headers: Option<String>,
    pub max_age_seconds: Option<i32>,
    /// Any origin may, without credentials.
    pub any_origin: bool,
}

impl Grant {
    /// As response headers; a preflight's answer has more of them.
    #[must_use]
    pub fn headers(&self, preflight: bool) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("access-control-allow-origin", self.allow_origin.clone()),
            ("access-control-allow-methods", self.allow_methods.clone()),
        ];
        if preflight && let Some(allowed) = &self.allow_headers {
            headers.push(("access-control-allow-headers", allowed.clone()));
        }
        if let Some(exposed) = &self.expose_headers {
            headers.push(("access-control-expose-headers", exposed.clone()));
        }
        if let Some(age) = self.max_age_seconds {
            headers.push(("access-control-max-age", age.to_string()));
        }
        if !self.any_origin {
            headers.push(("access-control-allow-credentials", "true".to_owned()));
        }
        let vary = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
        headers.push(("vary", vary.to_owned()));
        headers
    }
}

/// The answer of the first rule that matches; none if no rule does.
#[must_use]
pub fn matching(configuration: &dto::CORSConfiguration, ask: Ask<'_>) -> Option<Grant> {
    configuration.cors_rules.iter().find_map(|rule| grant(rule, ask))
}

fn grant(rule: &dto::CORSRule, ask: Ask<'_>) -> Option<Grant> {
    let pattern = rule.allowed_origins.iter().find(|pattern| like(pattern, ask.origin, false))?;
    if !rule.allowed_methods.iter().any(|method| method == ask.method) {
        return None;
    }
    let asked: Vec<String> = ask
        .headers
        .unwrap_or_default()
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    let allowed = |name: &String| {
        rule.allowed_headers.iter().flatten().any(|pattern| like(pattern, name, true))
    };
    if !asked.iter().all(allowed) {
        return None;
    }
    let any_origin = pattern == "*";
    let exposed = rule.expose_headers.as_deref().unwrap_or_default();
    Some(Grant {
        allow_origin: if any_origin { "*" } else { ask.origin }.to_owned(),
        allow_methods: rule.allowed_methods.join(", "),
        allow_headers: (!asked.is_empty()).then(|| asked.join(", ")),
        expose_headers: (!exposed.is_empty()).then(|| exposed.join(", ")),
        max_age_seconds: rule.max_age_seconds,
        any_origin,
    })
}

/// Whether a pattern with at most one `*` takes a text in.
fn like(pattern: &str, text: &str, ignore_case: bool) -> bool {
    let (pattern, text) = if ignore_case {
        (pattern.to_ascii_lowercase(), text.to_ascii_lowercase())
    } else {
        (pattern.to_owned(), text.to_owned())
    };
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> dto::CORSRule {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        dto::CORSRule {
            allowed_origins: owned(origins),
            allowed_methods: owned(methods),
            allowed_headers: (!headers.is_empty()).then(|| owned(headers)),
            expose_headers: Some(vec!["ETag".to_owned()]),
            max_age_seconds: Some(30),
            id: None,
        }
    }

    #[test]
    fn matching_rules() {
        let configuration = dto::CORSConfiguration {
            cors_rules: vec![
                rule(&["https://*.example.com"], &["GET", "PUT"], &["x-amz-*", "Content-Type"]),
                rule(&["http://start*", "*suffix"], &["GET"], &[]),
                rule(&["*"], &["HEAD"], &["*"]),
            ],
        };
        // Origin, method, requested headers, answered origin.
        let table = [
            ("https://a.example.com", "GET", None, Some("https://a.example.com")),
            (
                "https://a.example.com",
                "PUT",
                Some("X-Amz-Date, content-type"),
                Some("https://a.example.com"),
            ),
            ("https://a.example.com", "PUT", Some("x-other"), None),
            ("https://example.com", "GET", None, None),
            ("https://a.example.com", "DELETE", None, None),
            ("http://start-and-more", "GET", None, Some("http://start-and-more")),
            ("http://start", "GET", Some("x-any"), None),
            ("with-suffix", "GET", None, Some("with-suffix")),
            ("suffix-not", "GET", None, None),
            ("anything", "HEAD", Some("x-any"), Some("*")),
            ("HTTPS://A.EXAMPLE.COM", "GET", None, None),
        ];
        for (origin, method, headers, answer) in table {
            let grant = matching(&configuration, Ask { origin, method, headers });
            let got = grant.as_ref().map(|grant| grant.allow_origin.as_str());
            assert_eq!(got, answer, "{origin} {method} {headers:?}");
        }
    }

    #[test]
    fn what_is_answered() {
        let configuration =
            dto::CORSConfiguration { cors_rules: vec![rule(&["*"], &["GET"], &["*"])] };
        let ask = Ask { origin: "http://x", method: "GET", headers: Some("A, b") };
        let headers = matching(&configuration, ask).expect("matches").headers(true);
        let find = |name| headers.iter().find(|(key, _)| *key == name).map(|(_, v)| v.as_str());
        assert_eq!(find("access-control-allow-headers"), Some("a, b"));
        assert_eq!(find("access-control-max-age"), Some("30"));
        assert_eq!(find("access-control-expose-headers"), Some("ETag"));
        assert_eq!(find("access-control-allow-credentials"), None);
    }

    #[test]
    fn refused() {
        let code = |rules: Vec<dto::CORSRule>| {
            let checked = check(&dto::CORSConfiguration { cors_rules: rules });
            checked.err().map(|fault| fault.code().as_str().to_owned())
        };
        assert_eq!(code(vec![rule(&["*"], &["GET"], &[])]), None);
        assert_eq!(code(vec![]).as_deref(), Some("MalformedXML"));
        assert_eq!(code(vec![rule(&["*"], &["PATCH"], &[])]).as_deref(), Some("InvalidRequest"));
        assert_eq!(code(vec![rule(&["*.*"], &["GET"], &[])]).as_deref(), Some("InvalidRequest"));
        assert_eq!(code(vec![rule(&["*"], &["GET"], &["*-*"])]).as_deref(), Some("InvalidRequest"));
        assert_eq!(code(vec![rule(&["*"], &["GET"], &[]); 101]).as_deref(), Some("InvalidRequest"));
    }
}
