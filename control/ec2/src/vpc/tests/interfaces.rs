//! Network interfaces.

use crate::{
    compute::instances::InstanceState,
    vpc::{
        addresses,
        network_interfaces::{self as enis, NetworkInterface},
        testing::{
            code, default_network, filter, instance, interface, message, request, s, subnet, tx,
            vpc,
        },
    },
};
use shapes::{Fault, ec2 as api};
use state::Tx;

fn base(tx: &Tx) -> api::CreateNetworkInterfaceRequest {
    let subnet_id = s(&default_network(tx).1.id.to_string());
    api::CreateNetworkInterfaceRequest { subnet_id, ..Default::default() }
}

fn create(
    tx: &mut Tx,
    input: api::CreateNetworkInterfaceRequest,
) -> Result<api::NetworkInterface, Fault> {
    Ok(enis::create_network_interface(tx, &request(), input)?.network_interface.unwrap())
}

fn find(tx: &Tx, name: &str, value: &str) -> Vec<api::NetworkInterface> {
    let filters = filter(name, value);
    let input = api::DescribeNetworkInterfacesRequest { filters, ..Default::default() };
    let found = enis::describe_network_interfaces(tx, &request(), input).unwrap();
    found.network_interfaces.unwrap()
}

#[test]
fn addresses_are_checked() {
    let mut tx = tx();
    let base = base(&tx);
    let with =
        |ip: &str| api::CreateNetworkInterfaceRequest { private_ip_address: s(ip), ..base.clone() };
    let made = create(&mut tx, with("172.31.0.10")).unwrap();
    assert_eq!(made.private_ip_address, s("172.31.0.10"));
    assert!(made.mac_address.unwrap().starts_with("0a:"));
    for (ip, expected) in [
        ("172.31.0.10", "InvalidIPAddress.InUse"),
        ("172.31.0.3", "InvalidParameterValue"),
        ("172.31.15.255", "InvalidParameterValue"),
        ("172.31.16.10", "InvalidParameterValue"),
        ("172.31.0", "InvalidParameterValue"),
    ] {
        assert_eq!(code(create(&mut tx, with(ip))), expected, "{ip}");
    }
    let none = api::CreateNetworkInterfaceRequest { subnet_id: None, ..base.clone() };
    assert_eq!(code(create(&mut tx, none)), "MissingParameter");
    let v6 = api::CreateNetworkInterfaceRequest { ipv6_address_count: Some(1), ..base.clone() };
    assert_eq!(code(create(&mut tx, v6)), "InvalidParameterValue");
    let many = api::CreateNetworkInterfaceRequest {
        secondary_private_ip_address_count: Some(50),
        ..base.clone()
    };
    assert_eq!(code(create(&mut tx, many)), "PrivateIpAddressLimitExceeded");
    let less =
        api::CreateNetworkInterfaceRequest { secondary_private_ip_address_count: Some(-1), ..base };
    assert_eq!(code(create(&mut tx, less)), "InvalidParameterValue");
}

#[test]
fn of_a_running_instance() {
    let mut tx = tx();
    let machine = instance(&mut tx, InstanceState::Running);
    let (first, second) = (interface(&mut tx), interface(&mut tx));
    enis::attach(&mut tx, first, machine, 0, true);
    let attach = api::AttachNetworkInterfaceRequest {
        network_interface_id: s(&second.to_string()),
        instance_id: s(&machine.to_string()),
        device_index: Some(1),
        ..Default::default()
    };
    let attachment = enis::attach_network_interface(&mut tx, &request(), attach).unwrap();
    let attachment = attachment.attachment_id.unwrap();
    let status = |tx: &Tx| {
        let found = find(tx, "network-interface-id", &second.to_string());
        found[0].attachment.as_ref().and_then(|attachment| attachment.status)
    };
    assert_eq!(status(&tx), Some(api::AttachmentStatus::Attaching));
    enis::observed(&mut tx, machine, &[first]);
    assert_eq!(status(&tx), Some(api::AttachmentStatus::Attaching), "the VM lacks it");
    enis::observed(&mut tx, machine, &[first, second]);
    assert_eq!(status(&tx), Some(api::AttachmentStatus::Attached));

    let detach = |force| api::DetachNetworkInterfaceRequest {
        attachment_id: s(&attachment),
        force,
        ..Default::default()
    };
    enis::detach_network_interface(&mut tx, &request(), detach(None)).unwrap();
    assert_eq!(status(&tx), Some(api::AttachmentStatus::Detaching));
    enis::observed(&mut tx, machine, &[first, second]);
    assert_eq!(status(&tx), Some(api::AttachmentStatus::Detaching), "the VM has it");
    enis::observed(&mut tx, machine, &[first]);
    assert_eq!(status(&tx), None);
    let again = api::AttachNetworkInterfaceRequest {
        network_interface_id: s(&second.to_string()),
        instance_id: s(&machine.to_string()),
        device_index: Some(1),
        ..Default::default()
    };
    let forced = enis::attach_network_interface(&mut tx, &request(), again).unwrap();
    let forced = api::DetachNetworkInterfaceRequest {
        attachment_id: forced.attachment_id,
        force: Some(true),
        ..Default::default()
    };
    enis::detach_network_interface(&mut tx, &request(), forced).unwrap();
    assert_eq!(status(&tx), None, "by force at once");
}

