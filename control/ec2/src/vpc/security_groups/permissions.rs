//! Rules as calls give them and answers show them: permissions of many peers, or flat parameters.

use super::{Peer, Protocol, Rule, SecurityGroup, by_name, is_allowed};
use crate::{
    errors,
    resource::find,
    vpc::traffic::{ICMP, ICMPV6, TCP, Traffic, UDP, traffic},
};
use shapes::{Fault, ec2 as api};
use state::{State, Tx};
use std::fmt;
use types::{AccountId, IpNet, Ipv4Net, Ipv6Net, Tags};

/// A rule without identity: what makes two rules the same, and the description.
#[derive(Debug, Clone)]
pub(super) struct Spec {
    pub protocol: Protocol,
    pub from: Option<i32>,
    pub to: Option<i32>,
    pub peer: Peer,
    pub description: Option<String>,
}

/// The parameters of a call that describe one permission.
#[derive(Debug, Default)]
pub(super) struct Flat {
    pub protocol: Option<String>,
    pub from: Option<i32>,
    pub to: Option<i32>,
    pub cidr: Option<String>,
    pub source_group: Option<String>,
    pub source_owner: Option<String>,
}

impl Flat {
    fn is_given(&self) -> bool {
        self.protocol.is_some()
            || self.from.is_some()
            || self.to.is_some()
            || self.cidr.is_some()
            || self.source_group.is_some()
            || self.source_owner.is_some()
    }
}

/// The rules that a call is about, from its permissions or its flat parameters.
///
/// # Errors
/// They contradict one another, or a rule can't be.
pub(super) fn from_call(
    state: &State,
    group: &SecurityGroup,
    permissions: Option<Vec<api::IpPermission>>,
    flat: Flat,
) -> Result<Vec<Spec>, Fault> {
    let permissions = permissions.unwrap_or_default();
    if !permissions.is_empty() && flat.is_given() {
        return Err(errors::exclusive("ipPermissions", "ipProtocol"));
    }
    let mut specs = Vec::new();
    if flat.is_given() {
        specs = from_flat(state, group, flat)?;
    }
    for permission in permissions {
        from_permission(state, group, permission, &mut specs)?;
    }
    for (at, spec) in specs.iter().enumerate() {
        if specs[..at].iter().any(|other| other.traffic() == spec.traffic()) {
            return Err(errors::same_rule_twice());
        }
    }
    Ok(specs)
}

fn from_flat(state: &State, group: &SecurityGroup, flat: Flat) -> Result<Vec<Spec>, Fault> {
    let Flat { protocol, from, to, cidr, source_group, source_owner } = flat;
    let Some(name) = source_group else {
        if source_owner.is_some() {
            return Err(errors::missing("SourceSecurityGroupName"));
        }
        let protocol = protocol.ok_or_else(|| errors::missing("ipProtocol"))?;
        let cidr = cidr.ok_or_else(|| errors::missing("cidrIp"))?;
        let (protocol, from, to) = traffic(&protocol, from, to)?;
        let peer = Peer::Cidr(ipv4(&cidr)?);
        return Ok(vec![Spec { protocol, from, to, peer, description: None }]);
    };
    if protocol.is_some() || from.is_some() || to.is_some() || cidr.is_some() {
        return Err(errors::exclusive("sourceSecurityGroupName", "ipProtocol"));
    }
    let pair = api::UserIdGroupPair {
        group_name: Some(name),
        user_id: source_owner,
        ..Default::default()
    };
    let (peer, _) = source(state, group, pair)?;
    // AWS grants full TCP, UDP and ICMP access by a source group without protocol.
    let spec = |protocol, from, to| Spec {
        protocol: Protocol::Number(protocol),
        from,
        to,
        peer,
        description: None,
    };
    let last = Some(i32::from(u16::MAX));
    Ok(vec![spec(TCP, Some(0), last), spec(UDP, Some(0), last), spec(ICMP, None, None)])
}

fn from_permission(
    state: &State,
    group: &SecurityGroup,
    permission: api::IpPermission,
    specs: &mut Vec<Spec>,
) -> Result<(), Fault> {
    let api::IpPermission {
        ip_protocol,
        from_port,
        to_port,
        user_id_group_pairs,
        ip_ranges,
        ipv6_ranges,
        prefix_list_ids,
    } = permission;
    let given = prefix_list_ids.is_some_and(|lists| !lists.is_empty());
    errors::refuse(&[("PrefixListIds", given)])?;
    let protocol = ip_protocol.ok_or_else(|| errors::missing("ipProtocol"))?;
    let (protocol, from, to) = traffic(&protocol, from_port, to_port)?;
    let mut peers = Vec::new();
    for api::IpRange { description, cidr_ip } in ip_ranges.unwrap_or_default() {
        let cidr = cidr_ip.ok_or_else(|| errors::missing("cidrIp"))?;
        peers.push((Peer::Cidr(ipv4(&cidr)?), description));
    }
    for api::Ipv6Range { description, cidr_ipv6 } in ipv6_ranges.unwrap_or_default() {
        let cidr = cidr_ipv6.ok_or_else(|| errors::missing("cidrIpv6"))?;
        peers.push((Peer::Cidr(ipv6(&cidr)?), description));
    }
    for pair in user_id_group_pairs.unwrap_or_default() {
        peers.push(source(state, group, pair)?);
    }
    if peers.is_empty() {
        let why = "A permission must have at least one peer: a CIDR block or a security group.";
        return Err(errors::rule_malformed(why));
    }
    for (peer, description) in peers {
        check_description(description.as_deref())?;
        specs.push(Spec { protocol, from, to, peer, description });
    }
    Ok(())
}

