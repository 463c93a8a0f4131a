//! What EC2 says of an account as a whole.

use crate::vpc::vpcs::Vpc;
use iam::Request;
use shapes::{
    Fault,
    ec2::{
        AccountAttribute, AccountAttributeValue, DescribeAccountAttributesRequest,
        DescribeAccountAttributesResult,
    },
};
use state::State;

/// The account's attributes, as AWS gives them to a new account.
///
/// # Errors
/// None.
pub fn describe_account_attributes(
    state: &State,
    request: &Request,
    input: DescribeAccountAttributesRequest,
) -> Result<DescribeAccountAttributesResult, Fault> {
    let DescribeAccountAttributesRequest { dry_run: _, attribute_names } = input;
    let names = attribute_names.filter(|names| !names.is_empty());
    let default = state.in_scope::<Vpc>(&request.scope).find(|vpc| vpc.is_default);
    let default = default.map_or_else(|| "none".to_owned(), |vpc| vpc.id.to_string());
    let attributes = [
        ("supported-platforms", "VPC"),
        ("vpc-max-security-groups-per-interface", "5"),
        ("max-elastic-ips", "5"),
        ("max-instances", "20"),
        ("vpc-max-elastic-ips", "5"),
        ("default-vpc", &default),
    ];
    let attributes = attributes.into_iter().filter(|(name, _)| {
        names.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted.as_str() == *name))
    });
    let attributes = attributes.map(|(name, value)| AccountAttribute {
        attribute_name: Some(name.to_owned()),
        attribute_values: Some(vec![AccountAttributeValue {
            attribute_value: Some(value.to_owned()),
        }]),
    });
    Ok(DescribeAccountAttributesResult { account_attributes: Some(attributes.collect()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{request, state};
    use shapes::ec2::AccountAttributeName;

    #[test]
    fn attributes() {
        let describe = |attribute_names| {
            let input = DescribeAccountAttributesRequest { dry_run: None, attribute_names };
            let result = describe_account_attributes(&state(), &request(), input).unwrap();
            result.account_attributes.unwrap()
        };
        assert_eq!(describe(None).len(), 6);
        let found = describe(Some(vec![AccountAttributeName::DefaultVpc]));
        let values = found[0].attribute_values.as_ref().unwrap();
        assert_eq!(values[0].attribute_value.as_deref(), Some("none"));
        assert_eq!(found.len(), 1);
    }
}