#[test]
fn several_addresses() {
    let mut tx = tx();
    let listed = |primary, ip: &str| api::PrivateIpAddressSpecification {
        primary: Some(primary),
        private_ip_address: s(ip),
    };
    let with =
        |list| api::CreateNetworkInterfaceRequest { private_ip_addresses: Some(list), ..base(&tx) };
    let two = with(vec![listed(false, "172.31.0.11"), listed(true, "172.31.0.10")]);
    let twice = with(vec![listed(true, "172.31.0.20"), listed(false, "172.31.0.20")]);
    let primaries = with(vec![listed(true, "172.31.0.20"), listed(true, "172.31.0.21")]);
    let any = api::CreateNetworkInterfaceRequest {
        secondary_private_ip_address_count: Some(3),
        ..base(&tx)
    };
    let both = api::CreateNetworkInterfaceRequest {
        secondary_private_ip_address_count: Some(1),
        ..two.clone()
    };
    assert_eq!(code(create(&mut tx, both)), "InvalidParameterCombination");
    let made = create(&mut tx, two).unwrap().private_ip_addresses.unwrap();
    assert_eq!(made[0].private_ip_address, s("172.31.0.10"));
    assert_eq!((made[0].primary, made[1].primary), (Some(true), Some(false)));
    assert_eq!(code(create(&mut tx, twice)), "InvalidIPAddress.InUse");
    assert_eq!(code(create(&mut tx, primaries)), "InvalidParameterCombination");
    assert_eq!(create(&mut tx, any).unwrap().private_ip_addresses.unwrap().len(), 4);
}

#[test]
fn a_full_subnet_has_no_more() {
    let mut tx = tx();
    let vpc = vpc(&mut tx, "10.0.0.0/24");
    let subnet_id = subnet(&mut tx, &vpc, "10.0.0.0/28");
    let input =
        api::CreateNetworkInterfaceRequest { subnet_id: s(&subnet_id), ..Default::default() };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..11 {
        seen.insert(create(&mut tx, input.clone()).unwrap().private_ip_address);
    }
    assert_eq!(seen.len(), 11);
    let said = message(create(&mut tx, input));
    let expected = format!(
        "The specified subnet '{subnet_id}' does not have enough free addresses to satisfy the \
         request."
    );
    assert_eq!(said, expected);
}

#[test]
fn a_token_makes_one_interface() {
    let mut tx = tx();
    let input = api::CreateNetworkInterfaceRequest { client_token: s("once"), ..base(&tx) };
    let one = create(&mut tx, input.clone()).unwrap();
    assert_eq!(create(&mut tx, input.clone()), Ok(one));
    let other = api::CreateNetworkInterfaceRequest { description: s("x"), ..input };
    assert_eq!(code(create(&mut tx, other)), "IdempotentParameterMismatch");
}

