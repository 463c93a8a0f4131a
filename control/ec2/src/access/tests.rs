//! The table knows every operation and every member that it reads, and what calls ask.

use super::{table::Part, *};
use crate::testing::request;
use shapes::{
    Kind, Schema,
    ec2::{
        BlockDeviceMapping, CreateTagsRequest, CreateVpcRequest, DescribeVpcsRequest,
        EbsBlockDevice, ResourceType, RunInstancesRequest, SERVICE, StopInstancesRequest, Tag,
        TagSpecification,
    },
};

/// Whether a path of members exists.
fn exists(schema: &'static Schema, path: &str) -> bool {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(member) = schema.members().iter().find(|member| member.name == name) else {
        return false;
    };
    let mut schema = member.schema;
    while let Kind::List { element, .. } = schema.kind {
        schema = element.schema;
    }
    match rest {
        Some(rest) => exists(schema, rest),
        None => schema.members().is_empty(),
    }
}

#[test]
fn every_operation_is_in_the_table_and_every_member_in_the_model() {
    for served in SERVICE.served {
        let parts = table::parts(served.name);
        let parts = parts.unwrap_or_else(|| panic!("{} is not in the table", served.name));
        assert!(!parts.is_empty(), "{}", served.name);
        for part in parts {
            if let Part::Each(_, path) | Part::Tagged(path) = part {
                assert!(exists(served.input, path), "{} has no {path}", served.name);
            }
        }
    }
}

#[test]
fn types_are_the_models() {
    for kind in Type::ALL {
        assert!(kind.as_str().parse::<ResourceType>().is_ok(), "{kind:?}");
    }
}

fn asked<T: shapes::Structure>(operation: &'static str, input: &T) -> Vec<Check> {
    let state = crate::testing::state();
    checks(&state, &request(), operation, Input::new(input)).unwrap()
}

fn names(checks: &[Check]) -> Vec<(String, String)> {
    checks.iter().map(|one| (one.action.clone().into_owned(), one.resource.clone())).collect()
}

fn arn(resource: &str) -> String {
    let scope = request().scope;
    format!("arn:aws:ec2:{}:{}:{resource}", scope.region, scope.account)
}

fn tagged(resource_type: ResourceType) -> Option<Vec<TagSpecification>> {
    let tag = Tag { key: Some("team".to_owned()), value: Some("blue".to_owned()) };
    Some(vec![TagSpecification { resource_type: Some(resource_type), tags: Some(vec![tag]) }])
}

#[test]
fn resources_that_are_named_made_and_tagged() {
    assert_eq!(
        names(&asked("DescribeVpcs", &DescribeVpcsRequest::default())),
        [("ec2:DescribeVpcs".to_owned(), "*".to_owned())]
    );
    let ids = ["i-00000000000000001", "i-00000000000000002"].map(ToOwned::to_owned);
    let input = StopInstancesRequest { instance_ids: Some(ids.to_vec()), ..Default::default() };
    let expected = ids.map(|id| ("ec2:StopInstances".to_owned(), arn(&format!("instance/{id}"))));
    assert_eq!(names(&asked("StopInstances", &input)), expected);

    let input =
        CreateVpcRequest { tag_specifications: tagged(ResourceType::Vpc), ..Default::default() };
    let checks = asked("CreateVpc", &input);
    let expected = ["ec2:CreateTags", "ec2:CreateVpc"].map(|one| (one.to_owned(), arn("vpc/*")));
    assert_eq!(names(&checks), expected);
    let has = |key: &str, value: &str| {
        let value = iam::access::KeyValue::One(value.to_owned());
        checks[0].keys.iter().any(|(name, given)| name == key && *given == value)
    };
    assert!(has("ec2:CreateAction", "CreateVpc") && has("aws:RequestTag/team", "blue"));

    let input = CreateTagsRequest {
        resources: Some(vec!["vpc-00000000000000001".to_owned()]),
        ..Default::default()
    };
    let expected = ("ec2:CreateTags".to_owned(), arn("vpc/vpc-00000000000000001"));
    assert_eq!(names(&asked("CreateTags", &input)), [expected]);
}

#[test]
fn a_launch_asks_about_all_that_it_touches() {
    let ebs = EbsBlockDevice { volume_size: Some(9), ..Default::default() };
    let mapping = BlockDeviceMapping {
        device_name: Some("/dev/sdf".to_owned()),
        ebs: Some(ebs),
        ..Default::default()
    };
    let input = RunInstancesRequest {
        image_id: Some("ami-00000000000000001".to_owned()),
        instance_type: Some("t3.micro".to_owned()),
        subnet_id: Some("subnet-00000000000000001".to_owned()),
        security_group_ids: Some(vec!["sg-00000000000000001".to_owned()]),
        key_name: Some("mine".to_owned()),
        block_device_mappings: Some(vec![mapping]),
        tag_specifications: tagged(ResourceType::Instance),
        ..Default::default()
    };
    let checks = asked("RunInstances", &input);
    let region = request().scope.region;
    let run = |resource: &str| ("ec2:RunInstances".to_owned(), arn(resource));
    let expected = [
        (
            "ec2:RunInstances".to_owned(),
            format!("arn:aws:ec2:{region}::image/ami-00000000000000001"),
        ),
        ("ec2:CreateTags".to_owned(), arn("instance/*")),
        run("instance/*"),
        run("volume/*"),
        run("volume/*"),
        run("network-interface/*"),
        run("subnet/subnet-00000000000000001"),
        run("security-group/sg-00000000000000001"),
        run("key-pair/mine"),
    ];
    assert_eq!(names(&checks), expected);
}
