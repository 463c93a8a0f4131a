//! Virtual private clouds: networks and what filters, routes and translates in them.

pub mod addresses;
mod cidr;
pub mod cidr_blocks;
pub mod defaults;
mod describe;
pub mod desired;
pub mod dhcp_options;
pub mod egress_only_internet_gateways;
pub mod internet_gateways;
mod ipv6;
pub mod names;
pub mod nat_gateways;
pub mod network_acls;
pub mod network_interfaces;
pub mod prefix_lists;
pub mod route_tables;
pub mod security_groups;
pub mod subnet_reservations;
pub mod subnets;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod traffic;
pub mod vpcs;
