//! Elastic IP addresses and lent ones.

use crate::{
    compute::instances::InstanceState,
    settings::Settings,
    vpc::{
        addresses::{self, Address},
        network_interfaces::{self as enis, NetworkInterface, PublicAddress},
        testing::{
            begin, code, empty, filter, instance, interface, message, request, s, subnet, tx, vpc,
        },
    },
};
use shapes::{Fault, ec2 as api};
use state::Tx;
use types::NetworkInterfaceId;

fn allocate(tx: &mut Tx, address: Option<&str>) -> Result<(String, String), Fault> {
    let input = api::AllocateAddressRequest {
        domain: Some(api::DomainType::Vpc),
        address: address.map(str::to_owned),
        ..Default::default()
    };
    let made = addresses::allocate_address(tx, &request(), input)?;
    Ok((made.allocation_id.unwrap(), made.public_ip.unwrap()))
}

fn to_interface(allocation: &str, eni: NetworkInterfaceId) -> api::AssociateAddressRequest {
    api::AssociateAddressRequest {
        allocation_id: s(allocation),
        network_interface_id: s(&eni.to_string()),
        ..Default::default()
    }
}

fn associate(tx: &mut Tx, input: api::AssociateAddressRequest) -> Result<String, Fault> {
    Ok(addresses::associate_address(tx, &request(), input)?.association_id.unwrap())
}

fn disassociate(tx: &mut Tx, association: &str) -> Result<(), Fault> {
    let input = api::DisassociateAddressRequest {
        association_id: s(association),
        public_ip: None,
        dry_run: None,
    };
    addresses::disassociate_address(tx, &request(), input).map(|_| ())
}

fn public(tx: &Tx, eni: NetworkInterfaceId) -> Option<PublicAddress> {
    tx.get::<NetworkInterface>(&eni)?.addresses[0].public.clone()
}

/// A cloud whose pool has five addresses to give.
fn small_pool() -> Tx {
    let mut tx = tx();
    let public_pool = "198.18.0.0/29".parse::<types::Ipv4Net>().unwrap();
    tx.put(Settings { public_pool, ..Settings::default() });
    begin(&tx.finish().0)
}

#[test]
fn addresses_come_from_the_pool() {
    let mut tx = small_pool();
    let mut seen = std::collections::BTreeSet::new();
    let (id, ip) = allocate(&mut tx, Some("198.18.0.5")).unwrap();
    assert_eq!(ip, "198.18.0.5");
    seen.insert(ip);
    assert_eq!(code(allocate(&mut tx, Some("198.18.0.5"))), "InvalidIPAddress.InUse");
    for bad in ["198.18.0.0", "198.18.0.1", "198.18.0.7", "9.9.9.9"] {
        assert_eq!(code(allocate(&mut tx, Some(bad))), "InvalidAddress.NotFound", "{bad}");
    }
    assert_eq!(code(allocate(&mut tx, Some("x"))), "InvalidParameterValue");
    let eni = interface(&mut tx);
    addresses::lend_public(&mut tx, eni).unwrap();
    seen.insert(public(&tx, eni).unwrap().ip.to_string());
    for _ in 0..3 {
        seen.insert(allocate(&mut tx, None).unwrap().1);
    }
    assert_eq!(seen.len(), 5, "each address has one owner: {seen:?}");
    assert_eq!(code(allocate(&mut tx, None)), "AddressLimitExceeded");
    let other = interface(&mut tx);
    assert_eq!(code(addresses::lend_public(&mut tx, other)), "AddressLimitExceeded");
    addresses::take_back_public(&mut tx, eni);
    addresses::lend_public(&mut tx, other).unwrap();
    let input = api::ReleaseAddressRequest { allocation_id: s(&id), ..Default::default() };
    addresses::release_address(&mut tx, &request(), input.clone()).unwrap();
    let again = addresses::release_address(&mut tx, &request(), input);
    assert_eq!(code(again), "InvalidAllocationID.NotFound");
}

#[test]
fn an_account_has_so_many() {
    let mut tx = empty();
    for _ in 0..100 {
        allocate(&mut tx, None).unwrap();
    }
    assert_eq!(code(allocate(&mut tx, None)), "AddressLimitExceeded");
    let input = api::AllocateAddressRequest {
        domain: Some(api::DomainType::Standard),
        ..Default::default()
    };
    let result = addresses::allocate_address(&mut tx, &request(), input);
    assert_eq!(code(result), "InvalidParameterValue");
    let input =
        api::AllocateAddressRequest { network_border_group: s("eu-west-1"), ..Default::default() };
    let result = addresses::allocate_address(&mut tx, &request(), input);
    assert_eq!(code(result), "InvalidParameterValue");
}

