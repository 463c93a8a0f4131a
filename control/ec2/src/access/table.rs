//! The table of operations: which members name which resources.

/// A type of resource, as ARNs have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Address,
    DhcpOptions,
    EgressOnlyGateway,
    Gateway,
    Image,
    Instance,
    Interface,
    KeyPair,
    NatGateway,
    NetworkAcl,
    RouteTable,
    SecurityGroup,
    SecurityGroupRule,
    Snapshot,
    Subnet,
    SubnetReservation,
    Volume,
    Vpc,
}

impl Type {
    /// All of them.
    pub(super) const ALL: [Self; 18] = [
        Self::Address,
        Self::DhcpOptions,
        Self::EgressOnlyGateway,
        Self::Gateway,
        Self::Image,
        Self::Instance,
        Self::Interface,
        Self::KeyPair,
        Self::NatGateway,
        Self::NetworkAcl,
        Self::RouteTable,
        Self::SecurityGroup,
        Self::SecurityGroupRule,
        Self::Snapshot,
        Self::Subnet,
        Self::SubnetReservation,
        Self::Volume,
        Self::Vpc,
    ];

    /// As in ARNs and tag specifications.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "elastic-ip",
            Self::DhcpOptions => "dhcp-options",
            Self::EgressOnlyGateway => "egress-only-internet-gateway",
            Self::Gateway => "internet-gateway",
            Self::Image => "image",
            Self::Instance => "instance",
            Self::Interface => "network-interface",
            Self::KeyPair => "key-pair",
            Self::NatGateway => "natgateway",
            Self::NetworkAcl => "network-acl",
            Self::RouteTable => "route-table",
            Self::SecurityGroup => "security-group",
            Self::SecurityGroupRule => "security-group-rule",
            Self::Snapshot => "snapshot",
            Self::Subnet => "subnet",
            Self::SubnetReservation => "subnet-cidr-reservation",
            Self::Volume => "volume",
            Self::Vpc => "vpc",
        }
    }
}

