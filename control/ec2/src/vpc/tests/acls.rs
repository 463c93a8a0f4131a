//! Network ACLs, their entries and associations.

use crate::vpc::{
    desired, network_acls as acls, subnets,
    testing::{code, default_network, message, request, s, subnet, tx, vpc},
    vpcs,
};
use contracts::network;
use shapes::{Fault, ec2 as api};
use state::Tx;

fn create(tx: &mut Tx, vpc: &str) -> String {
    let input = api::CreateNetworkAclRequest { vpc_id: s(vpc), ..Default::default() };
    let made = acls::create_network_acl(tx, &request(), input).unwrap();
    made.network_acl.unwrap().network_acl_id.unwrap()
}

fn described(tx: &Tx, id: &str) -> api::NetworkAcl {
    let network_acl_ids = Some(vec![id.to_owned()]);
    let input = api::DescribeNetworkAclsRequest { network_acl_ids, ..Default::default() };
    let found = acls::describe_network_acls(tx, &request(), input).unwrap();
    found.network_acls.unwrap().remove(0)
}

fn entry(acl: &str, number: i32, protocol: &str) -> api::CreateNetworkAclEntryRequest {
    api::CreateNetworkAclEntryRequest {
        network_acl_id: s(acl),
        rule_number: Some(number),
        egress: Some(false),
        rule_action: Some(api::RuleAction::Allow),
        protocol: s(protocol),
        cidr_block: s("10.1.2.3/16"),
        ..Default::default()
    }
}

fn ports(from: i32, to: i32) -> Option<api::PortRange> {
    Some(api::PortRange { from: Some(from), to: Some(to) })
}

fn add(tx: &mut Tx, input: api::CreateNetworkAclEntryRequest) -> Result<(), Fault> {
    acls::create_network_acl_entry(tx, &request(), input).map(|_| ())
}

fn remove(tx: &mut Tx, acl: &str, rule_number: i32) -> Result<(), Fault> {
    let input = api::DeleteNetworkAclEntryRequest {
        network_acl_id: s(acl),
        rule_number: Some(rule_number),
        egress: Some(false),
        dry_run: None,
    };
    acls::delete_network_acl_entry(tx, &request(), input).map(|_| ())
}

fn replace(tx: &mut Tx, association: &str, acl: &str) -> Result<String, Fault> {
    let input = api::ReplaceNetworkAclAssociationRequest {
        association_id: s(association),
        network_acl_id: s(acl),
        dry_run: None,
    };
    let replaced = acls::replace_network_acl_association(tx, &request(), input)?;
    Ok(replaced.new_association_id.unwrap())
}

fn delete(tx: &mut Tx, acl: &str) -> Result<(), Fault> {
    let input = api::DeleteNetworkAclRequest { network_acl_id: s(acl), dry_run: None };
    acls::delete_network_acl(tx, &request(), input).map(|_| ())
}

#[test]
fn entries_are_checked() {
    let mut tx = tx();
    let vpc = vpc(&mut tx, "10.0.0.0/16");
    let acl = create(&mut tx, &vpc);
    let tcp = |number| api::CreateNetworkAclEntryRequest {
        port_range: ports(1, 2),
        ..entry(&acl, number, "tcp")
    };
    for (wrong, expected) in [
        (tcp(0), "InvalidParameterValue"),
        (tcp(32_767), "InvalidParameterValue"),
        (tcp(-5), "InvalidParameterValue"),
        (entry(&acl, 1, "6"), "InvalidParameterValue"),
        (entry(&acl, 1, "256"), "InvalidParameterValue"),
        (
            api::CreateNetworkAclEntryRequest { port_range: ports(5, 4), ..tcp(1) },
            "InvalidParameterValue",
        ),
        (
            api::CreateNetworkAclEntryRequest { port_range: ports(0, 65_536), ..tcp(1) },
            "InvalidParameterValue",
        ),
        (
            api::CreateNetworkAclEntryRequest { cidr_block: s("10.0.0.0/33"), ..tcp(1) },
            "InvalidParameterValue",
        ),
        (api::CreateNetworkAclEntryRequest { cidr_block: None, ..tcp(1) }, "MissingParameter"),
        (api::CreateNetworkAclEntryRequest { rule_action: None, ..tcp(1) }, "MissingParameter"),
        (api::CreateNetworkAclEntryRequest { egress: None, ..tcp(1) }, "MissingParameter"),
        (
            api::CreateNetworkAclEntryRequest { ipv6_cidr_block: s("::/0"), ..tcp(1) },
            "InvalidParameterCombination",
        ),
        (
            api::CreateNetworkAclEntryRequest {
                network_acl_id: s("acl-0123456789abcdef0"),
                ..tcp(1)
            },
            "InvalidNetworkAclID.NotFound",
        ),
    ] {
        let shown = format!("{wrong:?}");
        assert_eq!(code(add(&mut tx, wrong)), expected, "{shown}");
    }
    for number in 1..=20 {
        add(&mut tx, tcp(number)).unwrap();
    }
    let said = message(add(&mut tx, tcp(7)));
    assert_eq!(said, "The network acl entry identified by 7 already exists.");
    assert_eq!(code(add(&mut tx, tcp(21))), "NetworkAclEntryLimitExceeded");
    // The other direction has numbers and a quota of its own.
    add(&mut tx, api::CreateNetworkAclEntryRequest { egress: Some(true), ..tcp(7) }).unwrap();
    remove(&mut tx, &acl, 7).unwrap();
    assert_eq!(code(remove(&mut tx, &acl, 7)), "InvalidNetworkAclEntry.NotFound");
    add(&mut tx, tcp(7)).unwrap();
}