#[test]
fn an_elastic_address_replaces_a_lent_one() {
    let mut tx = tx();
    let machine = instance(&mut tx, InstanceState::Running);
    let eni = interface(&mut tx);
    enis::attach(&mut tx, eni, machine, 0, true);
    addresses::lend_public(&mut tx, eni).unwrap();
    let lent = public(&tx, eni).unwrap();
    addresses::lend_public(&mut tx, eni).unwrap();
    assert_eq!(public(&tx, eni), Some(lent), "one that has an address keeps it");
    let (id, ip) = allocate(&mut tx, None).unwrap();
    let input = api::AssociateAddressRequest {
        allocation_id: s(&id),
        instance_id: s(&machine.to_string()),
        ..Default::default()
    };
    let association = associate(&mut tx, input.clone()).unwrap();
    assert_eq!(associate(&mut tx, input), Ok(association.clone()), "again is the same");
    assert_eq!(public(&tx, eni).unwrap().ip.to_string(), ip);
    addresses::take_back_public(&mut tx, eni);
    assert_eq!(public(&tx, eni).unwrap().ip.to_string(), ip, "Elastic ones stay");
    for (name, value) in [
        ("instance-id", machine.to_string()),
        ("association-id", association.clone()),
        ("network-interface-id", eni.to_string()),
        ("public-ip", ip.clone()),
        ("domain", "vpc".to_owned()),
    ] {
        let filters = filter(name, &value);
        let input = api::DescribeAddressesRequest { filters, ..Default::default() };
        let found = addresses::describe_addresses(&tx, &request(), input).unwrap();
        assert_eq!(found.addresses.unwrap().len(), 1, "{name}");
    }
    let input = api::ReleaseAddressRequest { allocation_id: s(&id), ..Default::default() };
    let said = message(addresses::release_address(&mut tx, &request(), input));
    assert_eq!(said, format!("Address {ip} is in use."));
    disassociate(&mut tx, &association).unwrap();
    assert_eq!(public(&tx, eni).unwrap().elastic, None, "another is lent");
    assert_eq!(code(disassociate(&mut tx, &association)), "InvalidAssociationID.NotFound");
    assert_eq!(code(disassociate(&mut tx, "x")), "InvalidAssociationID.Malformed");
}

#[test]
fn addresses_move() {
    let mut tx = tx();
    let (one, two) = (interface(&mut tx), interface(&mut tx));
    let (id, ip) = allocate(&mut tx, None).unwrap();
    let (other, _) = allocate(&mut tx, None).unwrap();
    associate(&mut tx, to_interface(&id, one)).unwrap();
    associate(&mut tx, to_interface(&other, two)).unwrap();
    let stay =
        api::AssociateAddressRequest { allow_reassociation: Some(false), ..to_interface(&id, two) };
    assert_eq!(code(associate(&mut tx, stay)), "Resource.AlreadyAssociated");
    associate(&mut tx, to_interface(&id, two)).unwrap();
    assert_eq!(public(&tx, one), None);
    assert_eq!(public(&tx, two).unwrap().ip.to_string(), ip);
    let driven_out = tx.get::<Address>(&other.parse().unwrap()).unwrap();
    assert_eq!(driven_out.association, None);
    let stay = api::AssociateAddressRequest {
        allow_reassociation: Some(false),
        ..to_interface(&other, two)
    };
    assert_eq!(code(associate(&mut tx, stay)), "Resource.AlreadyAssociated");
    enis::delete(&mut tx, two);
    assert_eq!(tx.get::<Address>(&id.parse().unwrap()).unwrap().association, None);
}

