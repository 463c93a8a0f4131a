//! VPCs, subnets, gateways, and the lists that come with them.

use crate::vpc::{
    cidr_blocks, defaults, desired, dhcp_options, internet_gateways as gateways, network_acls,
    prefix_lists,
    subnets::{self, Subnet},
    testing::{
        code, default_network, empty, filter, interface, message, request, s, subnet, try_subnet,
        tx, vpc,
    },
    vpcs::{self, Vpc},
};
use contracts::network;
use shapes::{Fault, ec2 as api};
use state::Tx;
use std::net::Ipv4Addr;

fn yes() -> Option<api::AttributeBooleanValue> {
    Some(api::AttributeBooleanValue { value: Some(true) })
}

#[test]
fn vpc_blocks_are_checked() {
    let mut tx = empty();
    let mut create = |cidr: Option<&str>| {
        let cidr_block = cidr.map(str::to_owned);
        let input = api::CreateVpcRequest { cidr_block, ..Default::default() };
        vpcs::create_vpc(&mut tx, &request(), input)
    };
    assert_eq!(code(create(None)), "MissingParameter");
    assert_eq!(code(create(Some("10.0.0.0"))), "InvalidParameterValue");
    for bad in ["10.0.0.0/15", "10.0.0.0/29", "169.254.0.0/16", "127.0.0.0/16"] {
        assert_eq!(message(create(Some(bad))), format!("The CIDR '{bad}' is invalid."));
    }
    let made = create(Some("10.1.2.3/16")).unwrap().vpc.unwrap();
    assert_eq!(made.cidr_block.as_deref(), Some("10.1.0.0/16"));
    assert_eq!(made.state, Some(api::VpcState::Pending));
    assert_eq!(made.is_default, Some(false));
}

#[test]
fn what_is_not_served_is_refused() {
    let mut tx = empty();
    let input = api::CreateVpcRequest {
        cidr_block: s("10.0.0.0/16"),
        ipv6_pool: s("ipv6pool-ec2-1"),
        ..Default::default()
    };
    assert_eq!(code(vpcs::create_vpc(&mut tx, &request(), input)), "UnsupportedOperation");
    let input = api::CreateVpcRequest {
        cidr_block: s("10.0.0.0/16"),
        instance_tenancy: Some(api::Tenancy::Host),
        ..Default::default()
    };
    assert_eq!(code(vpcs::create_vpc(&mut tx, &request(), input)), "InvalidParameterValue");
    for _ in 0..100 {
        vpc(&mut tx, "10.0.0.0/16");
    }
    let input = api::CreateVpcRequest { cidr_block: s("10.0.0.0/16"), ..Default::default() };
    assert_eq!(code(vpcs::create_vpc(&mut tx, &request(), input)), "VpcLimitExceeded");
    let input = api::CreateDefaultVpcRequest::default();
    assert_eq!(code(defaults::create_default_vpc(&mut tx, &request(), input)), "VpcLimitExceeded");
}

#[test]
fn a_vpc_with_dependents_stays() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    let subnet = subnet(&mut tx, &id, "10.0.0.0/24");
    let delete = |tx: &mut Tx, id: &str| {
        let input = api::DeleteVpcRequest { vpc_id: s(id), dry_run: None };
        vpcs::delete_vpc(tx, &request(), input)
    };
    let expected = format!("The vpc '{id}' has dependencies and cannot be deleted.");
    assert_eq!(message(delete(&mut tx, &id)), expected);
    let input = api::DeleteSubnetRequest { subnet_id: s(&subnet), dry_run: None };
    subnets::delete_subnet(&mut tx, &request(), input).unwrap();
    delete(&mut tx, &id).unwrap();
    assert_eq!(code(delete(&mut tx, &id)), "InvalidVpcID.NotFound");
    assert_eq!(code(delete(&mut tx, "vpc-x")), "InvalidVpcID.Malformed");
    // Nothing of it is left.
    let parsed = id.parse::<types::VpcId>().unwrap();
    assert!(tx.find::<crate::vpc::route_tables::RouteTable>("vpc", parsed).next().is_none());
    assert!(tx.find::<crate::vpc::security_groups::SecurityGroup>("vpc", parsed).next().is_none());
    assert!(tx.find::<network_acls::NetworkAcl>("vpc", parsed).next().is_none());
}