#[test]
fn interfaces_of_stopped_instances_come_and_go() {
    let mut tx = tx();
    let machine = instance(&mut tx, InstanceState::Stopped);
    let primary = interface(&mut tx);
    enis::attach(&mut tx, primary, machine, 0, true);
    let eni = interface(&mut tx);
    let attach = |tx: &mut Tx, machine: &str, index| {
        let input = api::AttachNetworkInterfaceRequest {
            network_interface_id: s(&eni.to_string()),
            instance_id: s(machine),
            device_index: Some(index),
            ..Default::default()
        };
        enis::attach_network_interface(tx, &request(), input)
    };
    let detach = |tx: &mut Tx, attachment: &str| {
        let attachment_id = s(attachment);
        let input =
            api::DetachNetworkInterfaceRequest { dry_run: None, attachment_id, force: None };
        enis::detach_network_interface(tx, &request(), input)
    };
    let id = machine.to_string();
    for (state, expected) in [
        (InstanceState::Pending, "IncorrectInstanceState"),
        (InstanceState::Terminated, "IncorrectInstanceState"),
    ] {
        let other = instance(&mut tx, state).to_string();
        assert_eq!(code(attach(&mut tx, &other, 1)), expected);
    }
    assert_eq!(code(attach(&mut tx, "i-12345678", 1)), "InvalidInstanceID.NotFound");
    assert_eq!(code(attach(&mut tx, &id, 0)), "InvalidParameterValue");
    assert_eq!(code(attach(&mut tx, &id, -1)), "InvalidParameterValue");
    let attachment = attach(&mut tx, &id, 1).unwrap().attachment_id.unwrap();
    assert_eq!(code(attach(&mut tx, &id, 1)), "InvalidNetworkInterface.InUse");
    let found = find(&tx, "attachment.instance-id", &id);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].status, Some(api::NetworkInterfaceStatus::InUse));

    let delete = |tx: &mut Tx| {
        let network_interface_id = s(&eni.to_string());
        let input = api::DeleteNetworkInterfaceRequest { dry_run: None, network_interface_id };
        enis::delete_network_interface(tx, &request(), input)
    };
    let expected = format!("Network interface '{eni}' is currently in use.");
    assert_eq!(message(delete(&mut tx)), expected);
    let own = tx.get::<NetworkInterface>(&primary).unwrap().attachment.clone().unwrap();
    assert_eq!(code(detach(&mut tx, &own.id.to_string())), "OperationNotPermitted");
    assert_eq!(code(detach(&mut tx, "x")), "InvalidAttachmentID.Malformed");
    detach(&mut tx, &attachment).unwrap();
    assert_eq!(code(detach(&mut tx, &attachment)), "InvalidAttachmentID.NotFound");
    delete(&mut tx).unwrap();
    assert_eq!(code(delete(&mut tx)), "InvalidNetworkInterfaceID.NotFound");
}

#[test]
fn types_limit_interfaces() {
    let mut tx = tx();
    let machine = instance(&mut tx, InstanceState::Stopped);
    for index in 0..2 {
        let eni = interface(&mut tx);
        enis::attach(&mut tx, eni, machine, index, true);
    }
    let input = api::AttachNetworkInterfaceRequest {
        network_interface_id: s(&interface(&mut tx).to_string()),
        instance_id: s(&machine.to_string()),
        device_index: Some(2),
        ..Default::default()
    };
    let result = enis::attach_network_interface(&mut tx, &request(), input);
    assert_eq!(message(result), "Interface count 3 exceeds the limit for t3.micro");
}

#[test]
fn interfaces_and_instances_are_of_one_zone() {
    let mut tx = tx();
    let machine = instance(&mut tx, InstanceState::Stopped);
    let zones = tx.in_scope::<crate::vpc::subnets::Subnet>(&request().scope);
    let far = zones
        .map(|subnet| subnet.as_ref().clone())
        .find(|net| net.zone.to_string() == "us-east-1b");
    let input = api::CreateNetworkInterfaceRequest {
        subnet_id: s(&far.unwrap().id.to_string()),
        ..Default::default()
    };
    let eni = create(&mut tx, input).unwrap().network_interface_id;
    let input = api::AttachNetworkInterfaceRequest {
        network_interface_id: eni,
        instance_id: s(&machine.to_string()),
        device_index: Some(1),
        ..Default::default()
    };
    let result = enis::attach_network_interface(&mut tx, &request(), input);
    assert!(message(result).contains("same availability zone"));
}

