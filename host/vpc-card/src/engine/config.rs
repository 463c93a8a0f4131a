//! The engine's configuration: what a patch changes, and the tables derived from it.

use super::{
    Engine, Port, PortIndex, ROUTER6,
    ipv6::link_local,
    outside::{PREFIX_BITS, prefix},
    packet::{ICMP, ICMP6, TCP, UDP},
};
use contracts::{
    card::VpcPatch,
    network::{self, Peer, RouteTarget, Rule, Traffic},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use types::{IpNet, SecurityGroupId};

/// A subnet, ready for the router.
#[derive(Debug)]
pub struct Subnet {
    /// As it was configured.
    pub config: network::Subnet,
    /// The router's address.
    pub router: Ipv4Addr,
    /// The router's Ethernet address.
    pub router_mac: [u8; 6],
}

impl Subnet {
    fn new(mut config: network::Subnet) -> Self {
        config.routes.sort_by_key(|route| std::cmp::Reverse(route.destination.prefix_len()));
        config.acl.sort_by_key(|entry| entry.number);
        let router = Ipv4Addr::from(u32::from(config.cidr.network()).wrapping_add(1));
        let [a, b, c, d] = router.octets();
        // Locally administered, and not of the range that interfaces get their addresses from.
        Self { router, router_mac: [0x0e, 0xfb, a, b, c, d], config }
    }

    /// The router's link-local address, which advertisements are from.
    #[must_use]
    pub fn router_link_local(&self) -> Ipv6Addr {
        link_local(self.router_mac)
    }

    /// The router's address among the subnet's: base + 1, as of IPv4.
    #[must_use]
    pub fn router6(&self) -> Option<Ipv6Addr> {
        let base = self.config.ipv6_cidr?.network();
        Some(Ipv6Addr::from(u128::from(base) | 1))
    }

    /// Whether an address is the router's.
    #[must_use]
    pub fn is_router(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address == self.router,
            IpAddr::V6(address) => {
                address == ROUTER6
                    || address == self.router_link_local()
                    || self.router6() == Some(address)
            }
        }
    }

    /// Whether an address is of the subnet.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.config.cidr.contains(&address),
            IpAddr::V6(address) => self.config.ipv6_cidr.is_some_and(|net| net.contains(&address)),
        }
    }

    /// Where a destination's packets go.
    #[must_use]
    pub fn route(&self, destination: IpAddr) -> Option<&RouteTarget> {
        let mut routes = self.config.routes.iter();
        routes.find(|route| route.destination.contains(&destination)).map(|route| &route.target)
    }
}

/// The other end of a compiled rule.
#[derive(Debug)]
enum Peers {
    Net(IpNet),
    Members(Members),
}

#[derive(Debug)]
struct CompiledRule {
    traffic: Traffic,
    peers: Peers,
}

/// One group's rules with group references resolved.
#[derive(Debug, Default)]
pub struct Rules {
    ingress: Vec<CompiledRule>,
    egress: Vec<CompiledRule>,
}

/// What is asked of rules.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// IP protocol.
    pub protocol: u8,
    /// Destination port of TCP and UDP.
    pub port: u16,
    /// ICMP's type and code.
    pub icmp: (u8, u8),
    /// The other end.
    pub peer: IpAddr,
}

/// The answer of rules that allow a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// A rule for all addresses (0.0.0.0/0 or ::/0) allows it.
    pub any_peer: bool,
}

impl Rules {
    fn new(group: &network::Group, members: &HashMap<SecurityGroupId, Members>) -> Self {
        let compile = |rules: &[Rule]| {
            let peers = |peer: Peer| match peer {
                Peer::Cidr(net) => Some(Peers::Net(net)),
                Peer::Group(id) => members.get(&id).cloned().map(Peers::Members),
            };
            let rules = rules.iter();
            rules
                .filter_map(|r| Some(CompiledRule { traffic: r.traffic, peers: peers(r.peer)? }))
                .collect()
        };
        Self { ingress: compile(&group.ingress), egress: compile(&group.egress) }
    }

    fn side(&self, ingress: bool) -> &[CompiledRule] {
        if ingress { &self.ingress } else { &self.egress }
    }