#[test]
fn vpcs_are_filtered_and_paged() {
    let mut tx = tx();
    for _ in 0..6 {
        vpc(&mut tx, "10.0.0.0/16");
    }
    let describe = |input| vpcs::describe_vpcs(&tx, &request(), input);
    for (name, value, count) in [
        ("is-default", "true", 1),
        ("cidr", "10.0.0.0/16", 6),
        ("cidr-block-association.cidr-block", "10.*", 6),
        ("cidr-block-association.state", "associated", 7),
        ("state", "available", 7),
        ("owner-id", "123456789012", 7),
        ("ipv6-cidr-block-association.state", "associated", 0),
    ] {
        let filters = filter(name, value);
        let found = describe(api::DescribeVpcsRequest { filters, ..Default::default() }).unwrap();
        assert_eq!(found.vpcs.unwrap().len(), count, "{name}");
    }
    let filters = filter("colour", "red");
    let unknown = describe(api::DescribeVpcsRequest { filters, ..Default::default() });
    assert_eq!(code(unknown), "InvalidParameterValue");
    let input = api::DescribeVpcsRequest { max_results: Some(5), ..Default::default() };
    let first = describe(input).unwrap();
    assert_eq!(first.vpcs.unwrap().len(), 5);
    let input = api::DescribeVpcsRequest { next_token: first.next_token, ..Default::default() };
    assert_eq!(describe(input).unwrap().vpcs.unwrap().len(), 2);
}

#[test]
fn vpc_attributes() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    let request = request();
    let modify = |tx: &mut Tx, input| vpcs::modify_vpc_attribute(tx, &request, input);
    let base = api::ModifyVpcAttributeRequest { vpc_id: s(&id), ..Default::default() };
    assert_eq!(code(modify(&mut tx, base.clone())), "MissingParameter");
    let hostnames = api::ModifyVpcAttributeRequest { enable_dns_hostnames: yes(), ..base.clone() };
    let two = api::ModifyVpcAttributeRequest { enable_dns_support: yes(), ..hostnames.clone() };
    assert_eq!(code(modify(&mut tx, two)), "InvalidParameterCombination");
    modify(&mut tx, hostnames.clone()).unwrap();
    let attribute = Some(api::VpcAttributeName::EnableDnsHostnames);
    let input = api::DescribeVpcAttributeRequest { attribute, vpc_id: s(&id), dry_run: None };
    let told = vpcs::describe_vpc_attribute(&tx, &request, input).unwrap();
    assert_eq!(told.enable_dns_hostnames, yes());
    assert_eq!(told.enable_dns_support, None);
    let off = Some(api::AttributeBooleanValue { value: Some(false) });
    modify(&mut tx, api::ModifyVpcAttributeRequest { enable_dns_support: off, ..base }).unwrap();
    assert_eq!(code(modify(&mut tx, hostnames)), "InvalidParameterCombination");
}

#[test]
fn subnet_blocks_are_checked() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    subnet(&mut tx, &id, "10.0.0.0/24");
    for (cidr, expected) in [
        ("10.0.0.128/25", "InvalidSubnet.Conflict"),
        ("10.0.0.0/16", "InvalidSubnet.Conflict"),
        ("10.1.0.0/24", "InvalidSubnet.Range"),
        ("10.0.1.0/29", "InvalidSubnet.Range"),
        ("x", "InvalidParameterValue"),
    ] {
        assert_eq!(code(try_subnet(&mut tx, &id, cidr)), expected, "{cidr}");
    }
    assert_eq!(code(try_subnet(&mut tx, "vpc-12345678", "10.0.1.0/24")), "InvalidVpcID.NotFound");
    for number in 1..200 {
        subnet(&mut tx, &id, &format!("10.0.{number}.0/24"));
    }
    assert_eq!(code(try_subnet(&mut tx, &id, "10.0.200.0/24")), "SubnetLimitExceeded");
}

