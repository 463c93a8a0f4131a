//! Times a page of 1,000 instances, written, and a launch, read and verified.

use std::time::Instant;

use protocol::form::Form;
use protocol::{decode, encode};
use shapes::ec2;
use types::Timestamp;

const ROUNDS: u32 = 100;

fn instance(number: usize) -> ec2::Instance {
    let text = |text: &str| Some(text.to_owned());
    let tag = |key: &str| ec2::Tag { key: text(key), value: text("value & more") };
    let group = ec2::GroupIdentifier {
        group_id: text("sg-0123456789abcdef0"),
        group_name: text("default"),
    };
    ec2::Instance {
        instance_id: Some(format!("i-{number:017x}")),
        image_id: text("ami-0123456789abcdef0"),
        instance_type: text("t3.micro"),
        launch_time: Some(Timestamp::from_millis(1_700_000_000_000)),
        private_dns_name: text("ip-172-31-0-1.ec2.internal"),
        public_dns_name: text("ec2-203-0-113-1.compute-1.amazonaws.com"),
        private_ip_address: text("172.31.0.1"),
        public_ip_address: text("203.0.113.1"),
        subnet_id: text("subnet-0123456789abcdef0"),
        vpc_id: text("vpc-0123456789abcdef0"),
        key_name: text("me"),
        architecture: Some(ec2::ArchitectureValues::X86_64),
        hypervisor: Some(ec2::HypervisorType::Xen),
        ebs_optimized: Some(false),
        ena_support: Some(true),
        ami_launch_index: Some(0),
        client_token: text("6f2e1f9c-7a4b-4c7d-9f57-000000000000"),
        state: Some(ec2::InstanceState {
            code: Some(16),
            name: Some(ec2::InstanceStateName::Running),
        }),
        placement: Some(ec2::Placement {
            availability_zone: text("us-east-1a"),
            group_name: text(""),
            tenancy: Some(ec2::Tenancy::Default),
            ..ec2::Placement::default()
        }),
        security_groups: Some(vec![group.clone()]),
        tags: Some(vec![tag("Name"), tag("team"), tag("cost-center")]),
        block_device_mappings: Some(vec![ec2::InstanceBlockDeviceMapping {
            device_name: text("/dev/xvda"),
            ebs: Some(ec2::EbsInstanceBlockDevice {
                volume_id: text("vol-0123456789abcdef0"),
                attach_time: Some(Timestamp::from_millis(1_700_000_000_000)),
                delete_on_termination: Some(true),
                ..ec2::EbsInstanceBlockDevice::default()
            }),
        }]),
        network_interfaces: Some(vec![ec2::InstanceNetworkInterface {
            network_interface_id: text("eni-0123456789abcdef0"),
            mac_address: text("02:00:00:00:00:01"),
            private_ip_address: text("172.31.0.1"),
            groups: Some(vec![group]),
            source_dest_check: Some(true),
            ..ec2::InstanceNetworkInterface::default()
        }]),
        ..ec2::Instance::default()
    }
}

fn main() {
    let reservation = |number| ec2::Reservation {
        reservation_id: Some(format!("r-{number:017x}")),
        owner_id: Some("123456789012".to_owned()),
        instances: Some(vec![instance(number)]),
        ..ec2::Reservation::default()
    };
    let page = ec2::DescribeInstancesResult {
        reservations: Some((0..1000).map(reservation).collect()),
        next_token: None,
    };
    let start = Instant::now();
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        bytes = encode::<ec2::ops::DescribeInstances>(&page, "id").body.len();
    }
    println!("a page of 1,000 instances, {bytes} bytes: {:?}", start.elapsed() / ROUNDS);

    let query = "Action=RunInstances&Version=2016-11-15&ImageId=ami-1&MinCount=1&MaxCount=1\
                 &InstanceType=t3.micro&KeyName=me&ClientToken=x&SecurityGroupId.1=sg-1\
                 &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name\
                 &TagSpecification.1.Tag.1.Value=web&MetadataOptions.HttpTokens=required";
    let start = Instant::now();
    for _ in 0..ROUNDS * 100 {
        let read = Form::parse(query.as_bytes())
            .map(|form| decode::<ec2::ops::RunInstances>(&form.into()));
        assert!(matches!(read, Ok(Ok(_))));
    }
    println!("a launch, read: {:?}", start.elapsed() / (ROUNDS * 100));
}