/// A part of what an operation asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// The action, about no resource.
    Any,
    /// Each resource that the member at this path names.
    Each(Type, &'static str),
    /// A resource to make.
    New(Type),
    /// Each resource of whatever type whose ID the member at this path is, with the call's tags.
    Tagged(&'static str),
}

use Part::{Any, Each, New, Tagged};
use Type::{
    Address, DhcpOptions, EgressOnlyGateway, Gateway, Image, Instance, Interface, KeyPair,
    NatGateway, NetworkAcl, RouteTable, SecurityGroup, SecurityGroupRule, Subnet,
    SubnetReservation, Vpc,
};

const INSTANCES: &[Part] = &[Each(Instance, "InstanceIds")];
const INSTANCE: &[Part] = &[Each(Instance, "InstanceId")];
const INTERFACE: &[Part] = &[Each(Interface, "NetworkInterfaceId")];
const SUBNET: &[Part] = &[Each(Subnet, "SubnetId")];
const VPC: &[Part] = &[Each(Vpc, "VpcId")];
const ROUTE_TABLE: &[Part] = &[Each(RouteTable, "RouteTableId")];
const NETWORK_ACL: &[Part] = &[Each(NetworkAcl, "NetworkAclId")];
const GATEWAY: &[Part] = &[Each(Gateway, "InternetGatewayId")];
const GATEWAY_AND_VPC: &[Part] = &[Each(Gateway, "InternetGatewayId"), Each(Vpc, "VpcId")];
const GROUP: &[Part] = &[Each(SecurityGroup, "GroupId"), Each(SecurityGroup, "GroupName")];
const TAGGED: &[Part] = &[Tagged("Resources")];
/// What a launch asks is gathered by code of its own; these are its members.
const LAUNCH: &[Part] = &[
    Each(Image, "ImageId"),
    Each(Subnet, "SubnetId"),
    Each(Subnet, "NetworkInterfaces.SubnetId"),
    Each(Interface, "NetworkInterfaces.NetworkInterfaceId"),
    Each(SecurityGroup, "SecurityGroupIds"),
    Each(SecurityGroup, "SecurityGroups"),
    Each(SecurityGroup, "NetworkInterfaces.Groups"),
    Each(KeyPair, "KeyName"),
];

/// What an operation asks; none if it isn't in the table.
#[expect(clippy::too_many_lines, reason = "a table, one row for each operation")]
pub(super) fn parts(operation: &str) -> Option<&'static [Part]> {
    Some(match operation {
        "RunInstances" => LAUNCH,
        "StartInstances" | "StopInstances" | "RebootInstances" | "TerminateInstances"
        | "MonitorInstances" | "UnmonitorInstances" => INSTANCES,
        "GetConsoleOutput" | "DescribeInstanceAttribute" | "ModifyInstanceMetadataOptions" => {
            INSTANCE
        }
        "ModifyInstanceAttribute" => &[Each(Instance, "InstanceId"), Each(SecurityGroup, "Groups")],
        "AssociateIamInstanceProfile" => INSTANCE,
        "DisassociateIamInstanceProfile" | "ReplaceIamInstanceProfileAssociation" => {
            &[Each(Instance, "AssociationId")]
        }
        "DescribeImageAttribute" => &[Each(Image, "ImageId")],
        "CreateKeyPair" | "ImportKeyPair" => &[New(KeyPair)],
        "DeleteKeyPair" => &[Each(KeyPair, "KeyName"), Each(KeyPair, "KeyPairId")],
        "AllocateAddress" => &[New(Address)],
        "AssociateAddress" => &[
            Each(Address, "AllocationId"),
            Each(Address, "PublicIp"),
            Each(Instance, "InstanceId"),
            Each(Interface, "NetworkInterfaceId"),
        ],
        "DisassociateAddress" => &[Each(Address, "AssociationId"), Each(Address, "PublicIp")],
        "ReleaseAddress" => &[Each(Address, "AllocationId"), Each(Address, "PublicIp")],
        "DescribeAddressesAttribute" => &[Each(Address, "AllocationIds")],
        "CreateDefaultVpc" => &[New(Vpc)],
        "CreateDefaultSubnet" => &[New(Subnet)],
        "CreateInternetGateway" => &[New(Gateway)],
        "DeleteInternetGateway" => GATEWAY,
        "AttachInternetGateway" | "DetachInternetGateway" => GATEWAY_AND_VPC,
        "CreateNatGateway" => &[
            New(NatGateway),
            Each(Subnet, "SubnetId"),
            Each(Address, "AllocationId"),
            Each(Address, "SecondaryAllocationIds"),
        ],
        "AssociateNatGatewayAddress" => {
            &[Each(NatGateway, "NatGatewayId"), Each(Address, "AllocationIds")]
        }
        "DisassociateNatGatewayAddress" => {
            &[Each(NatGateway, "NatGatewayId"), Each(Address, "AssociationIds")]
        }
        "DeleteNatGateway"
        | "AssignPrivateNatGatewayAddress"
        | "UnassignPrivateNatGatewayAddress" => &[Each(NatGateway, "NatGatewayId")],
        "CreateNetworkInterface" => {
            &[New(Interface), Each(Subnet, "SubnetId"), Each(SecurityGroup, "Groups")]
        }
        "DeleteNetworkInterface"
        | "AssignIpv6Addresses"
        | "AssignPrivateIpAddresses"
        | "UnassignIpv6Addresses"
        | "UnassignPrivateIpAddresses" => INTERFACE,
        "AttachNetworkInterface" => {
            &[Each(Instance, "InstanceId"), Each(Interface, "NetworkInterfaceId")]
        }
        "DetachNetworkInterface" => {
            &[Each(Interface, "AttachmentId"), Each(Instance, "AttachmentId")]
        }
        "ModifyNetworkInterfaceAttribute" => {
            &[Each(Interface, "NetworkInterfaceId"), Each(SecurityGroup, "Groups")]
        }
        "AssociateRouteTable" => &[
            Each(RouteTable, "RouteTableId"),
            Each(Subnet, "SubnetId"),
            Each(Gateway, "GatewayId"),
        ],
        "DisassociateRouteTable" => {
            &[Each(RouteTable, "AssociationId"), Each(Subnet, "AssociationId")]
        }
        "ReplaceRouteTableAssociation" => &[
            Each(RouteTable, "RouteTableId"),
            Each(RouteTable, "AssociationId"),
            Each(Subnet, "AssociationId"),
        ],
        "CreateEgressOnlyInternetGateway" => &[New(EgressOnlyGateway), Each(Vpc, "VpcId")],
        "DeleteEgressOnlyInternetGateway" => {
            &[Each(EgressOnlyGateway, "EgressOnlyInternetGatewayId")]
        }
        "CreateSubnetCidrReservation" => &[New(SubnetReservation), Each(Subnet, "SubnetId")],
        "DeleteSubnetCidrReservation" => &[Each(SubnetReservation, "SubnetCidrReservationId")],
        "GetSubnetCidrReservations" => SUBNET,
        "AssociateSubnetCidrBlock" => SUBNET,
        "DisassociateSubnetCidrBlock" => &[Each(Subnet, "AssociationId")],
        "AssociateVpcCidrBlock" => VPC,
        "DisassociateVpcCidrBlock" => &[Each(Vpc, "AssociationId")],
        "CreateDhcpOptions" => &[New(DhcpOptions)],
        "DeleteDhcpOptions" => &[Each(DhcpOptions, "DhcpOptionsId")],
        "AssociateDhcpOptions" => &[Each(DhcpOptions, "DhcpOptionsId"), Each(Vpc, "VpcId")],
        "CreateNetworkAcl" => &[New(NetworkAcl), Each(Vpc, "VpcId")],
        "CreateNetworkAclEntry"
        | "DeleteNetworkAclEntry"
        | "ReplaceNetworkAclEntry"
        | "DeleteNetworkAcl" => NETWORK_ACL,
        "ReplaceNetworkAclAssociation" => {
            &[Each(NetworkAcl, "NetworkAclId"), Each(NetworkAcl, "AssociationId")]
        }
        "CreateRouteTable" => &[New(RouteTable), Each(Vpc, "VpcId")],
        "CreateRoute" | "DeleteRoute" | "ReplaceRoute" | "DeleteRouteTable" => ROUTE_TABLE,
        "AuthorizeSecurityGroupEgress" => &[Each(SecurityGroup, "GroupId"), New(SecurityGroupRule)],
        "AuthorizeSecurityGroupIngress" => &[
            Each(SecurityGroup, "GroupId"),
            Each(SecurityGroup, "GroupName"),
            New(SecurityGroupRule),
        ],
        "RevokeSecurityGroupEgress" => &[Each(SecurityGroup, "GroupId")],
        "RevokeSecurityGroupIngress" | "DeleteSecurityGroup" => GROUP,
        "ModifySecurityGroupRules" => &[
            Each(SecurityGroup, "GroupId"),
            Each(SecurityGroupRule, "SecurityGroupRules.SecurityGroupRuleId"),
        ],
        "UpdateSecurityGroupRuleDescriptionsEgress"
        | "UpdateSecurityGroupRuleDescriptionsIngress" => GROUP,
        "ModifyAddressAttribute" | "ResetAddressAttribute" => &[Each(Address, "AllocationId")],
        "GetSecurityGroupsForVpc" | "ModifyVpcTenancy" => VPC,
        "CreateSecurityGroup" => &[New(SecurityGroup), Each(Vpc, "VpcId")],
        "CreateSubnet" => &[New(Subnet), Each(Vpc, "VpcId")],
        "DeleteSubnet" | "ModifySubnetAttribute" => SUBNET,
        "CreateVpc" => &[New(Vpc)],
        "DeleteVpc" | "ModifyVpcAttribute" | "DescribeVpcAttribute" => VPC,
        "CreateTags" | "DeleteTags" => TAGGED,
        "DescribeAccountAttributes"
        | "DescribeAddresses"
        | "DescribeAvailabilityZones"
        | "DescribeDhcpOptions"
        | "DescribeEgressOnlyInternetGateways"
        | "DescribeIamInstanceProfileAssociations"
        | "DescribeImages"
        | "DescribeInstanceCreditSpecifications"
        | "DescribeInstanceStatus"
        | "DescribeInstanceTypeOfferings"
        | "DescribeInstanceTypes"
        | "DescribeInstances"
        | "DescribeInternetGateways"
        | "DescribeKeyPairs"
        | "DescribeNatGateways"
        | "DescribeNetworkAcls"
        | "DescribeNetworkInterfaces"
        | "DescribePrefixLists"
        | "DescribeRegions"
        | "DescribeRouteTables"
        | "DescribeSecurityGroupRules"
        | "DescribeSecurityGroups"
        | "DescribeSnapshots"
        | "DescribeSubnets"
        | "DescribeTags"
        | "DescribeVolumes"
        | "DescribeVpcs"
        | "GetInstanceMetadataDefaults"
        | "ModifyInstanceMetadataDefaults" => &[Any],
        _ => return None,
    })
}
