//! The engine's configuration: what a patch changes, and the tables derived from it.

pub use super::rules::{Allowed, Question, Rules, matches};
use super::{
    Engine, Port, PortIndex, ROUTER6,
    ipv6::link_local,
    outside::{PREFIX_BITS, prefix},
};
use contracts::{
    card::VpcPatch,
    network::{self, RouteTarget},
};
use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

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
            mut remove_groups,
            nat_gateways,
            remove_nat_gateways,
        } = patch;
        let nat_gateways = self.known_gateways(nat_gateways);
        self.nat_gateways.apply(reset, nat_gateways, &remove_nat_gateways);
        if reset {
            let keep: HashSet<_> = ports.iter().map(|config| config.port.id).collect();
            let gone: Vec<_> = self.by_id.keys().filter(|id| !keep.contains(id)).copied().collect();
            gone.iter().for_each(|&id| self.remove_port(id));
            self.vpcs.clear();
            self.subnets.clear();
            let keep: HashSet<_> = groups.iter().map(|group| group.id).collect();
            remove_groups.extend(self.groups.keys().filter(|id| !keep.contains(id)));
        }
        let mut recompile: HashSet<_> = remove_groups.iter().copied().collect();
        recompile.extend(
            groups.iter().filter(|new| self.groups.get(&new.id) != Some(new)).map(|new| new.id),
        );
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
        for mut config in ports {
            for address in &mut config.port.addresses {
                address.public = address.public.and_then(|public| self.known_as(public));
            }
            match self.by_id.get(&config.port.id) {
                Some(&index) => {
                    if let Some(port) = self.port_mut(index) {
                        if port.config.port.groups != config.port.groups {
                            port.grace_until = 0;
                        }
                        port.flows.limit(config.port.connections);
                        port.config = config;
                    }
                }
                None => self.add_port(Port::new(config, !fresh, now)),
            }
        }
        self.compiled.update(&self.groups, &recompile);
        self.keeper.forget(now);
        self.derive()
    }

    /// NAT gateways with their public addresses as they are known here.
    fn known_gateways(&self, mut gateways: Vec<network::NatGateway>) -> Vec<network::NatGateway> {
        for address in gateways.iter_mut().flat_map(|gateway| &mut gateway.addresses) {
            address.public = address.public.and_then(|public| self.known_as(public));
        }
        gateways
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

    /// Computes what follows from the configuration: address tables, and what each port refers to.
    fn derive(&mut self) -> BTreeMap<String, String> {
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
            port.groups = config.groups.iter().filter_map(|&id| self.compiled.rules(id)).collect();
            if port.vpc.is_none() || port.subnet.is_none() || config.addresses.is_empty() {
                let reason = "its VPC, its subnet or its address is not known";
                failed.insert(config.id.to_string(), reason.to_owned());
            }
        }
        failed
    }
}
