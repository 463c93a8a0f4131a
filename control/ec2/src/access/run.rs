//! What a launch asks: the image, and each instance, volume, interface, subnet, group and key.

use super::{Asked, profiles, resources::Place, table::Type};
use crate::{
    compute::images::Image,
    vpc::{security_groups::SecurityGroup, subnets, subnets::Subnet},
};
use iam::access::{Check, members::Input};

/// Gathers what `RunInstances` asks.
pub(super) fn ask(place: &Place<'_>, asked: &mut Asked, input: Input<'_>) {
    let zone = input.text("Placement.AvailabilityZone");
    let subnet = subnet_of(place, input, zone.as_deref());
    let zone = zone.or_else(|| {
        let subnet = subnet.as_deref()?.parse().ok()?;
        place.state.get::<Subnet>(&subnet).map(|subnet| subnet.zone.to_string())
    });
    if let Some(image) = input.text("ImageId") {
        let mut check = place.named(Type::Image, &image);
        common(&mut check, input);
        asked.resource(check);
    }
    asked.new_resource(place, Type::Instance, input, |check| {
        instance(place, check, input, zone.as_deref());
    });
    volumes(place, asked, input, zone.as_deref());
    interfaces(place, asked, input, subnet.as_deref());
    let groups = ["SecurityGroupIds", "SecurityGroups", "NetworkInterfaces.Groups"];
    let named = groups.iter().flat_map(|path| input.texts(path)).collect::<Vec<_>>();
    let default = default_group(place, subnet.as_deref()).filter(|_| named.is_empty());
    for group in named.into_iter().chain(default) {
        let mut check = place.named(Type::SecurityGroup, &group);
        common(&mut check, input);
        asked.resource(check);
    }
    if let Some(key) = input.text("KeyName") {
        let mut check = place.named(Type::KeyPair, &key);
        common(&mut check, input);
        asked.resource(check);
    }
    asked.checks.extend(profiles::pass_role(place, input));
}

/// The group of an interface for which none is named.
fn default_group(place: &Place<'_>, subnet: Option<&str>) -> Option<String> {
    let subnet = place.state.get::<Subnet>(&subnet?.parse().ok()?)?;
    let mut groups = place.state.find::<SecurityGroup>("vpc", subnet.vpc);
    groups.find(|group| group.is_default()).map(|group| group.id.to_string())
}

/// The subnet of the first interface: the one named, or the default one.
fn subnet_of(place: &Place<'_>, input: Input<'_>, zone: Option<&str>) -> Option<String> {
    let named = input.text("SubnetId").or_else(|| input.text("NetworkInterfaces.SubnetId"));
    if named.is_some() || input.text("NetworkInterfaces.NetworkInterfaceId").is_some() {
        return named;
    }
    let zone = match zone {
        Some(zone) => Some(zone.parse().ok()?),
        None => None,
    };
    let default = subnets::default_in(place.state, place.scope, zone.as_ref());
    default.map(|subnet| subnet.id.to_string())
}

/// What policies ask of every resource of a launch.
fn common(check: &mut Check, input: Input<'_>) {
    check.set("ec2:IsLaunchTemplateResource", "false");
    if let Some(kind) = input.text("InstanceType") {
        check.set("ec2:InstanceType", kind);
    }
}

fn instance(place: &Place<'_>, check: &mut Check, input: Input<'_>, zone: Option<&str>) {
    check.set("ec2:IsLaunchTemplateResource", "false");
    check.set("ec2:InstanceType", input.text("InstanceType").unwrap_or_else(|| "m1.small".into()));
    let or = |path, otherwise: &str| input.text(path).unwrap_or_else(|| otherwise.to_owned());
    check.set("ec2:EbsOptimized", or("EbsOptimized", "false"));
    check.set("ec2:RootDeviceType", "ebs");
    check.set("ec2:Tenancy", or("Placement.Tenancy", "default"));
    check.set("ec2:InstanceMarketType", or("InstanceMarketOptions.MarketType", "on-demand"));
    for (key, path) in [
        ("ec2:MetadataHttpTokens", "MetadataOptions.HttpTokens"),
        ("ec2:MetadataHttpEndpoint", "MetadataOptions.HttpEndpoint"),
        ("ec2:MetadataHttpPutResponseHopLimit", "MetadataOptions.HttpPutResponseHopLimit"),
        ("ec2:PlacementGroup", "Placement.GroupName"),
    ] {
        if let Some(value) = input.text(path) {
            check.set(key, value);
        }
    }
    if let Some(zone) = zone {
        check.set("ec2:AvailabilityZone", zone);
    }
    if let Some(profile) = profiles::specified(place, input) {
        check.set("ec2:InstanceProfile", profile);
    }
}

