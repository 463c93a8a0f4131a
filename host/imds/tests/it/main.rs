//! The service as an instance sees it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod identity;
mod paths;
mod wire;

use contracts::metadata::{Interface, Metadata, Options};
use imds::{Connection, Documents, Service};
use types::{
    AccountId, ImageId, InstanceId, Mac, NetworkInterfaceId, ReservationId, ResourceId as _,
    SecurityGroupId, SubnetId, Timestamp, VpcId,
};

pub const NOW: Timestamp = Timestamp::from_millis(1_795_352_829_000);

pub fn metadata() -> Metadata {
    let group = |number, name: &str| (SecurityGroupId::from_number(number), name.to_owned());
    Metadata {
        instance: InstanceId::from_number(0x12),
        account: AccountId::DEFAULT,
        image: ImageId::from_number(0x34),
        reservation: ReservationId::from_number(0x56),
        launch_index: 0,
        instance_type: "t3.micro".into(),
        architecture: "x86_64".into(),
        zone: "us-east-1a".parse().unwrap(),
        launch_time: Timestamp::parse("2026-11-22T13:37:00.250Z").unwrap(),
        public_key: Some(("me".into(), "ssh-ed25519 AAAAC3Nza".into())),
        user_data: Some("IyEvYmluL3NoCmVjaG8gaGkK".into()),
        interfaces: vec![Interface {
            id: NetworkInterfaceId::from_number(0x78),
            mac: Mac([0x0a, 0x12, 0x34, 0x56, 0x78, 0x9a]),
            device_number: 0,
            addresses: vec![
                ("172.31.0.5".parse().unwrap(), Some("198.51.100.7".parse().unwrap())),
                ("172.31.0.6".parse().unwrap(), None),
            ],
            groups: vec![group(1, "default"), group(2, "web")],
            subnet: (SubnetId::from_number(0x9a), "172.31.0.0/20".parse().unwrap()),
            vpc: (
                VpcId::from_number(0xbc),
                vec!["172.31.0.0/16".parse().unwrap(), "10.9.0.0/16".parse().unwrap()],
            ),
            ipv6: Vec::new(),
            subnet_ipv6: Vec::new(),
            vpc_ipv6: Vec::new(),
            ipv6_prefixes: Vec::new(),
        }],
        block_devices: vec![
            ("root".into(), "/dev/xvda".into()),
            ("ami".into(), "/dev/xvda".into()),
            ("ebs1".into(), "/dev/sdf".into()),
        ],
        instance_action: "none".into(),
        life_cycle: "on-demand".into(),
        tags: Some([("Name".to_owned(), "web 1".to_owned())].into()),
        options: Options { enabled: true, token_required: true, hop_limit: 2 },
        private_domain: "ec2.internal".into(),
        public_domain: Some("compute-1.amazonaws.com".into()),
    }
}

/// Status, head and body of the answer to one request.
pub fn ask(metadata: &Metadata, request: &str) -> (u16, String, String) {
    ask_at(metadata, request, NOW)
}

pub fn ask_at(metadata: &Metadata, request: &str, now: Timestamp) -> (u16, String, String) {
    let service = Service::new([3; 32]);
    let mut connection = Connection::new();
    let out = connection.feed(request.as_bytes(), now, |r| {
        service.respond(Documents { metadata, identity: None }, r, now)
    });
    let text = String::from_utf8(out.bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
    (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
}

pub fn token(metadata: &Metadata, ttl_s: u32) -> String {
    let header = format!("X-aws-ec2-metadata-token-ttl-seconds: {ttl_s}");
    let (status, _, token) =
        ask(metadata, &format!("PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n"));
    assert_eq!(status, 200);
    token
}

pub fn get(metadata: &Metadata, path: &str) -> (u16, String) {
    let token = token(metadata, 60);
    let (status, _, body) =
        ask(metadata, &format!("GET {path} HTTP/1.1\r\nX-aws-ec2-metadata-token: {token}\r\n\r\n"));
    (status, body)
}
