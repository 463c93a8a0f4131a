//! DHCP option sets.

use super::{
    describe::{PAGE, Query, describe},
    vpcs::Vpc,
};
use crate::{
    errors,
    filters::Wanted,
    resource::{Resource, find},
    tags,
};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{Fault, ec2 as api, ec2::ResourceType};
use state::{Row, State, Tx};
use std::net::Ipv4Addr;
use types::{DhcpOptionsId, Scope, Tags};

/// AWS's quota of option sets in a region.
const MAX_SETS: usize = 100;
/// How many servers an option may name.
const MAX_SERVERS: usize = 4;
/// The longest domain name, which is all that an option of DHCP has room for.
const MAX_DOMAIN: usize = 255;

/// What stands for the VPC's resolver in `domain-name-servers`.
pub const AMAZON_PROVIDED_DNS: &str = "AmazonProvidedDNS";

/// A DHCP option set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DhcpOptions {
    pub id: DhcpOptionsId,
    pub scope: Scope,
    /// Options by name, such as `domain-name-servers`, with their values.
    pub options: Vec<(String, Vec<String>)>,
    pub tags: Tags,
}

impl Row for DhcpOptions {
    const TABLE: &'static str = "dhcp-options";
    type Key = DhcpOptionsId;
    fn key(&self) -> DhcpOptionsId {
        self.id
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
}

impl Resource for DhcpOptions {
    const TYPE: ResourceType = ResourceType::DhcpOptions;
    const NOUN: &'static str = "dhcpOption ID";
    const CODE: &'static str = "InvalidDhcpOptionID";
    const MALFORMED: &'static str = "InvalidDhcpOptionsId";
    fn tags(&self) -> &Tags {
        &self.tags
    }
    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// Makes a DHCP option set.
///
/// # Errors
/// An option is unknown, comes twice or has a value that can't be, or there are too many sets.
pub fn create_dhcp_options(
    tx: &mut Tx,
    request: &Request,
    input: api::CreateDhcpOptionsRequest,
) -> Result<api::CreateDhcpOptionsResult, Fault> {
    let api::CreateDhcpOptionsRequest { dhcp_configurations, tag_specifications, dry_run: _ } =
        input;
    let given = dhcp_configurations.unwrap_or_default();
    if given.is_empty() {
        return Err(errors::missing("dhcpConfiguration"));
    }
    let mut options = Vec::<(String, Vec<String>)>::new();
    for api::NewDhcpConfiguration { key, values } in given {
        let key = key.ok_or_else(|| errors::missing("key"))?;
        let values = values.unwrap_or_default();
        check(&key, &values)?;
        if options.iter().any(|(other, _)| *other == key) {
            return Err(errors::duplicate_dhcp_option(key));
        }
        options.push((key, values));
    }
    // As AWS lists them, in the order of their names.
    options.sort();
    let scope = &request.scope;
    let tags = tags::from_specifications(tag_specifications, ResourceType::DhcpOptions)?;
    if tx.count_in_scope::<DhcpOptions>(scope) >= MAX_SETS {
        return Err(errors::dhcp_options_limit());
    }
    let set = DhcpOptions { id: tx.new_id(), scope: scope.clone(), options, tags };
    let dhcp_options = Some(set.to_api());
    tx.put(set);
    Ok(api::CreateDhcpOptionsResult { dhcp_options })
}

/// Checks an option's values.
fn check(key: &str, values: &[String]) -> Result<(), Fault> {
    let is_address = |value: &String| value.parse::<Ipv4Addr>().is_ok();
    let servers = (1..=MAX_SERVERS).contains(&values.len());
    let valid = match key {
        "domain-name-servers" => {
            servers && values.iter().all(|value| value == AMAZON_PROVIDED_DNS || is_address(value))
        }
        "ntp-servers" | "netbios-name-servers" => servers && values.iter().all(is_address),
        "domain-name" => matches!(values, [name] if is_domain(name)),
        "netbios-node-type" => {
            matches!(values, [kind] if ["1", "2", "4", "8"].contains(&kind.as_str()))
        }
        "ipv6-address-preferred-lease-time" => return Err(errors::unsupported(key)),
        _ => return Err(errors::unknown_dhcp_option(key)),
    };
    if valid { Ok(()) } else { Err(errors::dhcp_option_value(values.join(", "), key)) }
}

/// A domain's name, or several with blanks between them, which Linux takes for its search list.
fn is_domain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte);
    (1..=MAX_DOMAIN).contains(&text.len()) && text.bytes().all(allowed)
}

