//! Wiping the cloud: everything but the images, the hosts and the settings.

use crate::{
    compute::{
        images::Image,
        instance_profiles::ProfileAssociation,
        instances::{Instance, InstanceState},
        key_pairs::KeyPair,
        metadata_defaults::MetadataDefaults,
    },
    ebs::{
        snapshots::Snapshot,
        volumes::{Volume, VolumeState},
    },
    hosts, idempotency,
    vpc::{
        addresses::Address, defaults::RegionSetup, dhcp_options::DhcpOptions,
        egress_only_internet_gateways::EgressOnlyInternetGateway,
        internet_gateways::InternetGateway, nat_gateways::NatGateway, network_acls::NetworkAcl,
        network_interfaces::NetworkInterface, route_tables::RouteTable,
        security_groups::SecurityGroup, subnet_reservations::SubnetReservation, subnets::Subnet,
        vpcs::Vpc,
    },
};
use state::{Row, Tx};
use types::{AccountId, Scope};

fn clear<R: Row>(tx: &mut Tx, gone: impl Fn(&R) -> bool) {
    let keys = tx.iter::<R>().filter(|row| gone(row)).map(|row| row.key()).collect::<Vec<_>>();
    for key in keys {
        tx.delete::<R>(&key);
    }
}

/// Wipes the resources of all accounts. VMs that run and volumes that have data are taken from
/// their owners at once, and end in the background.
pub fn reset(tx: &mut Tx) {
    let nobody = |scope: &Scope| Scope { account: AccountId::SYSTEM, region: scope.region.clone() };
    for row in tx.iter::<Instance>().cloned().collect::<Vec<_>>() {
        let mut row = Instance::clone(&row);
        if !row.state.holds_capacity() || row.ended {
            // No VM is left of it that would be reported.
            hosts::set_state(tx, &mut row, InstanceState::Terminated);
            tx.delete::<Instance>(&row.id);
            continue;
        }
        hosts::set_state(tx, &mut row, InstanceState::ShuttingDown);
        row.scope = nobody(&row.scope);
        row.grace_ms = 0;
        tx.put(row);
    }
    for row in tx.iter::<Volume>().cloned().collect::<Vec<_>>() {
        let mut row = Volume::clone(&row);
        row.scope = nobody(&row.scope);
        row.state = VolumeState::Deleting;
        row.attachment = None;
        tx.put(row);
    }
    clear::<Address>(tx, |_| true);
    clear::<DhcpOptions>(tx, |_| true);
    clear::<EgressOnlyInternetGateway>(tx, |_| true);
    clear::<InternetGateway>(tx, |_| true);
    clear::<KeyPair>(tx, |_| true);
    clear::<MetadataDefaults>(tx, |_| true);
    clear::<NatGateway>(tx, |_| true);
    clear::<NetworkAcl>(tx, |_| true);
    clear::<NetworkInterface>(tx, |_| true);
    clear::<ProfileAssociation>(tx, |_| true);
    clear::<RegionSetup>(tx, |_| true);
    clear::<RouteTable>(tx, |_| true);
    clear::<SecurityGroup>(tx, |_| true);
    clear::<Subnet>(tx, |_| true);
    clear::<SubnetReservation>(tx, |_| true);
    clear::<Vpc>(tx, |_| true);
    clear::<Image>(tx, |row| row.scope.is_some());
    clear::<Snapshot>(tx, |row| row.scope.is_some());
    clear::<idempotency::ClientToken>(tx, |_| true);
}
