//! Rules of security groups: what is let in, and what out.

use super::{
    Peer, Rule, SecurityGroup, named,
    permissions::{self, Flat, Spec},
};
use crate::{
    errors,
    filters::Filters,
    page::page,
    tags,
    vpc::{
        describe::{PAGE, arn},
        vpcs::Vpc,
    },
};
use iam::Request;
use shapes::{Fault, ec2 as api, ec2::ResourceType};
use state::{State, Tx};
use std::sync::Arc;
use types::{IdError, IpNet, Scope, SecurityGroupRuleId, Tags};

/// AWS's quota of a group's rules in one direction and one family of addresses.
const MAX_RULES: usize = 60;

/// Adds rules about what comes in.
///
/// # Errors
/// The group doesn't exist, or a rule can't be, exists, or is one too many.
pub fn authorize_security_group_ingress(
    tx: &mut Tx,
    request: &Request,
    input: api::AuthorizeSecurityGroupIngressRequest,
) -> Result<api::AuthorizeSecurityGroupIngressResult, Fault> {
    let api::AuthorizeSecurityGroupIngressRequest {
        cidr_ip,
        from_port,
        group_id,
        group_name,
        ip_permissions,
        ip_protocol,
        source_security_group_name,
        source_security_group_owner_id,
        to_port,
        tag_specifications,
        dry_run: _,
    } = input;
    let flat = Flat {
        protocol: ip_protocol,
        from: from_port,
        to: to_port,
        cidr: cidr_ip,
        source_group: source_security_group_name,
        source_owner: source_security_group_owner_id,
    };
    let group = named(tx, &request.scope, group_id, group_name)?;
    let tags = tags::from_specifications(tag_specifications, ResourceType::SecurityGroupRule)?;
    let specs = permissions::from_call(tx, &group, ip_permissions, flat)?;
    let rules = authorize(tx, &group, false, specs, &tags)?;
    Ok(api::AuthorizeSecurityGroupIngressResult {
        r#return: Some(true),
        security_group_rules: Some(rules),
    })
}

/// Adds rules about what goes out.
///
/// # Errors
/// As [`authorize_security_group_ingress`].
pub fn authorize_security_group_egress(
    tx: &mut Tx,
    request: &Request,
    input: api::AuthorizeSecurityGroupEgressRequest,
) -> Result<api::AuthorizeSecurityGroupEgressResult, Fault> {
    let api::AuthorizeSecurityGroupEgressRequest {
        tag_specifications,
        dry_run: _,
        group_id,
        source_security_group_name,
        source_security_group_owner_id,
        ip_protocol,
        from_port,
        to_port,
        cidr_ip,
        ip_permissions,
    } = input;
    errors::refuse(&[
        ("SourceSecurityGroupName", source_security_group_name.is_some()),
        ("SourceSecurityGroupOwnerId", source_security_group_owner_id.is_some()),
    ])?;
    let (protocol, from, to, cidr) = (ip_protocol, from_port, to_port, cidr_ip);
    let flat = Flat { protocol, from, to, cidr, ..Flat::default() };
    let group = named(tx, &request.scope, group_id, None)?;
    let tags = tags::from_specifications(tag_specifications, ResourceType::SecurityGroupRule)?;
    let specs = permissions::from_call(tx, &group, ip_permissions, flat)?;
    let rules = authorize(tx, &group, true, specs, &tags)?;
    Ok(api::AuthorizeSecurityGroupEgressResult {
        r#return: Some(true),
        security_group_rules: Some(rules),
    })
}