#[test]
fn subnets_are_in_zones_of_the_region() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    let base = api::CreateSubnetRequest {
        vpc_id: s(&id),
        cidr_block: s("10.0.0.0/24"),
        ..Default::default()
    };
    let wrong = api::CreateSubnetRequest { availability_zone: s("eu-west-1a"), ..base.clone() };
    let said = message(subnets::create_subnet(&mut tx, &request(), wrong));
    assert!(said.ends_with("us-east-1a, us-east-1b, us-east-1c."), "{said}");
    let by_id = api::CreateSubnetRequest { availability_zone_id: s("use1-az3"), ..base.clone() };
    let both = api::CreateSubnetRequest { availability_zone: s("us-east-1a"), ..by_id.clone() };
    let result = subnets::create_subnet(&mut tx, &request(), both);
    assert_eq!(code(result), "InvalidParameterCombination");
    let made = subnets::create_subnet(&mut tx, &request(), by_id).unwrap().subnet.unwrap();
    assert_eq!(made.availability_zone.as_deref(), Some("us-east-1c"));
    assert_eq!(made.available_ip_address_count, Some(251));
    let account = "123456789012";
    let arn = format!("arn:aws:ec2:us-east-1:{account}:subnet/{}", made.subnet_id.unwrap());
    assert_eq!(made.subnet_arn, Some(arn));
}

#[test]
fn subnets_in_use_stay() {
    let mut tx = tx();
    interface(&mut tx);
    let (_, subnet) = default_network(&tx);
    let id = subnet.id.to_string();
    let input = api::DeleteSubnetRequest { subnet_id: s(&id), dry_run: None };
    let said = message(subnets::delete_subnet(&mut tx, &request(), input));
    assert_eq!(said, format!("The subnet '{id}' has dependencies and cannot be deleted."));
    let filters = filter("available-ip-address-count", "4090");
    let input = api::DescribeSubnetsRequest { filters, ..Default::default() };
    let found = subnets::describe_subnets(&tx, &request(), input).unwrap().subnets.unwrap();
    assert_eq!(found.iter().map(|subnet| subnet.subnet_id.clone()).collect::<Vec<_>>(), [s(&id)]);
}

#[test]
fn default_subnets_come_back() {
    let mut tx = tx();
    let create = |tx: &mut Tx, zone: &str| {
        let input =
            api::CreateDefaultSubnetRequest { availability_zone: s(zone), ..Default::default() };
        subnets::create_default_subnet(tx, &request(), input)
    };
    let exists = "DefaultSubnetAlreadyExistsInAvailabilityZone";
    assert_eq!(code(create(&mut tx, "us-east-1a")), exists);
    assert_eq!(code(create(&mut tx, "us-east-1x")), "InvalidParameterValue");
    let (_, subnet) = default_network(&tx);
    tx.delete::<Subnet>(&subnet.id);
    let made = create(&mut tx, "us-east-1a").unwrap().subnet.unwrap();
    assert_eq!(made.cidr_block.as_deref(), Some("172.31.0.0/20"));
    assert_eq!(made.map_public_ip_on_launch, Some(true));
    let mut none = empty();
    assert_eq!(code(create(&mut none, "us-east-1a")), "DefaultVpcDoesNotExist");
}

#[test]
fn subnet_attributes() {
    let mut tx = tx();
    let (_, subnet) = default_network(&tx);
    let base = api::ModifySubnetAttributeRequest {
        subnet_id: s(&subnet.id.to_string()),
        ..Default::default()
    };
    let off = Some(api::AttributeBooleanValue { value: Some(false) });
    let modify = |tx: &mut Tx, input| subnets::modify_subnet_attribute(tx, &request(), input);
    assert_eq!(code(modify(&mut tx, base.clone())), "MissingParameter");
    let public =
        api::ModifySubnetAttributeRequest { map_public_ip_on_launch: off.clone(), ..base.clone() };
    let two = api::ModifySubnetAttributeRequest {
        private_dns_hostname_type_on_launch: Some(api::HostnameType::ResourceName),
        ..public.clone()
    };
    assert_eq!(code(modify(&mut tx, two)), "InvalidParameterCombination");
    let ipv6 = api::ModifySubnetAttributeRequest { enable_dns64: yes(), ..base.clone() };
    assert_eq!(code(modify(&mut tx, ipv6)), "UnsupportedOperation");
    modify(&mut tx, public).unwrap();
    modify(&mut tx, api::ModifySubnetAttributeRequest { enable_dns64: off, ..base }).unwrap();
    assert!(!tx.get::<Subnet>(&subnet.id).unwrap().map_public_ip_on_launch);
}

