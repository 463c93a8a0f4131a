//! Resources with the condition keys that they give.

use super::table::Type;
use crate::{
    compute::{
        images::Image,
        instance_profiles::{self, ProfileAssociation},
        instances::Instance,
        key_pairs::KeyPair,
    },
    ebs::{snapshots::Snapshot, volumes::Volume},
    resource::Resource,
    vpc::{
        addresses::Address,
        dhcp_options::DhcpOptions,
        egress_only_internet_gateways::EgressOnlyInternetGateway,
        internet_gateways::InternetGateway,
        nat_gateways::NatGateway,
        network_acls::NetworkAcl,
        network_interfaces::NetworkInterface,
        route_tables::RouteTable,
        security_groups::SecurityGroup,
        subnet_reservations::SubnetReservation,
        subnets::Subnet,
        vpcs::{self, Vpc},
    },
};
use iam::access::{Check, members::Input};
use state::State;
use std::sync::Arc;
use types::{ResourceId, Scope, VpcId};

/// Where resources are looked up.
pub(super) struct Place<'a> {
    pub(super) state: &'a State,
    pub(super) scope: &'a Scope,
}

impl Place<'_> {
    /// A resource with the key that all have.
    pub(super) fn check(&self, arn: String) -> Check {
        Check::new("", arn).with("ec2:Region", self.scope.region.as_str())
    }

    /// The ARN of a resource in the caller's account and region; images and snapshots name no account.
    pub(super) fn arn(&self, kind: Type, id: &str) -> String {
        let Scope { account, region } = self.scope;
        match kind {
            Type::Image | Type::Snapshot => format!("arn:aws:ec2:{region}::{}/{id}", kind.as_str()),
            Type::Address
            | Type::DhcpOptions
            | Type::EgressOnlyGateway
            | Type::Gateway
            | Type::Instance
            | Type::Interface
            | Type::KeyPair
            | Type::NatGateway
            | Type::NetworkAcl
            | Type::RouteTable
            | Type::SecurityGroup
            | Type::SecurityGroupRule
            | Type::Subnet
            | Type::SubnetReservation
            | Type::Volume
            | Type::Vpc => format!("arn:aws:ec2:{region}:{account}:{}/{id}", kind.as_str()),
        }
    }

    /// A resource that the call makes.
    pub(super) fn made(&self, kind: Type, input: Input<'_>) -> Check {
        let name = match kind {
            Type::KeyPair => input.text("KeyName"),
            Type::Address
            | Type::DhcpOptions
            | Type::EgressOnlyGateway
            | Type::Gateway
            | Type::Image
            | Type::Instance
            | Type::Interface
            | Type::NatGateway
            | Type::NetworkAcl
            | Type::RouteTable
            | Type::SecurityGroup
            | Type::SecurityGroupRule
            | Type::Snapshot
            | Type::Subnet
            | Type::SubnetReservation
            | Type::Volume
            | Type::Vpc => None,
        };
        let mut check = self.check(self.arn(kind, name.as_deref().unwrap_or("*")));
        if let Some(zone) = input.text("AvailabilityZone") {
            check.set("ec2:AvailabilityZone", zone);
        }
        if let Some(vpc) = input.text("VpcId") {
            check.set("ec2:Vpc", self.arn(Type::Vpc, &vpc));
        }
        if let Some(subnet) = input.text("SubnetId") {
            self.set_subnet(&mut check, &subnet);
        }
        check
    }

    /// The keys of what lies in a subnet.
    pub(super) fn set_subnet(&self, check: &mut Check, id: &str) {
        check.set("ec2:Subnet", self.arn(Type::Subnet, id));
        if let Some(subnet) = self.find::<Subnet>(id) {
            check.set("ec2:Vpc", self.arn(Type::Vpc, &subnet.vpc.to_string()));
            check.set("ec2:AvailabilityZone", subnet.zone.to_string());
        }
    }

    fn find<R: Resource>(&self, id: &str) -> Option<&Arc<R>> {
        let key = id.parse::<R::Key>().ok()?;
        self.state.get::<R>(&key).filter(|row| row.visible(self.scope))
    }

    /// The resource with this ID, whatever its type: its prefix says it.
    pub(super) fn by_id(&self, id: &str) -> Check {
        let prefix = id.rsplit_once('-').map_or("", |(prefix, _)| prefix);
        let kind = Type::ALL.into_iter().find(|kind| prefix_of(*kind) == prefix);
        match kind {
            Some(kind) => self.named(kind, id),
            None => self
                .check(format!("arn:aws:ec2:{}:{}:*/{id}", self.scope.region, self.scope.account)),
        }
    }

    /// The resource that a member names: by its ID, or by what else names it.
    pub(super) fn named(&self, kind: Type, id: &str) -> Check {
        match kind {
            Type::Address => self.address(id),
            Type::Image => self.image(id),
            Type::Instance => self.instance(id),
            Type::Interface => self.interface(id),
            Type::KeyPair => self.key_pair(id),
            Type::RouteTable => self.route_table(id),
            Type::SecurityGroup => self.security_group(id),
            Type::SecurityGroupRule => self.rule(id),
            Type::Snapshot => self.snapshot(id),
            Type::Subnet => self.subnet(id),
            Type::Volume => self.volume(id),
            Type::Vpc => self.vpc(id),
            Type::DhcpOptions => self.plain::<DhcpOptions>(kind, id),
            Type::EgressOnlyGateway => self.plain::<EgressOnlyInternetGateway>(kind, id),
            Type::SubnetReservation => self.plain::<SubnetReservation>(kind, id),
            Type::NatGateway => self.plain::<NatGateway>(kind, id),
            Type::NetworkAcl => self.network_acl(id),
            Type::Gateway => {
                self.plain::<InternetGateway>(kind, id).with("ec2:InternetGatewayID", id)
            }
        }
    }

    /// A resource by its ID, with its tags if it is there.
    fn plain<R: Resource>(&self, kind: Type, id: &str) -> Check {
        let mut check = self.check(self.arn(kind, id));
        if let Some(row) = self.find::<R>(id) {
            check.set_resource_tags("ec2", row.tags());
        }
        check
    }

    fn set_vpc(&self, check: &mut Check, vpc: VpcId) {
        check.set("ec2:Vpc", self.arn(Type::Vpc, &vpc.to_string()));
    }

    /// By its allocation, its association or its address.
    fn address(&self, id: &str) -> Check {
        let found = self.find::<Address>(id).or_else(|| {
            let by = |index| self.state.find::<Address>(index, id).next();
            by("association").or_else(|| by("ip")).filter(|row| row.scope == *self.scope)
        });
        let Some(address) = found else {
            return self.check(self.arn(Type::Address, id));
        };
        let id = address.id.to_string();
        let mut check = self.plain::<Address>(Type::Address, &id).with("ec2:AllocationId", id);
        check.set("ec2:Domain", "vpc");
        check.set("ec2:PublicIpAddress", address.ip.to_string());
        check
    }

    fn image(&self, id: &str) -> Check {
        let mut check = self.plain::<Image>(Type::Image, id).with("ec2:ImageID", id);
        if let Some(image) = self.find::<Image>(id) {
            let owner = image.owner_alias.clone().unwrap_or_else(|| image.owner.to_string());
            check.set("ec2:Owner", owner);
            check.set("ec2:ImageType", "machine");
            check.set("ec2:RootDeviceType", "ebs");
            check.set("ec2:Public", if image.public { "true" } else { "false" });
        }
        check
    }

    fn instance(&self, id: &str) -> Check {
        let instance = match self.find::<Instance>(id) {
            Some(instance) => Some(instance),
            // Of an attachment or an association, the instance that it is about.
            None => self
                .attached(id)
                .and_then(|(_, instance)| instance)
                .or_else(|| self.with_profile(id)),
        };
        let Some(instance) = instance else {
            return self.check(self.arn(Type::Instance, id));
        };
        let id = instance.id.to_string();
        let mut check = self.plain::<Instance>(Type::Instance, &id).with("ec2:InstanceID", id);
        let truth = |value| if value { "true" } else { "false" };
        check.set("ec2:InstanceType", instance.instance_type.as_str());
        check.set("ec2:AvailabilityZone", instance.zone.to_string());
        check.set("ec2:EbsOptimized", truth(instance.ebs_optimized));
        check.set("ec2:RootDeviceType", "ebs");
        check.set("ec2:Tenancy", "default");
        let tokens = if instance.metadata.token_required { "required" } else { "optional" };
        check.set("ec2:MetadataHttpTokens", tokens);
        check.set("ec2:MetadataHttpPutResponseHopLimit", instance.metadata.hop_limit.to_string());
        let endpoint = if instance.metadata.enabled { "enabled" } else { "disabled" };
        check.set("ec2:MetadataHttpEndpoint", endpoint);
        if let Some(association) = instance_profiles::of_instance(self.state, instance.id) {
            check.set("ec2:InstanceProfile", association.arn.as_str());
        }
        check
    }

    /// The instance of a profile's association.
    fn with_profile(&self, id: &str) -> Option<&Arc<Instance>> {
        let association = self.state.get::<ProfileAssociation>(&id.parse().ok()?)?;
        let instance = self.state.get::<Instance>(&association.instance);
        instance.filter(|row| row.scope == *self.scope)
    }

    /// The interface and the instance of an attachment.
    fn attached(&self, id: &str) -> Option<(&Arc<NetworkInterface>, Option<&Arc<Instance>>)> {
        let found = self.state.find::<NetworkInterface>("attachment", id).next();
        let interface = found.filter(|row| row.scope == *self.scope)?;
        let attachment = interface.attachment.as_ref()?;
        Some((interface, self.find::<Instance>(&attachment.instance.to_string())))
    }

    /// By its ID, or that of its attachment.
    fn interface(&self, id: &str) -> Check {
        let found = self.find::<NetworkInterface>(id);
        let Some(interface) = found.or_else(|| self.attached(id).map(|(found, _)| found)) else {
            return self.check(self.arn(Type::Interface, id));
        };
        let id = interface.id.to_string();
        let mut check = self.plain::<NetworkInterface>(Type::Interface, &id);
        check.set("ec2:NetworkInterfaceID", id);
        check.set("ec2:Subnet", self.arn(Type::Subnet, &interface.subnet.to_string()));
        check.set("ec2:AvailabilityZone", interface.zone.to_string());
        self.set_vpc(&mut check, interface.vpc);
        check
    }

    /// By its ID or its name; its ARN has the name.
    fn key_pair(&self, id: &str) -> Check {
        let Scope { account, region } = self.scope;
        let found = self.find::<KeyPair>(id).or_else(|| {
            self.state.find::<KeyPair>("name", format_args!("{account}/{region}/{id}")).next()
        });
        let Some(pair) = found else {
            return self.check(self.arn(Type::KeyPair, id)).with("ec2:KeyPairName", id);
        };
        let mut check = self.check(self.arn(Type::KeyPair, &pair.name));
        check.set_resource_tags("ec2", &pair.tags);
        check.set("ec2:KeyPairName", pair.name.as_str());
        check.set("ec2:KeyPairType", pair.kind.as_str());
        check
    }

    /// By its ID, or that of one of its associations.
    fn network_acl(&self, id: &str) -> Check {
        let by_association = || self.state.find::<NetworkAcl>("association", id).next();
        let found = self.find::<NetworkAcl>(id).or_else(by_association);
        let Some(acl) = found.filter(|row| row.scope == *self.scope) else {
            return self.check(self.arn(Type::NetworkAcl, id));
        };
        let id = acl.id.to_string();
        let mut check = self.plain::<NetworkAcl>(Type::NetworkAcl, &id);
        check.set("ec2:NetworkAclID", id);
        self.set_vpc(&mut check, acl.vpc);
        check
    }

    /// By its ID, or that of one of its associations.
    fn route_table(&self, id: &str) -> Check {
        let found = self.find::<RouteTable>(id).or_else(|| self.associated(id));
        let Some(table) = found else {
            return self.check(self.arn(Type::RouteTable, id));
        };
        let id = table.id.to_string();
        let mut check = self.plain::<RouteTable>(Type::RouteTable, &id);
        check.set("ec2:RouteTableID", id);
        self.set_vpc(&mut check, table.vpc);
        check
    }

    fn associated(&self, id: &str) -> Option<&Arc<RouteTable>> {
        let found = self.state.find::<RouteTable>("association", id).next();
        found.filter(|row| row.scope == *self.scope)
    }

    /// By its ID, or its name in the default VPC.
    pub(super) fn security_group(&self, id: &str) -> Check {
        let found = self.find::<SecurityGroup>(id).or_else(|| {
            let vpc = vpcs::default_of(self.state, self.scope)?;
            self.state.find::<SecurityGroup>("vpc", vpc.id).find(|group| group.name == id)
        });
        let Some(group) = found else {
            return self.check(self.arn(Type::SecurityGroup, id));
        };
        let id = group.id.to_string();
        let mut check = self.plain::<SecurityGroup>(Type::SecurityGroup, &id);
        check.set("ec2:SecurityGroupID", id);
        self.set_vpc(&mut check, group.vpc);
        check
    }

    fn rule(&self, id: &str) -> Check {
        let mut check = self.check(self.arn(Type::SecurityGroupRule, id));
        let found = self.state.find::<SecurityGroup>("rule", id).next();
        if let Some(group) = found.filter(|group| group.scope == *self.scope)
            && let Some(rule) = group.rules.iter().find(|rule| rule.id.to_string() == id)
        {
            check.set_resource_tags("ec2", &rule.tags);
        }
        check
    }

    fn snapshot(&self, id: &str) -> Check {
        let mut check = self.plain::<Snapshot>(Type::Snapshot, id).with("ec2:SnapshotID", id);
        if let Some(snapshot) = self.find::<Snapshot>(id) {
            check.set("ec2:Owner", snapshot.owner.to_string());
            check.set("ec2:VolumeSize", snapshot.size_gib.to_string());
            check.set("ec2:SnapshotTime", snapshot.start_time.to_string());
            if let Some(volume) = snapshot.volume {
                check.set("ec2:ParentVolume", self.arn(Type::Volume, &volume.to_string()));
            }
        }
        check
    }

    /// By its ID, or that of its association with a route table or an IPv6 block.
    pub(super) fn subnet(&self, id: &str) -> Check {
        let found = self.find::<Subnet>(id).or_else(|| {
            if let Some(subnet) = self.state.find::<Subnet>("ipv6-association", id).next() {
                return Some(subnet).filter(|subnet| subnet.scope == *self.scope);
            }
            let table = self.associated(id)?;
            let mut associations = table.associations.iter();
            let subnet = associations.find(|one| one.id.to_string() == id)?.subnet?;
            self.find::<Subnet>(&subnet.to_string())
        });
        let Some(subnet) = found else {
            return self.check(self.arn(Type::Subnet, id));
        };
        let id = subnet.id.to_string();
        let mut check = self.plain::<Subnet>(Type::Subnet, &id).with("ec2:SubnetID", id);
        check.set("ec2:AvailabilityZone", subnet.zone.to_string());
        self.set_vpc(&mut check, subnet.vpc);
        check
    }

    fn volume(&self, id: &str) -> Check {
        let mut check = self.plain::<Volume>(Type::Volume, id).with("ec2:VolumeID", id);
        if let Some(volume) = self.find::<Volume>(id) {
            check.set("ec2:AvailabilityZone", volume.zone.to_string());
            check.set("ec2:VolumeSize", volume.size_gib.to_string());
            check.set("ec2:VolumeType", volume.kind.as_str());
            check.set("ec2:Encrypted", if volume.encrypted { "true" } else { "false" });
            if let Some(iops) = volume.iops {
                check.set("ec2:VolumeIops", iops.to_string());
            }
            if let Some(throughput) = volume.throughput {
                check.set("ec2:VolumeThroughput", throughput.to_string());
            }
            if let Some(snapshot) = volume.snapshot {
                check.set("ec2:ParentSnapshot", self.arn(Type::Snapshot, &snapshot.to_string()));
            }
        }
        check
    }

    /// By its ID, or that of one of its blocks' associations.
    fn vpc(&self, id: &str) -> Check {
        let by_block = || {
            let mut vpcs = self.state.in_scope::<Vpc>(self.scope);
            vpcs.find(|vpc| vpc.block_associations().any(|one| one.to_string() == id))
        };
        let found = self.find::<Vpc>(id).or_else(by_block);
        let own = found.map_or_else(|| id.to_owned(), |vpc| vpc.id.to_string());
        let mut check = self.plain::<Vpc>(Type::Vpc, &own).with("ec2:VpcID", own);
        if let Some(vpc) = found {
            check.set("ec2:Tenancy", vpc.tenancy.as_str());
        }
        check
    }
}

