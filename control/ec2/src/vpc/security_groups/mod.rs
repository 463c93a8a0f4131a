//! Security groups and their rules.

mod descriptions;
mod permissions;
mod rules;
mod usable;

pub use descriptions::{
    update_security_group_rule_descriptions_egress, update_security_group_rule_descriptions_ingress,
};
pub use rules::{
    authorize_security_group_egress, authorize_security_group_ingress,
    describe_security_group_rules, find_rule, modify_security_group_rules,
    revoke_security_group_egress, revoke_security_group_ingress,
};
pub use usable::get_security_groups_for_vpc;

use super::{
    describe::{PAGE, Query, arn, describe},
    network_interfaces::NetworkInterface,
    traffic::Protocol,
    vpcs::{self, Vpc},
};
use crate::{
    errors,
    filters::Wanted,
    resource::{Resource, find},
    tags,
};
use iam::Request;
use permissions::Spec;
use serde::{Deserialize, Serialize};
use shapes::{Fault, ec2 as api, ec2::ResourceType};
use state::{Row, State, Tx};
use std::{
    fmt::Display,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use types::{
    AccountId, IpNet, Ipv4Net, Ipv6Net, Scope, SecurityGroupId, SecurityGroupRuleId, Tags, VpcId,
};

/// AWS's quota of security groups in a region.
const MAX_GROUPS: usize = 2_500;
/// AWS's quota of security groups of one interface.
const MAX_GROUPS_PER_INTERFACE: usize = 5;
/// AWS's limit of characters in names and descriptions.
const MAX_TEXT: usize = 255;
/// The name of each VPC's default group, which nobody else may use.
const DEFAULT: &str = "default";

/// All addresses of a family.
const EVERYWHERE: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));
const EVERYWHERE_IPV6: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0));

/// A security group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroup {
    pub id: SecurityGroupId,
    pub scope: Scope,
    pub vpc: VpcId,
    pub name: String,
    pub description: String,
    pub rules: Vec<Rule>,
    pub tags: Tags,
}

/// One rule: one protocol, port range and peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub id: SecurityGroupRuleId,
    pub egress: bool,
    pub protocol: Protocol,
    /// First port, or ICMP type; none = all.
    pub from: Option<i32>,
    /// Last port, or ICMP code; none = all.
    pub to: Option<i32>,
    pub peer: Peer,
    pub description: Option<String>,
    pub tags: Tags,
}

/// The other end of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    Cidr(IpNet),
    Group(SecurityGroupId, AccountId),
}

impl Row for SecurityGroup {
    const TABLE: &'static str = "security-group";
    type Key = SecurityGroupId;
    fn key(&self) -> SecurityGroupId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("vpc", &self.vpc);
        for rule in &self.rules {
            add("rule", &rule.id);
            if let Peer::Group(group, _) = rule.peer {
                add("peer", &group);
            }
        }
    }
}

