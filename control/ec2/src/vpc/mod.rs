//! Virtual private clouds: networks and what filters, routes and translates in them.

pub mod addresses;
pub mod dhcp_options;
pub mod internet_gateways;
pub mod network_acls;
pub mod network_interfaces;
pub mod route_tables;
pub mod security_groups;
pub mod subnets;
pub mod vpcs;
