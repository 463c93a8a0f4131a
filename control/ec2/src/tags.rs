//! Tags as calls give and answer them, with AWS's limits.

use crate::errors;
use shapes::{
    Fault,
    ec2::{ResourceType, Tag, TagSpecification},
};
use std::collections::BTreeMap;
use types::Tags;

/// AWS's limit of tags on one resource.
const MAX_TAGS: usize = 50;
/// AWS's limit of characters in a key.
const MAX_KEY: usize = 128;
/// AWS's limit of characters in a value.
const MAX_VALUE: usize = 256;

/// The tags that a call gives the one type of resource that it makes.
///
/// # Errors
/// A specification is about another type, or its tags are not within AWS's limits.
pub fn from_specifications(
    specifications: Option<Vec<TagSpecification>>,
    resource: ResourceType,
) -> Result<Tags, Fault> {
    let mut by_type = by_resource(specifications, &[resource])?;
    Ok(by_type.remove(&resource).unwrap_or_default())
}

/// The tags that a call gives each of the types of resources that it makes.
///
/// # Errors
/// As [`from_specifications`].
pub fn by_resource(
    specifications: Option<Vec<TagSpecification>>,
    resources: &[ResourceType],
) -> Result<BTreeMap<ResourceType, Tags>, Fault> {
    let mut by_type = BTreeMap::new();
    for TagSpecification { resource_type, tags } in specifications.unwrap_or_default() {
        let resource = resource_type.ok_or_else(|| {
            errors::invalid_parameter_value("Tag specification resource type must have a value")
        })?;
        if !resources.contains(&resource) {
            return Err(errors::not_taggable(resource));
        }
        let tags = tags.unwrap_or_default();
        if tags.is_empty() {
            let why = "Tag specification must have at least one tag";
            return Err(errors::invalid_parameter_value(why));
        }
        if by_type.insert(resource, from_api(tags)?).is_some() {
            return Err(errors::duplicate_tag_specification(resource));
        }
    }
    Ok(by_type)
}

/// Tags of a call, checked.
///
/// # Errors
/// A tag is not within AWS's limits, or a key comes twice.
pub fn from_api(tags: Vec<Tag>) -> Result<Tags, Fault> {
    let mut read = Tags::new();
    for Tag { key, value } in tags {
        let key = key.filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| errors::missing("Tag.Key"))?;
        let value = value.unwrap_or_default();
        check_key(&key)?;
        if value.chars().count() > MAX_VALUE {
            return Err(errors::tag_too_long("value", MAX_VALUE));
        }
        if read.contains_key(&key) {
            return Err(errors::duplicate_tag_key(key));
        }
        read.insert(key, value);
    }
    check_count(&read)?;
    Ok(read)
}

/// Checks that a caller may set or delete a tag with this key.
///
/// # Errors
/// The key is too long, or reserved for AWS.
pub fn check_key(key: &str) -> Result<(), Fault> {
    if key.chars().count() > MAX_KEY {
        return Err(errors::tag_too_long("key", MAX_KEY));
    }
    match key.get(..4) {
        Some(start) if start.eq_ignore_ascii_case("aws:") => Err(errors::reserved_tag_key()),
        Some(_) | None => Ok(()),
    }
}

/// Checks that a resource may have so many tags.
///
/// # Errors
/// They are too many.
pub fn check_count(tags: &Tags) -> Result<(), Fault> {
    if tags.len() > MAX_TAGS { Err(errors::tag_limit()) } else { Ok(()) }
}

/// Tags as answers carry them: a list that is there even if it is empty.
#[must_use]
pub fn to_api(tags: &Tags) -> Option<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    Some(tags.iter().map(tag).collect())
}

/// Tags as those answers carry them that leave out an empty list.
#[must_use]
pub fn if_any(tags: &Tags) -> Option<Vec<Tag>> {
    if tags.is_empty() { None } else { to_api(tags) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) }
    }

    fn vpc(tags: Vec<Tag>) -> TagSpecification {
        TagSpecification { resource_type: Some(ResourceType::Vpc), tags: Some(tags) }
    }

    #[test]
    fn tags_round_trip() {
        let specs = vec![vpc(vec![tag("b", ""), tag("a", "1")])];
        let tags = from_specifications(Some(specs), ResourceType::Vpc).unwrap();
        assert_eq!(to_api(&tags), Some(vec![tag("a", "1"), tag("b", "")]));
        assert_eq!(from_specifications(None, ResourceType::Vpc), Ok(Tags::new()));
    }

    #[test]
    fn limits() {
        let many = (0..51).map(|n| tag(&n.to_string(), "")).collect();
        for (tags, code) in [
            (vec![tag(&"k".repeat(129), "")], "InvalidParameterValue"),
            (vec![tag("k", &"v".repeat(257))], "InvalidParameterValue"),
            (vec![tag("aws:x", "")], "InvalidParameterValue"),
            (vec![tag("a", "1"), tag("a", "2")], "InvalidParameterValue"),
            (vec![tag("", "")], "MissingParameter"),
            (vec![], "InvalidParameterValue"),
            (many, "TagLimitExceeded"),
        ] {
            let fault = from_specifications(Some(vec![vpc(tags)]), ResourceType::Vpc).unwrap_err();
            assert_eq!(fault.code, code, "{}", fault.message);
        }
        let twice = vec![vpc(vec![tag("a", "")]), vpc(vec![tag("b", "")])];
        assert!(from_specifications(Some(twice), ResourceType::Vpc).is_err());
        assert!(from_api(vec![tag(&"é".repeat(128), &"é".repeat(256))]).is_ok());
    }

    #[test]
    fn other_resources_are_refused() {
        let specs = Some(vec![vpc(vec![tag("a", "")])]);
        let fault = from_specifications(specs, ResourceType::Subnet).unwrap_err();
        let message = "'vpc' is not a valid taggable resource type for this operation.";
        assert_eq!(fault.message, message);
    }
}
