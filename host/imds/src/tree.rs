//! The tree of paths that an instance sees below each version of the service.

use crate::{identity, service::Documents};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use contracts::metadata::{Interface, Metadata};
use std::net::Ipv4Addr;
use types::Ipv4Net;

/// Versions that are listed and accepted, besides `latest`; the tree is the same for all.
const VERSIONS: [&str; 30] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-08-24",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-07-09",
    "2022-09-24",
    "2024-04-11",
];

/// What a path leads to.
pub(crate) enum Found {
    /// A value or a listing.
    Text(String),
    /// User data, bytes as they were given.
    UserData(Vec<u8>),
}

/// A directory's entries, or a value.
pub(crate) enum Node {
    Dir(Vec<Entry>),
    Value(String),
}

pub(crate) struct Entry {
    name: String,
    /// What the directory's listing shows for it.
    label: String,
    node: Node,
}

pub(crate) fn value(name: impl Into<String>, text: impl Into<String>) -> Entry {
    let name = name.into();
    Entry { label: name.clone(), name, node: Node::Value(text.into()) }
}

pub(crate) fn dir(name: impl Into<String>, entries: Vec<Entry>) -> Entry {
    let name = name.into();
    Entry { label: format!("{name}/"), name, node: Node::Dir(entries) }
}

/// What this path (decoded, starting with a slash) leads to.
pub(crate) fn find(documents: Documents<'_>, path: &str) -> Option<Found> {
    let metadata = documents.metadata;
    let mut parts = path.strip_prefix('/')?.split('/').collect::<Vec<_>>();
    // A trailing slash asks for a directory; without one it may be either.
    let wants_dir = parts.last() == Some(&"");
    if wants_dir {
        parts.pop();
    }
    let Some((version, parts)) = parts.split_first() else {
        return Some(Found::Text(format!("{}\nlatest", VERSIONS.join("\n"))));
    };
    if *version != "latest" && !VERSIONS.contains(version) {
        return None;
    }
    match parts.split_first() {
        None => {
            let user_data = if metadata.user_data.is_some() { "\nuser-data" } else { "" };
            Some(Found::Text(format!("dynamic\nmeta-data{user_data}")))
        }
        Some((&"meta-data", rest)) => walk(Node::Dir(meta_data(documents)), rest, wants_dir),
        Some((&"dynamic", rest)) => walk(Node::Dir(dynamic(documents)), rest, wants_dir),
        Some((&"user-data", [])) => {
            let text = metadata.user_data.as_ref()?;
            Some(Found::UserData(STANDARD.decode(text).ok()?))
        }
        Some(_) => None,
    }
}

fn walk(mut node: Node, path: &[&str], wants_dir: bool) -> Option<Found> {
    for part in path {
        let Node::Dir(entries) = node else { return None };
        node = entries.into_iter().find(|entry| entry.name == *part)?.node;
    }
    match node {
        Node::Value(_) if wants_dir => None,
        Node::Value(text) => Some(Found::Text(text)),
        Node::Dir(entries) => {
            let labels = entries.into_iter().map(|entry| entry.label).collect::<Vec<_>>();
            Some(Found::Text(labels.join("\n")))
        }
    }
}

/// `ip-10-0-0-5`
fn host_name(address: Ipv4Addr, prefix: &str, domain: &str) -> String {
    let [a, b, c, d] = address.octets();
    format!("{prefix}-{a}-{b}-{c}-{d}.{domain}")
}

fn lines<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join("\n")
}

fn meta_data(documents: Documents<'_>) -> Vec<Entry> {
    let metadata = documents.metadata;
    let primary = metadata.interfaces.first();
    let address = primary.and_then(|interface| interface.addresses.first()).copied();
    let public = address.and_then(|(_, public)| public);
    let hostname = address.map(|(private, _)| host_name(private, "ip", &metadata.private_domain));
    let mut entries = vec![
        value("ami-id", metadata.image.to_string()),
        value("ami-launch-index", metadata.launch_index.to_string()),
        value("ami-manifest-path", "(unknown)"),
        dir("block-device-mapping", block_devices(metadata)),
        dir(
            "events",
            vec![dir("maintenance", vec![value("history", "[]"), value("scheduled", "[]")])],
        ),
    ];
    entries.extend(hostname.as_ref().map(|name| value("hostname", name)));
    if let Some(profile) = documents.identity.and_then(|identity| identity.profile.as_ref()) {
        entries.push(dir("iam", identity::profile(profile)));
    }
    entries.extend([
        value("instance-action", &metadata.instance_action),
        value("instance-id", metadata.instance.to_string()),
        value("instance-life-cycle", &metadata.life_cycle),
        value("instance-type", &metadata.instance_type),
    ]);
    let six = primary.and_then(|interface| interface.ipv6.first());
    entries.extend(six.map(|address| value("ipv6", address.to_string())));
    entries.extend(hostname.as_ref().map(|name| value("local-hostname", name)));
    entries.extend(address.map(|(private, _)| value("local-ipv4", private.to_string())));
    entries.extend(primary.map(|interface| value("mac", interface.mac.to_string())));
    entries.push(dir("network", vec![dir("interfaces", vec![dir("macs", macs(metadata))])]));
    entries.push(dir("placement", placement(metadata)));
    entries.push(value("profile", "default-hvm"));
    if let (Some(public), Some(domain)) = (public, &metadata.public_domain) {
        entries.push(value("public-hostname", host_name(public, "ec2", domain)));
    }
    entries.extend(public.map(|public| value("public-ipv4", public.to_string())));
    entries.extend(public_keys(metadata));
    entries.push(value("reservation-id", metadata.reservation.to_string()));
    entries.extend(primary.map(|interface| {
        value("security-groups", lines(interface.groups.iter().map(|(_, name)| name)))
    }));
    entries.push(dir("services", services(metadata)));
    entries.push(value("system", "nitro"));
    if let Some(tags) = &metadata.tags {
        let tags = tags.iter().map(|(key, text)| value(key, text)).collect();
        entries.push(dir("tags", vec![dir("instance", tags)]));
    }
    entries
}

