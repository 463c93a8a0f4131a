//! Buckets named by the `Host` header.

use s3s::{
    S3Result,
    host::{S3Host, VirtualHost},
};

/// The domains whose subdomains are buckets.
#[derive(Clone, Debug)]
pub(crate) struct Domains(Vec<String>);

impl Domains {
    pub(crate) fn new(domains: &[String]) -> Self {
        let mut domains = domains.to_vec();
        domains.sort_by_key(|domain| std::cmp::Reverse(domain.len()));
        Self(domains)
    }

    /// The bucket that a host names; none for path style.
    pub(crate) fn bucket<'a>(&self, host: &'a str) -> Option<&'a str> {
        let host = without_port(host);
        for domain in &self.0 {
            if host.eq_ignore_ascii_case(domain) {
                return None;
            }
            if let Some(bucket) = strip_domain(host, domain) {
                return Some(bucket);
            }
        }
        strip_amazon(host)
    }

    /// Whether a host is one of the domains, or Amazon's, perhaps with a region in front.
    pub(crate) fn holds(&self, host: &str) -> bool {
        let host = without_port(host);
        let amazon = "amazonaws.com";
        self.0.iter().map(String::as_str).chain([amazon]).any(|domain| {
            let region = strip_domain(host, domain);
            host.eq_ignore_ascii_case(domain) || region.is_some_and(|region| !region.contains('.'))
        })
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn strip_domain<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    let at = host.len().checked_sub(domain.len())?;
    let (bucket, rest) = host.split_at_checked(at)?;
    let bucket = bucket.strip_suffix('.')?;
    (rest.eq_ignore_ascii_case(domain) && !bucket.is_empty()).then_some(bucket)
}

/// `BUCKET.s3.amazonaws.com`, `BUCKET.s3.REGION.amazonaws.com`, `BUCKET.s3-REGION.amazonaws.com`,
/// `BUCKET.s3.dualstack.REGION.amazonaws.com`.
fn strip_amazon(host: &str) -> Option<&str> {
    let front = host.strip_suffix(".amazonaws.com")?;
    let service = front.match_indices('.').map(|(at, _)| at).find(|at| {
        let rest = &front[at + 1..];
        let first = rest.split('.').next().unwrap_or_default();
        let after = rest.split('.').count() - 1;
        (first == "s3" && after <= 2) || (first.starts_with("s3-") && after == 0)
    })?;
    Some(&front[..service])
}

impl S3Host for Domains {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let virtual_host = VirtualHost::new(host);
        Ok(match self.bucket(host) {
            Some(bucket) => virtual_host.with_bucket(bucket),
            None => virtual_host,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_name_buckets() {
        let domains = Domains::new(&["localhost".into(), "s3.fogbank.internal".into()]);
        for (host, bucket) in [
            ("localhost:4566", None),
            ("photos.localhost:4566", Some("photos")),
            ("my.photos.s3.fogbank.internal", Some("my.photos")),
            ("s3.fogbank.internal", None),
            ("s3.amazonaws.com", None),
            ("photos.s3.amazonaws.com", Some("photos")),
            ("photos.s3.eu-west-1.amazonaws.com", Some("photos")),
            ("photos.s3-eu-west-1.amazonaws.com", Some("photos")),
            ("a.b.s3.dualstack.eu-west-1.amazonaws.com", Some("a.b")),
            ("s3.eu-west-1.amazonaws.com", None),
            ("127.0.0.1:4566", None),
            ("example.com", None),
            ("", None),
        ] {
            assert_eq!(domains.bucket(host), bucket, "{host}");
        }
    }
}
