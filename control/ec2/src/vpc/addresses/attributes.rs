//! The domain name of an Elastic IP address: what its reverse lookup says.

use super::Address;
use crate::{
    errors,
    page::page,
    resource::{find, select},
};
use iam::Request;
use shapes::{Fault, ec2 as api};
use state::{State, Tx};
use std::sync::Arc;

/// DNS's limits of a name and of its labels.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// Describes the domain names of addresses.
///
/// # Errors
/// An ID doesn't exist, or the page can't be.
pub fn describe_addresses_attribute(
    state: &State,
    request: &Request,
    input: api::DescribeAddressesAttributeRequest,
) -> Result<api::DescribeAddressesAttributeResult, Fault> {
    let api::DescribeAddressesAttributeRequest {
        allocation_ids,
        attribute: _, // There is one.
        next_token,
        max_results,
        dry_run: _,
    } = input;
    let mut rows = select::<Address>(state, &request.scope, allocation_ids.as_deref())?;
    rows.sort_by_key(|row| row.id);
    let key = |row: &Arc<Address>| row.id.to_string();
    let (rows, next_token) = page(rows, key, max_results, 1..=1000, next_token.as_deref())?;
    let addresses = Some(rows.iter().map(|row| row.attribute_to_api()).collect());
    Ok(api::DescribeAddressesAttributeResult { addresses, next_token })
}

/// Gives an address a domain name.
///
/// # Errors
/// The address doesn't exist, or the name can't be.
pub fn modify_address_attribute(
    tx: &mut Tx,
    request: &Request,
    input: api::ModifyAddressAttributeRequest,
) -> Result<api::ModifyAddressAttributeResult, Fault> {
    let api::ModifyAddressAttributeRequest { allocation_id, domain_name, dry_run: _ } = input;
    let id = allocation_id.ok_or_else(|| errors::missing("AllocationId"))?;
    let name = domain_name.ok_or_else(|| errors::missing("DomainName"))?;
    let address = find::<Address>(tx, &request.scope, &id)?;
    if !is_name(name.trim_end_matches('.')) {
        return Err(errors::invalid_value(&name, "domainName", "It is no domain name."));
    }
    let mut changed = Address::clone(&address);
    changed.domain_name = Some(format!("{}.", name.trim_end_matches('.')));
    let address = Some(changed.attribute_to_api());
    tx.put(changed);
    Ok(api::ModifyAddressAttributeResult { address })
}

/// Takes an address's domain name away.
///
/// # Errors
/// The address doesn't exist.
pub fn reset_address_attribute(
    tx: &mut Tx,
    request: &Request,
    input: api::ResetAddressAttributeRequest,
) -> Result<api::ResetAddressAttributeResult, Fault> {
    let api::ResetAddressAttributeRequest { allocation_id, attribute, dry_run: _ } = input;
    let id = allocation_id.ok_or_else(|| errors::missing("AllocationId"))?;
    match attribute {
        Some(api::AddressAttributeName::DomainName) => {}
        None => return Err(errors::missing("Attribute")),
    }
    let mut changed = Address::clone(&*find::<Address>(tx, &request.scope, &id)?);
    changed.domain_name = None;
    let address = Some(changed.attribute_to_api());
    tx.put(changed);
    Ok(api::ResetAddressAttributeResult { address })
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= MAX_NAME && name.contains('.') && name.split('.').all(is_label)
}

impl Address {
    fn attribute_to_api(&self) -> api::AddressAttribute {
        api::AddressAttribute {
            public_ip: Some(self.ip.to_string()),
            allocation_id: Some(self.id.to_string()),
            ptr_record: self.domain_name.clone(),
            ptr_record_update: None,
        }
    }
}
