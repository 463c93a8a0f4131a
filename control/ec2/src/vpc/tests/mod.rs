//! Tests of this folder's operations, called on transactions without a server.

mod acls;
mod addresses;
mod desired;
mod interfaces;
mod ipv6;
mod nat_gateways;
mod networks;
mod property;
mod routes;
mod security_groups;