#[test]
fn gateways_attach_once() {
    let mut tx = tx();
    let id = vpc(&mut tx, "10.0.0.0/16");
    let (default, _) = default_network(&tx);
    let made = gateways::create_internet_gateway(&mut tx, &request(), Default::default());
    let gateway = made.unwrap().internet_gateway.unwrap().internet_gateway_id.unwrap();
    let attach = |tx: &mut Tx, vpc: &str| {
        let (internet_gateway_id, vpc_id) = (s(&gateway), s(vpc));
        let input =
            api::AttachInternetGatewayRequest { dry_run: None, internet_gateway_id, vpc_id };
        gateways::attach_internet_gateway(tx, &request(), input)
    };
    let detach = |tx: &mut Tx, vpc: &str| {
        let (internet_gateway_id, vpc_id) = (s(&gateway), s(vpc));
        let input =
            api::DetachInternetGatewayRequest { dry_run: None, internet_gateway_id, vpc_id };
        gateways::detach_internet_gateway(tx, &request(), input)
    };
    let delete = |tx: &mut Tx| {
        let internet_gateway_id = s(&gateway);
        let input = api::DeleteInternetGatewayRequest { dry_run: None, internet_gateway_id };
        gateways::delete_internet_gateway(tx, &request(), input)
    };
    assert_eq!(code(attach(&mut tx, &default.to_string())), "InvalidParameterValue");
    assert_eq!(code(detach(&mut tx, &id)), "Gateway.NotAttached");
    attach(&mut tx, &id).unwrap();
    assert_eq!(code(attach(&mut tx, &id)), "Resource.AlreadyAssociated");
    assert_eq!(code(delete(&mut tx)), "DependencyViolation");
    let filters = filter("attachment.vpc-id", &id);
    let input = api::DescribeInternetGatewaysRequest { filters, ..Default::default() };
    let found = gateways::describe_internet_gateways(&tx, &request(), input).unwrap();
    let attachments = found.internet_gateways.unwrap()[0].attachments.clone().unwrap();
    assert_eq!(attachments[0].state.map(|state| state.to_string()), s("available"));
    detach(&mut tx, &id).unwrap();
    delete(&mut tx).unwrap();
    assert_eq!(code(delete(&mut tx)), "InvalidInternetGatewayID.NotFound");
}

#[test]
fn a_gateway_with_public_addresses_stays() {
    let mut tx = tx();
    let eni = interface(&mut tx);
    crate::vpc::addresses::lend_public(&mut tx, eni).unwrap();
    let (vpc, _) = default_network(&tx);
    let gateway = gateways::of_vpc(&tx, vpc).unwrap().id;
    let input = api::DetachInternetGatewayRequest {
        dry_run: None,
        internet_gateway_id: s(&gateway.to_string()),
        vpc_id: s(&vpc.to_string()),
    };
    let result = gateways::detach_internet_gateway(&mut tx, &request(), input);
    assert_eq!(code(result), "DependencyViolation");
}

#[test]
fn there_are_so_many_gateways() {
    let mut tx = empty();
    for _ in 0..100 {
        gateways::create_internet_gateway(&mut tx, &request(), Default::default()).unwrap();
    }
    let result = gateways::create_internet_gateway(&mut tx, &request(), Default::default());
    assert_eq!(code(result), "InternetGatewayLimitExceeded");
}