/// A rule as ModifySecurityGroupRules gives it.
///
/// # Errors
/// It has not exactly one peer, or can't be.
pub(super) fn from_rule_request(
    state: &State,
    group: &SecurityGroup,
    rule: api::SecurityGroupRuleRequest,
) -> Result<Spec, Fault> {
    let api::SecurityGroupRuleRequest {
        ip_protocol,
        from_port,
        to_port,
        cidr_ipv4,
        cidr_ipv6,
        prefix_list_id,
        referenced_group_id,
        description,
    } = rule;
    errors::refuse(&[("PrefixListId", prefix_list_id.is_some())])?;
    let protocol = ip_protocol.ok_or_else(|| errors::missing("IpProtocol"))?;
    let (protocol, from, to) = traffic(&protocol, from_port, to_port)?;
    let peer = match (cidr_ipv4, cidr_ipv6, referenced_group_id) {
        (Some(cidr), None, None) => Peer::Cidr(ipv4(&cidr)?),
        (None, Some(cidr), None) => Peer::Cidr(ipv6(&cidr)?),
        (None, None, Some(id)) => {
            let group_id = Some(id);
            source(state, group, api::UserIdGroupPair { group_id, ..Default::default() })?.0
        }
        (_, _, _) => {
            let why = "Exactly one of CidrIpv4, CidrIpv6 and ReferencedGroupId must be specified.";
            return Err(errors::combination(why));
        }
    };
    check_description(description.as_deref())?;
    Ok(Spec { protocol, from, to, peer, description })
}

fn source(
    state: &State,
    group: &SecurityGroup,
    pair: api::UserIdGroupPair,
) -> Result<(Peer, Option<String>), Fault> {
    let api::UserIdGroupPair {
        description,
        user_id,
        group_name,
        group_id,
        vpc_id: _, // Follows from the group.
        vpc_peering_connection_id,
        peering_status,
    } = pair;
    errors::refuse(&[
        ("VpcPeeringConnectionId", vpc_peering_connection_id.is_some()),
        ("PeeringStatus", peering_status.is_some()),
    ])?;
    let own = group.scope.account;
    let foreign = user_id.as_ref().is_some_and(|id| id.parse::<AccountId>() != Ok(own));
    let peer = match (group_id, group_name) {
        (Some(id), _) if foreign => {
            return Err(crate::resource::not_found::<SecurityGroup>(&[&id]));
        }
        (Some(id), _) => find::<SecurityGroup>(state, &group.scope, &id)?,
        (None, Some(name)) => match by_name(state, group.vpc, &name) {
            Some(peer) if !foreign => peer.clone(),
            Some(_) | None => return Err(errors::group_name_not_found(name, group.vpc)),
        },
        (None, None) => {
            let message = "Source group ID missing.";
            return Err(Fault::sender("MissingParameter", message));
        }
    };
    if peer.vpc != group.vpc {
        return Err(errors::peer_of_other_vpc());
    }
    Ok((Peer::Group(peer.id, own), description))
}

fn ipv4(text: &str) -> Result<IpNet, Fault> {
    let block = text.parse::<Ipv4Net>().map_err(|_| errors::rule_cidr(text))?;
    Ok(IpNet::V4(block.trunc()))
}

fn ipv6(text: &str) -> Result<IpNet, Fault> {
    let block = text.parse::<Ipv6Net>().map_err(|_| errors::rule_cidr(text))?;
    Ok(IpNet::V6(block.trunc()))
}

pub(super) fn check_description(text: Option<&str>) -> Result<(), Fault> {
    match text {
        Some(text) if text.len() > super::MAX_TEXT || !text.bytes().all(is_allowed) => {
            Err(errors::rule_description())
        }
        Some(_) | None => Ok(()),
    }
}

impl Spec {
    /// All traffic of a peer.
    pub(super) fn all(peer: Peer) -> Self {
        Self { protocol: Protocol::All, from: None, to: None, peer, description: None }
    }

    /// What makes two rules the same.
    pub(super) fn traffic(&self) -> (Traffic, Peer) {
        ((self.protocol, self.from, self.to), self.peer)
    }