fn block_devices(metadata: &Metadata) -> Vec<Entry> {
    let mut devices = metadata.block_devices.clone();
    devices.sort();
    devices.into_iter().map(|(name, device)| value(name, device)).collect()
}

fn placement(metadata: &Metadata) -> Vec<Entry> {
    vec![
        value("availability-zone", metadata.zone.to_string()),
        value("availability-zone-id", metadata.zone.id()),
        value("region", metadata.zone.region().to_string()),
    ]
}

fn public_keys(metadata: &Metadata) -> Option<Entry> {
    let (name, key) = metadata.public_key.as_ref()?;
    let key = key.trim();
    // EC2 shows the key pair's name as the key's comment.
    let bare = key.split_whitespace().count() == 2;
    let key = if bare { format!("{key} {name}") } else { key.to_owned() };
    let mut first = dir("0", vec![value("openssh-key", key)]);
    first.label = format!("0={name}");
    Some(dir("public-keys", vec![first]))
}

fn services(metadata: &Metadata) -> Vec<Entry> {
    let region = metadata.zone.region().as_str();
    let (domain, partition) = match region {
        _ if region.starts_with("cn-") => ("amazonaws.com.cn", "aws-cn"),
        _ if region.starts_with("us-gov-") => ("amazonaws.com", "aws-us-gov"),
        _ if region.starts_with("us-isob-") => ("sc2s.sgov.gov", "aws-iso-b"),
        _ if region.starts_with("us-iso-") => ("c2s.ic.gov", "aws-iso"),
        _ => ("amazonaws.com", "aws"),
    };
    vec![value("domain", domain), value("partition", partition)]
}

fn macs(metadata: &Metadata) -> Vec<Entry> {
    let mut interfaces = metadata.interfaces.iter().collect::<Vec<_>>();
    interfaces.sort_by_key(|interface| interface.mac);
    interfaces
        .into_iter()
        .map(|interface| dir(interface.mac.to_string(), one_mac(metadata, interface)))
        .collect()
}

fn one_mac(metadata: &Metadata, interface: &Interface) -> Vec<Entry> {
    let first = interface.addresses.first().copied();
    let associated = interface
        .addresses
        .iter()
        .filter_map(|(private, public)| Some((*private, (*public)?)))
        .collect::<Vec<_>>();
    let (subnet, subnet_block) = &interface.subnet;
    let (vpc, vpc_blocks) = &interface.vpc;

    let mut entries = vec![
        value("device-number", interface.device_number.to_string()),
        value("interface-id", interface.id.to_string()),
    ];
    if !associated.is_empty() {
        let associations = associated
            .iter()
            .map(|(private, public)| value(public.to_string(), private.to_string()))
            .collect();
        entries.push(dir("ipv4-associations", associations));
    }
    entries.extend(blocks("ipv6-prefix", &interface.ipv6_prefixes));
    entries.extend(blocks("ipv6s", &interface.ipv6));
    entries.extend(first.map(|(private, _)| {
        value("local-hostname", host_name(private, "ip", &metadata.private_domain))
    }));
    entries
        .push(value("local-ipv4s", lines(interface.addresses.iter().map(|(private, _)| private))));
    entries.push(value("mac", interface.mac.to_string()));
    entries.push(value("owner-id", metadata.account.to_string()));
    if let (Some((_, public)), Some(domain)) = (associated.first(), &metadata.public_domain) {
        entries.push(value("public-hostname", host_name(*public, "ec2", domain)));
    }
    if !associated.is_empty() {
        entries.push(value("public-ipv4s", lines(associated.iter().map(|(_, public)| public))));
    }
    entries.push(value("security-group-ids", lines(interface.groups.iter().map(|(id, _)| id))));
    entries.push(value("security-groups", lines(interface.groups.iter().map(|(_, name)| name))));
    entries.push(value("subnet-id", subnet.to_string()));
    entries.push(value("subnet-ipv4-cidr-block", subnet_block.to_string()));
    entries.extend(blocks("subnet-ipv6-cidr-blocks", &interface.subnet_ipv6));
    entries.push(value("vpc-id", vpc.to_string()));
    entries.extend(vpc_blocks.first().map(|b| value("vpc-ipv4-cidr-block", b.to_string())));
    entries.push(value("vpc-ipv4-cidr-blocks", lines::<&Ipv4Net>(vpc_blocks)));
    entries.extend(blocks("vpc-ipv6-cidr-blocks", &interface.vpc_ipv6));
    entries
}

/// A list of addresses or blocks, one a line; none of none.
fn blocks<T: ToString>(name: &str, list: &[T]) -> Option<Entry> {
    (!list.is_empty()).then(|| value(name, lines(list.iter().map(T::to_string))))
}

fn dynamic(documents: Documents<'_>) -> Vec<Entry> {
    let entries = match documents.identity {
        Some(identity) => identity::signed(&identity.signed),
        None => vec![value("document", documents.metadata.identity_document())],
    };
    vec![dir("instance-identity", entries)]
}