#[test]
fn lists_that_come_with_vpcs() {
    let tx = tx();
    let input = api::DescribeNetworkAclsRequest {
        filters: filter("entry.rule-action", "deny"),
        ..Default::default()
    };
    let acls = network_acls::describe_network_acls(&tx, &request(), input).unwrap();
    let entries = acls.network_acls.unwrap()[0].entries.clone().unwrap();
    let shown = entries.iter().map(|entry| (entry.egress, entry.rule_number)).collect::<Vec<_>>();
    let expected = [(true, 100), (true, 32_767), (false, 100), (false, 32_767)];
    assert_eq!(shown, expected.map(|(egress, number)| (Some(egress), Some(number))));

    let input = api::DescribeDhcpOptionsRequest {
        filters: filter("value", "AmazonProvidedDNS"),
        ..Default::default()
    };
    let sets = dhcp_options::describe_dhcp_options(&tx, &request(), input).unwrap();
    let vpc = vpcs::default_of(&tx, &request().scope).unwrap();
    let id = vpc.dhcp_options.unwrap().to_string();
    assert_eq!(sets.dhcp_options.unwrap()[0].dhcp_options_id, s(&id));

    let lists = prefix_lists::describe_prefix_lists(&tx, &request(), Default::default()).unwrap();
    assert_eq!(lists.prefix_lists, Some(Vec::new()));
    let input = api::DescribePrefixListsRequest {
        prefix_list_ids: Some(vec!["pl-12345678".to_owned()]),
        ..Default::default()
    };
    let result = prefix_lists::describe_prefix_lists(&tx, &request(), input);
    assert_eq!(code(result), "InvalidPrefixListID.NotFound");
    assert!(tx.get::<Vpc>(&vpc.id).is_some());
}

fn new_set(options: &[(&str, &[&str])]) -> api::CreateDhcpOptionsRequest {
    let option = |(key, values): &(&str, &[&str])| api::NewDhcpConfiguration {
        key: s(key),
        values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
    };
    let dhcp_configurations = Some(options.iter().map(option).collect());
    api::CreateDhcpOptionsRequest { dhcp_configurations, ..Default::default() }
}

#[test]
fn option_sets_are_checked() {
    let mut tx = tx();
    for (options, expected) in [
        (&[][..], "MissingParameter"),
        (&[("domain-name-servers", &["10.0.0.2"; 5][..])], "InvalidParameterValue"),
        (&[("domain-name-servers", &["dns.example"])], "InvalidParameterValue"),
        (&[("domain-name-servers", &[])], "InvalidParameterValue"),
        (&[("ntp-servers", &[dhcp_options::AMAZON_PROVIDED_DNS])], "InvalidParameterValue"),
        (&[("domain-name", &["a", "b"])], "InvalidParameterValue"),
        (&[("domain-name", &["a\nb"])], "InvalidParameterValue"),
        (&[("netbios-node-type", &["3"])], "InvalidParameterValue"),
        (&[("router", &["10.0.0.1"])], "InvalidParameterValue"),
        (&[("domain-name", &["a"]), ("domain-name", &["b"])], "InvalidParameterValue"),
    ] {
        let result = dhcp_options::create_dhcp_options(&mut tx, &request(), new_set(options));
        assert_eq!(code(result), expected, "{options:?}");
    }
}