/// What IDs of a type begin with.
const fn prefix_of(kind: Type) -> &'static str {
    match kind {
        Type::Address => <Address as state::Row>::Key::PREFIX,
        Type::DhcpOptions => <DhcpOptions as state::Row>::Key::PREFIX,
        Type::EgressOnlyGateway => <EgressOnlyInternetGateway as state::Row>::Key::PREFIX,
        Type::Gateway => <InternetGateway as state::Row>::Key::PREFIX,
        Type::Image => <Image as state::Row>::Key::PREFIX,
        Type::Instance => <Instance as state::Row>::Key::PREFIX,
        Type::Interface => <NetworkInterface as state::Row>::Key::PREFIX,
        Type::KeyPair => <KeyPair as state::Row>::Key::PREFIX,
        Type::NatGateway => <NatGateway as state::Row>::Key::PREFIX,
        Type::NetworkAcl => <NetworkAcl as state::Row>::Key::PREFIX,
        Type::RouteTable => <RouteTable as state::Row>::Key::PREFIX,
        Type::SecurityGroup => <SecurityGroup as state::Row>::Key::PREFIX,
        Type::SecurityGroupRule => types::SecurityGroupRuleId::PREFIX,
        Type::Snapshot => <Snapshot as state::Row>::Key::PREFIX,
        Type::Subnet => <Subnet as state::Row>::Key::PREFIX,
        Type::SubnetReservation => <SubnetReservation as state::Row>::Key::PREFIX,
        Type::Volume => <Volume as state::Row>::Key::PREFIX,
        Type::Vpc => <Vpc as state::Row>::Key::PREFIX,
    }
}
