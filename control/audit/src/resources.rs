//! Which resources an event is about, as lookups name them: found in what was asked and answered.

use contracts::audit::Event;
use serde_json::Value;

/// The most resources of one event.
const MAX_RESOURCES: usize = 100;
/// How deep is looked.
const MAX_DEPTH: usize = 24;

/// A resource as lookups name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceName {
    /// As `AWS::EC2::Instance`; none if it can't be told.
    pub kind: Option<String>,
    /// Its ID, name or ARN.
    pub name: String,
}

/// Members that name resources, by service.
const MEMBERS: &[(&str, &str, &str)] = &[
    ("ec2", "allocationId", "AWS::EC2::EIP"),
    ("ec2", "dhcpOptionsId", "AWS::EC2::DHCPOptions"),
    ("ec2", "groupId", "AWS::EC2::SecurityGroup"),
    ("ec2", "imageId", "AWS::EC2::Ami"),
    ("ec2", "instanceId", "AWS::EC2::Instance"),
    ("ec2", "internetGatewayId", "AWS::EC2::InternetGateway"),
    ("ec2", "keyName", "AWS::EC2::KeyPair"),
    ("ec2", "networkAclId", "AWS::EC2::NetworkAcl"),
    ("ec2", "networkInterfaceId", "AWS::EC2::NetworkInterface"),
    ("ec2", "routeTableId", "AWS::EC2::RouteTable"),
    ("ec2", "snapshotId", "AWS::EC2::Snapshot"),
    ("ec2", "subnetId", "AWS::EC2::Subnet"),
    ("ec2", "volumeId", "AWS::EC2::Volume"),
    ("ec2", "vpcId", "AWS::EC2::VPC"),
    ("iam", "accessKeyId", "AWS::IAM::AccessKey"),
    ("iam", "groupName", "AWS::IAM::Group"),
    ("iam", "instanceProfileName", "AWS::IAM::InstanceProfile"),
    ("iam", "policyArn", "AWS::IAM::Policy"),
    ("iam", "policyName", "AWS::IAM::Policy"),
    ("iam", "roleName", "AWS::IAM::Role"),
    ("iam", "serialNumber", "AWS::IAM::MfaDevice"),
    ("iam", "userName", "AWS::IAM::User"),
    ("kms", "keyId", "AWS::KMS::Key"),
    ("kms", "targetKeyId", "AWS::KMS::Key"),
    ("s3", "bucketName", "AWS::S3::Bucket"),
    ("sts", "accessKeyId", "AWS::IAM::AccessKey"),
    ("sts", "roleArn", "AWS::IAM::Role"),
    ("sts", "roleSessionName", "AWS::STS::AssumedRole"),
];

/// The kinds of EC2's resources by the beginnings of their IDs.
const IDS: &[(&str, &str)] = &[
    ("acl-", "AWS::EC2::NetworkAcl"),
    ("ami-", "AWS::EC2::Ami"),
    ("dopt-", "AWS::EC2::DHCPOptions"),
    ("eipalloc-", "AWS::EC2::EIP"),
    ("eni-", "AWS::EC2::NetworkInterface"),
    ("i-", "AWS::EC2::Instance"),
    ("igw-", "AWS::EC2::InternetGateway"),
    ("rtb-", "AWS::EC2::RouteTable"),
    ("sg-", "AWS::EC2::SecurityGroup"),
    ("snap-", "AWS::EC2::Snapshot"),
    ("subnet-", "AWS::EC2::Subnet"),
    ("vol-", "AWS::EC2::Volume"),
    ("vpc-", "AWS::EC2::VPC"),
];

/// The resources that an event is about, each once.
#[must_use]
pub fn of_event(event: &Event) -> Vec<ResourceName> {
    let mut found = Vec::new();
    for resource in &event.resources {
        add(&mut found, Some(&resource.kind), &resource.arn);
    }
    let service = event.event_source.split('.').next().unwrap_or_default();
    for part in [&event.request_parameters, &event.response_elements].into_iter().flatten() {
        walk(service, part, &mut found, 0);
    }
    found
}

fn add(found: &mut Vec<ResourceName>, kind: Option<&str>, name: &str) {
    let known = found.iter().any(|one| one.name == name && one.kind.as_deref() == kind);
    if !known && found.len() < MAX_RESOURCES && !name.is_empty() {
        found.push(ResourceName { kind: kind.map(str::to_owned), name: name.to_owned() });
    }
}

fn walk(service: &str, value: &Value, found: &mut Vec<ResourceName>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Array(values) => {
            for value in values {
                walk(service, value, found, depth + 1);
            }
        }
        Value::Object(map) => {
            for (name, value) in map {
                let Value::String(text) = value else {
                    walk(service, value, found, depth + 1);
                    continue;
                };
                let known =
                    |(of, member, _): &&(&str, &str, &str)| *of == service && member == name;
                if let Some((.., kind)) = MEMBERS.iter().find(known) {
                    add(found, Some(kind), text);
                } else if name == "resourceId" {
                    let kind = IDS.iter().find(|(begin, _)| text.starts_with(begin));
                    add(found, kind.map(|(_, kind)| *kind), text);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