/// Describes rules.
///
/// # Errors
/// An ID doesn't exist, a filter is unknown, or the page can't be.
pub fn describe_security_group_rules(
    state: &State,
    request: &Request,
    input: api::DescribeSecurityGroupRulesRequest,
) -> Result<api::DescribeSecurityGroupRulesResult, Fault> {
    let api::DescribeSecurityGroupRulesRequest {
        filters,
        security_group_rule_ids,
        dry_run: _,
        next_token,
        max_results,
    } = input;
    let filters = Filters::new(filters, &["group-id", "security-group-rule-id"])?;
    let ids = security_group_rule_ids.unwrap_or_default();
    let mut rules = Vec::new();
    for group in state.in_scope::<SecurityGroup>(&request.scope) {
        rules.extend(group.rules.iter().map(|rule| (group, rule)));
    }
    if !ids.is_empty() {
        let ids = ids.iter().map(|id| rule_id(id)).collect::<Result<Vec<_>, _>>()?;
        if let Some(id) = ids.iter().find(|id| !rules.iter().any(|(_, rule)| rule.id == **id)) {
            return Err(errors::rule_id_not_found(id));
        }
        rules.retain(|(_, rule)| ids.contains(&rule.id));
    }
    rules.retain(|(group, rule)| {
        filters.accept(&rule.tags, |name, wanted| match name {
            "group-id" => wanted.is(group.id),
            "security-group-rule-id" => wanted.is(rule.id),
            _ => false,
        })
    });
    rules.sort_by_key(|(_, rule)| rule.id);
    let key = |(_, rule): &(&Arc<SecurityGroup>, &Rule)| rule.id.to_string();
    let (rules, next_token) = page(rules, key, max_results, PAGE, next_token.as_deref())?;
    let rules = rules.into_iter().map(|(group, rule)| rule.to_api(group)).collect();
    Ok(api::DescribeSecurityGroupRulesResult { security_group_rules: Some(rules), next_token })
}