impl Resource for SecurityGroup {
    const TYPE: ResourceType = ResourceType::SecurityGroup;
    const NOUN: &'static str = "security group";
    const CODE: &'static str = "InvalidGroup";
    const MALFORMED: &'static str = "InvalidGroupId";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// Makes a security group that lets everything out and nothing in.
///
/// # Errors
/// The name or description can't be, the name is taken, or the VPC doesn't exist.
pub fn create_security_group(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateSecurityGroupRequest,
) -> Result<api::CreateSecurityGroupResult, Fault> {
    let api::CreateSecurityGroupRequest {
        description,
        group_name,
        vpc_id,
        tag_specifications,
        dry_run: _,
    } = input;
    let name = group_name.ok_or_else(|| errors::missing("GroupName"))?;
    let description = description.ok_or_else(|| errors::missing("GroupDescription"))?;
    check_name(&name)?;
    check_text(&description, "GroupDescription")?;
    let tags = tags::from_specifications(tag_specifications, ResourceType::SecurityGroup)?;
    let scope = &request.scope;
    let vpc = match vpc_id {
        Some(id) => find::<Vpc>(tx, scope, &id)?,
        None => vpcs::default_of(tx, scope).ok_or_else(errors::no_default_vpc_for_name)?,
    };
    if by_name(tx, vpc.id, &name).is_some() {
        return Err(errors::group_exists(name, vpc.id));
    }
    if tx.count_in_scope::<SecurityGroup>(scope) >= MAX_GROUPS {
        return Err(errors::security_group_limit());
    }
    let group = create(tx, &vpc, name, description, tags);
    Ok(api::CreateSecurityGroupResult {
        group_id: Some(group.id.to_string()),
        tags: tags::if_any(&group.tags),
        security_group_arn: Some(group.arn()),
    })
}

/// Deletes a security group.
///
/// # Errors
/// It doesn't exist, is a VPC's default one, or interfaces or other groups' rules name it.
pub fn delete_security_group(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteSecurityGroupRequest,
) -> Result<api::DeleteSecurityGroupResult, Fault> {
    let api::DeleteSecurityGroupRequest { group_id, group_name, dry_run: _ } = input;
    let group = named(tx, &request.scope, group_id, group_name)?;
    if group.is_default() {
        return Err(errors::default_group(group.id));
    }
    let member = tx.find::<NetworkInterface>("group", group.id).next().is_some();
    if member || tx.find::<SecurityGroup>("peer", group.id).any(|other| other.id != group.id) {
        return Err(errors::group_in_use(group.id));
    }
    tx.delete::<SecurityGroup>(&group.id);
    let group_id = Some(group.id.to_string());
    Ok(api::DeleteSecurityGroupResult { r#return: Some(true), group_id })
}

const FILTERS: &[&str] = &[
    "description",
    "egress.ip-permission.cidr",
    "egress.ip-permission.from-port",
    "egress.ip-permission.group-id",
    "egress.ip-permission.group-name",
    "egress.ip-permission.ipv6-cidr",
    "egress.ip-permission.prefix-list-id",
    "egress.ip-permission.protocol",
    "egress.ip-permission.to-port",
    "egress.ip-permission.user-id",
    "group-id",
    "group-name",
    "ip-permission.cidr",
    "ip-permission.from-port",
    "ip-permission.group-id",
    "ip-permission.group-name",
    "ip-permission.ipv6-cidr",
    "ip-permission.prefix-list-id",
    "ip-permission.protocol",
    "ip-permission.to-port",
    "ip-permission.user-id",
    "owner-id",
    "vpc-id",
];

/// Describes security groups.
///
/// # Errors
/// An ID or name doesn't exist, a filter is unknown, or the page can't be.
pub fn describe_security_groups(
    state: &State,
    request: &Request,
    input: api::DescribeSecurityGroupsRequest,
) -> Result<api::DescribeSecurityGroupsResult, Fault> {
    let api::DescribeSecurityGroupsRequest {
        group_ids,
        group_names,
        next_token,
        max_results,
        dry_run: _,
        filters,
    } = input;
    let mut ids = group_ids.unwrap_or_default();
    for name in group_names.unwrap_or_default() {
        ids.push(in_default_vpc(state, &request.scope, &name)?.id.to_string());
    }
    let ids = Some(ids);
    let query = Query { ids, filters, names: FILTERS, max_results, range: PAGE, next_token };
    let (rows, next_token) =
        describe::<SecurityGroup>(state, &request.scope, query, |group, name, wanted| {
            holds(state, group, name, wanted)
        })?;
    let security_groups = Some(rows.iter().map(|group| group.to_api()).collect());
    Ok(api::DescribeSecurityGroupsResult { next_token, security_groups })
}

fn holds(state: &State, group: &SecurityGroup, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "description" => wanted.is(&group.description),
        "group-id" => wanted.is(group.id),
        "group-name" => wanted.is(&group.name),
        "owner-id" => wanted.is(group.scope.account),
        "vpc-id" => wanted.is(group.vpc),
        name => {
            let (egress, name) = match name.strip_prefix("egress.") {
                Some(name) => (true, name),
                None => (false, name),
            };
            let mut rules = group.rules.iter().filter(|rule| rule.egress == egress);
            rules.any(|rule| rule_holds(state, rule, name, wanted))
        }
    }
}

fn rule_holds(state: &State, rule: &Rule, name: &str, wanted: Wanted<'_>) -> bool {
    match (name, rule.peer) {
        ("ip-permission.cidr", Peer::Cidr(IpNet::V4(block))) => wanted.is(block),
        ("ip-permission.ipv6-cidr", Peer::Cidr(IpNet::V6(block))) => wanted.is(block),
        ("ip-permission.group-id", Peer::Group(group, _)) => wanted.is(group),
        ("ip-permission.group-name", Peer::Group(group, _)) => {
            wanted.any(state.get::<SecurityGroup>(&group).map(|group| &group.name))
        }
        ("ip-permission.user-id", Peer::Group(_, account)) => wanted.is(account),
        ("ip-permission.from-port", _) => wanted.any(rule.ports().0),
        ("ip-permission.to-port", _) => wanted.any(rule.ports().1),
        ("ip-permission.protocol", _) => wanted.is(rule.protocol),
        (_, _) => false,
    }
}

fn create(tx: &mut Tx, vpc: &Vpc, name: String, description: String, tags: Tags) -> SecurityGroup {
    let mut rules = vec![Spec::all(Peer::Cidr(EVERYWHERE)).into_rule(tx, true, Tags::new())];
    if !vpc.ipv6_cidrs.is_empty() {
        let out = Spec::all(Peer::Cidr(EVERYWHERE_IPV6));
        rules.push(out.into_rule(tx, true, Tags::new()));
    }
    let group = SecurityGroup {
        id: tx.new_id(),
        scope: vpc.scope.clone(),
        vpc: vpc.id,
        name,
        description,
        rules,
        tags,
    };
    tx.put(group.clone());
    group
}

/// Makes a VPC's default group, whose members reach one another.
pub(super) fn create_default(tx: &mut Tx, vpc: &Vpc) {
    let description = "default VPC security group".to_owned();
    let mut group = create(tx, vpc, DEFAULT.to_owned(), description, Tags::new());
    let own = Spec::all(Peer::Group(group.id, vpc.scope.account));
    group.rules.insert(0, own.into_rule(tx, false, Tags::new()));
    tx.put(group);
}

/// Lets IPv6 out of a VPC's default group, if its owner has left what goes out as it was made.
pub(super) fn allow_ipv6(tx: &mut Tx, vpc: VpcId) {
    let Some(group) = by_name(tx, vpc, DEFAULT).cloned() else { return };
    let everything = |rule: &Rule| {
        let same = rule.spec().traffic() == Spec::all(Peer::Cidr(EVERYWHERE)).traffic();
        same && rule.description.is_none()
    };
    let mut out = group.rules.iter().filter(|rule| rule.egress);
    if out.next().is_some_and(everything) && out.next().is_none() {
        let rule = Spec::all(Peer::Cidr(EVERYWHERE_IPV6)).into_rule(tx, true, Tags::new());
        tx.update::<SecurityGroup>(&group.id, |group| group.rules.push(rule));
    }
}

/// The security groups that a call names for interfaces of a VPC; its default group if it names
/// none.
///
/// # Errors
/// One doesn't exist or is of another VPC, or they are too many.
pub fn resolve(
    state: &State,
    scope: &Scope,
    vpc: VpcId,
    ids: &[String],
    names: &[String],
) -> Result<Vec<SecurityGroupId>, Fault> {
    let mut groups = Vec::new();
    for id in ids {
        let group = find::<SecurityGroup>(state, scope, id)?;
        if group.vpc != vpc {
            return Err(errors::group_of_other_vpc(group.id, vpc));
        }
        groups.push(group.id);
    }
    for name in names {
        let group = by_name(state, vpc, name);
        groups.push(group.ok_or_else(|| errors::group_name_not_found(name, vpc))?.id);
    }
    if groups.is_empty() {
        groups.extend(by_name(state, vpc, DEFAULT).map(|group| group.id));
    }
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|group| seen.insert(*group));
    if groups.len() > MAX_GROUPS_PER_INTERFACE {
        return Err(errors::groups_per_interface_limit());
    }
    Ok(groups)
}

/// The groups' IDs and names, as answers about interfaces and instances have them.
#[must_use]
pub fn identifiers(state: &State, groups: &[SecurityGroupId]) -> Vec<api::GroupIdentifier> {
    let identifier = |id: &SecurityGroupId| api::GroupIdentifier {
        group_id: Some(id.to_string()),
        group_name: state.get::<SecurityGroup>(id).map(|group| group.name.clone()),
    };
    groups.iter().map(identifier).collect()
}

fn by_name<'a>(state: &'a State, vpc: VpcId, name: &str) -> Option<&'a Arc<SecurityGroup>> {
    state.find::<SecurityGroup>("vpc", vpc).find(|group| group.name == name)
}

