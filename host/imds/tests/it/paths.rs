//! Each path and the text that EC2 answers there.

use crate::{get, metadata};

const MAC: &str = "/latest/meta-data/network/interfaces/macs/0a:12:34:56:78:9a";

#[test]
fn values() {
    let metadata = metadata();
    for (path, expected) in [
        ("/latest", "dynamic\nmeta-data\nuser-data"),
        ("/2021-03-23/", "dynamic\nmeta-data\nuser-data"),
        ("/latest/meta-data/ami-id", "ami-00000000000000034"),
        ("/2009-04-04/meta-data/ami-id", "ami-00000000000000034"),
        ("//latest//meta-data/ami-id", "ami-00000000000000034"),
        ("/latest/meta-data/ami-id?x=1", "ami-00000000000000034"),
        ("http://169.254.169.254/latest/meta-data/ami-id", "ami-00000000000000034"),
        ("/latest/meta-data/ami-launch-index", "0"),
        ("/latest/meta-data/ami-manifest-path", "(unknown)"),
        ("/latest/meta-data/block-device-mapping/", "ami\nebs1\nroot"),
        ("/latest/meta-data/block-device-mapping/ebs1", "/dev/sdf"),
        ("/latest/meta-data/events/maintenance/", "history\nscheduled"),
        ("/latest/meta-data/events/maintenance/scheduled", "[]"),
        ("/latest/meta-data/hostname", "ip-172-31-0-5.ec2.internal"),
        ("/latest/meta-data/instance-action", "none"),
        ("/latest/meta-data/instance-id", "i-00000000000000012"),
        ("/latest/meta-data/instance-life-cycle", "on-demand"),
        ("/latest/meta-data/instance-type", "t3.micro"),
        ("/latest/meta-data/local-hostname", "ip-172-31-0-5.ec2.internal"),
        ("/latest/meta-data/local-ipv4", "172.31.0.5"),
        ("/latest/meta-data/mac", "0a:12:34:56:78:9a"),
        ("/latest/meta-data/network/", "interfaces/"),
        ("/latest/meta-data/network/interfaces/macs/", "0a:12:34:56:78:9a/"),
        ("/latest/meta-data/placement/", "availability-zone\navailability-zone-id\nregion"),
        ("/latest/meta-data/placement/availability-zone", "us-east-1a"),
        ("/latest/meta-data/placement/availability-zone-id", "use1-az1"),
        ("/latest/meta-data/placement/region", "us-east-1"),
        ("/latest/meta-data/profile", "default-hvm"),
        ("/latest/meta-data/public-hostname", "ec2-198-51-100-7.compute-1.amazonaws.com"),
        ("/latest/meta-data/public-ipv4", "198.51.100.7"),
        ("/latest/meta-data/public-keys/", "0=me"),
        ("/latest/meta-data/public-keys/0/", "openssh-key"),
        ("/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAAC3Nza me"),
        ("/latest/meta-data/reservation-id", "r-00000000000000056"),
        ("/latest/meta-data/security-groups", "default\nweb"),
        ("/latest/meta-data/services/domain", "amazonaws.com"),
        ("/latest/meta-data/services/partition", "aws"),
        ("/latest/meta-data/system", "nitro"),
        ("/latest/meta-data/tags/instance", "Name"),
        ("/latest/meta-data/tags/instance/Name", "web 1"),
        ("/latest/meta-data/tags/instance/%4eame", "web 1"),
        ("/latest/user-data", "#!/bin/sh\necho hi\n"),
        ("/latest/dynamic", "instance-identity/"),
        ("/latest/dynamic/instance-identity/", "document"),
    ] {
        assert_eq!(get(&metadata, path), (200, expected.to_owned()), "{path}");
    }
}

#[test]
fn the_tree_of_an_interface() {
    let metadata = metadata();
    let listing = "device-number\ninterface-id\nipv4-associations/\nlocal-hostname\nlocal-ipv4s\n\
                   mac\nowner-id\npublic-hostname\npublic-ipv4s\nsecurity-group-ids\n\
                   security-groups\nsubnet-id\nsubnet-ipv4-cidr-block\nvpc-id\n\
                   vpc-ipv4-cidr-block\nvpc-ipv4-cidr-blocks";
    for (path, expected) in [
        ("", listing),
        ("/device-number", "0"),
        ("/interface-id", "eni-00000000000000078"),
        ("/ipv4-associations/", "198.51.100.7"),
        ("/ipv4-associations/198.51.100.7", "172.31.0.5"),
        ("/local-hostname", "ip-172-31-0-5.ec2.internal"),
        ("/local-ipv4s", "172.31.0.5\n172.31.0.6"),
        ("/mac", "0a:12:34:56:78:9a"),
        ("/owner-id", "123456789012"),
        ("/public-hostname", "ec2-198-51-100-7.compute-1.amazonaws.com"),
        ("/public-ipv4s", "198.51.100.7"),
        ("/security-group-ids", "sg-00000000000000001\nsg-00000000000000002"),
        ("/security-groups", "default\nweb"),
        ("/subnet-id", "subnet-0000000000000009a"),
        ("/subnet-ipv4-cidr-block", "172.31.0.0/20"),
        ("/vpc-id", "vpc-000000000000000bc"),
        ("/vpc-ipv4-cidr-block", "172.31.0.0/16"),
        ("/vpc-ipv4-cidr-blocks", "172.31.0.0/16\n10.9.0.0/16"),
    ] {
        assert_eq!(get(&metadata, &format!("{MAC}{path}")), (200, expected.to_owned()), "{path}");
    }
}