#[test]
fn entries_are_shown_and_told_in_order() {
    let mut tx = tx();
    let (vpc_id, subnet) = default_network(&tx);
    let acl = create(&mut tx, &vpc_id.to_string());
    let association = acls::of_subnet(&tx, subnet.id).unwrap().associations[0].0.to_string();
    let replaced = replace(&mut tx, &association, &acl).unwrap();
    assert_ne!(replaced, association);
    assert_eq!(code(replace(&mut tx, &association, &acl)), "InvalidAssociationID.NotFound");
    let ping = api::IcmpTypeCode { r#type: Some(8), code: Some(-1) };
    add(
        &mut tx,
        api::CreateNetworkAclEntryRequest { port_range: ports(22, 80), ..entry(&acl, 20, "6") },
    )
    .unwrap();
    add(
        &mut tx,
        api::CreateNetworkAclEntryRequest {
            icmp_type_code: Some(ping.clone()),
            ..entry(&acl, 10, "1")
        },
    )
    .unwrap();
    add(&mut tx, entry(&acl, 15, "-1")).unwrap();
    let input = api::ReplaceNetworkAclEntryRequest {
        network_acl_id: s(&acl),
        rule_number: Some(15),
        egress: Some(false),
        rule_action: Some(api::RuleAction::Deny),
        protocol: s("-1"),
        cidr_block: s("10.0.0.0/8"),
        ..Default::default()
    };
    acls::replace_network_acl_entry(&mut tx, &request(), input.clone()).unwrap();
    let absent = api::ReplaceNetworkAclEntryRequest { rule_number: Some(16), ..input };
    let result = acls::replace_network_acl_entry(&mut tx, &request(), absent);
    assert_eq!(code(result), "InvalidNetworkAclEntry.NotFound");

    let shown = described(&tx, &acl);
    assert_eq!(shown.associations.unwrap()[0].network_acl_association_id, Some(replaced));
    let entries = shown.entries.unwrap();
    let numbers = entries.iter().map(|entry| entry.rule_number.unwrap()).collect::<Vec<_>>();
    assert_eq!(numbers, [32_767, 10, 15, 20, 32_767]);
    assert_eq!(entries[1].icmp_type_code, Some(ping));
    assert_eq!(entries[2].rule_action, Some(api::RuleAction::Deny));
    assert_eq!((&entries[3].port_range, &entries[3].protocol), (&ports(22, 80), &s("6")));
    assert_eq!(entries[3].cidr_block, s("10.1.0.0/16"));

    let told = desired::subnet(&tx, subnet.id).unwrap().acl;
    let traffic = told.iter().map(|entry| (entry.number, entry.allow, entry.traffic));
    assert_eq!(
        traffic.collect::<Vec<_>>(),
        [
            (10, true, network::Traffic::Icmp { kind: Some(8), code: None }),
            (15, false, network::Traffic::All),
            (20, true, network::Traffic::Tcp { from: 22, to: 80 }),
        ]
    );
}

#[test]
fn what_stands_in_front_of_a_subnet_stays() {
    let mut tx = tx();
    let one = vpc(&mut tx, "10.0.0.0/16");
    let behind = subnet(&mut tx, &one, "10.0.0.0/24");
    let other = vpc(&mut tx, "10.0.0.0/16");
    let (acl, foreign) = (create(&mut tx, &one), create(&mut tx, &other));
    let default = acls::of_subnet(&tx, behind.parse().unwrap()).unwrap().clone();
    let association = default.associations[0].0.to_string();
    let said = message(replace(&mut tx, &association, &foreign));
    let expected =
        format!("Network ACL {foreign} and subnet {behind} belong to different networks");
    assert_eq!(said, expected);
    assert_eq!(code(delete(&mut tx, &default.id.to_string())), "InvalidParameterValue");
    let association = replace(&mut tx, &association, &acl).unwrap();
    assert_eq!(code(delete(&mut tx, &acl)), "DependencyViolation");
    replace(&mut tx, &association, &acl).unwrap();
    let input = api::DeleteSubnetRequest { subnet_id: Some(behind), dry_run: None };
    subnets::delete_subnet(&mut tx, &request(), input).unwrap();
    let delete_vpc = |tx: &mut Tx| {
        let input = api::DeleteVpcRequest { vpc_id: s(&one), dry_run: None };
        vpcs::delete_vpc(tx, &request(), input)
    };
    assert_eq!(code(delete_vpc(&mut tx)), "DependencyViolation");
    delete(&mut tx, &acl).unwrap();
    assert_eq!(code(delete(&mut tx, &acl)), "InvalidNetworkAclID.NotFound");
    delete_vpc(&mut tx).unwrap();
}