/// The image's root volume, and each volume that a mapping makes.
fn volumes(place: &Place<'_>, asked: &mut Asked, input: Input<'_>, zone: Option<&str>) {
    let image = input.text("ImageId").and_then(|id| id.parse().ok());
    let image = image.and_then(|id| place.state.get::<Image>(&id));
    let root = image.map(|image| image.root_device_name.clone());
    let mappings = input.structures("BlockDeviceMappings");
    let names_root = mappings.iter().any(|one| one.text("DeviceName") == root);
    let of_root = [None].into_iter().filter(|_| !names_root);
    let of_mappings = mappings.iter().filter(|one| one.text("NoDevice").is_none()).map(Some);
    for mapping in of_root.chain(of_mappings) {
        let text = |path: &str| mapping.and_then(|mapping| mapping.text(path));
        let is_root = mapping.is_none_or(|mapping| mapping.text("DeviceName") == root);
        asked.new_resource(place, Type::Volume, input, |check| {
            common(check, input);
            let of_image = image.filter(|_| is_root);
            let size = of_image.map(|image| image.root_size_gib.to_string());
            if let Some(size) = text("Ebs.VolumeSize").or(size) {
                check.set("ec2:VolumeSize", size);
            }
            let snapshot = of_image.map(|image| image.root_snapshot.to_string());
            if let Some(snapshot) = text("Ebs.SnapshotId").or(snapshot) {
                check.set("ec2:ParentSnapshot", place.arn(Type::Snapshot, &snapshot));
            }
            let kind = text("Ebs.VolumeType").unwrap_or_else(|| "gp2".to_owned());
            check.set("ec2:VolumeType", kind);
            check.set("ec2:Encrypted", text("Ebs.Encrypted").unwrap_or_else(|| "false".to_owned()));
            for (key, path) in
                [("ec2:VolumeIops", "Ebs.Iops"), ("ec2:VolumeThroughput", "Ebs.Throughput")]
            {
                if let Some(value) = text(path) {
                    check.set(key, value);
                }
            }
            if let Some(zone) = zone {
                check.set("ec2:AvailabilityZone", zone);
            }
        });
    }
}

/// Each interface, made or there, and its subnet.
fn interfaces(place: &Place<'_>, asked: &mut Asked, input: Input<'_>, subnet: Option<&str>) {
    let given = input.structures("NetworkInterfaces");
    let only = [None].into_iter().filter(|_| given.is_empty());
    for interface in only.chain(given.iter().map(Some)) {
        let text = |path: &str| interface.and_then(|interface| interface.text(path));
        if let Some(id) = text("NetworkInterfaceId") {
            let mut check = place.named(Type::Interface, &id);
            common(&mut check, input);
            asked.resource(check);
            continue;
        }
        let subnet = text("SubnetId").or_else(|| subnet.map(ToOwned::to_owned));
        asked.new_resource(place, Type::Interface, input, |check| {
            common(check, input);
            if let Some(subnet) = &subnet {
                place.set_subnet(check, subnet);
            }
            if let Some(public) = text("AssociatePublicIpAddress") {
                check.set("ec2:AssociatePublicIpAddress", public);
            }
        });
        if let Some(subnet) = &subnet {
            let mut check = place.subnet(subnet);
            common(&mut check, input);
            asked.resource(check);
        }
    }
}