/// Changes rules, keeping their IDs.
///
/// # Errors
/// The group or a rule doesn't exist, or a rule can't be so.
pub fn modify_security_group_rules(
    tx: &mut Tx,
    request: &Request,
    input: api::ModifySecurityGroupRulesRequest,
) -> Result<api::ModifySecurityGroupRulesResult, Fault> {
    let api::ModifySecurityGroupRulesRequest { group_id, security_group_rules, dry_run: _ } = input;
    let group = named(tx, &request.scope, group_id, None)?;
    let updates = security_group_rules.unwrap_or_default();
    if updates.is_empty() {
        return Err(errors::missing("SecurityGroupRules"));
    }
    let mut changed = SecurityGroup::clone(&group);
    for api::SecurityGroupRuleUpdate { security_group_rule_id, security_group_rule } in updates {
        let id = security_group_rule_id.ok_or_else(|| errors::missing("SecurityGroupRuleId"))?;
        let rule = security_group_rule.ok_or_else(|| errors::missing("SecurityGroupRule"))?;
        let number = rule_id(&id)?;
        let at = changed.rules.iter().position(|rule| rule.id == number);
        let at = at.ok_or_else(|| errors::rule_id_not_found(&id))?;
        let Spec { protocol, from, to, peer, description } =
            permissions::from_rule_request(tx, &group, rule)?;
        let rule = &mut changed.rules[at];
        (rule.protocol, rule.from, rule.to) = (protocol, from, to);
        (rule.peer, rule.description) = (peer, description);
    }
    for (at, rule) in changed.rules.iter().enumerate() {
        let same = |other: &Rule| {
            other.egress == rule.egress && other.spec().traffic() == rule.spec().traffic()
        };
        if changed.rules[..at].iter().any(same) {
            return Err(errors::rule_exists(rule.spec()));
        }
    }
    check_quota(&changed.rules)?;
    tx.put(changed);
    Ok(api::ModifySecurityGroupRulesResult { r#return: Some(true) })
}

/// Takes rules about what comes in away.
///
/// # Errors
/// The group or a rule doesn't exist.
pub fn revoke_security_group_ingress(
    tx: &mut Tx,
    request: &Request,
    input: api::RevokeSecurityGroupIngressRequest,
) -> Result<api::RevokeSecurityGroupIngressResult, Fault> {
    let api::RevokeSecurityGroupIngressRequest {
        cidr_ip,
        from_port,
        group_id,
        group_name,
        ip_permissions,
        ip_protocol,
        source_security_group_name,
        source_security_group_owner_id,
        to_port,
        security_group_rule_ids,
        dry_run: _,
    } = input;
    let flat = Flat {
        protocol: ip_protocol,
        from: from_port,
        to: to_port,
        cidr: cidr_ip,
        source_group: source_security_group_name,
        source_owner: source_security_group_owner_id,
    };
    let group = named(tx, &request.scope, group_id, group_name)?;
    let specs = permissions::from_call(tx, &group, ip_permissions, flat)?;
    let (revoked, unknown) = revoke(tx, &group, false, specs, security_group_rule_ids)?;
    Ok(api::RevokeSecurityGroupIngressResult {
        r#return: Some(true),
        unknown_ip_permissions: unknown,
        revoked_security_group_rules: Some(revoked),
    })
}

/// Takes rules about what goes out away.
///
/// # Errors
/// The group or a rule doesn't exist.
pub fn revoke_security_group_egress(
    tx: &mut Tx,
    request: &Request,
    input: api::RevokeSecurityGroupEgressRequest,
) -> Result<api::RevokeSecurityGroupEgressResult, Fault> {
    let api::RevokeSecurityGroupEgressRequest {
        security_group_rule_ids,
        dry_run: _,
        group_id,
        source_security_group_name,
        source_security_group_owner_id,
        ip_protocol,
        from_port,
        to_port,
        cidr_ip,
        ip_permissions,
    } = input;
    errors::refuse(&[
        ("SourceSecurityGroupName", source_security_group_name.is_some()),
        ("SourceSecurityGroupOwnerId", source_security_group_owner_id.is_some()),
    ])?;
    let (protocol, from, to, cidr) = (ip_protocol, from_port, to_port, cidr_ip);
    let flat = Flat { protocol, from, to, cidr, ..Flat::default() };
    let group = named(tx, &request.scope, group_id, None)?;
    let specs = permissions::from_call(tx, &group, ip_permissions, flat)?;
    let (revoked, unknown) = revoke(tx, &group, true, specs, security_group_rule_ids)?;
    Ok(api::RevokeSecurityGroupEgressResult {
        r#return: Some(true),
        unknown_ip_permissions: unknown,
        revoked_security_group_rules: Some(revoked),
    })
}

fn authorize(
    tx: &mut Tx,
    group: &Arc<SecurityGroup>,
    egress: bool,
    specs: Vec<Spec>,
    tags: &Tags,
) -> Result<Vec<api::SecurityGroupRule>, Fault> {
    if specs.is_empty() {
        return Err(errors::missing("ipPermissions"));
    }
    let mut changed = SecurityGroup::clone(group);
    let mut made = Vec::new();
    for spec in specs {
        let same = |rule: &Rule| rule.egress == egress && rule.spec().traffic() == spec.traffic();
        if changed.rules.iter().any(same) {
            return Err(errors::rule_exists(spec));
        }
        let rule = spec.into_rule(tx, egress, tags.clone());
        made.push(rule.to_api(group));
        changed.rules.push(rule);
    }
    check_quota(&changed.rules)?;
    tx.put(changed);
    Ok(made)
}

type Revoked = (Vec<api::RevokedSecurityGroupRule>, Option<Vec<api::IpPermission>>);

fn revoke(
    tx: &mut Tx,
    group: &Arc<SecurityGroup>,
    egress: bool,
    specs: Vec<Spec>,
    ids: Option<Vec<String>>,
) -> Result<Revoked, Fault> {
    let ids = ids.unwrap_or_default();
    match (specs.is_empty(), ids.is_empty()) {
        (true, true) => return Err(errors::either("ipPermissions", "securityGroupRuleIds")),
        (false, false) => return Err(errors::exclusive("ipPermissions", "securityGroupRuleIds")),
        (_, _) => {}
    }
    let own = |rule: &&Rule| rule.egress == egress;
    let mut going = Vec::new();
    for id in &ids {
        let number = rule_id(id)?;
        let rule = group.rules.iter().filter(own).find(|rule| rule.id == number);
        going.push(rule.ok_or_else(|| errors::rule_id_not_found(id))?.id);
    }
    let mut unknown = Vec::new();
    for spec in specs {
        let mut rules = group.rules.iter().filter(own);
        match rules.find(|rule| rule.spec().traffic() == spec.traffic()) {
            Some(rule) => going.push(rule.id),
            None => unknown.push(spec),
        }
    }
    // AWS forgives unknown rules in the default VPC only.
    let forgives = tx.get::<Vpc>(&group.vpc).is_some_and(|vpc| vpc.is_default);
    if !unknown.is_empty() && !forgives {
        return Err(errors::rule_not_found());
    }
    let gone = group.rules.iter().filter(|rule| going.contains(&rule.id));
    let revoked = gone.map(|rule| rule.to_revoked(group)).collect();
    tx.update::<SecurityGroup>(&group.id, |group| {
        group.rules.retain(|rule| !going.contains(&rule.id));
    });
    let unknown = (!unknown.is_empty()).then(|| permissions::unknown_to_api(unknown, tx));
    Ok((revoked, unknown))
}

fn check_quota(rules: &[Rule]) -> Result<(), Fault> {
    for egress in [false, true] {
        let (mut v4, mut v6) = (0, 0);
        for rule in rules.iter().filter(|rule| rule.egress == egress) {
            let (in_v4, in_v6) = permissions::families(rule.peer);
            v4 += usize::from(in_v4);
            v6 += usize::from(in_v6);
        }
        if v4 > MAX_RULES || v6 > MAX_RULES {
            return Err(errors::rule_limit());
        }
    }
    Ok(())
}

pub(super) fn rule_id(text: &str) -> Result<SecurityGroupRuleId, Fault> {
    text.parse().map_err(|error| match error {
        IdError::Malformed => errors::rule_id_malformed(text),
        IdError::Foreign => errors::rule_id_not_found(text),
    })
}

/// The group that a rule is a part of: its row keeps the rule's tags.
///
/// # Errors
/// There is no such rule.
pub fn find_rule(
    state: &State,
    scope: &Scope,
    id: &str,
) -> Result<(Arc<SecurityGroup>, SecurityGroupRuleId), Fault> {
    let number = rule_id(id)?;
    let mut groups = state.find::<SecurityGroup>("rule", number);
    let group = groups.find(|group| group.scope == *scope).cloned();
    Ok((group.ok_or_else(|| errors::rule_id_not_found(id))?, number))
}

impl Rule {
    fn peer_to_api(&self) -> (Option<String>, Option<String>) {
        match self.peer {
            Peer::Cidr(IpNet::V4(block)) => (Some(block.to_string()), None),
            Peer::Cidr(IpNet::V6(block)) => (None, Some(block.to_string())),
            Peer::Group(_, _) => (None, None),
        }
    }

    pub(super) fn to_api(&self, group: &SecurityGroup) -> api::SecurityGroupRule {
        let (from, to) = self.ports();
        let (cidr_ipv4, cidr_ipv6) = self.peer_to_api();
        let referenced_group_info = match self.peer {
            Peer::Cidr(_) => None,
            Peer::Group(id, account) => Some(api::ReferencedSecurityGroup {
                group_id: Some(id.to_string()),
                user_id: Some(account.to_string()),
                ..Default::default()
            }),
        };
        api::SecurityGroupRule {
            security_group_rule_id: Some(self.id.to_string()),
            group_id: Some(group.id.to_string()),
            group_owner_id: Some(group.scope.account.to_string()),
            is_egress: Some(self.egress),
            ip_protocol: Some(self.protocol.to_string()),
            from_port: Some(from.unwrap_or(-1)),
            to_port: Some(to.unwrap_or(-1)),
            cidr_ipv4,
            cidr_ipv6,
            prefix_list_id: None,
            referenced_group_info,
            description: self.description.clone(),
            tags: tags::to_api(&self.tags),
            security_group_rule_arn: Some(arn(&group.scope, "security-group-rule", self.id)),
        }
    }

    fn to_revoked(&self, group: &SecurityGroup) -> api::RevokedSecurityGroupRule {
        let (from, to) = self.ports();
        let (cidr_ipv4, cidr_ipv6) = self.peer_to_api();
        let referenced_group_id = match self.peer {
            Peer::Cidr(_) => None,
            Peer::Group(id, _) => Some(id.to_string()),
        };
        api::RevokedSecurityGroupRule {
            security_group_rule_id: Some(self.id.to_string()),
            group_id: Some(group.id.to_string()),
            is_egress: Some(self.egress),
            ip_protocol: Some(self.protocol.to_string()),
            from_port: Some(from.unwrap_or(-1)),
            to_port: Some(to.unwrap_or(-1)),
            cidr_ipv4,
            cidr_ipv6,
            prefix_list_id: None,
            referenced_group_id,
            description: self.description.clone(),
        }
    }
}
