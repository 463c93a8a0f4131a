//! The switch as a pure machine: a frame and the time in, a verdict out; no I/O.

pub mod cache;
pub mod checksum;
pub mod config;
pub mod flow;
pub mod ipv6;
pub mod nat_gateways;
pub mod openings;
mod outside;
pub mod packet;
mod port;
pub mod rules;
pub mod table;

use crate::{
    counters::{Counters, Reason},
    layers::{acl, egress_only, filter, nat, router, spoof},
    services::{arp, dhcp6, icmp, icmp6, nd},
    uplink::sockets::Pool,
};
use cache::{Asked, Keeper, Trail};
use config::Subnet;
use contracts::network::{Group, RouteTarget, Vpc};
use flow::{Direction, FragmentTable};
use nat_gateways::{NatGateways, Sender};
pub use outside::is_local;
use outside::{Prefix, prefix};
use packet::{Frame, Packet, UDP};
pub use port::Port;
use rules::Compiled;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use types::{Ipv4Net, Ipv6Net, NetworkInterfaceId, SecurityGroupId, SubnetId, VpcId};

/// Largest packet that leaves by the internet gateway.
pub const UPLINK_MTU: usize = 1500;
/// The resolver's link-local address.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// The resolver's IPv6 address.
pub const RESOLVER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253);
/// The router's IPv6 address in every subnet, besides those that differ.
pub const ROUTER6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0xec2, 0, 0, 0, 0, 0, 1);

/// A port's place in the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortIndex(pub usize);

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it was dropped and counted, or was for the card.
    Drop,
    /// The frame goes to this port's guest.
    Deliver(PortIndex),
    /// The frame's packet goes to the uplink.
    Uplink,
    /// The frame was made an answer to whoever sent it.
    Reply,
    /// A DHCP message to the card.
    Dhcp,
    /// A DNS datagram to the card.
    Dns,
    /// A TCP segment to one of the port's services, or to the resolver.
    Tcp,
}

/// The switch.
#[derive(Debug, Default)]
pub struct Engine {
    /// Counters of what belongs to no port.
    pub counters: Counters,
    /// Packets from the uplink.
    pub uplink_rx_packets: u64,
    /// Packets to the uplink.
    pub uplink_tx_packets: u64,
    /// Packets that no layer had to be asked about.
    pub repeated: u64,
    /// Addresses that instances may have at the uplink, and the host's own among them.
    public_pool: Option<(Ipv4Net, Ipv4Addr)>,
    /// IPv6 addresses of VPCs, and the host's own among them.
    public_pool6: Option<(Ipv6Net, Ipv6Addr)>,
    ports: Vec<Option<Port>>,
    by_id: HashMap<NetworkInterfaceId, PortIndex>,
    by_address: HashMap<(VpcId, IpAddr), PortIndex>,
    by_public: HashMap<Ipv4Addr, (PortIndex, Ipv4Addr)>,
    /// Ports by their IPv6 addresses of the pool, which no two of all VPCs share.
    by_global: HashMap<Ipv6Addr, PortIndex>,
    /// Ports by their IPv6 prefixes: those of a VPC, and those of the pool.
    by_prefix: HashMap<(VpcId, Prefix), PortIndex>,
    by_global_prefix: HashMap<Prefix, PortIndex>,
    /// Ports whose guests are to be told of the router.
    unadvertised: Vec<PortIndex>,
    vpcs: HashMap<VpcId, Arc<Vpc>>,
    subnets: HashMap<SubnetId, Arc<Subnet>>,
    groups: HashMap<SecurityGroupId, Group>,
    compiled: Compiled,
    /// NAT gateways.
    pub nat_gateways: NatGateways,
    uplink_fragments: FragmentTable,
    /// How public addresses are known here, if not as they are.
    twins: Option<Pool>,
    configured: bool,
    keeper: Keeper,
    /// Whether the decision at hand may be kept.
    trail: Trail,
}

impl Engine {
    /// A switch without ports; of the pool's addresses, `host` is the host's.
    #[must_use]
    pub fn new(pool: Ipv4Net, host: Ipv4Addr) -> Self {
        Self { public_pool: Some((pool, host)), ..Self::default() }
    }