/// A group by name, which AWS takes in the default VPC only.
fn in_default_vpc(state: &State, scope: &Scope, name: &str) -> Result<Arc<SecurityGroup>, Fault> {
    let vpc = vpcs::default_of(state, scope).ok_or_else(errors::no_default_vpc_for_name)?;
    let group = by_name(state, vpc.id, name).cloned();
    group.ok_or_else(|| errors::group_name_not_found(name, vpc.id))
}

/// The group that a call names by ID, or by name in the default VPC.
fn named(
    state: &State,
    scope: &Scope,
    id: Option<String>,
    name: Option<String>,
) -> Result<Arc<SecurityGroup>, Fault> {
    match (id, name) {
        (Some(id), None) => find::<SecurityGroup>(state, scope, &id),
        (None, Some(name)) => in_default_vpc(state, scope, &name),
        (Some(_), Some(_)) => Err(errors::exclusive("GroupId", "GroupName")),
        (None, None) => Err(errors::missing("GroupId")),
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    check_text(name, "GroupName")?;
    if name.is_empty() {
        return Err(errors::missing("GroupName"));
    }
    if name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("sg-")) {
        let why = "Group names may not be in the format sg-*.";
        return Err(errors::invalid_value(name, "GroupName", why));
    }
    if name == DEFAULT {
        let why = "Cannot use reserved security group name: default";
        return Err(errors::invalid_parameter_value(why));
    }
    Ok(())
}

