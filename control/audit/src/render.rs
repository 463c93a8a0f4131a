//! Inputs and outputs as events show them: members in lower camel case, secrets hidden.
//!
//! Of EC2 an event shows what its oldest API looked like: a list is an object with `items`, and
//! lists of requests have names of their own, such as `instancesSet`.

use crate::secrets::is_secret;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use contracts::audit::HIDDEN;
use serde_json::{Map, Value, json};
use shapes::{Element, Kind, Member, Members, Schema, View};
use types::Timestamp;

/// What stands in place of EC2's secrets.
const REMOVED: &str = "<sensitiveDataRemoved>";
/// How deep is looked; the model's shapes nest far less.
const MAX_DEPTH: usize = 24;

/// Whose form is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// What EC2 is asked.
    Ec2Request,
    /// What EC2 answers.
    Ec2Answer,
    /// What all others are asked, and answer.
    Plain,
    /// As [`Self::Plain`]; what is encrypted is left out.
    Kms,
}

/// The lists of EC2's requests whose names don't follow the rule: the member's name, the list's,
/// and that of a scalar in it.
const LISTS: &[(&str, &str, &str)] = &[
    ("InstanceId", "instancesSet", "instanceId"),
    ("ImageId", "imagesSet", "imageId"),
    ("GroupId", "securityGroupIdSet", "groupId"),
    ("GroupName", "securityGroupSet", "groupName"),
    ("SecurityGroupId", "groupSet", "groupId"),
    ("SecurityGroup", "groupSet", "groupName"),
    ("ResourceId", "resourcesSet", "resourceId"),
    ("Owner", "ownersSet", "owner"),
    ("ExecutableBy", "executableBySet", "executableBy"),
    ("PublicIp", "publicIpsSet", "publicIp"),
    ("BlockDeviceMapping", "blockDeviceMapping", "item"),
    ("VpcId", "vpcSet", "vpcId"),
    ("SubnetId", "subnetSet", "subnetId"),
    ("VolumeId", "volumeSet", "volumeId"),
    ("SnapshotId", "snapshotSet", "snapshotId"),
    ("KeyName", "keySet", "keyName"),
];

/// A structure's members.
pub(crate) fn structure(style: Style, schema: &Schema, members: &dyn Members) -> Value {
    fields(style, schema, members, 0)
}

fn fields(style: Style, schema: &Schema, structure: &dyn Members, depth: usize) -> Value {
    let mut map = Map::new();
    if depth > MAX_DEPTH {
        return Value::Object(map);
    }
    for (index, member) in schema.members().iter().enumerate() {
        let Some(view) = structure.member(index) else { continue };
        if style == Style::Kms && matches!(view, View::Blob(_)) {
            continue;
        }
        let name = name_of(style, member, view);
        if is_secret(member) {
            map.insert(name, hidden(style).into());
            continue;
        }
        let plain_tags = schema.name == "TagSpecification" && style == Style::Ec2Request;
        let own = if plain_tags && matches!(view, View::List(_)) { Style::Plain } else { style };
        let shown = value(own, member, view, depth);
        let name = if plain_tags && name == "tagSet" { "tags".to_owned() } else { name };
        map.insert(name, shown);
    }
    Value::Object(map)
}

/// What stands in a secret's place.
fn hidden(style: Style) -> &'static str {
    match style {
        Style::Ec2Request | Style::Ec2Answer => REMOVED,
        Style::Plain | Style::Kms => HIDDEN,
    }
}

fn name_of(style: Style, member: &Member, view: View<'_>) -> String {
    match style {
        Style::Ec2Request if matches!(view, View::List(_)) => list_names(member.ec2).0,
        Style::Ec2Request => camel(member.ec2),
        Style::Ec2Answer if member.wire == "return" => "_return".to_owned(),
        Style::Ec2Answer => camel(member.wire),
        Style::Plain | Style::Kms => camel(member.name),
    }
}

/// The name of a list in EC2's requests, and that of a scalar in it.
fn list_names(ec2: &str) -> (String, String) {
    if let Some((_, list, item)) = LISTS.iter().find(|(name, ..)| *name == ec2) {
        return ((*list).to_owned(), (*item).to_owned());
    }
    let name = camel(ec2);
    if name.ends_with('s') { (name.clone(), name) } else { (format!("{name}Set"), name) }
}

/// The first letter small.
fn camel(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}

fn value(style: Style, member: &Member, view: View<'_>, depth: usize) -> Value {
    let item = list_names(member.ec2).1;
    of_view(style, member.schema, view, (&item, depth))
}

