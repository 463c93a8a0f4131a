//! The way of packets through NAT gateways, which lie in subnets as interfaces do.

use super::{
    Direction, Engine, Frame, Packet, PortIndex, Reason, Verdict,
    config::Subnet,
    packet::{ETHERNET, TCP, ipv4},
};
use crate::layers::{
    acl,
    nat_gateway::{self, Gateway},
    router,
};
use contracts::network::{NatGateway, RouteTarget};
use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};
use types::{NatGatewayId, SubnetId, VpcId};

/// Gateways that a packet may pass, one behind the other.
const MAX_PASSED: u8 = 4;

/// Who sends a packet on from a subnet.
#[derive(Debug, Clone, Copy)]
pub enum Sender {
    /// A guest.
    Port(PortIndex),
    /// A NAT gateway, after so many others.
    Gateway(NatGatewayId, u8),
}

impl Sender {
    fn passed(self) -> u8 {
        match self {
            Self::Port(_) => 0,
            Self::Gateway(_, passed) => passed,
        }
    }
}

/// The gateways, and who has which address.
#[derive(Debug, Default)]
pub struct NatGateways {
    gateways: HashMap<NatGatewayId, Gateway>,
    addresses: HashMap<(VpcId, Ipv4Addr), NatGatewayId>,
    publics: HashMap<Ipv4Addr, (NatGatewayId, Ipv4Addr)>,
}

impl NatGateways {
    /// Changes the configuration; what stays keeps its connections and counters.
    pub(super) fn apply(&mut self, reset: bool, put: Vec<NatGateway>, remove: &[NatGatewayId]) {
        if reset {
            let keep: HashSet<_> = put.iter().map(|gateway| gateway.id).collect();
            self.gateways.retain(|id, _| keep.contains(id));
        }
        remove.iter().for_each(|id| drop(self.gateways.remove(id)));
        for config in put {
            match self.gateways.get_mut(&config.id) {
                Some(gateway) => gateway.configure(config),
                None => drop(self.gateways.insert(config.id, Gateway::new(config))),
            }
        }
        self.addresses.clear();
        self.publics.clear();
        for (&id, gateway) in &self.gateways {
            for own in &gateway.config.addresses {
                self.addresses.insert((gateway.config.vpc, own.private), id);
                if let Some(public) = own.public {
                    self.publics.insert(public, (id, own.private));
                }
            }
        }
    }

    /// All gateways.
    pub fn iter(&self) -> impl Iterator<Item = &Gateway> {
        self.gateways.values()
    }

    /// The gateway with this ID.
    #[must_use]
    pub fn get(&self, id: NatGatewayId) -> Option<&Gateway> {
        self.gateways.get(&id)
    }

    /// The gateway of a VPC that has a private address.
    #[must_use]
    pub fn by_address(&self, vpc: VpcId, address: IpAddr) -> Option<NatGatewayId> {
        self.addresses.get(&(vpc, ipv4(address)?)).copied()
    }

    /// The gateway that has a public address, and the private address behind it.
    #[must_use]
    pub fn by_public(&self, address: IpAddr) -> Option<(NatGatewayId, Ipv4Addr)> {
        self.publics.get(&ipv4(address)?).copied()
    }

    /// Forgets idle connections; `now` in seconds.
    pub(super) fn clean(&mut self, now: u32) {
        self.gateways.values_mut().for_each(|gateway| gateway.table.clean(now));
    }

    /// Whether there are connections.
    #[must_use]
    pub(super) fn has_flows(&self) -> bool {
        self.gateways.values().any(|gateway| !gateway.table.is_empty())
    }

    fn drop_at(&mut self, id: NatGatewayId, reason: Reason) {
        if let Some(gateway) = self.gateways.get_mut(&id) {
            gateway.drops.drop(reason);
        }
    }
}

impl Engine {
    /// A gateway's subnet.
    fn gateway_subnet(&self, id: NatGatewayId) -> Option<Arc<Subnet>> {
        self.subnets.get(&self.nat_gateways.get(id)?.config.subnet).cloned()
    }