    pub(super) fn into_rule(self, tx: &mut Tx, egress: bool, tags: Tags) -> Rule {
        let Self { protocol, from, to, peer, description } = self;
        Rule { id: tx.new_id(), egress, protocol, from, to, peer, description, tags }
    }
}

/// The rule as AWS's faults name it.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Peer::Cidr(block) => write!(f, "peer: {block}, ")?,
            Peer::Group(group, _) => write!(f, "peer: {group}, ")?,
        }
        let all = |value: Option<i32>| value.map_or_else(|| "ALL".to_owned(), |v| v.to_string());
        let (from, to) = (all(self.from), all(self.to));
        match self.protocol {
            Protocol::All => f.write_str("ALL, ALLOW"),
            Protocol::Number(TCP) => write!(f, "TCP, from port: {from}, to port: {to}, ALLOW"),
            Protocol::Number(UDP) => write!(f, "UDP, from port: {from}, to port: {to}, ALLOW"),
            Protocol::Number(ICMP) => write!(f, "ICMP, type: {from}, code: {to}, ALLOW"),
            Protocol::Number(ICMPV6) => write!(f, "ICMPv6, type: {from}, code: {to}, ALLOW"),
            Protocol::Number(number) => write!(f, "protocol: {number}, ALLOW"),
        }
    }
}

/// The protocol as AWS writes it.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("-1"),
            Self::Number(TCP) => f.write_str("tcp"),
            Self::Number(UDP) => f.write_str("udp"),
            Self::Number(ICMP) => f.write_str("icmp"),
            Self::Number(ICMPV6) => f.write_str("icmpv6"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Rule {
    pub(super) fn spec(&self) -> Spec {
        Spec {
            protocol: self.protocol,
            from: self.from,
            to: self.to,
            peer: self.peer,
            description: self.description.clone(),
        }
    }

    /// Ports, or type and code, as permissions show them: none where the protocol has none, and
    /// -1 for all types and codes.
    pub(super) fn ports(&self) -> (Option<i32>, Option<i32>) {
        match self.protocol {
            Protocol::Number(TCP | UDP) => (self.from, self.to),
            Protocol::Number(ICMP | ICMPV6) => {
                (Some(self.from.unwrap_or(-1)), Some(self.to.unwrap_or(-1)))
            }
            Protocol::Number(_) | Protocol::All => (None, None),
        }
    }
}

/// Rules of one direction as permissions: one for each protocol and range of ports.
pub(super) fn to_api(rules: &[Rule], egress: bool) -> Vec<api::IpPermission> {
    let mut keys: Vec<Traffic> = Vec::new();
    let mut permissions: Vec<api::IpPermission> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.egress == egress) {
        let key = (rule.protocol, rule.from, rule.to);
        let at = keys.iter().position(|other| *other == key).unwrap_or_else(|| {
            keys.push(key);
            permissions.push(empty(rule));
            keys.len() - 1
        });
        add_peer(&mut permissions[at], rule);
    }
    permissions
}

/// Rules that a call named and that don't exist, as permissions.
pub(super) fn unknown_to_api(specs: Vec<Spec>, tx: &mut Tx) -> Vec<api::IpPermission> {
    let rules = specs.into_iter().map(|spec| spec.into_rule(tx, false, Tags::new()));
    let rules = rules.collect::<Vec<_>>();
    to_api(&rules, false)
}

fn empty(rule: &Rule) -> api::IpPermission {
    let (from_port, to_port) = rule.ports();
    api::IpPermission {
        ip_protocol: Some(rule.protocol.to_string()),
        from_port,
        to_port,
        user_id_group_pairs: Some(Vec::new()),
        ip_ranges: Some(Vec::new()),
        ipv6_ranges: Some(Vec::new()),
        prefix_list_ids: Some(Vec::new()),
    }
}

fn add_peer(permission: &mut api::IpPermission, rule: &Rule) {
    let description = rule.description.clone();
    match rule.peer {
        Peer::Cidr(IpNet::V4(block)) => {
            let range = api::IpRange { description, cidr_ip: Some(block.to_string()) };
            permission.ip_ranges.get_or_insert_default().push(range);
        }
        Peer::Cidr(IpNet::V6(block)) => {
            let range = api::Ipv6Range { description, cidr_ipv6: Some(block.to_string()) };
            permission.ipv6_ranges.get_or_insert_default().push(range);
        }
        Peer::Group(group, account) => {
            let pair = api::UserIdGroupPair {
                description,
                user_id: Some(account.to_string()),
                group_id: Some(group.to_string()),
                ..Default::default()
            };
            permission.user_id_group_pairs.get_or_insert_default().push(pair);
        }
    }
}

/// Whether the rule counts against the quota of IPv4 rules, and of IPv6 rules.
pub(super) fn families(peer: Peer) -> (bool, bool) {
    match peer {
        Peer::Cidr(IpNet::V4(_)) => (true, false),
        Peer::Cidr(IpNet::V6(_)) => (false, true),
        Peer::Group(_, _) => (true, true),
    }
}