#[test]
fn ipv6_is_told_where_there_is_some() {
    let mut metadata = metadata();
    let of_mac = |path: &str| format!("{MAC}{path}");
    for gone in ["/ipv6s", "/ipv6-prefix", "/subnet-ipv6-cidr-blocks", "/vpc-ipv6-cidr-blocks"] {
        assert_eq!(get(&metadata, &of_mac(gone)).0, 404, "{gone}");
    }
    assert_eq!(get(&metadata, "/latest/meta-data/ipv6").0, 404);
    let interface = &mut metadata.interfaces[0];
    interface.ipv6 = ["fd12::5", "fd12::6"].map(|text| text.parse().unwrap()).to_vec();
    interface.subnet_ipv6 = vec!["fd12::/64".parse().unwrap()];
    interface.vpc_ipv6 = vec!["fd12::/56".parse().unwrap()];
    interface.ipv6_prefixes = vec!["fd12:0:0:0:1::/80".parse().unwrap()];
    for (path, expected) in [
        ("/ipv6s", "fd12::5\nfd12::6"),
        ("/ipv6-prefix", "fd12::1:0:0:0/80"),
        ("/subnet-ipv6-cidr-blocks", "fd12::/64"),
        ("/vpc-ipv6-cidr-blocks", "fd12::/56"),
    ] {
        assert_eq!(get(&metadata, &of_mac(path)), (200, expected.to_owned()), "{path}");
    }
    assert_eq!(get(&metadata, "/latest/meta-data/ipv6"), (200, "fd12::5".to_owned()));
    let (_, listing) = get(&metadata, "/latest/meta-data/");
    assert!(listing.contains("\nipv6\nlocal-hostname\n"), "{listing}");
}

#[test]
fn what_is_not_there() {
    let mut metadata = metadata();
    for path in [
        "/1999-01-01/",
        "/latest/nothing",
        "/latest/meta-data/nothing",
        "/latest/meta-data/ami-id/",
        "/latest/meta-data/ami-id/deeper",
        "/latest/user-data/x",
        "/latest/dynamic/instance-identity/signature",
        "/latest/meta-data/iam/info",
    ] {
        let (status, body) = get(&metadata, path);
        assert_eq!(status, 404, "{path}");
        assert!(body.contains("<title>404 - Not Found</title>"), "{body}");
    }
    metadata.user_data = None;
    metadata.tags = None;
    metadata.public_key = None;
    metadata.interfaces[0].addresses[0].1 = None;
    assert_eq!(get(&metadata, "/latest/"), (200, "dynamic\nmeta-data".to_owned()));
    let (_, listing) = get(&metadata, "/latest/meta-data/");
    for path in ["user-data", "meta-data/public-ipv4", "meta-data/public-hostname"] {
        assert_eq!(get(&metadata, &format!("/latest/{path}")).0, 404, "{path}");
    }
    for gone in ["public-", "tags/"] {
        assert!(!listing.contains(gone), "{listing}");
    }
}

#[test]
fn listings_lead_somewhere() {
    let metadata = metadata();
    let mut todo = vec!["/latest/meta-data/".to_owned(), "/latest/dynamic/".to_owned()];
    let mut values = 0;
    while let Some(path) = todo.pop() {
        let (status, listing) = get(&metadata, &path);
        assert_eq!(status, 200, "{path}");
        assert!(!listing.ends_with('\n'), "{path}");
        for label in listing.split('\n') {
            match label.split_once('=') {
                Some((number, _)) => todo.push(format!("{path}{number}/")),
                None if label.ends_with('/') => todo.push(format!("{path}{label}")),
                None => {
                    assert_eq!(get(&metadata, &format!("{path}{label}")).0, 200, "{path}{label}");
                    values += 1;
                }
            }
        }
    }
    assert!(values > 40, "{values}");
}

#[test]
fn versions() {
    let (_, versions) = get(&metadata(), "/");
    assert!(versions.starts_with("1.0\n2007-01-19\n"));
    assert!(versions.ends_with("\nlatest"));
    for version in versions.split('\n') {
        assert_eq!(get(&metadata(), &format!("/{version}/meta-data/system")).1, "nitro");
    }
}

#[test]
fn identity_document() {
    let expected = r#"{
  "accountId" : "123456789012",
  "architecture" : "x86_64",
  "availabilityZone" : "us-east-1a",
  "billingProducts" : null,
  "devpayProductCodes" : null,
  "marketplaceProductCodes" : null,
  "imageId" : "ami-00000000000000034",
  "instanceId" : "i-00000000000000012",
  "instanceType" : "t3.micro",
  "kernelId" : null,
  "pendingTime" : "2026-11-22T13:37:00Z",
  "privateIp" : "172.31.0.5",
  "ramdiskId" : null,
  "region" : "us-east-1",
  "version" : "2017-09-30"
}"#;
    assert_eq!(get(&metadata(), "/latest/dynamic/instance-identity/document").1, expected);
}