#[test]
fn attributes() {
    let mut tx = tx();
    let eni = interface(&mut tx);
    let machine = instance(&mut tx, InstanceState::Running);
    enis::attach(&mut tx, eni, machine, 0, false);
    let base = api::ModifyNetworkInterfaceAttributeRequest {
        network_interface_id: s(&eni.to_string()),
        ..Default::default()
    };
    let modify =
        |tx: &mut Tx, input| enis::modify_network_interface_attribute(tx, &request(), input);
    let text = api::ModifyNetworkInterfaceAttributeRequest {
        description: Some(api::AttributeValue { value: s("text") }),
        ..base.clone()
    };
    let two = api::ModifyNetworkInterfaceAttributeRequest {
        source_dest_check: Some(api::AttributeBooleanValue { value: Some(false) }),
        ..text.clone()
    };
    let groups = api::ModifyNetworkInterfaceAttributeRequest {
        groups: Some(vec!["sg-12345678".to_owned()]),
        ..base.clone()
    };
    let change = |id: &str| api::ModifyNetworkInterfaceAttributeRequest {
        attachment: Some(api::NetworkInterfaceAttachmentChanges {
            attachment_id: s(id),
            delete_on_termination: Some(true),
            ..Default::default()
        }),
        ..base.clone()
    };
    assert_eq!(code(modify(&mut tx, base.clone())), "MissingParameter");
    assert_eq!(code(modify(&mut tx, two)), "InvalidParameterCombination");
    assert_eq!(code(modify(&mut tx, groups)), "InvalidGroup.NotFound");
    assert_eq!(code(modify(&mut tx, change("eni-attach-1"))), "InvalidAttachmentID.NotFound");
    modify(&mut tx, text).unwrap();
    let attachment = tx.get::<NetworkInterface>(&eni).unwrap().attachment.clone().unwrap();
    modify(&mut tx, change(&attachment.id.to_string())).unwrap();
    let row = tx.get::<NetworkInterface>(&eni).unwrap();
    assert_eq!(row.description, "text");
    assert!(row.attachment.as_ref().unwrap().delete_on_termination);
}

#[test]
fn answers_have_names_and_associations() {
    let mut tx = tx();
    let eni = interface(&mut tx);
    addresses::lend_public(&mut tx, eni).unwrap();
    let found = find(&tx, "network-interface-id", &eni.to_string()).remove(0);
    let ip = found.private_ip_address.unwrap();
    let name = format!("ip-{}.ec2.internal", ip.replace('.', "-"));
    assert_eq!(found.private_dns_name.as_deref(), Some(name.as_str()));
    let association = found.association.unwrap();
    assert_eq!(association.ip_owner_id.as_deref(), Some("amazon"));
    assert_eq!(association.public_dns_name, found.public_dns_name);
    let public = association.public_ip.unwrap();
    for (filter, value) in [
        ("association.public-ip", public.as_str()),
        ("association.ip-owner-id", "amazon"),
        ("private-dns-name", name.as_str()),
        ("private-ip-address", ip.as_str()),
        ("addresses.primary", "true"),
        ("group-name", "default"),
        ("interface-type", "interface"),
        ("availability-zone-id", "use1-az1"),
        ("status", "available"),
    ] {
        assert_eq!(find(&tx, filter, value).len(), 1, "{filter}");
    }
    assert!(find(&tx, "ipv6-addresses.ipv6-address", "*").is_empty());
    let row = tx.get::<NetworkInterface>(&eni).unwrap().clone();
    let of_instance = enis::to_instance_api(&tx, &row);
    assert_eq!(of_instance.private_dns_name, Some(name));
    assert_eq!(of_instance.association.unwrap().public_ip, Some(public));
}

fn assign(
    tx: &mut Tx,
    id: &str,
    ips: &[&str],
    count: Option<i32>,
    move_them: bool,
) -> Result<Vec<String>, Fault> {
    let input = api::AssignPrivateIpAddressesRequest {
        network_interface_id: s(id),
        private_ip_addresses: Some(ips.iter().map(|&ip| ip.to_owned()).collect()),
        secondary_private_ip_address_count: count,
        allow_reassignment: Some(move_them),
        ..Default::default()
    };
    let made = enis::assign_private_ip_addresses(tx, &request(), input)?;
    let made = made.assigned_private_ip_addresses.unwrap().into_iter();
    Ok(made.filter_map(|own| own.private_ip_address).collect())
}

fn unassign(tx: &mut Tx, id: &str, ips: &[&str]) -> Result<(), Fault> {
    let input = api::UnassignPrivateIpAddressesRequest {
        ipv4_prefixes: None,
        network_interface_id: s(id),
        private_ip_addresses: Some(ips.iter().map(|&ip| ip.to_owned()).collect()),
    };
    enis::unassign_private_ip_addresses(tx, &request(), input).map(|_| ())
}

