//! The operations of EC2: each row names a function of its resource's file.
//!
//! `DryRun` is not the functions' matter: the caller of a function that succeeded drops its
//! transaction and answers `DryRunOperation`.

use crate::{
    accounts,
    compute::{
        credits, images, instance_profiles, instance_types, instances, key_pairs, metadata_defaults,
    },
    ebs::{snapshots, volumes},
    regions, tagging, vpc,
};
use contracts::link::{Answer, Question};
use iam::{Request, operations};
use shapes::{Fault, Operation, ec2::ops};
use state::{Effects, State, Tx};

/// Takes the function behind an operation, with the types that it reads and answers.
pub trait Visitor: iam::Visitor {
    /// An operation that may do a part of what it is asked, and answer a fault for the rest.
    fn mutate_in_part<O: Operation>(self, run: MutateInPart<O>) -> Self::Out;

    /// An operation that computes for long before it changes the state.
    fn prepare<O: Operation>(self, run: Prepare<O>) -> Self::Out;

    /// An operation that a host answers.
    fn ask<O: Operation>(self, run: AskHost<O>) -> Self::Out;
}

/// The function behind an operation that may do a part: its own errors drop the transaction, as
/// everywhere; a fault within its result is answered after the commit.
pub type MutateInPart<O> = fn(
    &mut Tx,
    &Request,
    <O as Operation>::Input,
) -> Result<InPart<<O as Operation>::Output>, Fault>;

/// What is answered once the changes are durable: the output, or what was not done.
pub type InPart<T> = Result<T, Fault>;

/// The function behind an operation that computes for long: it runs beside the one writer, which
/// then only runs the mutation that it gives. The state may have changed in between.
pub type Prepare<O> = fn(
    &State,
    &Request,
    <O as Operation>::Input,
    &mut Effects,
) -> Result<Mutation<<O as Operation>::Output>, Fault>;

/// A change of the state, ready to run.
pub type Mutation<T> = Box<dyn FnOnce(&mut Tx) -> Result<T, Fault> + Send>;

/// The function behind an operation that a host answers.
pub type AskHost<O> =
    fn(&State, &Request, <O as Operation>::Input) -> Result<Ask<<O as Operation>::Output>, Fault>;

/// A question to a host, and what makes the output from its answer.
pub struct Ask<T> {
    /// The host.
    pub host: String,
    /// What to ask.
    pub question: Question,
    /// Makes the output; from an error if the host can't be reached or can't tell.
    pub finish: Finish<T>,
}

/// Makes an operation's output from a host's answer.
pub type Finish<T> = Box<dyn FnOnce(Result<Answer, String>) -> Result<T, Fault> + Send>;