#[test]
fn a_vpc_changes_its_option_set() {
    let mut tx = tx();
    let vpc = vpcs::default_of(&tx, &request().scope).unwrap();
    let options: &[(&str, &[&str])] = &[
        ("netbios-node-type", &["2"]),
        ("domain-name", &["corp.example"]),
        ("domain-name-servers", &["10.0.0.6", "10.0.0.7"]),
    ];
    let made = dhcp_options::create_dhcp_options(&mut tx, &request(), new_set(options)).unwrap();
    let set = made.dhcp_options.unwrap().dhcp_options_id.unwrap();
    let associate = |tx: &mut Tx, id: &str| {
        let input = api::AssociateDhcpOptionsRequest {
            dhcp_options_id: s(id),
            vpc_id: Some(vpc.id.to_string()),
            dry_run: None,
        };
        dhcp_options::associate_dhcp_options(tx, &request(), input).map(|_| ())
    };
    let delete = |tx: &mut Tx| {
        let input = api::DeleteDhcpOptionsRequest { dhcp_options_id: s(&set), dry_run: None };
        dhcp_options::delete_dhcp_options(tx, &request(), input).map(|_| ())
    };
    associate(&mut tx, &set).unwrap();
    let told = desired::vpc(&tx, vpc.id).unwrap().dhcp;
    assert_eq!(told.domain_name.as_deref(), Some("corp.example"));
    assert_eq!(
        told.name_servers,
        ["10.0.0.6", "10.0.0.7"].map(|ip| ip.parse::<Ipv4Addr>().unwrap())
    );
    assert_eq!((told.netbios_node_type, told.no_name_servers), (Some(2), false));
    assert_eq!(code(delete(&mut tx)), "DependencyViolation");
    associate(&mut tx, "default").unwrap();
    let told = desired::vpc(&tx, vpc.id).unwrap().dhcp;
    assert_eq!((told.domain_name, told.no_name_servers), (None, true));
    delete(&mut tx).unwrap();
    assert_eq!(code(associate(&mut tx, &set)), "InvalidDhcpOptionID.NotFound");
}

fn add_block(tx: &mut Tx, vpc: &str, cidr: &str) -> Result<String, Fault> {
    let input = api::AssociateVpcCidrBlockRequest {
        vpc_id: s(vpc),
        cidr_block: s(cidr),
        ..Default::default()
    };
    let added = cidr_blocks::associate_vpc_cidr_block(tx, &request(), input)?;
    Ok(added.cidr_block_association.unwrap().association_id.unwrap())
}

fn take_block(tx: &mut Tx, id: &str) -> Result<(), Fault> {
    let input = api::DisassociateVpcCidrBlockRequest { association_id: s(id) };
    cidr_blocks::disassociate_vpc_cidr_block(tx, &request(), input).map(|_| ())
}

#[test]
fn a_vpc_gets_further_blocks() {
    let mut tx = empty();
    let one = vpc(&mut tx, "10.2.0.0/16");
    for (block, expected) in [
        ("10.2.4.0/24", "InvalidVpc.Range"),
        ("10.0.0.0/15", "InvalidVpc.Range"),
        ("172.16.0.0/16", "InvalidVpc.Range"),
        ("192.168.0.0/16", "InvalidVpc.Range"),
        ("169.254.0.0/16", "InvalidVpc.Range"),
        ("x", "InvalidParameterValue"),
    ] {
        assert_eq!(code(add_block(&mut tx, &one, block)), expected, "{block}");
    }
    let block = add_block(&mut tx, &one, "10.3.7.9/16").unwrap();
    add_block(&mut tx, &one, "100.64.0.0/16").unwrap();
    let inside = subnet(&mut tx, &one, "10.3.1.0/24");
    let id = one.parse().unwrap();
    let told = desired::vpc(&tx, id).unwrap().cidrs;
    assert_eq!(
        told.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.2.0.0/16", "10.3.0.0/16", "100.64.0.0/16"]
    );
    let local = desired::subnet(&tx, inside.parse().unwrap()).unwrap().routes;
    let local = local.iter().filter(|route| route.target == network::RouteTarget::Local);
    assert_eq!(local.count(), 3);
    assert_eq!(code(take_block(&mut tx, &block)), "InvalidCidrBlock.InUse");
    let input = api::DeleteSubnetRequest { subnet_id: Some(inside), dry_run: None };
    subnets::delete_subnet(&mut tx, &request(), input).unwrap();
    take_block(&mut tx, &block).unwrap();
    assert_eq!(code(take_block(&mut tx, &block)), "InvalidVpcCidrBlockAssociationID.NotFound");
    let primary = tx.get::<Vpc>(&id).unwrap().cidrs[0].0.to_string();
    assert_eq!(code(take_block(&mut tx, &primary)), "OperationNotPermitted");
    for number in 5..8 {
        add_block(&mut tx, &one, &format!("10.{number}.0.0/16")).unwrap();
    }
    assert_eq!(code(add_block(&mut tx, &one, "10.9.0.0/16")), "CidrLimitExceeded");
}
