//! What EC2 says of an account as a whole.

use crate::{errors, filters::Filters, page::page, vpc::vpcs::Vpc};
use iam::Request;
use shapes::{
    Fault,
    ec2::{
        AccountAttribute, AccountAttributeValue, DescribeAccountAttributesRequest,
        DescribeAccountAttributesResult, DescribeIamInstanceProfileAssociationsRequest,
        DescribeIamInstanceProfileAssociationsResult, IamInstanceProfileAssociation,
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

/// The instance profiles of the caller's instances: none, as IAM has no profiles yet.
///
/// # Errors
/// An association is named, or a filter or the page is invalid.
pub fn describe_iam_instance_profile_associations(
    _: &State,
    _: &Request,
    input: DescribeIamInstanceProfileAssociationsRequest,
) -> Result<DescribeIamInstanceProfileAssociationsResult, Fault> {
    let DescribeIamInstanceProfileAssociationsRequest {
        association_ids,
        filters,
        max_results,
        next_token,
    } = input;
    Filters::new(filters, &["instance-id", "state"])?;
    if let Some(id) = association_ids.iter().flatten().next() {
        return Err(errors::no_profile_association(id));
    }
    let none = Vec::<IamInstanceProfileAssociation>::new();
    let key = |_: &IamInstanceProfileAssociation| String::new();
    let (rows, next_token) = page(none, key, max_results, 5..=1000, next_token.as_deref())?;
    Ok(DescribeIamInstanceProfileAssociationsResult {
        iam_instance_profile_associations: Some(rows),
        next_token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{filter, request, state};
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

    #[test]
    fn no_profiles() {
        let describe =
            |input| describe_iam_instance_profile_associations(&state(), &request(), input);
        let filters = Some(vec![filter("state", &["associated"])]);
        let input = DescribeIamInstanceProfileAssociationsRequest { filters, ..Default::default() };
        let result = describe(input).unwrap();
        assert_eq!(result.iam_instance_profile_associations, Some(Vec::new()));
        let association_ids = Some(vec!["iip-assoc-0123456789abcdef0".to_owned()]);
        let input =
            DescribeIamInstanceProfileAssociationsRequest { association_ids, ..Default::default() };
        assert_eq!(describe(input).unwrap_err().code, "InvalidAssociationID.NotFound");
    }
}