operations! { Visitor:
    // compute/instances
    mutate RunInstances => instances::run_instances,
    read DescribeInstances => instances::describe_instances,
    read DescribeInstanceStatus => instances::describe_instance_status,
    mutate StartInstances => instances::start_instances,
    mutate StopInstances => instances::stop_instances,
    mutate RebootInstances => instances::reboot_instances,
    mutate_in_part TerminateInstances => instances::terminate_instances,
    read DescribeInstanceAttribute => instances::describe_instance_attribute,
    mutate ModifyInstanceAttribute => instances::modify_instance_attribute,
    mutate ModifyInstanceMetadataOptions => instances::modify_instance_metadata_options,
    mutate MonitorInstances => instances::monitor_instances,
    mutate UnmonitorInstances => instances::unmonitor_instances,
    ask GetConsoleOutput => instances::get_console_output,

    // compute/images
    read DescribeImages => images::describe_images,
    read DescribeImageAttribute => images::describe_image_attribute,

    // compute/instance_types
    read DescribeInstanceTypes => instance_types::describe_instance_types,
    read DescribeInstanceTypeOfferings => instance_types::describe_instance_type_offerings,

    // compute/credits
    read DescribeInstanceCreditSpecifications => credits::describe_instance_credit_specifications,

    // compute/instance_profiles
    mutate AssociateIamInstanceProfile => instance_profiles::associate_iam_instance_profile,
    read DescribeIamInstanceProfileAssociations => instance_profiles::describe_iam_instance_profile_associations,
    mutate DisassociateIamInstanceProfile => instance_profiles::disassociate_iam_instance_profile,
    mutate ReplaceIamInstanceProfileAssociation => instance_profiles::replace_iam_instance_profile_association,

    // compute/metadata_defaults
    read GetInstanceMetadataDefaults => metadata_defaults::get_instance_metadata_defaults,
    mutate ModifyInstanceMetadataDefaults => metadata_defaults::modify_instance_metadata_defaults,

    // compute/key_pairs
    prepare CreateKeyPair => key_pairs::create_key_pair,
    mutate ImportKeyPair => key_pairs::import_key_pair,
    read DescribeKeyPairs => key_pairs::describe_key_pairs,
    mutate DeleteKeyPair => key_pairs::delete_key_pair,

    // ebs
    read DescribeVolumes => volumes::describe_volumes,
    read DescribeSnapshots => snapshots::describe_snapshots,

    // vpc
    mutate AllocateAddress => vpc::addresses::allocate_address,
    mutate AssociateAddress => vpc::addresses::associate_address,
    read DescribeAddresses => vpc::addresses::describe_addresses,
    read DescribeAddressesAttribute => vpc::addresses::describe_addresses_attribute,
    mutate DisassociateAddress => vpc::addresses::disassociate_address,
    mutate ReleaseAddress => vpc::addresses::release_address,
    mutate CreateDefaultVpc => vpc::defaults::create_default_vpc,
    mutate AssociateVpcCidrBlock => vpc::cidr_blocks::associate_vpc_cidr_block,
    mutate DisassociateVpcCidrBlock => vpc::cidr_blocks::disassociate_vpc_cidr_block,
    mutate AssociateDhcpOptions => vpc::dhcp_options::associate_dhcp_options,
    mutate CreateDhcpOptions => vpc::dhcp_options::create_dhcp_options,
    mutate DeleteDhcpOptions => vpc::dhcp_options::delete_dhcp_options,
    read DescribeDhcpOptions => vpc::dhcp_options::describe_dhcp_options,
    mutate CreateEgressOnlyInternetGateway => vpc::egress_only_internet_gateways::create_egress_only_internet_gateway,
    mutate DeleteEgressOnlyInternetGateway => vpc::egress_only_internet_gateways::delete_egress_only_internet_gateway,
    read DescribeEgressOnlyInternetGateways => vpc::egress_only_internet_gateways::describe_egress_only_internet_gateways,
    mutate AttachInternetGateway => vpc::internet_gateways::attach_internet_gateway,
    mutate CreateInternetGateway => vpc::internet_gateways::create_internet_gateway,
    mutate DeleteInternetGateway => vpc::internet_gateways::delete_internet_gateway,
    read DescribeInternetGateways => vpc::internet_gateways::describe_internet_gateways,
    mutate DetachInternetGateway => vpc::internet_gateways::detach_internet_gateway,
    mutate AssignPrivateNatGatewayAddress => vpc::nat_gateways::assign_private_nat_gateway_address,
    mutate AssignPrivateIpAddresses => vpc::network_interfaces::assign_private_ip_addresses,
    mutate UnassignPrivateIpAddresses => vpc::network_interfaces::unassign_private_ip_addresses,
    mutate AssociateNatGatewayAddress => vpc::nat_gateways::associate_nat_gateway_address,
    mutate CreateNatGateway => vpc::nat_gateways::create_nat_gateway,
    mutate DeleteNatGateway => vpc::nat_gateways::delete_nat_gateway,
    read DescribeNatGateways => vpc::nat_gateways::describe_nat_gateways,
    mutate DisassociateNatGatewayAddress => vpc::nat_gateways::disassociate_nat_gateway_address,
    mutate UnassignPrivateNatGatewayAddress => vpc::nat_gateways::unassign_private_nat_gateway_address,
    mutate CreateNetworkAcl => vpc::network_acls::create_network_acl,
    mutate CreateNetworkAclEntry => vpc::network_acls::create_network_acl_entry,
    mutate DeleteNetworkAcl => vpc::network_acls::delete_network_acl,
    mutate DeleteNetworkAclEntry => vpc::network_acls::delete_network_acl_entry,
    mutate ReplaceNetworkAclAssociation => vpc::network_acls::replace_network_acl_association,
    mutate ReplaceNetworkAclEntry => vpc::network_acls::replace_network_acl_entry,
    read DescribeNetworkAcls => vpc::network_acls::describe_network_acls,
    mutate AssignIpv6Addresses => vpc::network_interfaces::assign_ipv6_addresses,
    mutate AttachNetworkInterface => vpc::network_interfaces::attach_network_interface,
    mutate CreateNetworkInterface => vpc::network_interfaces::create_network_interface,
    mutate DeleteNetworkInterface => vpc::network_interfaces::delete_network_interface,
    read DescribeNetworkInterfaces => vpc::network_interfaces::describe_network_interfaces,
    mutate DetachNetworkInterface => vpc::network_interfaces::detach_network_interface,
    mutate ModifyNetworkInterfaceAttribute => vpc::network_interfaces::modify_network_interface_attribute,
    mutate UnassignIpv6Addresses => vpc::network_interfaces::unassign_ipv6_addresses,
    read DescribePrefixLists => vpc::prefix_lists::describe_prefix_lists,
    mutate AssociateRouteTable => vpc::route_tables::associate_route_table,
    mutate CreateRoute => vpc::route_tables::create_route,
    mutate CreateRouteTable => vpc::route_tables::create_route_table,
    mutate DeleteRoute => vpc::route_tables::delete_route,
    mutate DeleteRouteTable => vpc::route_tables::delete_route_table,
    read DescribeRouteTables => vpc::route_tables::describe_route_tables,
    mutate DisassociateRouteTable => vpc::route_tables::disassociate_route_table,
    mutate ReplaceRoute => vpc::route_tables::replace_route,
    mutate ReplaceRouteTableAssociation => vpc::route_tables::replace_route_table_association,
    read GetSecurityGroupsForVpc => vpc::security_groups::get_security_groups_for_vpc,
    mutate UpdateSecurityGroupRuleDescriptionsEgress => vpc::security_groups::update_security_group_rule_descriptions_egress,
    mutate UpdateSecurityGroupRuleDescriptionsIngress => vpc::security_groups::update_security_group_rule_descriptions_ingress,
    mutate ModifyAddressAttribute => vpc::addresses::modify_address_attribute,
    mutate ResetAddressAttribute => vpc::addresses::reset_address_attribute,
    mutate ModifyVpcTenancy => vpc::vpcs::modify_vpc_tenancy,
    mutate AuthorizeSecurityGroupEgress => vpc::security_groups::authorize_security_group_egress,
    mutate AuthorizeSecurityGroupIngress => vpc::security_groups::authorize_security_group_ingress,
    mutate CreateSecurityGroup => vpc::security_groups::create_security_group,
    mutate DeleteSecurityGroup => vpc::security_groups::delete_security_group,
    read DescribeSecurityGroupRules => vpc::security_groups::describe_security_group_rules,
    read DescribeSecurityGroups => vpc::security_groups::describe_security_groups,
    mutate ModifySecurityGroupRules => vpc::security_groups::modify_security_group_rules,
    mutate RevokeSecurityGroupEgress => vpc::security_groups::revoke_security_group_egress,
    mutate RevokeSecurityGroupIngress => vpc::security_groups::revoke_security_group_ingress,
    mutate AssociateSubnetCidrBlock => vpc::cidr_blocks::subnets::associate_subnet_cidr_block,
    mutate DisassociateSubnetCidrBlock => vpc::cidr_blocks::subnets::disassociate_subnet_cidr_block,
    mutate CreateSubnetCidrReservation => vpc::subnet_reservations::create_subnet_cidr_reservation,
    mutate DeleteSubnetCidrReservation => vpc::subnet_reservations::delete_subnet_cidr_reservation,
    read GetSubnetCidrReservations => vpc::subnet_reservations::get_subnet_cidr_reservations,
    mutate CreateDefaultSubnet => vpc::subnets::create_default_subnet,
    mutate CreateSubnet => vpc::subnets::create_subnet,
    mutate DeleteSubnet => vpc::subnets::delete_subnet,
    read DescribeSubnets => vpc::subnets::describe_subnets,
    mutate ModifySubnetAttribute => vpc::subnets::modify_subnet_attribute,
    mutate CreateVpc => vpc::vpcs::create_vpc,
    mutate DeleteVpc => vpc::vpcs::delete_vpc,
    read DescribeVpcAttribute => vpc::vpcs::describe_vpc_attribute,
    read DescribeVpcs => vpc::vpcs::describe_vpcs,
    mutate ModifyVpcAttribute => vpc::vpcs::modify_vpc_attribute,

    // regions, accounts, tags
    read DescribeRegions => regions::describe_regions,
    read DescribeAvailabilityZones => regions::describe_availability_zones,
    read DescribeAccountAttributes => accounts::describe_account_attributes,
    mutate CreateTags => tagging::create_tags,
    mutate DeleteTags => tagging::delete_tags,
    read DescribeTags => tagging::describe_tags,
}