    /// A switch without ports, to which public addresses of the pool are their twins.
    #[must_use]
    pub fn with_twins(pool: Pool) -> Self {
        Self { twins: Some(pool), ..Self::new(pool.inside(), pool.host()) }
    }

    /// A public address as it is known here; none if the uplink doesn't have it.
    #[must_use]
    pub fn known_as(&self, public: Ipv4Addr) -> Option<Ipv4Addr> {
        self.twins.map_or(Some(public), |pool| pool.twin_of(public))
    }

    /// Where the port with this ID is.
    #[must_use]
    pub fn find(&self, id: NetworkInterfaceId) -> Option<PortIndex> {
        self.by_id.get(&id).copied()
    }

    /// The port at this place.
    #[must_use]
    pub fn port(&self, index: PortIndex) -> Option<&Port> {
        self.ports.get(index.0)?.as_ref()
    }

    /// The port at this place.
    pub fn port_mut(&mut self, index: PortIndex) -> Option<&mut Port> {
        self.ports.get_mut(index.0)?.as_mut()
    }

    /// All ports.
    pub fn ports(&self) -> impl Iterator<Item = (PortIndex, &Port)> {
        let ports = self.ports.iter().enumerate();
        ports.filter_map(|(at, port)| Some((PortIndex(at), port.as_ref()?)))
    }

    /// The port of a VPC that has a private address.
    #[must_use]
    pub fn by_address(&self, vpc: VpcId, address: IpAddr) -> Option<PortIndex> {
        let found = self.by_address.get(&(vpc, address)).copied();
        found.or_else(|| self.by_prefix.get(&(vpc, prefix(address)?)).copied())
    }

    /// The port that has a public address, and the private address behind it.
    #[must_use]
    pub fn by_public(&self, address: IpAddr) -> Option<(PortIndex, Ipv4Addr)> {
        let IpAddr::V4(address) = address else { return None };
        self.by_public.get(&address).copied()
    }

    /// Counts a drop at a port.
    pub fn count(&mut self, index: PortIndex, reason: Reason) {
        match self.ports.get_mut(index.0) {
            Some(Some(port)) => port.counters.drop(reason),
            _ => self.counters.drop(reason),
        }
    }

    /// Forgets idle flows of all ports.
    pub fn clean(&mut self, now: u64) {
        for port in self.ports.iter_mut().flatten() {
            port.flows.clean(seconds(now));
            port.cache.rest();
            port.beyond.clean(seconds(now));
        }
        self.nat_gateways.clean(seconds(now));
    }

    /// Whether any port follows a flow.
    #[must_use]
    pub fn has_flows(&self) -> bool {
        self.ports.iter().flatten().any(|port| !port.flows.is_empty() || !port.beyond.is_empty())
            || self.nat_gateways.has_flows()
    }

    /// Decides about a frame from a port's guest.
    pub fn from_port(&mut self, index: PortIndex, frame: &mut Frame<'_>, now: u64) -> Verdict {
        match self.repeat(index, frame, now) {
            Some(verdict) => verdict,
            None => self.pass_layers(index, frame, now),
        }
    }

    /// Has the layers decide about a frame from a port's guest, and keeps what they decide.
    pub fn pass_layers(&mut self, index: PortIndex, frame: &mut Frame<'_>, now: u64) -> Verdict {
        let Some(port) = self.port_mut(index) else { return Verdict::Drop };
        port.counters.tx_packets += 1;
        port.counters.tx_bytes += frame.len as u64;
        port.sent_ms = now;
        let asked = Asked::of(frame);
        self.trail = Trail::Unknown;
        match self.decide_from_port(index, frame, now) {
            Ok(verdict) => {
                if let Some(asked) = asked {
                    self.remember(index, &asked, frame, verdict);
                }
                verdict
            }
            Err(reason) => {
                self.count(index, reason);
                Verdict::Drop
            }
        }
    }

