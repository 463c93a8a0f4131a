//! DHCP option sets.

use super::describe::{PAGE, Query, describe};
use crate::{filters::Wanted, resource::Resource, tags};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{Fault, ec2 as api, ec2::ResourceType};
use state::{Row, State, Tx};
use types::{DhcpOptionsId, Scope, Tags};

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
