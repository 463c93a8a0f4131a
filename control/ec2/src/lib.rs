//! EC2's operations as pure functions over control state.

pub mod access;
pub mod accounts;
pub mod compute;
pub mod desired;
pub mod ebs;
pub mod errors;
mod filters;
pub mod hosts;
mod idempotency;
mod operations;
mod page;
pub mod regions;
mod reset;
mod resource;
mod settings;
pub mod tagging;
mod tags;
#[cfg(test)]
mod testing;
pub mod vpc;

pub use operations::{Ask, AskHost, InPart, MutateInPart, Mutation, Prepare, Visitor, visit};
pub use reset::reset;
pub use settings::Settings;

/// Does what is due by the clock.
pub fn tick(tx: &mut state::Tx) {
    compute::instances::forget_terminated(tx);
    compute::instances::stop_closed(tx);
    idempotency::forget_old(tx);
    vpc::nat_gateways::tick(tx);
}

/// Whether anything is in a state that lasts for a moment only, which [`advance`] ends.
#[must_use]
pub fn is_in_transition(state: &state::State) -> bool {
    vpc::nat_gateways::is_in_transition(state)
}

/// Ends the states that last for a moment only.
pub fn advance(tx: &mut state::Tx) {
    vpc::nat_gateways::tick(tx);
}

/// The tables of this crate's rows.
#[must_use]
pub fn tables() -> Vec<state::TableDef> {
    vec![
        state::table::<Settings>(),
        state::table::<idempotency::ClientToken>(),
        state::table::<hosts::Host>(),
        state::table::<compute::images::Image>(),
        state::table::<compute::instance_profiles::ProfileAssociation>(),
        state::table::<compute::instances::Instance>(),
        state::table::<compute::key_pairs::KeyPair>(),
        state::table::<compute::metadata_defaults::MetadataDefaults>(),
        state::table::<ebs::snapshots::Snapshot>(),
        state::table::<ebs::volumes::Volume>(),
        state::table::<vpc::addresses::Address>(),
        state::table::<vpc::defaults::RegionSetup>(),
        state::table::<vpc::dhcp_options::DhcpOptions>(),
        state::table::<vpc::egress_only_internet_gateways::EgressOnlyInternetGateway>(),
        state::table::<vpc::internet_gateways::InternetGateway>(),
        state::table::<vpc::nat_gateways::NatGateway>(),
        state::table::<vpc::network_acls::NetworkAcl>(),
        state::table::<vpc::network_interfaces::NetworkInterface>(),
        state::table::<vpc::route_tables::RouteTable>(),
        state::table::<vpc::security_groups::SecurityGroup>(),
        state::table::<vpc::subnet_reservations::SubnetReservation>(),
        state::table::<vpc::subnets::Subnet>(),
        state::table::<vpc::vpcs::Vpc>(),
    ]
}
