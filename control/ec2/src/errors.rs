//! The faults that EC2 answers: AWS's code, HTTP status and message.

use shapes::Fault;
use std::fmt::Display;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),*) => $code:literal, $status:literal, $text:literal;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name($($arg: impl Display),*) -> Fault {
            Fault {
                code: $code.into(),
                status: $status,
                message: format!($text),
                sender: $status < 500,
            }
        }
    )*};
}

faults! {
    /// The call would have succeeded.
    dry_run() => "DryRunOperation", 412, "Request would have succeeded, but DryRun flag is set.";
    /// A parameter's value can't be.
    invalid_value(value, parameter, why) => "InvalidParameterValue", 400, "Value ({value}) for parameter {parameter} is invalid. {why}";
    /// A parameter's value can't be; the message is the caller's.
    invalid_parameter_value(message) => "InvalidParameterValue", 400, "{message}";
    /// Parameters contradict one another.
    combination(message) => "InvalidParameterCombination", 400, "{message}";
    /// A required parameter is missing.
    missing(parameter) => "MissingParameter", 400, "The request must contain the parameter {parameter}";
    /// A parameter that we don't serve: never ignored silently.
    unsupported(parameter) => "UnsupportedOperation", 400, "The parameter {parameter} is not supported by this cloud.";
    /// An unknown filter.
    unknown_filter(name) => "InvalidParameterValue", 400, "The filter '{name}' is invalid";
    /// A page token that isn't ours.
    invalid_next_token() => "InvalidNextToken", 400, "The token provided in NextToken is not valid.";
    /// A resource that others depend on.
    dependency(resource, id) => "DependencyViolation", 400, "The {resource} '{id}' has dependencies and cannot be deleted.";
    /// An instance in the wrong state.
    incorrect_instance_state(message) => "IncorrectInstanceState", 400, "{message}";
    /// The same idempotency token with other parameters.
    idempotent_mismatch() => "IdempotentParameterMismatch", 400, "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).";
    /// No host has room.
    insufficient_capacity(message) => "InsufficientInstanceCapacity", 500, "{message}";
    /// A subnet without free addresses.
    insufficient_addresses(subnet) => "InsufficientFreeAddressesInSubnet", 400, "The specified subnet '{subnet}' does not have enough free addresses to satisfy the request.";
    /// No more public addresses.
    address_limit() => "AddressLimitExceeded", 400, "The maximum number of addresses has been reached.";
    /// A key pair that doesn't exist.
    key_pair_not_found(name) => "InvalidKeyPair.NotFound", 400, "The key pair '{name}' does not exist";
    /// No default VPC to launch into.
    no_default_vpc() => "VPCIdNotSpecified", 400, "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.";
    /// No default subnet to launch into.
    no_default_subnet(zone) => "MissingInput", 400, "No default subnet for availability zone: '{zone}'.";

    // keys, images, types

    /// Instance types that AWS doesn't have.
    instance_types_not_found(names) => "InvalidInstanceType", 400, "The following supplied instance types do not exist: [{names}]";
    /// An account that a call names by something else than its 12 digits.
    invalid_user_id(id) => "InvalidUserID.Malformed", 400, "Invalid user id: \"{id}\"";
    /// An image's attributes, which only its owner sees.
    image_not_yours(id) => "AuthFailure", 403, "Not authorized for image:{id}";
    /// A key pair's name that is taken.
    key_pair_exists(name) => "InvalidKeyPair.Duplicate", 400, "The keypair '{name}' already exists.";
    /// No more key pairs.
    key_pair_limit(limit) => "KeyPairLimitExceeded", 400, "Maximum of {limit} keypairs reached.";
    /// What is imported is no public key, or not one of those that EC2 takes.
    invalid_key_format() => "InvalidKey.Format", 400, "Key is not in valid OpenSSH public key format";
    /// A volume's parameter that its type doesn't have.
    not_of_volume_type(parameter, kind) => "InvalidParameterCombination", 400, "The parameter {parameter} is not supported for {kind} volumes.";
    /// A volume's parameter that its type needs.
    volume_type_needs(parameter, kind) => "MissingParameter", 400, "The parameter {parameter} must be specified for {kind} volumes.";
    /// A volume that is too small for its type.
    volume_too_small(size, kind, low) => "InvalidParameterValue", 400, "Volume of {size}GiB is too small for volume type {kind}; minimum is {low}GiB";
    /// A volume that is too large for its type.
    volume_too_large(size, kind, high) => "InvalidParameterValue", 400, "Volume of {size}GiB is too large for volume type {kind}; maximum is {high}GiB";
    /// A volume that is too small for its snapshot.
    smaller_than_snapshot(size, snapshot, low) => "InvalidBlockDeviceMapping", 400, "Volume of size {size}GB is smaller than snapshot '{snapshot}', expect size >= {low}GB";
    /// IOPS or throughput below what the volume's type allows.
    volume_too_low(what, value, low) => "InvalidParameterValue", 400, "Volume {what} of {value} is too low; minimum is {low}.";
    /// IOPS or throughput above what the volume's type allows.
    volume_too_high(what, value, high) => "InvalidParameterValue", 400, "Volume {what} of {value} is too high; maximum is {high}.";
    /// More IOPS than the volume's size allows; the ratio has six decimals.
    iops_ratio(ratio, high) => "InvalidParameterValue", 400, "Iops to volume size ratio of {ratio} is too high; maximum is {high}";
    /// More throughput than the volume's IOPS allow; the ratio has six decimals.
    throughput_ratio(ratio) => "InvalidParameterValue", 400, "Throughput (MiBps) to iops ratio of {ratio} is too high; maximum is 0.250000 MiBps per iops";
    /// An ID of no kind of resource that can have tags.
    invalid_id(id) => "InvalidID", 400, "The ID '{id}' is not valid";
    /// Regions that don't exist.
    invalid_regions(names) => "InvalidParameterValue", 400, "Invalid region names: [{names}]";
    /// Zones that the region doesn't have.
    invalid_zones(names) => "InvalidParameterValue", 400, "Invalid availability zone: [{names}]";
    /// Zone IDs that the region doesn't have.
    invalid_zone_ids(ids) => "InvalidParameterValue", 400, "Invalid availability zone-id: [{ids}]";
    /// An association of an instance profile that doesn't exist.
    no_profile_association(id) => "InvalidAssociationID.NotFound", 400, "An invalid association-id of '{id}' was given";
    /// An instance that has an instance profile already.
    has_profile(id) => "IncorrectState", 400, "There is an existing association for instance {id}";
    /// An instance profile given by its name that doesn't exist.
    no_profile_of_name(name) => "InvalidParameterValue", 400, "Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name";
    /// An instance profile given by its ARN that doesn't exist.
    no_profile_of_arn(arn) => "InvalidParameterValue", 400, "Value ({arn}) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN";
    /// An instance profile given both ways.
    profile_by_both() => "InvalidParameterCombination", 400, "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'";
    /// An instance profile that gives no role.
    profile_without_role(arn) => "InvalidParameterValue", 400, "IAM Instance Profile \"{arn}\" has no associated IAM Roles";
    /// An instance that has no CPU credits.
    not_burstable(id) => "InvalidParameterValue", 400, "The instance '{id}' is not a burstable performance instance.";

    // tags

    /// A tag specification about a resource that the call doesn't make.
    not_taggable(resource) => "InvalidParameterValue", 400, "'{resource}' is not a valid taggable resource type for this operation.";
    /// Two tag specifications about one type of resource.
    duplicate_tag_specification(resource) => "InvalidParameterValue", 400, "The same resource type may not be specified more than once in tag specifications: '{resource}'.";
    /// A tag's key or value that is too long.
    tag_too_long(part, limit) => "InvalidParameterValue", 400, "Tag {part} exceeds the maximum length of {limit} characters";
    /// A tag's key that callers may not set.
    reserved_tag_key() => "InvalidParameterValue", 400, "Tag keys starting with 'aws:' are reserved for internal use";
    /// A tag's key that comes twice in one call.
    duplicate_tag_key(key) => "InvalidParameterValue", 400, "Duplicate tag key '{key}' specified.";
    /// Too many tags for one resource.
    tag_limit() => "TagLimitExceeded", 400, "The maximum number of Tags for a resource has been reached.";

    // vpc

    /// A text that is no CIDR block.
    not_a_cidr(value, parameter) => "InvalidParameterValue", 400, "Value ({value}) for parameter {parameter} is invalid. This is not a valid CIDR block.";
    /// Attributes of which a call may change one.
    multiple_attributes() => "InvalidParameterCombination", 400, "Fields for multiple attribute types specified";
    /// Two parameters of which a call may have one.
    exclusive(one, other) => "InvalidParameterCombination", 400, "The parameter {one} cannot be used with the parameter {other}";
    /// One of two parameters is required.
    either(one, other) => "MissingParameter", 400, "Either '{one}' or '{other}' should be provided.";
    /// A quota that is used up: the code is the quota's.
    vpc_limit() => "VpcLimitExceeded", 400, "The maximum number of VPCs has been reached.";
    subnet_limit() => "SubnetLimitExceeded", 400, "The maximum number of subnets has been reached.";
    internet_gateway_limit() => "InternetGatewayLimitExceeded", 400, "The maximum number of internet gateways has been reached.";
    route_table_limit() => "RouteTableLimitExceeded", 400, "The maximum number of route tables has been reached.";
    route_limit() => "RouteLimitExceeded", 400, "The maximum number of routes has been reached.";
    security_group_limit() => "SecurityGroupLimitExceeded", 400, "The maximum number of security groups has been reached.";
    rule_limit() => "RulesPerSecurityGroupLimitExceeded", 400, "The maximum number of rules per security group has been reached.";
    groups_per_interface_limit() => "SecurityGroupsPerInterfaceLimitExceeded", 400, "The maximum number of security groups per interface has been reached.";
    interface_limit() => "NetworkInterfaceLimitExceeded", 400, "The maximum number of network interfaces has been reached.";
    secondary_address_limit() => "PrivateIpAddressLimitExceeded", 400, "The maximum number of private IP addresses for the network interface has been reached.";
    /// A VPC's block out of the range of sizes or addresses.
    vpc_range(cidr) => "InvalidVpc.Range", 400, "The CIDR '{cidr}' is invalid.";
    /// A block of a range that the VPC's primary block excludes.
    restricted_range(cidr) => "InvalidVpc.Range", 400, "The CIDR '{cidr}' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, or use a publicly-routable CIDR.";
    /// A block that holds the destination of a route of the VPC's.
    block_of_route(cidr, destination) => "InvalidVpc.Range", 400, "The CIDR '{cidr}' is the same as or larger than the route destination '{destination}' of this VPC.";
    cidr_limit(vpc, limit) => "CidrLimitExceeded", 400, "This network '{vpc}' has met its maximum number of allowed CIDRs: {limit}";
    block_association_not_found(id) => "InvalidVpcCidrBlockAssociationID.NotFound", 400, "The vpc CIDR block association ID '{id}' does not exist";
    /// The primary block, which stays.
    primary_block(id) => "OperationNotPermitted", 400, "The vpc CIDR block with association ID {id} may not be disassociated. It is the primary IPv4 CIDR block of the VPC";
    /// A block that subnets are in.
    block_in_use(id) => "InvalidCidrBlock.InUse", 400, "The vpc CIDR block with association ID {id} may not be disassociated. It is in use by subnets.";
    /// A subnet's block that isn't in its VPC, or has no possible size.
    subnet_range(cidr) => "InvalidSubnet.Range", 400, "The CIDR '{cidr}' is invalid.";
    /// A subnet's block that overlaps another's.
    subnet_conflict(cidr) => "InvalidSubnet.Conflict", 400, "The CIDR '{cidr}' conflicts with another subnet";
    /// A zone that isn't the region's.
    subnet_zone(value, parameter, zones) => "InvalidParameterValue", 400, "Value ({value}) for parameter {parameter} is invalid. Subnets can currently only be created in the following availability zones: {zones}.";
    /// A second default VPC.
    default_vpc_exists() => "DefaultVpcAlreadyExists", 400, "A Default VPC already exists for this account in this region.";
    /// No default VPC to make a default subnet in.
    default_vpc_missing() => "DefaultVpcDoesNotExist", 400, "No default VPC exists for this account in this region.";
    /// A second default subnet of a zone.
    default_subnet_exists(subnet, zone) => "DefaultSubnetAlreadyExistsInAvailabilityZone", 400, "'{subnet}' is already the default subnet in {zone}.";
    /// A default VPC without room for a default subnet.
    no_default_subnet_block() => "InsufficientCidrBlocks", 400, "The default VPC has no free /20 block for a default subnet.";
    /// A name without the default VPC that it would be of.
    no_default_vpc_for_name() => "VPCIdNotSpecified", 400, "No default VPC for this user.";
    /// DNS host names without DNS.
    dns_hostnames_without_support() => "InvalidParameterCombination", 400, "enableDnsHostnames requires enableDnsSupport.";

    /// A gateway that is attached already.
    gateway_attached(gateway, vpc) => "Resource.AlreadyAssociated", 400, "resource {gateway} is already attached to network {vpc}";
    /// A VPC that has a gateway already.
    vpc_has_gateway(vpc) => "InvalidParameterValue", 400, "Network {vpc} already has an internet gateway attached";
    /// A gateway that isn't attached to this VPC.
    gateway_not_attached(gateway, vpc) => "Gateway.NotAttached", 400, "resource {gateway} is not attached to network {vpc}";
    /// A VPC without a gateway.
    no_gateway(vpc) => "Gateway.NotAttached", 400, "Network {vpc} is not attached to any internet gateway";
    /// A gateway that translates public addresses.
    mapped_addresses(vpc) => "DependencyViolation", 400, "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.";

    nat_gateway_limit(zone) => "NatGatewayLimitExceeded", 400, "The maximum number of NAT gateways in Availability Zone {zone} has been reached.";
    nat_gateway_not_found(id) => "NatGatewayNotFound", 400, "NAT gateway {id} was not found";
    nat_gateway_malformed(id) => "NatGatewayMalformed", 400, "NAT gateway {id} is malformed";
    /// A gateway that a call can't change now.
    nat_gateway_state(id, state) => "IncorrectState", 400, "NAT gateway {id} is in state {state}; it must be available.";
    nat_gateway_busy(id) => "IncorrectState", 400, "NAT gateway {id} has addresses on their way; wait until that is done.";
    nat_gateway_connectivity(id, is, needed) => "InvalidParameterValue", 400, "NAT gateway {id} is a {is} NAT gateway; this operation is for {needed} ones.";
    nat_address_limit(limit) => "PrivateIpAddressLimitExceeded", 400, "A NAT gateway may have {limit} private IP addresses.";
    /// The primary address, which stays as long as the gateway.
    primary_nat_address() => "InvalidParameterValue", 400, "The primary address of a NAT gateway can not be taken away.";
    private_nat_with_elastic() => "InvalidParameterCombination", 400, "A private NAT gateway can not have an Elastic IP address: AllocationId and SecondaryAllocationIds are for public ones.";
    public_nat_with_count() => "InvalidParameterCombination", 400, "SecondaryPrivateIpAddressCount is for private NAT gateways.";
    more_private_than_elastic() => "InvalidParameterCombination", 400, "Each private IP address of a public NAT gateway needs an Elastic IP address.";

    /// A route that exists.
    route_exists(destination) => "RouteAlreadyExists", 400, "The route identified by {destination} already exists.";
    /// A route that doesn't exist, to delete.
    route_not_found(destination, table) => "InvalidRoute.NotFound", 400, "no route with destination-cidr-block {destination} in route table {table}";
    /// A route that doesn't exist, to replace.
    no_route_to_replace(destination) => "InvalidParameterValue", 400, "There is no route defined for '{destination}' in the route table. Use CreateRoute instead.";
    /// The local route, which stays.
    local_route(destination, table) => "InvalidParameterValue", 400, "cannot remove local route {destination} in route table {table}";
    /// A route within the VPC that leads elsewhere than to an interface.
    route_within_vpc(destination) => "InvalidParameterValue", 400, "The destination CIDR block {destination} is equal to or more specific than one of this VPC's CIDR blocks. This route can target only an interface or an instance.";
    /// A route of IPv4 to a gateway of IPv6.
    route_of_ipv4(destination, gateway) => "InvalidParameterValue", 400, "The destination {destination} is of IPv4: the egress-only internet gateway {gateway} takes IPv6 only.";
    /// A route of IPv6 to a gateway of IPv4.
    route_of_ipv6(destination, gateway) => "InvalidParameterValue", 400, "The destination {destination} is of IPv6: the NAT gateway {gateway} takes IPv4 only.";
    egress_only_gateway_limit() => "EgressOnlyInternetGatewayLimitExceeded", 400, "The maximum number of egress-only internet gateways has been reached.";
    /// A VPC that has an egress-only gateway already.
    vpc_has_egress_only_gateway(vpc) => "InvalidParameterValue", 400, "Network {vpc} already has an egress-only internet gateway attached";
    /// A route without a target, or with several.
    one_target() => "InvalidParameterCombination", 400, "Exactly one route target must be specified: GatewayId, InstanceId, NatGatewayId or NetworkInterfaceId.";
    /// Resources of different VPCs.
    different_networks(one, one_id, other, other_id) => "InvalidParameterValue", 400, "{one} {one_id} and {other} {other_id} belong to different networks";
    /// A subnet that has a route table.
    route_table_associated(table) => "Resource.AlreadyAssociated", 400, "the specified association for route table {table} conflicts with an existing association";
    /// An association that doesn't exist.
    association_not_found(id) => "InvalidAssociationID.NotFound", 400, "The association ID '{id}' does not exist";
    association_malformed(id) => "InvalidAssociationID.Malformed", 400, "Invalid id: \"{id}\"";
    /// The main association, which can only be replaced.
    main_association(id) => "InvalidParameterValue", 400, "cannot disassociate the main route table association {id}";

    /// An option of DHCP that sets don't have.
    unknown_dhcp_option(key) => "InvalidParameterValue", 400, "Value ({key}) for parameter key is invalid. Unknown DHCP option";
    dhcp_option_value(value, key) => "InvalidParameterValue", 400, "Value ({value}) for parameter value is invalid. Invalid DHCP option value: {key}";
    duplicate_dhcp_option(key) => "InvalidParameterValue", 400, "Value ({key}) for parameter key is invalid. Duplicate DHCP option";
    dhcp_options_limit() => "DhcpOptionsLimitExceeded", 400, "The maximum number of DHCP option sets has been reached.";

    /// A network ACL's entry of a number that is taken.
    acl_entry_exists(number) => "NetworkAclEntryAlreadyExists", 400, "The network acl entry identified by {number} already exists.";
    /// A network ACL's entry that doesn't exist.
    acl_entry_not_found(number) => "InvalidNetworkAclEntry.NotFound", 400, "The network acl entry identified by {number} does not exist.";
    /// A VPC's default network ACL, which stays.
    default_acl(id) => "InvalidParameterValue", 400, "cannot delete default network ACL {id}";
    acl_limit() => "NetworkAclLimitExceeded", 400, "The maximum number of network ACLs has been reached.";
    acl_entry_limit() => "NetworkAclEntryLimitExceeded", 400, "The maximum number of network ACL entries has been reached.";

    /// A security group's name that is taken.
    group_exists(name, vpc) => "InvalidGroup.Duplicate", 400, "The security group '{name}' already exists for VPC '{vpc}'";
    /// A security group's name that isn't known.
    group_name_not_found(name, vpc) => "InvalidGroup.NotFound", 400, "The security group '{name}' does not exist in default VPC '{vpc}'";
    /// A group of another VPC.
    group_of_other_vpc(group, vpc) => "InvalidParameter", 400, "Security group {group} and VPC {vpc} belong to different networks.";
    /// A rule's peer of another VPC.
    peer_of_other_vpc() => "InvalidGroup.NotFound", 400, "You have specified two resources that belong to different networks.";
    /// The default group.
    default_group(id) => "CannotDelete", 400, "the specified group: \"{id}\" name: \"default\" cannot be deleted by a user";
    /// A group that interfaces or rules name.
    group_in_use(id) => "DependencyViolation", 400, "resource {id} has a dependent object";
    /// A rule that exists.
    rule_exists(rule) => "InvalidPermission.Duplicate", 400, "the specified rule \"{rule}\" already exists";
    /// A rule that comes twice in one call.
    same_rule_twice() => "InvalidParameterValue", 400, "The same permission must not appear multiple times";
    /// A rule that doesn't exist.
    rule_not_found() => "InvalidPermission.NotFound", 400, "The specified rule does not exist in this security group.";
    /// A rule ID that doesn't exist.
    rule_id_not_found(id) => "InvalidSecurityGroupRuleId.NotFound", 400, "The security group rule ID '{id}' does not exist";
    rule_id_malformed(id) => "InvalidSecurityGroupRuleId.Malformed", 400, "The security group rule ID '{id}' is malformed";
    /// A rule that says nothing.
    rule_malformed(why) => "InvalidPermission.Malformed", 400, "{why}";
    /// A rule's block that is none.
    rule_cidr(cidr) => "InvalidParameterValue", 400, "CIDR block {cidr} is malformed";
    /// A group's or rule's description out of the alphabet.
    rule_description() => "InvalidParameterValue", 400, "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{{}}!$*";

    /// An address that another interface has.
    address_in_use() => "InvalidIPAddress.InUse", 400, "The specified address is already in use.";
    /// An address that isn't in the subnet.
    address_out_of_subnet() => "InvalidParameterValue", 400, "Address does not fall within the subnet's address range";
    /// An address that AWS keeps for itself.
    address_reserved() => "InvalidParameterValue", 400, "Address is in subnet's reserved address range";
    /// Addresses that an interface doesn't have.
    addresses_not_assigned(interface) => "InvalidParameterValue", 400, "Some of the specified addresses are not assigned to interface {interface}";
    /// The primary address, which stays as long as the interface.
    primary_address(ip) => "InvalidParameterValue", 400, "The address {ip} is the primary private IP address of the network interface and can not be unassigned.";
    /// A text that is no IPv4 address.
    not_an_address(text) => "InvalidParameterValue", 400, "invalid value for parameter address: {text}";
    /// An interface that is attached, to delete.
    interface_in_use(id) => "InvalidParameterValue", 400, "Network interface '{id}' is currently in use.";
    /// An interface that is attached, to attach.
    interface_attached(id) => "InvalidNetworkInterface.InUse", 400, "Interface: [{id}] in use.";
    /// A device index that is taken.
    device_index_taken(instance, index) => "InvalidParameterValue", 400, "Instance '{instance}' already has an interface attached at device index '{index}'.";
    /// An interface in another zone.
    interface_of_other_zone() => "InvalidParameterValue", 400, "You may not attach a network interface to an instance if they are not in the same availability zone";
    /// An attachment that doesn't exist.
    attachment_not_found(id) => "InvalidAttachmentID.NotFound", 400, "The attachment ID '{id}' does not exist";
    attachment_malformed(id) => "InvalidAttachmentID.Malformed", 400, "Invalid id: \"{id}\" (expecting \"eni-attach-...\")";
    /// The primary interface.
    primary_interface() => "OperationNotPermitted", 400, "The network interface at device index 0 and networkCard index 0 cannot be detached.";
    /// More interfaces than the instance's type may have.
    attachment_limit(count, instance_type) => "AttachmentLimitExceeded", 400, "Interface count {count} exceeds the limit for {instance_type}";
    /// A change of a running instance's interfaces.
    interface_hot_plug(instance) => "UnsupportedOperation", 400, "The instance '{instance}' is not stopped: this cloud attaches and detaches network interfaces of stopped instances only.";

    /// No block is left of the cloud's IPv6 pool.
    ipv6_pool_empty() => "InsufficientCidrBlocks", 400, "There are no available IPv6 CIDR blocks in the pool.";
    /// An IPv6 block of a subnet that isn't in its VPC, or has no possible size.
    ipv6_subnet_range(cidr) => "InvalidSubnet.Range", 400, "The IPv6 CIDR '{cidr}' is invalid.";
    /// A subnet without IPv6, where an IPv6 address is asked for.
    no_ipv6_block(subnet) => "InvalidParameterValue", 400, "The subnet '{subnet}' does not have an IPv6 CIDR block associated with it.";
    /// A subnet without IPv6 whose interfaces shall have such addresses.
    no_ipv6_to_assign(subnet) => "InvalidParameterValue", 400, "Invalid value 'true' for assign-ipv6-address-on-creation. Cannot set assign-ipv6-address-on-creation to true unless the subnet ({subnet}) has an IPv6 CIDR block associated with it.";
    subnet_block_malformed(id) => "InvalidSubnetCidrBlockAssociationId.Malformed", 400, "Invalid id: \"{id}\" (expecting \"subnet-cidr-assoc-...\")";
    subnet_block_not_found(id) => "InvalidSubnetCidrBlockAssociationID.NotFound", 400, "The subnet CIDR block with association ID '{id}' does not exist";
    /// A subnet's IPv6 block that interfaces have addresses of.
    subnet_block_in_use(id) => "InvalidCidrBlock.InUse", 400, "The subnet IPv6 CIDR block with association ID {id} may not be disassociated. It is in use by network interfaces.";
    /// A subnet's IPv6 block that new interfaces are given addresses of.
    subnet_block_assigns(id) => "InvalidCidrBlock.InUse", 400, "The subnet IPv6 CIDR block with association ID {id} may not be disassociated, because its subnet has assign-ipv6-address-on-creation set to true.";
    /// More IPv6 addresses than an interface may have.
    ipv6_address_limit() => "PrivateIpAddressLimitExceeded", 400, "Number of IPv6 addresses will exceed limit.";
    /// Addresses that aren't the interface's.
    not_assigned(interface) => "InvalidParameterValue", 400, "Some of the specified addresses are not assigned to interface {interface}";
    /// The primary IPv6 address, which stays.
    primary_ipv6(address) => "InvalidParameterValue", 400, "The primary IPv6 address {address} can't be unassigned.";
    /// A primary IPv6 address that an interface has already.
    primary_ipv6_stays() => "InvalidParameterValue", 400, "A primary IPv6 address can't be disabled once it was enabled.";
    /// A primary IPv6 address of an interface that has none.
    no_primary_ipv6(interface) => "InvalidParameterValue", 400, "The network interface '{interface}' has no IPv6 address that could be its primary one.";
    /// A reserved range out of its subnet's block.
    reservation_out_of_subnet(block) => "InvalidParameterValue", 400, "Reservation CIDR should be within subnet CIDR block ({block})";
    reservation_overlaps(cidr) => "InvalidParameterValue", 400, "Reservation CIDR {cidr} has overlap with existing reserved CIDR block";
    reservation_limit() => "SubnetCidrReservationLimitExceeded", 400, "The maximum number of CIDR reservations of the subnet has been reached.";

    /// An interface that a service of the cloud uses.
    managed_interface(id) => "OperationNotPermitted", 400, "The network interface '{id}' is managed by a service and can not be changed.";
    /// What belongs to a service's resource.
    not_permitted_to_access() => "AuthFailure", 403, "You do not have permission to access the specified resource.";
    /// A public address that isn't the caller's.
    address_not_found(address) => "InvalidAddress.NotFound", 400, "Address '{address}' not found.";
    /// A public address that somebody has.
    address_taken(address) => "InvalidIPAddress.InUse", 400, "Address {address} is in use.";
    /// A public address that is associated.
    already_associated(resource, association) => "Resource.AlreadyAssociated", 400, "resource {resource} is already associated with associate-id {association}";
    /// A private address that isn't the interface's.
    not_an_interface_address(ip, interface) => "InvalidParameterValue", 400, "The private IP address {ip} is not assigned to the network interface {interface}.";
    /// An instance with several interfaces where one must be named.
    many_interfaces(instance) => "InvalidInstanceID", 400, "There are multiple interfaces attached to instance '{instance}'. Please specify an interface ID for the operation instead.";
    /// An instance that has no interface.
    no_interface(instance) => "InvalidInstanceID", 400, "The instance '{instance}' has no network interface.";
    /// An instance whose state doesn't allow it.
    invalid_instance_state(state, instance) => "InvalidInstanceID", 400, "The {state} instance '{instance}' is not in a valid state for this operation.";
    /// A prefix list: there are none.
    prefix_list_not_found(id) => "InvalidPrefixListID.NotFound", 400, "The prefix list ID '{id}' does not exist";
}

/// Refuses parameters that are given and not served.
///
/// # Errors
/// One is given.
pub fn refuse(parameters: &[(&str, bool)]) -> Result<(), Fault> {
    match parameters.iter().find(|(_, given)| *given) {
        Some((name, _)) => Err(unsupported(name)),
        None => Ok(()),
    }
}
