//! What the engine costs by itself: a repeated decision, a new flow, a flow's memory, and a change
//! of rules on 1,000 ports.

use anyhow::{Context as _, Result, ensure};
use contracts::{
    card::{PortConfig, VpcPatch, VpcRequest},
    network::{
        AclEntry, Address, Dhcp, Group, Peer, Port, Route, RouteTarget, Rule, Subnet, Traffic, Vpc,
    },
};
use std::{net::Ipv4Addr, path::PathBuf};
use types::{
    IpNet, Ipv4Net, Mac, NetworkInterfaceId, ResourceId as _, SecurityGroupId, SubnetId, VpcId,
};
use vpc_card::engine::{
    Engine, PortIndex, Verdict,
    packet::{ACK, Frame, SYN, TCP, write_ipv4},
};

/// What a port follows here, so that a million flows fit.
const CONNECTIONS: u32 = 2_000_000;
const PORTS: u32 = 1000;
const HELD: u32 = 1_000_000;

fn net(text: &str) -> Result<IpNet> {
    Ok(text.parse()?)
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 10)) + number)
}

fn mac(number: u32) -> [u8; 6] {
    let [a, b, c, d] = number.to_be_bytes();
    [2, 0, a, b, c, d]
}

fn port(number: u32, groups: Vec<SecurityGroupId>) -> PortConfig {
    PortConfig {
        port: Port {
            id: NetworkInterfaceId::from_number(number.into()),
            vpc: VpcId::from_number(1),
            subnet: SubnetId::from_number(1),
            mac: Mac(mac(number)),
            mtu: 9001,
            addresses: vec![Address { private: address(number), public: None }],
            ipv6: Vec::new(),
            ipv6_prefixes: Vec::new(),
            groups,
            source_dest_check: true,
            host_name: String::new(),
            resource_name: None,
            metadata_hop_limit: 1,
            connections: Some(CONNECTIONS),
            metadata_ipv6: false,
        },
        socket: PathBuf::new(),
        uid: None,
        services: Vec::new(),
    }
}

/// This many rules, of which the last lets port 5001 in.
fn rules(count: u16) -> Result<Vec<Rule>> {
    let peer = Peer::Cidr(net("10.0.0.0/8")?);
    let port = |port| Rule { traffic: Traffic::Tcp { from: port, to: port }, peer };
    Ok((1..count).map(|at| 20_000 + at).chain([5001]).map(port).collect())
}

fn group(number: u64, ingress: Vec<Rule>, members: u32) -> Result<Group> {
    let egress = vec![Rule { traffic: Traffic::All, peer: Peer::Cidr(net("0.0.0.0/0")?) }];
    let members = (0..members).map(|member| address(member).into()).collect();
    let (id, vpc) = (SecurityGroupId::from_number(number), VpcId::from_number(1));
    Ok(Group { id, vpc, ingress, egress, members })
}

fn engine(ports: Vec<PortConfig>, groups: Vec<Group>) -> Result<Engine> {
    let any = net("0.0.0.0/0")?;
    let cidr: Ipv4Net = "10.0.0.0/16".parse()?;
    let entry =
        |egress| AclEntry { number: 1, egress, allow: true, traffic: Traffic::All, cidr: any };
    let vpc = Vpc {
        id: VpcId::from_number(1),
        cidrs: vec![cidr],
        ipv6_cidrs: Vec::new(),
        dns_support: true,
        dns_hostnames: true,
        private_domain: "ec2.internal".to_owned(),
        public_domain: "amazonaws.com".to_owned(),
        dhcp: Dhcp::default(),
    };
    let subnet = Subnet {
        id: SubnetId::from_number(1),
        vpc: vpc.id,
        cidr,
        ipv6_cidr: None,
        routes: vec![Route { destination: cidr.into(), target: RouteTarget::Local }],
        acl: vec![entry(true), entry(false)],
    };
    let mut engine = Engine::new("198.18.0.0/24".parse()?, Ipv4Addr::new(198, 18, 0, 1));
    // The first configuration begins with a time of grace.
    engine.apply(VpcPatch::default(), 0);
    let patch = VpcPatch {
        reset: true,
        ports,
        vpcs: vec![vpc],
        subnets: vec![subnet],
        groups,
        ..VpcPatch::default()
    };
    let failed = engine.apply(patch, 0);
    ensure!(failed.is_empty(), "{failed:?}");
    Ok(engine)
}

/// A segment from port 0 to port 1.
fn segment(flags: u8, source: u16) -> [u8; 64] {
    let mut frame = [0; 64];
    frame[..6].copy_from_slice(&mac(1));
    frame[6..12].copy_from_slice(&mac(0));
    frame[12..14].copy_from_slice(&[8, 0]);
    write_ipv4(&mut frame[14..], TCP, 64, address(0), address(1));
    frame[34..36].copy_from_slice(&source.to_be_bytes());
    frame[36..38].copy_from_slice(&5001_u16.to_be_bytes());
    frame[46..48].copy_from_slice(&[5 << 4, flags]);
    frame
}

fn send(engine: &mut Engine, frame: &[u8; 64], buf: &mut [u8; 512], now: u64) -> Verdict {
    buf[..64].copy_from_slice(frame);
    let mut frame = Frame { buf, head: 64, len: 64, partial: false, segmented: false };
    engine.from_port(PortIndex(0), &mut frame, now)
}

fn pair(rules: Vec<Rule>) -> Result<Engine> {
    let groups = vec![SecurityGroupId::from_number(1)];
    engine(vec![port(0, groups.clone()), port(1, groups)], vec![group(1, rules, 2)?])
}