#[test]
fn associations_are_checked() {
    let mut tx = tx();
    let eni = interface(&mut tx);
    let (id, ip) = allocate(&mut tx, None).unwrap();
    let base = to_interface(&id, eni);
    let none = api::AssociateAddressRequest { network_interface_id: None, ..base.clone() };
    assert_eq!(code(associate(&mut tx, none)), "MissingParameter");
    let both = api::AssociateAddressRequest { instance_id: s("i-12345678"), ..base.clone() };
    assert_eq!(code(associate(&mut tx, both)), "InvalidParameterCombination");
    let twice = api::AssociateAddressRequest { public_ip: s(&ip), ..base.clone() };
    assert_eq!(code(associate(&mut tx, twice)), "InvalidParameterCombination");
    let foreign = api::AssociateAddressRequest {
        allocation_id: None,
        public_ip: s("9.9.9.9"),
        ..base.clone()
    };
    assert_eq!(code(associate(&mut tx, foreign)), "InvalidAddress.NotFound");
    let wrong =
        api::AssociateAddressRequest { private_ip_address: s("172.31.0.99"), ..base.clone() };
    let result = associate(&mut tx, wrong);
    assert_eq!(code(result), "InvalidParameterValue");
    for (state, expected) in [
        (InstanceState::Pending, "InvalidInstanceID"),
        (InstanceState::Terminated, "InvalidInstanceID"),
        (InstanceState::Running, "InvalidInstanceID"), // It has no interface.
    ] {
        let machine = instance(&mut tx, state);
        let input = api::AssociateAddressRequest {
            instance_id: s(&machine.to_string()),
            network_interface_id: None,
            ..base.clone()
        };
        assert_eq!(code(associate(&mut tx, input)), expected);
    }
    let vpc_id = vpc(&mut tx, "10.0.0.0/16");
    let subnet_id = s(&subnet(&mut tx, &vpc_id, "10.0.0.0/24"));
    let input = api::CreateNetworkInterfaceRequest { subnet_id, ..Default::default() };
    let made = enis::create_network_interface(&mut tx, &request(), input).unwrap();
    let far = made.network_interface.unwrap().network_interface_id.unwrap();
    let said = message(associate(&mut tx, to_interface(&id, far.parse().unwrap())));
    assert_eq!(said, format!("Network {vpc_id} is not attached to any internet gateway"));
}

#[test]
fn addresses_are_described() {
    let mut tx = tx();
    let (id, ip) = allocate(&mut tx, None).unwrap();
    allocate(&mut tx, None).unwrap();
    let by_ip = |text: &str| api::DescribeAddressesRequest {
        public_ips: Some(vec![text.to_owned()]),
        ..Default::default()
    };
    let found = addresses::describe_addresses(&tx, &request(), by_ip(&ip)).unwrap();
    assert_eq!(found.addresses.unwrap()[0].allocation_id, s(&id));
    let unknown = addresses::describe_addresses(&tx, &request(), by_ip("9.9.9.9"));
    assert_eq!(message(unknown), "Address '9.9.9.9' not found.");
    let input = api::DescribeAddressesAttributeRequest {
        allocation_ids: Some(vec![id.clone()]),
        ..Default::default()
    };
    let found = addresses::describe_addresses_attribute(&tx, &request(), input).unwrap();
    assert_eq!(found.addresses.unwrap()[0].public_ip, s(&ip));
}

#[test]
fn domain_names_come_and_go() {
    let mut tx = tx();
    let input = api::AllocateAddressRequest::default();
    let made = addresses::allocate_address(&mut tx, &request(), input).unwrap();
    let id = made.allocation_id.unwrap();
    let modify = |tx: &mut Tx, name: &str| {
        let input = api::ModifyAddressAttributeRequest {
            allocation_id: s(&id),
            domain_name: s(name),
            dry_run: None,
        };
        addresses::modify_address_attribute(tx, &request(), input)
    };
    let described = |tx: &Tx| {
        let input = api::DescribeAddressesAttributeRequest {
            allocation_ids: Some(vec![id.clone()]),
            ..Default::default()
        };
        let found = addresses::describe_addresses_attribute(tx, &request(), input).unwrap();
        found.addresses.unwrap().remove(0).ptr_record
    };
    assert_eq!(described(&tx), None);
    modify(&mut tx, "mail.example.com").unwrap();
    assert_eq!(described(&tx), s("mail.example.com."));
    for bad in ["", "mail", "-a.example", "a..b", "a_b.example", &"a.".repeat(130)] {
        assert_eq!(code(modify(&mut tx, bad)), "InvalidParameterValue", "{bad}");
    }
    let input = api::ResetAddressAttributeRequest {
        allocation_id: s(&id),
        attribute: Some(api::AddressAttributeName::DomainName),
        dry_run: None,
    };
    addresses::reset_address_attribute(&mut tx, &request(), input).unwrap();
    assert_eq!(described(&tx), None);
}
