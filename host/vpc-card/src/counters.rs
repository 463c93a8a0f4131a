//! What is counted of each port and of the card, by name.

use std::collections::BTreeMap;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Why a packet was dropped; each reason is a counter, `drop_` and its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
            /// All reasons, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The counter's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => concat!("drop_", $text)),* }
            }
        }
    };
}

reasons! {
    /// The Ethernet source is not the port's.
    SpoofedMac = "spoofed_mac";
    /// The IP source is not the port's.
    SpoofedIp = "spoofed_ip";
    /// An ARP message claims an address that is not the port's.
    SpoofedArp = "spoofed_arp";
    /// Truncated, or with lengths or a checksum that contradict the bytes.
    Malformed = "malformed";
    /// A Neighbour Discovery message that speaks for others.
    SpoofedNd = "spoofed_nd";
    /// IPv6 at a port that has no IPv6 address.
    Ipv6 = "ipv6";
    /// IPv6 extension headers that are too many, in the wrong place, or lead elsewhere.
    ExtensionHeader = "extension_header";
    /// Neither IP nor ARP.
    EtherType = "ethertype";
    /// To a multicast or broadcast address.
    Multicast = "multicast";
    /// A fragment whose first fragment did not come before it.
    Fragment = "fragment";
    /// No rule of the port's groups allows it out.
    GroupEgress = "group_egress";
    /// No rule of the port's groups allows it in.
    GroupIngress = "group_ingress";
    /// The port follows too many flows.
    FlowTableFull = "flow_table_full";
    /// The network ACL of the source's subnet denies it.
    AclEgress = "acl_egress";
    /// The network ACL of the destination's subnet denies it.
    AclIngress = "acl_ingress";
    /// The route table has no route, or a blackhole.
    NoRoute = "no_route";
    /// The way leads to the internet gateway and the source has no public address.
    NoPublicAddress = "no_public_address";
    /// A NAT gateway knows no connection that it could be of.
    NatUnknown = "nat_unknown";
    /// A NAT gateway has no port left towards the destination.
    NatPorts = "nat_ports";
    /// A NAT gateway has too many connections.
    NatFull = "nat_full";
    /// NAT gateways translate TCP, UDP and ICMP echoes only.
    NatProtocol = "nat_protocol";
    /// From beyond the egress-only gateway, and no answer to anything that went there.
    EgressOnly = "egress_only";
    /// No port has the destination address.
    NoHost = "no_host";
    /// The destination port checks its destinations and this is another's.
    DestCheck = "dest_check";
    /// Routed too often.
    TtlExpired = "ttl_expired";
    /// Larger than the uplink's MTU, and not to be fragmented.
    TooBig = "too_big";
    /// To a link-local address or router port that offers nothing.
    NoService = "no_service";
    /// A DHCP message that is not for this server.
    DhcpIgnored = "dhcp_ignored";
    /// More DNS packets than a port may send.
    DnsRate = "dns_rate";
    /// A DNS message that is no query, or too many that wait for an answer.
    DnsIgnored = "dns_ignored";
    /// The port's subnet or VPC is not known.
    Unconfigured = "unconfigured";
    /// There is no uplink, or it took no more.
    Uplink = "uplink";
    /// The guest offers no buffer for it.
    NoBuffer = "no_buffer";
    /// The guest's interface is down.
    LinkDown = "link_down";
    /// A descriptor chain that breaks the rules.
    BadChain = "bad_chain";
}

const REASONS: usize = Reason::ALL.len();

/// Counters of one port; `rx` is towards the guest.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Packets to the guest.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Packets from the guest.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Times that a ring was stopped because it made no sense.
    pub broken_rings: u64,
    drops: [u64; REASONS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            rx_packets: 0,
            rx_bytes: 0,
            tx_packets: 0,
            tx_bytes: 0,
            broken_rings: 0,
            drops: [0; REASONS],
        }
    }
}

impl Counters {
    /// Counts a dropped packet.
    pub fn drop(&mut self, reason: Reason) {
        if let Some(counter) = self.drops.get_mut(reason as usize) {
            *counter += 1;
        }
    }

    /// How many packets were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or_default()
    }

    /// All counters by name; drops only where there were some.
    #[must_use]
    pub fn report(&self) -> BTreeMap<String, u64> {
        let drops = Reason::ALL.iter().map(|&reason| (reason.name(), self.dropped(reason)));
        [
            ("rx_packets", self.rx_packets),
            ("rx_bytes", self.rx_bytes),
            ("tx_packets", self.tx_packets),
            ("tx_bytes", self.tx_bytes),
            ("broken_rings", self.broken_rings),
            // As the ENA driver names it.
            ("conntrack_allowance_exceeded", self.dropped(Reason::FlowTableFull)),
        ]
        .into_iter()
        .chain(drops.filter(|&(_, count)| count > 0))
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
    }
}
