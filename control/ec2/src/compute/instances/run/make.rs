//! A launch carried out.

use super::{Disk, Launch};
use crate::{
    compute::{
        instance_profiles,
        instances::{Instance, InstanceState, STOP_GRACE_MS},
    },
    ebs::volumes::{self, Attachment, NewVolume, Volume},
    errors, hosts,
    vpc::{addresses, network_interfaces, network_interfaces::NewInterface, vpcs::Vpc},
};
use iam::Request;
use shapes::Fault;
use state::Tx;
use types::{InstanceId, ReservationId};

pub(super) fn make(
    tx: &mut Tx,
    request: &Request,
    launch: &Launch,
    reservation: ReservationId,
    index: u32,
    host: &str,
) -> Result<Instance, Fault> {
    let id = tx.new_id::<InstanceId>();
    let instance = row(tx, request, launch, (id, reservation, index), host);
    hosts::take(tx, &instance);
    for disk in &launch.disks {
        attach_disk(tx, launch, disk, &instance)?;
    }
    for card in &launch.cards {
        let interface = match &card.existing {
            Some(existing) => existing.id,
            None => {
                let interface = NewInterface {
                    subnet: &card.subnet,
                    address: card.address,
                    secondary_count: card.secondary_count,
                    ipv6: card.ipv6.clone(),
                    groups: card.groups.clone(),
                    description: card.description.clone(),
                    source_dest_check: true,
                    tags: launch.interface_tags.clone(),
                };
                network_interfaces::create(tx, &request.scope, interface)?.id
            }
        };
        network_interfaces::attach(tx, interface, id, card.index, card.delete_on_termination);
        if card.index == 0 && launch.lends_public {
            addresses::lend_public(tx, interface)?;
        }
    }
    if let Some(profile) = &launch.profile {
        instance_profiles::associate(tx, &request.scope, id, profile);
    }
    tx.put(instance.clone());
    Ok(instance)
}

fn attach_disk(tx: &mut Tx, launch: &Launch, disk: &Disk, to: &Instance) -> Result<(), Fault> {
    let size = disk.size_gib.or(disk.snapshot.as_ref().map(|snapshot| snapshot.size_gib));
    let volume = NewVolume {
        zone: to.zone.clone(),
        size_gib: size.ok_or_else(|| errors::missing("size"))?,
        kind: disk.kind,
        iops: disk.iops,
        throughput: disk.throughput,
        snapshot: disk.snapshot.as_ref().map(|snapshot| snapshot.id),
        encrypted: false,
        host: to.host.clone(),
        tags: launch.volume_tags.clone(),
    };
    let attach_time = tx.now();
    let volume = volumes::create(tx, &to.scope, volume)?;
    tx.update::<Volume>(&volume.id, |row| {
        row.attachment = Some(Attachment {
            instance: to.id,
            device_name: disk.device_name.clone(),
            attach_time,
            delete_on_termination: disk.delete_on_termination,
            attached: false,
        });
    });
    Ok(())
}

fn row(
    tx: &Tx,
    request: &Request,
    launch: &Launch,
    (id, reservation, launch_index): (InstanceId, ReservationId, u32),
    host: &str,
) -> Instance {
    let template = &launch.template;
    debug_assert!(tx.get::<Vpc>(&launch.subnet.vpc).is_some(), "a subnet's VPC exists");
    Instance {
        id,
        scope: request.scope.clone(),
        reservation,
        launch_index,
        image: launch.image.id,
        instance_type: launch.kind.name.clone(),
        architecture: launch.image.architecture.clone(),
        key_name: launch.key.as_ref().map(|key| key.name.clone()),
        public_key: launch.key.as_ref().map(|key| key.public_key.clone()),
        state: InstanceState::Pending,
        state_reason: Some(("pending".to_owned(), "pending".to_owned())),
        transition_reason: String::new(),
        launch_time: tx.now(),
        has_run: false,
        vm_running: false,
        ended: false,
        lends_public: launch.lends_public,
        terminated_at: None,
        zone: launch.subnet.zone.clone(),
        vpc: launch.subnet.vpc,
        subnet: launch.subnet.id,
        host: host.to_owned(),
        incarnation: 1,
        reboots: 0,
        recoveries: Vec::new(),
        grace_ms: STOP_GRACE_MS,
        root_device_name: launch.image.root_device_name.clone(),
        user_data: launch.user_data.clone(),
        shutdown_terminates: template.shutdown_terminates,
        termination_protection: template.termination_protection,
        stop_protection: template.stop_protection,
        ebs_optimized: template.ebs_optimized,
        detailed_monitoring: template.detailed_monitoring,
        metadata: launch.metadata.clone(),
        cpu_credits: template.cpu_credits.clone(),
        cores: launch.cores,
        threads_per_core: launch.threads_per_core,
        memory_mib: launch.kind.memory_mib,
        auto_recovery: template.auto_recovery,
        hostname_type: template.hostname_type.clone(),
        resource_name_dns_a: template.resource_name_dns_a,
        resource_name_dns_aaaa: template.resource_name_dns_aaaa,
        client_token: template.client_token.clone(),
        tags: launch.instance_tags.clone(),
    }
}