#[test]
fn secondary_addresses_come_move_and_go() {
    let mut tx = tx();
    let (one, other) = (interface(&mut tx), interface(&mut tx));
    let (a, b) = (one.to_string(), other.to_string());
    let two = ["172.31.0.70", "172.31.0.71"];
    assert_eq!(assign(&mut tx, &a, &two, None, false).unwrap(), two);
    assert_eq!(assign(&mut tx, &a, &two, None, false).unwrap(), two, "again is the same");
    assert_eq!(assign(&mut tx, &a, &[], Some(3), false).unwrap().len(), 3);
    let count = |tx: &Tx, id| tx.get::<NetworkInterface>(&id).unwrap().addresses.len();
    assert_eq!(count(&tx, one), 6);
    // An Elastic IP address goes where its private one goes.
    let input = api::AllocateAddressRequest::default();
    let made = addresses::allocate_address(&mut tx, &request(), input).unwrap();
    let input = api::AssociateAddressRequest {
        allocation_id: made.allocation_id,
        network_interface_id: s(&a),
        private_ip_address: s(two[0]),
        ..Default::default()
    };
    let led = addresses::associate_address(&mut tx, &request(), input).unwrap();
    assert_eq!(code(assign(&mut tx, &b, &two[..1], None, false)), "InvalidIPAddress.InUse");
    assign(&mut tx, &b, &two[..1], None, true).unwrap();
    assert_eq!((count(&tx, one), count(&tx, other)), (5, 2));
    let found = find(&tx, "association.association-id", &led.association_id.clone().unwrap());
    assert_eq!(found[0].network_interface_id, s(&b));
    let address = tx.iter::<addresses::Address>().next().unwrap();
    assert_eq!(address.association.as_ref().map(|it| it.interface), Some(other));
    unassign(&mut tx, &b, &two[..1]).unwrap();
    let address = tx.iter::<addresses::Address>().next().unwrap();
    assert_eq!((address.association.clone(), count(&tx, other)), (None, 1));
}

#[test]
fn secondary_addresses_are_checked() {
    let mut tx = tx();
    let (one, other) = (interface(&mut tx), interface(&mut tx));
    let (a, b) = (one.to_string(), other.to_string());
    let primary =
        |tx: &Tx, id| tx.get::<NetworkInterface>(&id).unwrap().primary_ip().unwrap().to_string();
    let (own, foreign) = (primary(&tx, one), primary(&tx, other));
    for (ips, count, expected) in [
        (vec![], None, "MissingParameter"),
        (vec![], Some(0), "InvalidParameterValue"),
        (vec!["172.31.0.70"], Some(1), "InvalidParameterCombination"),
        (vec!["172.31"], None, "InvalidParameterValue"),
        (vec!["172.31.0.1"], None, "InvalidParameterValue"),
        (vec!["10.0.0.1"], None, "InvalidParameterValue"),
        (vec![foreign.as_str()], None, "InvalidIPAddress.InUse"),
        (vec![], Some(50), "PrivateIpAddressLimitExceeded"),
    ] {
        assert_eq!(code(assign(&mut tx, &a, &ips, count, true)), expected, "{ips:?}");
    }
    assert_eq!(code(unassign(&mut tx, &a, &[&own])), "InvalidParameterValue");
    assert_eq!(code(unassign(&mut tx, &a, &["172.31.0.70"])), "InvalidParameterValue");
    assert_eq!(code(unassign(&mut tx, &a, &[])), "MissingParameter");
    // A t3.micro's interface may have two addresses.
    let machine = instance(&mut tx, InstanceState::Running);
    enis::attach(&mut tx, other, machine, 0, true);
    assign(&mut tx, &b, &[], Some(1), false).unwrap();
    assert_eq!(code(assign(&mut tx, &b, &[], Some(1), false)), "PrivateIpAddressLimitExceeded");
    assign(&mut tx, &a, &[], Some(2), false).unwrap();
    let stopped = instance(&mut tx, InstanceState::Stopped);
    let input = api::AttachNetworkInterfaceRequest {
        network_interface_id: s(&a),
        instance_id: s(&stopped.to_string()),
        device_index: Some(1),
        ..Default::default()
    };
    let attached = enis::attach_network_interface(&mut tx, &request(), input);
    assert_eq!(code(attached), "PrivateIpAddressLimitExceeded");
}
