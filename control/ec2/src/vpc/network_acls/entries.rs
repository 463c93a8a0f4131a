//! Entries of network ACLs.

use super::{Entry, LAST_NUMBER, NetworkAcl};
use crate::{
    errors,
    resource::find,
    vpc::traffic::{Protocol, traffic},
};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::Tx;
use types::{IpNet, Ipv4Net, Ipv6Net};

/// AWS's quota of entries for each direction, the last one not counted.
const MAX_ENTRIES: usize = 20;

/// What an entry is made from, in whichever call.
struct Given {
    number: Option<i32>,
    egress: Option<bool>,
    action: Option<api::RuleAction>,
    protocol: Option<String>,
    ports: Option<api::PortRange>,
    icmp: Option<api::IcmpTypeCode>,
    cidr: Option<String>,
    ipv6_cidr: Option<String>,
}

impl Given {
    fn entry(self) -> Result<Entry, Fault> {
        let Self { number, egress, action, protocol, ports, icmp, cidr, ipv6_cidr } = self;
        let (number, egress) = place(number, egress)?;
        let action = action.ok_or_else(|| errors::missing("ruleAction"))?;
        let allow = action == api::RuleAction::Allow;
        let protocol = protocol.ok_or_else(|| errors::missing("protocol"))?;
        let (from, to) = match (ports, icmp) {
            (Some(ports), None) => (ports.from, ports.to),
            (None, Some(icmp)) => (icmp.r#type, icmp.code),
            (None, None) => (None, None),
            (Some(_), Some(_)) => return Err(errors::exclusive("portRange", "icmpTypeCode")),
        };
        let (protocol, from, to) = traffic(&protocol, from, to)?;
        let cidr = block(cidr, ipv6_cidr)?;
        let narrow = |value: Option<i32>| value.and_then(|value| u16::try_from(value).ok());
        let protocol = match protocol {
            Protocol::All => None,
            Protocol::Number(number) => Some(number),
        };
        Ok(Entry { number, egress, allow, protocol, from: narrow(from), to: narrow(to), cidr })
    }
}

/// The one block that an entry is about.
fn block(ipv4: Option<String>, ipv6: Option<String>) -> Result<IpNet, Fault> {
    match (ipv4, ipv6) {
        (Some(text), None) => {
            let block = text.parse::<Ipv4Net>().map_err(|_| errors::rule_cidr(text))?;
            Ok(IpNet::V4(block.trunc()))
        }
        (None, Some(text)) => {
            let block = text.parse::<Ipv6Net>().map_err(|_| errors::rule_cidr(text))?;
            Ok(IpNet::V6(block.trunc()))
        }
        (Some(_), Some(_)) => Err(errors::exclusive("cidrBlock", "ipv6CidrBlock")),
        (None, None) => Err(errors::either("cidrBlock", "ipv6CidrBlock")),
    }
}

/// Checks an entry's number and direction.
fn place(number: Option<i32>, egress: Option<bool>) -> Result<(u16, bool), Fault> {
    let given = number.ok_or_else(|| errors::missing("ruleNumber"))?;
    let egress = egress.ok_or_else(|| errors::missing("egress"))?;
    match u16::try_from(given).ok().filter(|number| (1..LAST_NUMBER).contains(number)) {
        Some(number) => Ok((number, egress)),
        None => Err(errors::invalid_value(
            given,
            "ruleNumber",
            format!("Must be between 1 and {}", LAST_NUMBER - 1),
        )),
    }
}

fn is_at(entry: &Entry, number: u16, egress: bool) -> bool {
    entry.number == number && entry.egress == egress
}

/// Adds an entry.
///
/// # Errors
/// The ACL doesn't exist, has an entry of this number and direction or too many, or the entry can't be.
pub fn create_network_acl_entry(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateNetworkAclEntryRequest,
) -> Result<api::CreateNetworkAclEntryResponse, Fault> {
    let api::CreateNetworkAclEntryRequest {
        dry_run: _,
        network_acl_id,
        rule_number: number,
        protocol,
        rule_action: action,
        egress,
        cidr_block: cidr,
        ipv6_cidr_block: ipv6_cidr,
        icmp_type_code: icmp,
        port_range: ports,
    } = input;
    let id = network_acl_id.ok_or_else(|| errors::missing("networkAclId"))?;
    let given = Given { number, egress, action, protocol, ports, icmp, cidr, ipv6_cidr };
    let entry = given.entry()?;
    let acl = find::<NetworkAcl>(tx, &request.scope, &id)?;
    if acl.entries.iter().any(|other| is_at(other, entry.number, entry.egress)) {
        return Err(errors::acl_entry_exists(entry.number));
    }
    if acl.entries.iter().filter(|other| other.egress == entry.egress).count() >= MAX_ENTRIES {
        return Err(errors::acl_entry_limit());
    }
    tx.update::<NetworkAcl>(&acl.id, |acl| acl.entries.push(entry));
    Ok(api::CreateNetworkAclEntryResponse {})
}

/// Changes all of an entry but its number and direction.
///
/// # Errors
/// The ACL or the entry doesn't exist, or the new one can't be.
pub fn replace_network_acl_entry(
    tx: &mut Tx,
    request: &Request,
    input: api::ReplaceNetworkAclEntryRequest,
) -> Result<api::ReplaceNetworkAclEntryResponse, Fault> {
    let api::ReplaceNetworkAclEntryRequest {
        dry_run: _,
        network_acl_id,
        rule_number: number,
        protocol,
        rule_action: action,
        egress,
        cidr_block: cidr,
        ipv6_cidr_block: ipv6_cidr,
        icmp_type_code: icmp,
        port_range: ports,
    } = input;
    let id = network_acl_id.ok_or_else(|| errors::missing("networkAclId"))?;
    let given = Given { number, egress, action, protocol, ports, icmp, cidr, ipv6_cidr };
    let entry = given.entry()?;
    let acl = find::<NetworkAcl>(tx, &request.scope, &id)?;
    let at = acl.entries.iter().position(|other| is_at(other, entry.number, entry.egress));
    let at = at.ok_or_else(|| errors::acl_entry_not_found(entry.number))?;
    tx.update::<NetworkAcl>(&acl.id, |acl| {
        if let Some(place) = acl.entries.get_mut(at) {
            *place = entry;
        }
    });
    Ok(api::ReplaceNetworkAclEntryResponse {})
}

/// Deletes an entry.
///
/// # Errors
/// The ACL or the entry doesn't exist.
pub fn delete_network_acl_entry(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteNetworkAclEntryRequest,
) -> Result<api::DeleteNetworkAclEntryResponse, Fault> {
    let api::DeleteNetworkAclEntryRequest { dry_run: _, network_acl_id, rule_number, egress } =
        input;
    let id = network_acl_id.ok_or_else(|| errors::missing("networkAclId"))?;
    let (number, egress) = place(rule_number, egress)?;
    let acl = find::<NetworkAcl>(tx, &request.scope, &id)?;
    if !acl.entries.iter().any(|entry| is_at(entry, number, egress)) {
        return Err(errors::acl_entry_not_found(number));
    }
    tx.update::<NetworkAcl>(&acl.id, |acl| {
        acl.entries.retain(|entry| !is_at(entry, number, egress));
    });
    Ok(api::DeleteNetworkAclEntryResponse {})
}