/// Deletes a DHCP option set.
///
/// # Errors
/// It doesn't exist, or a VPC has it.
pub fn delete_dhcp_options(
    tx: &mut Tx,
    request: &Request,
    input: api::DeleteDhcpOptionsRequest,
) -> Result<api::DeleteDhcpOptionsResponse, Fault> {
    let api::DeleteDhcpOptionsRequest { dhcp_options_id, dry_run: _ } = input;
    let id = dhcp_options_id.ok_or_else(|| errors::missing("dhcpOptionsId"))?;
    let set = find::<DhcpOptions>(tx, &request.scope, &id)?;
    if tx.in_scope::<Vpc>(&request.scope).any(|vpc| vpc.dhcp_options == Some(set.id)) {
        return Err(errors::dependency("dhcpOptions", id));
    }
    tx.delete::<DhcpOptions>(&set.id);
    Ok(api::DeleteDhcpOptionsResponse {})
}

/// Gives a VPC an option set, or with `default` none. Guests hear of it when they renew their lease.
///
/// # Errors
/// The VPC or the option set doesn't exist.
pub fn associate_dhcp_options(
    tx: &mut Tx,
    request: &Request,
    input: api::AssociateDhcpOptionsRequest,
) -> Result<api::AssociateDhcpOptionsResponse, Fault> {
    let api::AssociateDhcpOptionsRequest { dhcp_options_id, vpc_id, dry_run: _ } = input;
    let options = dhcp_options_id.ok_or_else(|| errors::missing("dhcpOptionsId"))?;
    let vpc = vpc_id.ok_or_else(|| errors::missing("vpcId"))?;
    let vpc = find::<Vpc>(tx, &request.scope, &vpc)?.id;
    let set = match options.as_str() {
        "default" => None,
        id => Some(find::<DhcpOptions>(tx, &request.scope, id)?.id),
    };
    tx.update::<Vpc>(&vpc, |vpc| vpc.dhcp_options = set);
    Ok(api::AssociateDhcpOptionsResponse {})
}

const FILTERS: &[&str] = &["dhcp-options-id", "key", "value", "owner-id"];

/// Describes DHCP option sets.
///
/// # Errors
/// An ID doesn't exist, a filter is unknown, or the page can't be.
pub fn describe_dhcp_options(
    state: &State,
    request: &Request,
    input: api::DescribeDhcpOptionsRequest,
) -> Result<api::DescribeDhcpOptionsResult, Fault> {
    let api::DescribeDhcpOptionsRequest {
        dhcp_options_ids: ids,
        next_token,
        max_results,
        dry_run: _,
        filters,
    } = input;
    let query = Query { ids, filters, names: FILTERS, max_results, range: PAGE, next_token };
    let (rows, next_token) = describe::<DhcpOptions>(state, &request.scope, query, holds)?;
    let dhcp_options = Some(rows.iter().map(|set| set.to_api()).collect());
    Ok(api::DescribeDhcpOptionsResult { next_token, dhcp_options })
}

fn holds(set: &DhcpOptions, name: &str, wanted: Wanted<'_>) -> bool {
    match name {
        "dhcp-options-id" => wanted.is(set.id),
        "key" => wanted.any(set.options.iter().map(|(key, _)| key)),
        "value" => wanted.any(set.options.iter().flat_map(|(_, values)| values)),
        "owner-id" => wanted.is(set.scope.account),
        _ => false,
    }
}

/// The option set that new VPCs have: AWS's resolver and the region's domain.
pub(super) fn ensure_default(tx: &mut Tx, scope: &Scope) -> DhcpOptionsId {
    let options = vec![
        ("domain-name".to_owned(), vec![scope.region.private_domain()]),
        ("domain-name-servers".to_owned(), vec![AMAZON_PROVIDED_DNS.to_owned()]),
    ];
    if let Some(set) = tx.in_scope::<DhcpOptions>(scope).find(|set| set.options == options) {
        return set.id;
    }
    let id = tx.new_id();
    tx.put(DhcpOptions { id, scope: scope.clone(), options, tags: Tags::new() });
    id
}

impl DhcpOptions {
    /// The values of one option.
    #[must_use]
    pub fn values(&self, name: &str) -> &[String] {
        let option = self.options.iter().find(|(key, _)| key == name);
        option.map_or(&[], |(_, values)| values)
    }

    fn to_api(&self) -> api::DhcpOptions {
        let value = |value: &String| api::AttributeValue { value: Some(value.clone()) };
        let option = |(key, values): &(String, Vec<String>)| api::DhcpConfiguration {
            key: Some(key.clone()),
            values: Some(values.iter().map(value).collect()),
        };
        api::DhcpOptions {
            owner_id: Some(self.scope.account.to_string()),
            tags: tags::to_api(&self.tags),
            dhcp_options_id: Some(self.id.to_string()),
            dhcp_configurations: Some(self.options.iter().map(option).collect()),
        }
    }
}
