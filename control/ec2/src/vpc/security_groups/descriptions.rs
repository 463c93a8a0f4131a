//! Descriptions of rules, which are changed without changing the rules.

use super::{
    SecurityGroup, named,
    permissions::{self, Flat},
    rules::rule_id,
};
use crate::errors;
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::Tx;

/// Changes the descriptions of rules about what comes in.
///
/// # Errors
/// The group or a rule doesn't exist, or a description can't be.
pub fn update_security_group_rule_descriptions_ingress(
    tx: &mut Tx,
    request: &Request,
    input: api::UpdateSecurityGroupRuleDescriptionsIngressRequest,
) -> Result<api::UpdateSecurityGroupRuleDescriptionsIngressResult, Fault> {
    let api::UpdateSecurityGroupRuleDescriptionsIngressRequest {
        dry_run: _,
        group_id,
        group_name,
        ip_permissions,
        security_group_rule_descriptions,
    } = input;
    let group = named(tx, &request.scope, group_id, group_name)?;
    update(tx, &group, false, ip_permissions, security_group_rule_descriptions)?;
    Ok(api::UpdateSecurityGroupRuleDescriptionsIngressResult { r#return: Some(true) })
}

/// Changes the descriptions of rules about what goes out.
///
/// # Errors
/// As [`update_security_group_rule_descriptions_ingress`].
pub fn update_security_group_rule_descriptions_egress(
    tx: &mut Tx,
    request: &Request,
    input: api::UpdateSecurityGroupRuleDescriptionsEgressRequest,
) -> Result<api::UpdateSecurityGroupRuleDescriptionsEgressResult, Fault> {
    let api::UpdateSecurityGroupRuleDescriptionsEgressRequest {
        dry_run: _,
        group_id,
        group_name,
        ip_permissions,
        security_group_rule_descriptions,
    } = input;
    let group = named(tx, &request.scope, group_id, group_name)?;
    update(tx, &group, true, ip_permissions, security_group_rule_descriptions)?;
    Ok(api::UpdateSecurityGroupRuleDescriptionsEgressResult { r#return: Some(true) })
}

/// Rules are named by what they allow, or by their IDs; one without a description loses it.
fn update(
    tx: &mut Tx,
    group: &SecurityGroup,
    egress: bool,
    permissions: Option<Vec<api::IpPermission>>,
    descriptions: Option<Vec<api::SecurityGroupRuleDescription>>,
) -> Result<(), Fault> {
    let descriptions = descriptions.unwrap_or_default();
    let specs = permissions::from_call(tx, group, permissions, Flat::default())?;
    match (specs.is_empty(), descriptions.is_empty()) {
        (true, true) => {
            return Err(errors::either("IpPermissions", "SecurityGroupRuleDescriptions"));
        }
        (false, false) => {
            return Err(errors::exclusive("IpPermissions", "SecurityGroupRuleDescriptions"));
        }
        (true, false) | (false, true) => {}
    }
    let mut changed = group.clone();
    for spec in specs {
        let mut rules = changed.rules.iter_mut().filter(|rule| rule.egress == egress);
        let rule = rules.find(|rule| rule.spec().traffic() == spec.traffic());
        rule.ok_or_else(errors::rule_not_found)?.description = spec.description;
    }
    for api::SecurityGroupRuleDescription { security_group_rule_id, description } in descriptions {
        let id = security_group_rule_id.ok_or_else(|| errors::missing("SecurityGroupRuleId"))?;
        permissions::check_description(description.as_deref())?;
        let number = rule_id(&id)?;
        let mut rules = changed.rules.iter_mut().filter(|rule| rule.egress == egress);
        let rule = rules.find(|rule| rule.id == number);
        rule.ok_or_else(|| errors::rule_id_not_found(&id))?.description = description;
    }
    tx.put(changed);
    Ok(())
}