/// Nanoseconds for each packet of flows that are known.
fn repeated(flows: u16) -> Result<f64> {
    let mut engine = pair(rules(500)?)?;
    let mut buf = [0; 512];
    let frames: Vec<_> = (0..flows).map(|flow| segment(ACK, 10_000 + flow)).collect();
    for flow in 0..flows {
        send(&mut engine, &segment(SYN, 10_000 + flow), &mut buf, 0);
    }
    let rounds = 4_000_000 / u32::from(flows);
    let mut count = 0_u32;
    let mut began = processor_time()?;
    for round in 0..rounds + rounds / 2 {
        if round == rounds / 2 {
            began = processor_time()?;
            count = 0;
        }
        for frame in &frames {
            ensure!(send(&mut engine, frame, &mut buf, 1) != Verdict::Drop, "dropped");
            count += 1;
        }
    }
    Ok((processor_time()? - began) * 1e9 / f64::from(count))
}

/// New flows a second: each has its first packet only.
fn begun(rules: Vec<Rule>) -> Result<f64> {
    let mut engine = pair(rules)?;
    let mut buf = [0; 512];
    let mut frame = segment(SYN, 0);
    let count = 400_000_u32;
    let began = processor_time()?;
    for flow in 0..count {
        number(&mut frame, flow);
        ensure!(
            send(&mut engine, &frame, &mut buf, 1) == Verdict::Deliver(PortIndex(1)),
            "no flow"
        );
    }
    Ok(f64::from(count) / (processor_time()? - began))
}

/// Makes a segment one of the flow with this number: by its source port, and the destination's
/// within the rule for port 5001 being the only one, by other bits of the first hop's ports.
fn number(frame: &mut [u8; 64], flow: u32) {
    let [_, _, c, d] = flow.to_be_bytes();
    frame[34..36].copy_from_slice(&[c, d]);
    let destination = 30_000 + u16::try_from(flow >> 16).unwrap_or_default();
    frame[36..38].copy_from_slice(&destination.to_be_bytes());
}

/// Processor time of this process in seconds: what others do meanwhile counts less.
fn processor_time() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = text.split(' ').next().context("an odd schedstat")?.parse::<f64>()?;
    Ok(nanoseconds / 1e9)
}

fn resident_bytes() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).context("an odd statm")?;
    Ok(pages.parse::<u64>()? * 4096)
}

/// Bytes of memory for each of a million flows, each held at both ports.
fn held() -> Result<f64> {
    let open = Rule {
        traffic: Traffic::Tcp { from: 5000, to: 65_000 },
        peer: Peer::Cidr(net("10.0.0.0/8")?),
    };
    let mut engine = pair(vec![open])?;
    let mut buf = [0; 512];
    let mut frame = segment(SYN, 0);
    let before = resident_bytes()?;
    for flow in 0..HELD {
        number(&mut frame, flow);
        ensure!(
            send(&mut engine, &frame, &mut buf, 1) == Verdict::Deliver(PortIndex(1)),
            "no flow"
        );
    }
    for index in [0, 1] {
        let flows = engine.port(PortIndex(index)).map_or(0, |port| port.flows.len());
        ensure!(flows == usize::try_from(HELD)?, "{flows} flows");
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred MiB")]
    let bytes = (resident_bytes()? - before) as f64;
    Ok(bytes / f64::from(2 * HELD))
}

/// Milliseconds until a change of a group is in force on 1,000 ports that have it, and that have a
/// group each whose rules refer to it: from the request's bytes on.
fn changed() -> Result<f64> {
    let shared = SecurityGroupId::from_number(1);
    let own = |number: u32| SecurityGroupId::from_number(u64::from(number) + 2);
    let ports = (0..PORTS).map(|number| port(number, vec![shared, own(number)])).collect();
    let mut groups = vec![group(1, rules(60)?, PORTS)?];
    for number in 0..PORTS {
        let mut rules = rules(59)?;
        rules.push(Rule { traffic: Traffic::All, peer: Peer::Group(shared) });
        groups.push(group(u64::from(number) + 2, rules, 1)?);
    }
    let mut engine = engine(ports, groups)?;
    let mut times = Vec::new();
    for round in 0..9 {
        let mut changed = group(1, rules(60 + round)?, PORTS + u32::from(round) + 1)?;
        changed.ingress.reverse();
        let request = VpcRequest::Apply(VpcPatch { groups: vec![changed], ..VpcPatch::default() });
        let bytes = serde_json::to_vec(&request)?;
        let began = processor_time()?;
        let VpcRequest::Apply(patch) = serde_json::from_slice(&bytes)? else { continue };
        ensure!(engine.apply(patch, 1).is_empty(), "not applied");
        times.push((processor_time()? - began) * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn main() -> Result<()> {
    let wide = |rules: Vec<Rule>| -> Vec<Rule> {
        // The flows are told apart by their destination's port too.
        let wide = |mut rule: Rule| {
            if rule.traffic == (Traffic::Tcp { from: 5001, to: 5001 }) {
                rule.traffic = Traffic::Tcp { from: 30_000, to: 30_100 };
            }
            rule
        };
        rules.into_iter().map(wide).collect()
    };
    println!("repeated decision, 1 flow        {:>10.0} ns", repeated(1)?);
    println!("repeated decision, 10,000 flows  {:>10.0} ns", repeated(10_000)?);
    println!("new flows, 1 rule                {:>10.0} /s", begun(wide(rules(1)?))?);
    println!("new flows, 500 rules             {:>10.0} /s", begun(wide(rules(500)?))?);
    println!(
        "memory of a flow at a port       {:>10.0} bytes, 1,000,000 held at each of two",
        held()?
    );
    println!("change of rules on 1,000 ports   {:>10.1} ms", changed()?);
    Ok(())
}