    fn decide_from_port(
        &mut self,
        index: PortIndex,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Verdict, Reason> {
        let port = self.port_mut(index).ok_or(Reason::Unconfigured)?;
        let ethertype = spoof::ethernet(port, frame)?;
        if ethertype == 0x0806 {
            return arp::answer(self, index, frame);
        }
        let six = ethertype == ipv6::ETHERTYPE;
        if ethertype != 0x0800 && !six {
            return Err(Reason::EtherType);
        }
        if six && !port.has_ipv6() {
            return Err(Reason::Ipv6);
        }
        let mut packet = Packet::parse(frame)?;
        frame.truncate(packet.end);
        let partial = frame.partial && packet.partial_at().is_none();
        if packet.src.is_ipv6() != six || partial {
            return Err(Reason::Malformed);
        }
        if six && nd::is_of_link(&packet) {
            return nd::answer(self, index, &packet, frame);
        }
        if packet.protocol == UDP && packet.ports.1 == 67 && packet.src == Ipv4Addr::UNSPECIFIED {
            return Ok(Verdict::Dhcp);
        }
        spoof::source(port, &packet)?;
        if !port.fragments.resolve(&mut packet, now) {
            return Err(Reason::Fragment);
        }
        let subnet = port.subnet.clone().ok_or(Reason::Unconfigured)?;
        if let Some(verdict) = Self::local(port, &subnet, &packet, frame, now)? {
            return Ok(verdict);
        }
        if packet.dst.is_multicast()
            || packet.dst == Ipv4Addr::BROADCAST
            || packet.dst == subnet.config.cidr.broadcast()
        {
            return Err(Reason::Multicast);
        }
        filter::check(port, Direction::Egress, &packet, frame, now)?;
        if subnet.contains(packet.dst) {
            let from = self.port(index).map(Port::mac);
            return self.deliver_local(Sender::Port(index), &subnet, from, packet, frame, now);
        }
        self.route(index, &subnet, packet, frame, now)
    }

    /// What the card itself answers: no rules apply to it.
    fn local(
        port: &mut Port,
        subnet: &Subnet,
        packet: &Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Option<Verdict>, Reason> {
        let whole = packet.fragment == packet::Fragment::Whole;
        if packet.protocol == UDP && packet.src.is_ipv6() && packet.ports.1 == dhcp6::PORTS.0 {
            let ours = packet.dst == dhcp6::SERVERS && packet.src == port.link_local();
            return if ours && whole { Ok(Some(Verdict::Dhcp)) } else { Err(Reason::DhcpIgnored) };
        }
        if packet.protocol == UDP && packet.ports == (68, 67) && packet.src.is_ipv4() {
            let ours = packet.dst == subnet.router || packet.dst == Ipv4Addr::BROADCAST;
            return if ours && whole { Ok(Some(Verdict::Dhcp)) } else { Err(Reason::DhcpIgnored) };
        }
        let dns = packet.ports.1 == 53 && matches!(packet.protocol, UDP | packet::TCP);
        if dns && port.is_resolver(packet.dst) {
            if !port.vpc.as_ref().is_some_and(|vpc| vpc.dns_support) {
                return Err(Reason::NoService);
            }
            if !port.take_dns_token(now) {
                return Err(Reason::DnsRate);
            }
            let verdict = if packet.protocol == UDP { Verdict::Dns } else { Verdict::Tcp };
            return if whole { Ok(Some(verdict)) } else { Err(Reason::Fragment) };
        }
        if packet.protocol == packet::TCP
            && (port.has_service(packet.dst) || port.is_resolver(packet.dst))
        {
            return if whole { Ok(Some(Verdict::Tcp)) } else { Err(Reason::Fragment) };
        }
        let answer = packet.protocol == packet::TCP
            && packet.flags & (packet::SYN | packet::ACK) != packet::SYN;
        if packet.dst == subnet.router && answer && whole {
            // Of a tunnel that the router opened, or nobody's.
            return Ok(Some(Verdict::Tcp));
        }
        if subnet.is_router(packet.dst) {
            return if icmp::echo_reply(packet, frame) || icmp6::echo_reply(packet, frame) {
                frame.address(port.mac(), subnet.router_mac);
                Ok(Some(Verdict::Reply))
            } else {
                Err(Reason::NoService)
            };
        }
        let stays = is_local(packet.dst) || (packet.src.is_ipv6() && is_local(packet.src));
        if (stays && !packet.dst.is_multicast()) || port.is_resolver(packet.dst) {
            return Err(Reason::NoService);
        }
        Ok(None)
    }

    /// Sends a packet out of its subnet.
    fn route(
        &mut self,
        index: PortIndex,
        subnet: &Subnet,
        mut packet: Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Verdict, Reason> {
        acl::check(subnet, Direction::Egress, &packet)?;
        if let Some(verdict) = router::hop(self, index, subnet, &mut packet, frame) {
            return Ok(verdict);
        }
        self.forward(Sender::Port(index), subnet, packet, frame, now)
    }

    /// Sends a packet where its subnet's routes lead.
    fn forward(
        &mut self,
        sender: Sender,
        subnet: &Subnet,
        packet: Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Verdict, Reason> {
        let vpc = subnet.config.vpc;
        match subnet.route(packet.dst).ok_or(Reason::NoRoute)? {
            RouteTarget::Blackhole => Err(Reason::NoRoute),
            RouteTarget::Local => self.deliver_local(sender, subnet, None, packet, frame, now),
            RouteTarget::Interface(id) => {
                if matches!(sender, Sender::Port(_)) {
                    self.trail = Trail::Inside;
                }
                let to = self.find(*id).ok_or(Reason::NoRoute)?;
                let target = self.port(to).ok_or(Reason::NoRoute)?;
                if target.config.port.vpc != vpc {
                    return Err(Reason::NoRoute);
                }
                self.deliver(to, Some(subnet.config.id), None, packet, frame, now)
            }
            RouteTarget::InternetGateway => {
                if matches!(sender, Sender::Port(_)) {
                    self.trail = Trail::Gateway;
                }
                self.egress(sender, subnet, packet, frame, now)
            }
            RouteTarget::EgressOnlyGateway => {
                let Sender::Port(index) = sender else { return Err(Reason::NoRoute) };
                let port = self.port_mut(index).ok_or(Reason::Unconfigured)?;
                egress_only::leave(port, &packet, frame, now)?;
                self.egress(sender, subnet, packet, frame, now)
            }
            RouteTarget::NatGateway(id) => {
                self.through_nat(sender, subnet, *id, packet, frame, now)
            }
        }
    }

    /// Hands a packet to whoever has its destination in the VPC; to a neighbour with the sender's
    /// Ethernet address.
    fn deliver_local(
        &mut self,
        sender: Sender,
        subnet: &Subnet,
        from_mac: Option<[u8; 6]>,
        packet: Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Verdict, Reason> {
        let (vpc, from) = (subnet.config.vpc, Some(subnet.config.id));
        if let Some(id) = self.nat_gateways.by_address(vpc, packet.dst) {
            return self.enter_nat(Some(sender), from, id, packet, frame, now);
        }
        if matches!(sender, Sender::Port(_)) {
            self.trail = Trail::Inside;
        }
        let to = self.by_address(vpc, packet.dst).ok_or(Reason::NoHost)?;
        self.deliver(to, from, from_mac, packet, frame, now)
    }

    /// Sends a packet out of its VPC, perhaps straight into another.
    fn egress(
        &mut self,
        sender: Sender,
        subnet: &Subnet,
        mut packet: Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Verdict, Reason> {
        match sender {
            Sender::Port(index) => {
                if let Some(verdict) = router::fits(self, index, subnet, &packet, frame) {
                    return Ok(verdict);
                }
                let port = self.port(index).ok_or(Reason::Unconfigured)?;
                nat::outward(port, &mut packet, frame)?;
            }
            Sender::Gateway(id, _) => self.publish(id, &mut packet, frame)?,
        }
        if let Some((to, private)) = self.by_outside(packet.dst) {
            return self.gateway_in(to, private, packet, frame, now);
        }
        if let Some((id, private)) = self.nat_gateways.by_public(packet.dst) {
            return self.public_into_nat(id, private, packet, frame, now);
        }
        if self.is_unused_public(packet.dst) {
            return Err(Reason::NoHost);
        }
        packet.clamp_mss(frame, if packet.src.is_ipv6() { 1440 } else { 1460 });
        Ok(Verdict::Uplink)
    }

    /// Hands a packet to a port, if its subnet (when it came from outside of it) and its groups
    /// let it.
    fn deliver(
        &mut self,
        to: PortIndex,
        from_subnet: Option<SubnetId>,
        from_mac: Option<[u8; 6]>,
        packet: Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Verdict, Reason> {
        let result = self.admit(to, from_subnet, from_mac, &packet, frame, now);
        if let Err(reason) = result {
            // What a port refuses is its own counter, not the sender's.
            self.count(to, reason);
            return Ok(Verdict::Drop);
        }
        Ok(Verdict::Deliver(to))
    }

    fn admit(
        &mut self,
        to: PortIndex,
        from_subnet: Option<SubnetId>,
        from_mac: Option<[u8; 6]>,
        packet: &Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<(), Reason> {
        let port = self.port_mut(to).ok_or(Reason::NoHost)?;
        let subnet = port.subnet.clone().ok_or(Reason::Unconfigured)?;
        let crossed = from_mac.is_none() && from_subnet != Some(subnet.config.id);
        if crossed {
            acl::check(&subnet, Direction::Ingress, packet)?;
        }
        if port.config.port.source_dest_check && !port.owns(packet.dst) {
            return Err(Reason::DestCheck);
        }
        filter::check(port, Direction::Ingress, packet, frame, now)?;
        let mac = port.mac();
        frame.address(mac, from_mac.unwrap_or(subnet.router_mac));
        let ethertype = if packet.src.is_ipv6() { ipv6::ETHERTYPE } else { 0x0800 };
        frame.write(12, &ethertype.to_be_bytes());
        Ok(())
    }

    /// Decides about a packet from the uplink, which lies behind an empty Ethernet header.
    pub fn from_uplink(&mut self, frame: &mut Frame<'_>, now: u64) -> Verdict {
        self.decide_from_uplink(frame, now).unwrap_or_else(|reason| {
            self.counters.drop(reason);
            Verdict::Drop
        })
    }

    fn decide_from_uplink(&mut self, frame: &mut Frame<'_>, now: u64) -> Result<Verdict, Reason> {
        let mut packet = Packet::parse(frame)?;
        frame.truncate(packet.end);
        let to = self.by_outside(packet.dst);
        let gateway = self.nat_gateways.by_public(packet.dst);
        if to.is_none() && gateway.is_none() {
            return Err(Reason::NoHost);
        }
        if packet.src.is_ipv6() && nd::is_of_link(&packet) {
            return Err(Reason::SpoofedNd);
        }
        let ours = self.by_outside(packet.src).is_some()
            || self.nat_gateways.by_public(packet.src).is_some();
        if ours || is_local(packet.src) {
            // Between instances packets never pass the host.
            return Err(Reason::SpoofedIp);
        }
        if !self.uplink_fragments.resolve(&mut packet, now) {
            return Err(Reason::Fragment);
        }
        if packet.ttl <= 1 {
            return Err(Reason::TtlExpired);
        }
        packet.decrement_ttl(frame);
        match (to, gateway) {
            (Some((to, private)), _) => self.gateway_in(to, private, packet, frame, now),
            (None, Some((id, private))) => self.public_into_nat(id, private, packet, frame, now),
            (None, None) => Err(Reason::NoHost),
        }
    }

    /// Takes a packet to a public address in by the internet gateway.
    fn gateway_in(
        &mut self,
        to: PortIndex,
        private: IpAddr,
        mut packet: Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Verdict, Reason> {
        let port = self.port_mut(to).ok_or(Reason::NoHost)?;
        let subnet = port.subnet.as_ref().ok_or(Reason::Unconfigured)?;
        // Only what is routed to a gateway is outside: an address of the VPC never is.
        let way = subnet.route(packet.src);
        let passes = if way == Some(&RouteTarget::InternetGateway) {
            Ok(())
        } else if way == Some(&RouteTarget::EgressOnlyGateway) {
            egress_only::enter(port, &packet, frame, now)
        } else {
            Err(Reason::NoRoute)
        };
        if let Err(reason) = passes {
            self.count(to, reason);
            return Ok(Verdict::Drop);
        }
        if let IpAddr::V4(private) = private {
            packet.set_destination(frame, private);
        }
        self.deliver(to, None, None, packet, frame, now)
    }
}

/// Milliseconds as whole seconds.
#[must_use]
pub fn seconds(now: u64) -> u32 {
    u32::try_from(now / 1000).unwrap_or(u32::MAX)
}