    /// Sends a packet from a subnet of the gateway's VPC out by a NAT gateway.
    pub(super) fn through_nat(
        &mut self,
        sender: Sender,
        subnet: &Subnet,
        id: NatGatewayId,
        mut packet: Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Verdict, Reason> {
        let passed = sender.passed() + 1;
        let own = self.gateway_subnet(id).filter(|own| own.config.vpc == subnet.config.vpc);
        let own = own.filter(|_| passed <= MAX_PASSED).ok_or(Reason::NoRoute)?;
        // What fits the uplink is said before the packet is another's.
        if let Sender::Port(index) = sender
            && own.route(packet.dst) == Some(&RouteTarget::InternetGateway)
            && let Some(verdict) = router::fits(self, index, subnet, &packet, frame)
        {
            return Ok(verdict);
        }
        if subnet.config.id != own.config.id
            && let Err(reason) = acl::check(&own, Direction::Ingress, &packet)
        {
            self.nat_gateways.drop_at(id, reason);
            return Ok(Verdict::Drop);
        }
        let Some(gateway) = self.nat_gateways.gateways.get_mut(&id) else {
            return Err(Reason::NoRoute);
        };
        if let Err(reason) = gateway.outward(&mut packet, frame, now) {
            gateway.drops.drop(reason);
            let unknown = reason == Reason::NatUnknown && packet.protocol == TCP;
            return Ok(match sender {
                Sender::Port(index) if unknown => {
                    let mac = self.port(index).map(super::Port::mac).unwrap_or_default();
                    nat_gateway::reset(&packet, frame, (mac, subnet.router_mac))
                }
                Sender::Port(_) | Sender::Gateway(..) => Verdict::Drop,
            });
        }
        self.leave_gateway(id, passed, &own, packet, frame, now)
    }

    /// Takes a packet to one of a NAT gateway's private addresses.
    pub(super) fn enter_nat(
        &mut self,
        sender: Option<Sender>,
        from_subnet: Option<SubnetId>,
        id: NatGatewayId,
        mut packet: Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Verdict, Reason> {
        let passed = sender.map_or(0, Sender::passed) + 1;
        let own = self.gateway_subnet(id).filter(|_| passed <= MAX_PASSED);
        let own = own.ok_or(Reason::NoRoute)?;
        let crossed = from_subnet != Some(own.config.id);
        let allowed = if crossed { acl::check(&own, Direction::Ingress, &packet) } else { Ok(()) };
        let Some(gateway) = self.nat_gateways.gateways.get_mut(&id) else {
            return Err(Reason::NoHost);
        };
        let translated = allowed.and_then(|()| gateway.inward(&mut packet, frame, now));
        if let Err(reason) = translated {
            // What a gateway refuses is its own counter, not the sender's.
            gateway.drops.drop(reason);
            return Ok(Verdict::Drop);
        }
        self.leave_gateway(id, passed, &own, packet, frame, now)
    }

    /// Sends a translated packet on from the gateway's subnet.
    ///
    /// No decision about it may be repeated for other packets: the gateway's table is asked of each.
    fn leave_gateway(
        &mut self,
        id: NatGatewayId,
        passed: u8,
        own: &Subnet,
        packet: Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Verdict, Reason> {
        let sender = Sender::Gateway(id, passed);
        let stays = own.contains(packet.dst);
        let allowed = if stays { Ok(()) } else { acl::check(own, Direction::Egress, &packet) };
        let sent = allowed.and_then(|()| self.forward(sender, own, packet, frame, now));
        sent.or_else(|reason| {
            self.nat_gateways.drop_at(id, reason);
            Ok(Verdict::Drop)
        })
    }

    /// Takes a packet to a gateway's public address in by the internet gateway.
    pub(super) fn public_into_nat(
        &mut self,
        id: NatGatewayId,
        private: Ipv4Addr,
        mut packet: Packet,
        frame: &mut Frame<'_>,
        now: u64,
    ) -> Result<Verdict, Reason> {
        let own = self.gateway_subnet(id).ok_or(Reason::NoHost)?;
        if own.route(packet.src) != Some(&RouteTarget::InternetGateway) {
            self.nat_gateways.drop_at(id, Reason::NoRoute);
            return Ok(Verdict::Drop);
        }
        packet.set_destination(frame, private);
        self.enter_nat(None, None, id, packet, frame, now)
    }

    /// Gives a gateway's packet that leaves its VPC its public source address.
    pub(super) fn publish(
        &self,
        id: NatGatewayId,
        packet: &mut Packet,
        frame: &mut Frame<'_>,
    ) -> Result<(), Reason> {
        let fits =
            packet.end.saturating_sub(ETHERNET) <= super::UPLINK_MTU || !packet.dont_fragment;
        if !fits && !frame.segmented {
            return Err(Reason::TooBig);
        }
        let gateway = self.nat_gateways.get(id).ok_or(Reason::NoRoute)?;
        let own = ipv4(packet.src).and_then(|private| gateway.public_of(private));
        packet.set_source(frame, own.ok_or(Reason::NoPublicAddress)?);
        Ok(())
    }
}