    /// Whether a rule allows it.
    #[must_use]
    pub fn allow(&self, ingress: bool, question: &Question) -> Option<Allowed> {
        let mut answer = None;
        for rule in self.side(ingress) {
            if !matches(rule.traffic, question) {
                continue;
            }
            match &rule.peers {
                Peers::Net(net) if !net.contains(&question.peer) => {}
                Peers::Net(net) if net.prefix_len() == 0 => {
                    return Some(Allowed { any_peer: true });
                }
                Peers::Members(members) if !members.contains(&question.peer) => {}
                Peers::Net(_) | Peers::Members(_) => answer = Some(Allowed { any_peer: false }),
            }
        }
        answer
    }

    /// Whether a rule allows all of a protocol to or from all addresses of the peer's family.
    #[must_use]
    pub fn allow_all(&self, ingress: bool, protocol: u8, peer: IpAddr) -> bool {
        self.side(ingress).iter().any(|rule| {
            let all = match rule.traffic {
                Traffic::All => true,
                Traffic::Tcp { from: 0..=1, to: u16::MAX } => protocol == TCP,
                Traffic::Udp { from: 0..=1, to: u16::MAX } => protocol == UDP,
                Traffic::Tcp { .. }
                | Traffic::Udp { .. }
                | Traffic::Icmp { .. }
                | Traffic::Icmp6 { .. } => false,
                Traffic::Protocol(number) => number == protocol,
            };
            let any = |net: &IpNet| net.prefix_len() == 0 && net.contains(&peer);
            all && matches!(&rule.peers, Peers::Net(net) if any(net))
        })
    }
}

/// Whether traffic is of this kind.
#[must_use]
pub fn matches(traffic: Traffic, question: &Question) -> bool {
    let Question { protocol, port, icmp, .. } = *question;
    match traffic {
        Traffic::All => true,
        Traffic::Tcp { from, to } => protocol == TCP && (from..=to).contains(&port),
        Traffic::Udp { from, to } => protocol == UDP && (from..=to).contains(&port),
        Traffic::Icmp { kind, code } | Traffic::Icmp6 { kind, code } => {
            protocol == (if matches!(traffic, Traffic::Icmp { .. }) { ICMP } else { ICMP6 })
                && kind.is_none_or(|kind| kind == icmp.0)
                && code.is_none_or(|code| code == icmp.1)
        }
        Traffic::Protocol(number) => protocol == number,
    }
}

type Members = Arc<HashSet<IpAddr>>;

impl Engine {
    /// Changes the configuration; what stays the same keeps its flows and counters.
    ///
    /// Answers which ports could not be made so, and why.
    pub fn apply(&mut self, patch: VpcPatch, now: u64) -> BTreeMap<String, String> {
        let VpcPatch {
            reset,
            ports,
            remove_ports,
            vpcs,
            remove_vpcs,
            subnets,
            remove_subnets,
            groups,
            remove_groups,
            nat_gateways,
            remove_nat_gateways,
        } = patch;
        self.nat_gateways.apply(reset, nat_gateways, &remove_nat_gateways);
        if reset {
            let keep: HashSet<_> = ports.iter().map(|config| config.port.id).collect();
            let gone: Vec<_> = self.by_id.keys().filter(|id| !keep.contains(id)).copied().collect();
            gone.iter().for_each(|&id| self.remove_port(id));
            self.vpcs.clear();
            self.subnets.clear();
            let keep: HashSet<_> = groups.iter().map(|group| group.id).collect();
            self.groups.retain(|id, _| keep.contains(id));
        }
        remove_ports.into_iter().for_each(|id| self.remove_port(id));
        remove_vpcs.iter().for_each(|id| drop(self.vpcs.remove(id)));
        remove_subnets.iter().for_each(|id| drop(self.subnets.remove(id)));
        remove_groups.iter().for_each(|id| drop(self.groups.remove(id)));
        self.vpcs.extend(vpcs.into_iter().map(|vpc| (vpc.id, Arc::new(vpc))));
        self.subnets.extend(subnets.into_iter().map(|s| (s.id, Arc::new(Subnet::new(s)))));
        // A rule that goes is to cut what it alone allowed: then unknown flows get no grace.
        let changed: HashSet<_> = groups
            .iter()
            .filter(|new| {
                self.groups
                    .get(&new.id)
                    .is_some_and(|old| old.ingress != new.ingress || old.egress != new.egress)
            })
            .map(|group| group.id)
            .collect();
        for port in self.ports.iter_mut().flatten() {
            if port.config.port.groups.iter().any(|id| changed.contains(id)) {
                port.grace_until = 0;
            }
        }
        self.groups.extend(groups.into_iter().map(|group| (group.id, group)));
        // The first configuration after a start is of ports whose guests may have talked before.
        let fresh = std::mem::replace(&mut self.configured, true);
        for config in ports {
            match self.by_id.get(&config.port.id) {
                Some(&index) => {
                    if let Some(port) = self.port_mut(index) {
                        if port.config.port.groups != config.port.groups {
                            port.grace_until = 0;
                        }
                        port.config = config;
                    }
                }
                None => self.add_port(Port::new(config, !fresh, now)),
            }
        }
        self.derive()
    }