fn of_view(style: Style, schema: &Schema, view: View<'_>, (item, depth): (&str, usize)) -> Value {
    match view {
        View::Boolean(value) => value.into(),
        View::Integer(value) => value.into(),
        View::Long(value) => value.into(),
        View::Float(value) => json!(value),
        View::Double(value) => json!(value),
        View::String(value) => value.into(),
        View::Document(text) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        View::Blob(bytes) => BASE64_STANDARD.encode(bytes).into(),
        View::Timestamp(at) => match style {
            Style::Ec2Request | Style::Ec2Answer => at.millis().into(),
            Style::Plain | Style::Kms => for_people(at).into(),
        },
        View::Structure(members) => fields(style, schema, members, depth + 1),
        View::List(list) => {
            let Kind::List { element, .. } = schema.kind else { return Value::Null };
            let elements = (0..list.len()).filter_map(|at| list.get(at));
            let elements = elements.map(|view| of_element(style, element, view, (item, depth)));
            let elements: Vec<Value> = elements.collect();
            match style {
                Style::Plain | Style::Kms => elements.into(),
                // An empty list is an empty object.
                Style::Ec2Request | Style::Ec2Answer if elements.is_empty() => json!({}),
                Style::Ec2Request | Style::Ec2Answer => json!({ "items": elements }),
            }
        }
        View::Map(map) => {
            let Kind::Map { value: of, .. } = schema.kind else { return Value::Null };
            let mut shown = Map::new();
            map.each(&mut |key, view| {
                let value = of_view(style, of.schema, view, (item, depth + 1));
                shown.insert(key.to_owned(), value);
            });
            shown.into()
        }
    }
}

fn of_element(style: Style, element: Element, view: View<'_>, at: (&str, usize)) -> Value {
    let shown = of_view(style, element.schema, view, at);
    let scalar = !matches!(view, View::Structure(_) | View::List(_) | View::Map(_));
    if scalar && style == Style::Ec2Request { json!({ at.0: shown }) } else { shown }
}

/// `Nov 22, 2026 1:37:00 PM`, as the query services' events have it.
fn for_people(at: Timestamp) -> String {
    let date = at.to_date();
    let (year, month, day) = date.to_calendar_date();
    let (hour, minute, second) = date.to_hms();
    let month = month.to_string();
    let month = month.get(..3).unwrap_or_default();
    let half = if hour < 12 { "AM" } else { "PM" };
    let hour = if hour % 12 == 0 { 12 } else { hour % 12 };
    format!("{month} {day}, {year} {hour}:{minute:02}:{second:02} {half}")
}

/// A launch's request in the form that it had when one call launched one kind of instance.
pub(crate) fn of_a_launch(parameters: &mut Value) {
    let Some(map) = parameters.as_object_mut() else { return };
    let mut instance = Map::new();
    for name in ["imageId", "minCount", "maxCount", "keyName"] {
        if let Some(value) = map.remove(name) {
            instance.insert(name.to_owned(), value);
        }
    }
    map.insert("instancesSet".to_owned(), json!({ "items": [instance] }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use shapes::{Structure, ec2, iam};

    fn shown<T: Structure>(style: Style, shape: &T) -> Value {
        structure(style, T::SCHEMA, shape)
    }

    #[test]
    fn a_launch_is_shown_as_cloudtrail_does() {
        let run = ec2::RunInstancesRequest {
            image_id: Some("ami-1".into()),
            min_count: Some(1),
            max_count: Some(2),
            user_data: Some("c2VjcmV0".into()),
            security_group_ids: Some(vec!["sg-1".into()]),
            tag_specifications: Some(vec![ec2::TagSpecification {
                resource_type: Some(ec2::ResourceType::Instance),
                tags: Some(vec![ec2::Tag { key: Some("a".into()), value: Some("b".into()) }]),
            }]),
            ..ec2::RunInstancesRequest::default()
        };
        let mut value = shown(Style::Ec2Request, &run);
        of_a_launch(&mut value);
        assert_eq!(
            value,
            json!({
                "instancesSet": { "items": [{ "imageId": "ami-1", "minCount": 1, "maxCount": 2 }] },
                "userData": "<sensitiveDataRemoved>",
                "groupSet": { "items": [{ "groupId": "sg-1" }] },
                "tagSpecificationSet": { "items": [
                    { "resourceType": "instance", "tags": [{ "key": "a", "value": "b" }] }
                ] },
            })
        );
    }

    #[test]
    fn lists_of_requests_have_their_old_names() {
        let describe = ec2::DescribeInstancesRequest {
            instance_ids: Some(vec!["i-1".into()]),
            filters: Some(vec![ec2::Filter {
                name: Some("vpc-id".into()),
                values: Some(vec!["vpc-1".into()]),
            }]),
            ..ec2::DescribeInstancesRequest::default()
        };
        assert_eq!(
            shown(Style::Ec2Request, &describe),
            json!({
                "instancesSet": { "items": [{ "instanceId": "i-1" }] },
                "filterSet": { "items": [
                    { "name": "vpc-id", "valueSet": { "items": [{ "value": "vpc-1" }] } }
                ] },
            })
        );
    }

    #[test]
    fn a_key_is_shown_without_its_secret() {
        let answer = iam::CreateAccessKeyResponse {
            access_key: Some(iam::AccessKey {
                user_name: Some("ann".into()),
                access_key_id: Some("AKIA1".into()),
                secret_access_key: Some("hush".into()),
                create_date: Some(Timestamp::from_millis(1_576_540_098_123)),
                ..iam::AccessKey::default()
            }),
        };
        assert_eq!(
            shown(Style::Plain, &answer),
            json!({ "accessKey": {
                "userName": "ann",
                "accessKeyId": "AKIA1",
                "secretAccessKey": "HIDDEN_DUE_TO_SECURITY_REASONS",
                "createDate": "Dec 16, 2019 11:48:18 PM",
            } })
        );
    }
}