fn check_text(text: &str, parameter: &str) -> Result<(), Fault> {
    if !text.is_ascii() {
        let why = "Character sets beyond ASCII are not supported.";
        return Err(errors::invalid_value(text, parameter, why));
    }
    if text.len() > MAX_TEXT || !text.bytes().all(is_allowed) {
        let why = "Valid values are strings less than 256 characters from the following set:  \
                   a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*";
        return Err(errors::invalid_value(text, parameter, why));
    }
    Ok(())
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b". _-:/()#,@[]+=&;{}!$*".contains(&byte)
}

impl SecurityGroup {
    /// Whether it is its VPC's default group.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.name == DEFAULT
    }

    fn arn(&self) -> String {
        arn(&self.scope, "security-group", self.id)
    }

    fn to_api(&self) -> api::SecurityGroup {
        api::SecurityGroup {
            group_id: Some(self.id.to_string()),
            ip_permissions_egress: Some(permissions::to_api(&self.rules, true)),
            tags: tags::if_any(&self.tags),
            vpc_id: Some(self.vpc.to_string()),
            security_group_arn: Some(self.arn()),
            owner_id: Some(self.scope.account.to_string()),
            group_name: Some(self.name.clone()),
            description: Some(self.description.clone()),
            ip_permissions: Some(permissions::to_api(&self.rules, false)),
        }
    }
}