    fn add_port(&mut self, port: Port) {
        let id = port.config.port.id;
        let free = self.ports.iter().position(Option::is_none).unwrap_or(self.ports.len());
        if free == self.ports.len() {
            self.ports.push(None);
        }
        if let Some(place) = self.ports.get_mut(free) {
            *place = Some(port);
            self.by_id.insert(id, PortIndex(free));
        }
    }

    fn remove_port(&mut self, id: types::NetworkInterfaceId) {
        if let Some(index) = self.by_id.remove(&id)
            && let Some(place) = self.ports.get_mut(index.0)
        {
            *place = None;
        }
    }

    /// Computes what follows from the configuration: address tables and compiled rules.
    fn derive(&mut self) -> BTreeMap<String, String> {
        let members: HashMap<_, Members> = self
            .groups
            .iter()
            .map(|(&id, group)| (id, Arc::new(group.members.iter().copied().collect())))
            .collect();
        let rules: HashMap<_, _> = self
            .groups
            .iter()
            .map(|(&id, group)| (id, Arc::new(Rules::new(group, &members))))
            .collect();
        self.by_address.clear();
        self.by_public.clear();
        self.by_global.clear();
        self.by_prefix.clear();
        self.by_global_prefix.clear();
        let pool6 = self.public_pool6.map(|(pool, _)| pool);
        let mut failed = BTreeMap::new();
        for (at, port) in self.ports.iter_mut().enumerate() {
            let Some(port) = port else { continue };
            let config = &port.config.port;
            for address in &config.addresses {
                self.by_address.insert((config.vpc, address.private.into()), PortIndex(at));
                if let Some(public) = address.public {
                    self.by_public.insert(public, (PortIndex(at), address.private));
                }
            }
            for &address in &config.ipv6 {
                self.by_address.insert((config.vpc, address.into()), PortIndex(at));
                if pool6.is_some_and(|pool| pool.contains(&address)) {
                    self.by_global.insert(address, PortIndex(at));
                }
            }
            for net in config.ipv6_prefixes.iter().filter(|net| net.prefix_len() == PREFIX_BITS) {
                let Some(own) = prefix(net.network().into()) else { continue };
                self.by_prefix.insert((config.vpc, own), PortIndex(at));
                if pool6.is_some_and(|pool| pool.contains(net)) {
                    self.by_global_prefix.insert(own, PortIndex(at));
                }
            }
            let told = (port.subnet.as_ref().and_then(|s| s.config.ipv6_cidr), port.told6);
            port.vpc = self.vpcs.get(&config.vpc).cloned();
            port.subnet = self.subnets.get(&config.subnet).cloned();
            let net = port.subnet.as_ref().and_then(|s| s.config.ipv6_cidr);
            port.told6 = net.is_some() && port.has_ipv6();
            if port.told6 && told != (net, true) {
                self.unadvertised.push(PortIndex(at));
            }
            port.groups = config.groups.iter().filter_map(|id| rules.get(id).cloned()).collect();
            if port.vpc.is_none() || port.subnet.is_none() || config.addresses.is_empty() {
                let reason = "its VPC, its subnet or its address is not known";
                failed.insert(config.id.to_string(), reason.to_owned());
            }
        }
        failed
    }
}
