//! Which service a request is for.

mod head;

pub use head::{Head, MAX_HEAD, Sorted, sort};

use shapes::{Protocol, Service};

/// What a request says of the service it wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints<'a> {
    /// The service of the credential scope, if the request is signed.
    pub scope: Option<&'a str>,
    /// The Host header.
    pub host: Option<&'a str>,
    /// The parameters of a query request.
    pub version: Option<&'a str>,
    /// What stands before the operation in `X-Amz-Target`.
    pub target: Option<&'a str>,
    pub action: Option<&'a str>,
}

/// The name of the service among those known: what the signer meant, else what the host's name says
/// (`ec2.us-east-1.…`, `bucket.s3.…`), else whose target, or version and operation it is. A scope that names an
/// unknown service is for none.
#[must_use]
pub fn service(hints: Hints<'_>, known: &[&'static Service]) -> Option<&'static Service> {
    let named = |name: &str| known.iter().copied().find(|service| service.name == name);
    if let Some(scope) = hints.scope {
        return named(scope);
    }
    let host = hints.host.unwrap_or("");
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if let Some(service) = host.split('.').find_map(named) {
        return Some(service);
    }
    if let Some(wanted) = hints.target {
        let has_it = |service: &&'static Service| match service.protocol {
            Protocol::Json { target, .. } => target == wanted,
            Protocol::Ec2 | Protocol::Query | Protocol::RestJson | Protocol::RestXml => false,
        };
        return known.iter().copied().find(has_it);
    }
    let version = |service: &&Service| Some(service.api_version) == hints.version;
    let mut query = known.iter().copied().filter(|service| {
        version(service) && hints.action.is_none_or(|action| service.knows(action))
    });
    query.next().or_else(|| {
        let action = hints.action?;
        known.iter().copied().find(|service| service.knows(action))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use shapes::{ec2, kms, sts};

    #[test]
    fn the_scope_decides_then_the_host_then_the_parameters() {
        let known = [&ec2::SERVICE, &kms::SERVICE, &sts::SERVICE];
        let name = |hints| service(hints, &known).map(|service| service.name);
        let nothing = Hints::default();
        let host = Hints { host: Some("sts.us-east-1.amazonaws.com:443"), ..nothing };
        assert_eq!(name(nothing), None);
        assert_eq!(name(host), Some("sts"));
        assert_eq!(name(Hints { scope: Some("ec2"), ..host }), Some("ec2"));
        assert_eq!(name(Hints { scope: Some("braket"), ..host }), None);
        assert_eq!(name(Hints { action: Some("RunInstances"), ..nothing }), Some("ec2"));
        assert_eq!(name(Hints { target: Some("TrentService"), ..nothing }), Some("kms"));
        assert_eq!(name(Hints { target: Some("Logs_20140328"), ..nothing }), None);
        let version = Some("2011-06-15");
        assert_eq!(name(Hints { version, host: Some("[::1]:4566"), ..nothing }), Some("sts"));
    }
}
