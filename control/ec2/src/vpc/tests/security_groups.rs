//! Security groups and their rules.

use crate::vpc::{
    network_interfaces as enis,
    security_groups::{self as groups, Rule, SecurityGroup},
    testing::{
        code, default_network, empty, filter, interface, message, request, s, scope, tx, vpc,
    },
};
use shapes::{Fault, ec2 as api};
use state::Tx;

fn group(tx: &mut Tx, name: &str, vpc: Option<&str>) -> Result<String, Fault> {
    let input = api::CreateSecurityGroupRequest {
        group_name: s(name),
        description: s("a group"),
        vpc_id: vpc.map(str::to_owned),
        ..Default::default()
    };
    Ok(groups::create_security_group(tx, &request(), input)?.group_id.unwrap())
}

fn tcp(from: i32, to: i32, cidr: &str) -> api::IpPermission {
    let range = api::IpRange { description: s("why"), cidr_ip: s(cidr) };
    api::IpPermission {
        ip_protocol: s("tcp"),
        from_port: Some(from),
        to_port: Some(to),
        ip_ranges: Some(vec![range]),
        ..Default::default()
    }
}

fn ingress(
    tx: &mut Tx,
    group: &str,
    permissions: Vec<api::IpPermission>,
) -> Result<Vec<api::SecurityGroupRule>, Fault> {
    let input = api::AuthorizeSecurityGroupIngressRequest {
        group_id: s(group),
        ip_permissions: Some(permissions),
        ..Default::default()
    };
    let made = groups::authorize_security_group_ingress(tx, &request(), input)?;
    Ok(made.security_group_rules.unwrap())
}

fn rules(tx: &Tx, group: &str) -> Vec<Rule> {
    tx.get::<SecurityGroup>(&group.parse().unwrap()).unwrap().rules.clone()
}

#[test]
fn names_are_checked() {
    let mut tx = tx();
    let id = group(&mut tx, "web", None).unwrap();
    let (vpc, _) = default_network(&tx);
    let expected = format!("The security group 'web' already exists for VPC '{vpc}'");
    assert_eq!(message(group(&mut tx, "web", None)), expected);
    let other = crate::vpc::testing::vpc(&mut tx, "10.0.0.0/16");
    group(&mut tx, "web", Some(&other)).unwrap();
    for bad in ["sg-web", "default", "wéb", &"w".repeat(256), "a\nb"] {
        assert_eq!(code(group(&mut tx, bad, None)), "InvalidParameterValue", "{bad}");
    }
    assert_eq!(code(group(&mut tx, "", None)), "MissingParameter");
    assert_eq!(code(group(&mut empty(), "web", None)), "VPCIdNotSpecified");
    assert_eq!(rules(&tx, &id).len(), 1, "all is let out");
}

#[test]
fn groups_in_use_stay() {
    let mut tx = tx();
    let eni = interface(&mut tx);
    let default = tx.find::<SecurityGroup>("vpc", default_network(&tx).0).next().unwrap().id;
    let delete = |tx: &mut Tx, id: Option<String>, name: Option<String>| {
        let input =
            api::DeleteSecurityGroupRequest { group_id: id, group_name: name, dry_run: None };
        groups::delete_security_group(tx, &request(), input)
    };
    assert_eq!(code(delete(&mut tx, s(&default.to_string()), None)), "CannotDelete");
    let one = group(&mut tx, "one", None).unwrap();
    let two = group(&mut tx, "two", None).unwrap();
    let pair = api::UserIdGroupPair { group_id: s(&one), ..Default::default() };
    let permission = api::IpPermission {
        ip_protocol: s("-1"),
        user_id_group_pairs: Some(vec![pair]),
        ..Default::default()
    };
    ingress(&mut tx, &two, vec![permission.clone()]).unwrap();
    ingress(&mut tx, &one, vec![permission]).unwrap();
    assert_eq!(code(delete(&mut tx, s(&one), None)), "DependencyViolation");
    delete(&mut tx, None, s("two")).unwrap();
    tx.update::<crate::vpc::network_interfaces::NetworkInterface>(&eni, |row| {
        row.groups = vec![one.parse().unwrap()];
    });
    assert_eq!(code(delete(&mut tx, s(&one), None)), "DependencyViolation");
    crate::vpc::network_interfaces::delete(&mut tx, eni);
    delete(&mut tx, s(&one), None).unwrap();
    assert_eq!(code(delete(&mut tx, s(&one), None)), "InvalidGroup.NotFound");
    assert_eq!(code(delete(&mut tx, None, s("two"))), "InvalidGroup.NotFound");
    assert_eq!(code(delete(&mut tx, None, None)), "MissingParameter");
    assert_eq!(code(delete(&mut tx, s(&one), s("one"))), "InvalidParameterCombination");
}

#[test]
fn rules_are_checked() {
    let mut tx = tx();
    let id = group(&mut tx, "web", None).unwrap();
    let made = ingress(&mut tx, &id, vec![tcp(22, 22, "0.0.0.0/0")]).unwrap();
    assert_eq!(made[0].cidr_ipv4, s("0.0.0.0/0"));
    assert_eq!((made[0].from_port, made[0].is_egress), (Some(22), Some(false)));
    let said = message(ingress(&mut tx, &id, vec![tcp(22, 22, "0.0.0.0/0")]));
    let expected = "the specified rule \"peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW\" \
                    already exists";
    assert_eq!(said, expected);
    let twice = vec![tcp(80, 80, "10.0.0.1/8"), tcp(80, 80, "10.0.0.2/8")];
    let said = message(ingress(&mut tx, &id, twice));
    assert_eq!(said, "The same permission must not appear multiple times");
    let icmp =
        |kind, code| api::IpPermission { ip_protocol: s("icmp"), ..tcp(kind, code, "0.0.0.0/0") };
    let bad = [
        (tcp(-1, 22, "0.0.0.0/0"), "InvalidParameterValue"),
        (tcp(80, 22, "0.0.0.0/0"), "InvalidParameterValue"),
        (tcp(1, 65_536, "0.0.0.0/0"), "InvalidParameterValue"),
        (tcp(22, 22, "10.0.0.1"), "InvalidParameterValue"),
        (icmp(256, -1), "InvalidParameterValue"),
        (icmp(8, 256), "InvalidParameterValue"),
        (icmp(-1, 0), "InvalidParameterValue"),
        (api::IpPermission { from_port: None, ..tcp(1, 1, "0.0.0.0/0") }, "InvalidParameterValue"),
        (
            api::IpPermission { ip_protocol: s("x"), ..tcp(1, 1, "1.0.0.0/8") },
            "InvalidParameterValue",
        ),
        (api::IpPermission { ip_protocol: None, ..tcp(1, 1, "1.0.0.0/8") }, "MissingParameter"),
        (api::IpPermission { ip_ranges: None, ..tcp(1, 1, "") }, "InvalidPermission.Malformed"),
    ];
    for (permission, expected) in bad {
        let result = ingress(&mut tx, &id, vec![permission.clone()]);
        assert_eq!(code(result), expected, "{permission:?}");
    }
    let lists = Some(vec![api::PrefixListId { description: None, prefix_list_id: s("pl-1") }]);
    let lists = api::IpPermission { prefix_list_ids: lists, ..tcp(1, 1, "1.0.0.0/8") };
    assert_eq!(code(ingress(&mut tx, &id, vec![lists])), "UnsupportedOperation");
    let mut described = tcp(1, 1, "1.0.0.0/8");
    described.ip_ranges =
        Some(vec![api::IpRange { description: s("é"), cidr_ip: s("1.0.0.0/8") }]);
    assert_eq!(code(ingress(&mut tx, &id, vec![described])), "InvalidParameterValue");
    assert_eq!(code(ingress(&mut tx, &id, Vec::new())), "MissingParameter");
    assert_eq!(rules(&tx, &id).len(), 2, "what failed left nothing");
}

#[test]
fn rules_have_a_quota_for_each_family() {
    let mut tx = tx();
    let id = group(&mut tx, "web", None).unwrap();
    let many = |from: i32, count| (from..from + count).map(|port| tcp(port, port, "0.0.0.0/0"));
    ingress(&mut tx, &id, many(1, 60).collect()).unwrap();
    let over = ingress(&mut tx, &id, many(100, 1).collect());
    assert_eq!(code(over), "RulesPerSecurityGroupLimitExceeded");
    let range = api::Ipv6Range { description: None, cidr_ipv6: s("::/0") };
    let v6 = api::IpPermission {
        ip_ranges: None,
        ipv6_ranges: Some(vec![range]),
        ..tcp(1, 1, "0.0.0.0/0")
    };
    let made = ingress(&mut tx, &id, vec![v6]).unwrap();
    assert_eq!(made[0].cidr_ipv6, s("::/0"));
}

#[test]
fn peers_are_of_the_same_vpc_and_account() {
    let mut tx = tx();
    let id = group(&mut tx, "web", None).unwrap();
    let other = vpc(&mut tx, "10.0.0.0/16");
    let far = group(&mut tx, "far", Some(&other)).unwrap();
    let mut from = |pair| {
        let permission = api::IpPermission {
            ip_protocol: s("-1"),
            user_id_group_pairs: Some(vec![pair]),
            ..Default::default()
        };
        ingress(&mut tx, &id, vec![permission])
    };
    let pair = api::UserIdGroupPair::default;
    for (peer, expected) in [
        (api::UserIdGroupPair { group_id: s(&far), ..pair() }, "InvalidGroup.NotFound"),
        (api::UserIdGroupPair { group_name: s("far"), ..pair() }, "InvalidGroup.NotFound"),
        (
            api::UserIdGroupPair { group_id: s(&id), user_id: s("000000000001"), ..pair() },
            "InvalidGroup.NotFound",
        ),
        (pair(), "MissingParameter"),
        (
            api::UserIdGroupPair { vpc_peering_connection_id: s("pcx-1"), ..pair() },
            "UnsupportedOperation",
        ),
    ] {
        assert_eq!(code(from(peer.clone())), expected, "{peer:?}");
    }
    let own = api::UserIdGroupPair { group_name: s("web"), user_id: s("123456789012"), ..pair() };
    let made = from(own).unwrap();
    assert_eq!(made[0].referenced_group_info.clone().unwrap().group_id, s(&id));
}

#[test]
fn flat_parameters() {
    let mut tx = tx();
    group(&mut tx, "web", None).unwrap();
    let base = api::AuthorizeSecurityGroupIngressRequest {
        group_name: s("web"),
        ip_protocol: s("TCP"),
        from_port: Some(80),
        to_port: Some(81),
        cidr_ip: s("10.0.0.0/8"),
        ..Default::default()
    };
    let call = |tx: &mut Tx, input| groups::authorize_security_group_ingress(tx, &request(), input);
    call(&mut tx, base.clone()).unwrap();
    let both = api::AuthorizeSecurityGroupIngressRequest {
        ip_permissions: Some(vec![tcp(1, 1, "0.0.0.0/0")]),
        ..base.clone()
    };
    assert_eq!(code(call(&mut tx, both)), "InvalidParameterCombination");
    let mixed = api::AuthorizeSecurityGroupIngressRequest {
        source_security_group_name: s("web"),
        ..base.clone()
    };
    assert_eq!(code(call(&mut tx, mixed)), "InvalidParameterCombination");
    let no_cidr = api::AuthorizeSecurityGroupIngressRequest { cidr_ip: None, ..base };
    assert_eq!(code(call(&mut tx, no_cidr)), "MissingParameter");
    let source = api::AuthorizeSecurityGroupIngressRequest {
        group_name: s("web"),
        source_security_group_name: s("web"),
        ..Default::default()
    };
    let made = call(&mut tx, source).unwrap().security_group_rules.unwrap();
    let protocols = made.into_iter().map(|rule| rule.ip_protocol.unwrap()).collect::<Vec<_>>();
    assert_eq!(protocols, ["tcp", "udp", "icmp"]);
    let egress = api::AuthorizeSecurityGroupEgressRequest {
        source_security_group_name: s("web"),
        ..Default::default()
    };
    let result = groups::authorize_security_group_egress(&mut tx, &request(), egress);
    assert_eq!(code(result), "UnsupportedOperation");
}

#[test]
fn rules_are_revoked() {
    let mut tx = tx();
    let other = vpc(&mut tx, "10.0.0.0/16");
    let id = group(&mut tx, "far", Some(&other)).unwrap();
    let made = ingress(&mut tx, &id, vec![tcp(22, 22, "0.0.0.0/0"), tcp(80, 80, "0.0.0.0/0")]);
    let first = made.unwrap()[0].security_group_rule_id.clone().unwrap();
    let base = api::RevokeSecurityGroupIngressRequest { group_id: s(&id), ..Default::default() };
    let call = |tx: &mut Tx, input| groups::revoke_security_group_ingress(tx, &request(), input);
    let by_id = |text: &str| api::RevokeSecurityGroupIngressRequest {
        security_group_rule_ids: Some(vec![text.to_owned()]),
        ..base.clone()
    };
    let by_rule = |from| api::RevokeSecurityGroupIngressRequest {
        ip_permissions: Some(vec![tcp(from, from, "0.0.0.0/0")]),
        ..base.clone()
    };
    assert_eq!(code(call(&mut tx, base.clone())), "MissingParameter");
    assert_eq!(code(call(&mut tx, by_rule(23))), "InvalidPermission.NotFound");
    assert_eq!(code(call(&mut tx, by_id("sgr-1"))), "InvalidSecurityGroupRuleId.Malformed");
    assert_eq!(code(call(&mut tx, by_id("sgr-12345678"))), "InvalidSecurityGroupRuleId.NotFound");
    let both = api::RevokeSecurityGroupIngressRequest {
        ip_permissions: by_rule(80).ip_permissions,
        ..by_id(&first)
    };
    assert_eq!(code(call(&mut tx, both)), "InvalidParameterCombination");
    call(&mut tx, by_id(&first)).unwrap();
    let gone = call(&mut tx, by_rule(80)).unwrap().revoked_security_group_rules.unwrap();
    assert_eq!(gone[0].from_port, Some(80));
    assert_eq!(rules(&tx, &id).len(), 1);
    let out = api::RevokeSecurityGroupEgressRequest {
        group_id: s(&id),
        ip_permissions: Some(vec![api::IpPermission {
            ip_protocol: s("-1"),
            ip_ranges: Some(vec![api::IpRange { description: None, cidr_ip: s("0.0.0.0/0") }]),
            ..Default::default()
        }]),
        ..Default::default()
    };
    groups::revoke_security_group_egress(&mut tx, &request(), out.clone()).unwrap();
    assert!(rules(&tx, &id).is_empty());
    let result = groups::revoke_security_group_egress(&mut tx, &request(), out);
    assert_eq!(code(result), "InvalidPermission.NotFound");
}

#[test]
fn unknown_rules_are_forgiven_in_the_default_vpc() {
    let mut tx = tx();
    let id = group(&mut tx, "web", None).unwrap();
    let input = api::RevokeSecurityGroupIngressRequest {
        group_id: s(&id),
        ip_permissions: Some(vec![tcp(22, 22, "0.0.0.0/0")]),
        ..Default::default()
    };
    let said = groups::revoke_security_group_ingress(&mut tx, &request(), input).unwrap();
    assert_eq!(said.unknown_ip_permissions.unwrap()[0].from_port, Some(22));
}

#[test]
fn rules_are_modified() {
    let mut tx = tx();
    let id = group(&mut tx, "web", None).unwrap();
    let made = ingress(&mut tx, &id, vec![tcp(22, 22, "0.0.0.0/0"), tcp(80, 80, "0.0.0.0/0")]);
    let first = made.unwrap()[0].security_group_rule_id.clone();
    let call = |tx: &mut Tx, rule_id: Option<String>, rule| {
        let update = api::SecurityGroupRuleUpdate {
            security_group_rule_id: rule_id,
            security_group_rule: Some(rule),
        };
        let input = api::ModifySecurityGroupRulesRequest {
            group_id: s(&id),
            security_group_rules: Some(vec![update]),
            dry_run: None,
        };
        groups::modify_security_group_rules(tx, &request(), input)
    };
    let to = |port| api::SecurityGroupRuleRequest {
        ip_protocol: s("tcp"),
        from_port: Some(port),
        to_port: Some(port),
        cidr_ipv4: s("0.0.0.0/0"),
        ..Default::default()
    };
    assert_eq!(code(call(&mut tx, first.clone(), to(80))), "InvalidPermission.Duplicate");
    let none = api::SecurityGroupRuleRequest { cidr_ipv4: None, ..to(81) };
    assert_eq!(code(call(&mut tx, first.clone(), none)), "InvalidParameterCombination");
    let unknown = call(&mut tx, s("sgr-12345678"), to(81));
    assert_eq!(code(unknown), "InvalidSecurityGroupRuleId.NotFound");
    call(&mut tx, first.clone(), to(81)).unwrap();
    let input = api::DescribeSecurityGroupRulesRequest {
        security_group_rule_ids: Some(vec![first.unwrap()]),
        ..Default::default()
    };
    let found = groups::describe_security_group_rules(&tx, &request(), input).unwrap();
    assert_eq!(found.security_group_rules.unwrap()[0].from_port, Some(81));
}

#[test]
fn groups_and_rules_are_described() {
    let mut tx = tx();
    let id = group(&mut tx, "web", None).unwrap();
    let ranges = ["10.0.0.0/8", "192.168.0.0/16"]
        .map(|cidr| api::IpRange { description: None, cidr_ip: s(cidr) });
    let mut two = tcp(443, 443, "");
    two.ip_ranges = Some(ranges.to_vec());
    ingress(&mut tx, &id, vec![two, tcp(22, 22, "10.0.0.0/8")]).unwrap();
    let find = |input| groups::describe_security_groups(&tx, &request(), input);
    let input = api::DescribeSecurityGroupsRequest {
        group_names: Some(vec!["web".to_owned()]),
        ..Default::default()
    };
    let found = find(input).unwrap().security_groups.unwrap();
    let shown = found[0].ip_permissions.clone().unwrap();
    assert_eq!(shown.len(), 2, "one permission for each range of ports");
    assert_eq!(shown[0].ip_ranges.clone().unwrap().len(), 2);
    for (name, value, count) in [
        ("ip-permission.from-port", "443", 1),
        ("ip-permission.cidr", "192.168.0.0/16", 1),
        ("ip-permission.protocol", "tcp", 1),
        ("ip-permission.group-name", "default", 1),
        ("egress.ip-permission.cidr", "0.0.0.0/0", 2),
        ("egress.ip-permission.from-port", "443", 0),
        ("ip-permission.prefix-list-id", "*", 0),
        ("group-name", "web", 1),
        ("description", "a*", 1),
    ] {
        let filters = filter(name, value);
        let input = api::DescribeSecurityGroupsRequest { filters, ..Default::default() };
        assert_eq!(find(input).unwrap().security_groups.unwrap().len(), count, "{name}");
    }
    let filters = filter("group-id", &id);
    let input = api::DescribeSecurityGroupRulesRequest { filters, ..Default::default() };
    let found = groups::describe_security_group_rules(&tx, &request(), input).unwrap();
    assert_eq!(found.security_group_rules.unwrap().len(), 4);
}

#[test]
fn calls_name_groups_for_interfaces() {
    let mut tx = tx();
    let (vpc_id, _) = default_network(&tx);
    let resolve = |tx: &Tx, ids: &[String], names: &[String]| {
        groups::resolve(tx, &scope(), vpc_id, ids, names)
    };
    let id = group(&mut tx, "web", None).unwrap();
    let web = id.parse().unwrap();
    let both = resolve(&tx, std::slice::from_ref(&id), &["web".to_owned()]);
    assert_eq!(both, Ok(vec![web]));
    let default = tx.find::<SecurityGroup>("vpc", vpc_id).find(|group| group.is_default());
    assert_eq!(resolve(&tx, &[], &[]), Ok(vec![default.unwrap().id]));
    assert_eq!(code(resolve(&tx, &[], &["none".to_owned()])), "InvalidGroup.NotFound");
    let other = vpc(&mut tx, "10.0.0.0/16");
    let far = group(&mut tx, "far", Some(&other)).unwrap();
    assert_eq!(code(resolve(&tx, &[far], &[])), "InvalidParameter");
    let many = (0..6).map(|n| group(&mut tx, &format!("g{n}"), None).unwrap());
    let many = many.collect::<Vec<_>>();
    assert_eq!(code(resolve(&tx, &many, &[])), "SecurityGroupsPerInterfaceLimitExceeded");
}

fn describe_rules(
    tx: &mut Tx,
    id: &str,
    permissions: Vec<api::IpPermission>,
    by_id: Vec<(Option<String>, Option<&str>)>,
) -> Result<(), Fault> {
    let by_id = by_id.into_iter().map(|(id, text)| api::SecurityGroupRuleDescription {
        security_group_rule_id: id,
        description: text.map(str::to_owned),
    });
    let input = api::UpdateSecurityGroupRuleDescriptionsIngressRequest {
        group_id: s(id),
        ip_permissions: Some(permissions),
        security_group_rule_descriptions: Some(by_id.collect()),
        ..Default::default()
    };
    groups::update_security_group_rule_descriptions_ingress(tx, &request(), input).map(|_| ())
}

#[test]
fn descriptions_change_without_their_rules() {
    let mut tx = tx();
    let id = group(&mut tx, "web", None).unwrap();
    let made = ingress(&mut tx, &id, vec![tcp(22, 22, "0.0.0.0/0")]).unwrap();
    let rule = made[0].security_group_rule_id.clone();
    let described = |text: Option<&str>| {
        let mut permission = tcp(22, 22, "0.0.0.0/0");
        permission.ip_ranges.as_mut().unwrap()[0].description = text.map(str::to_owned);
        permission
    };
    let now = |tx: &Tx| {
        let found = rules(tx, &id).into_iter().find(|rule| !rule.egress).unwrap();
        assert_eq!(Some(found.id.to_string()), rule);
        found.description
    };
    describe_rules(&mut tx, &id, vec![described(Some("door"))], vec![]).unwrap();
    assert_eq!(now(&tx).as_deref(), Some("door"));
    describe_rules(&mut tx, &id, vec![described(None)], vec![]).unwrap();
    assert_eq!(now(&tx), None);
    describe_rules(&mut tx, &id, vec![], vec![(rule.clone(), Some("gate"))]).unwrap();
    assert_eq!(now(&tx).as_deref(), Some("gate"));
    let none = s("sgr-00000000000000000");
    let egress = rules(&tx, &id).into_iter().find(|rule| rule.egress).unwrap().id.to_string();
    for (permissions, by_id, expected) in [
        (vec![], vec![], "MissingParameter"),
        (vec![described(None)], vec![(rule.clone(), None)], "InvalidParameterCombination"),
        (vec![tcp(23, 23, "0.0.0.0/0")], vec![], "InvalidPermission.NotFound"),
        (vec![], vec![(none, None)], "InvalidSecurityGroupRuleId.NotFound"),
        (vec![], vec![(s(&egress), None)], "InvalidSecurityGroupRuleId.NotFound"),
        (vec![], vec![(rule.clone(), Some("wéb"))], "InvalidParameterValue"),
    ] {
        assert_eq!(code(describe_rules(&mut tx, &id, permissions, by_id)), expected);
    }
    let input = api::UpdateSecurityGroupRuleDescriptionsEgressRequest {
        group_id: s(&id),
        security_group_rule_descriptions: Some(vec![api::SecurityGroupRuleDescription {
            security_group_rule_id: s(&egress),
            description: s("out"),
        }]),
        ..Default::default()
    };
    groups::update_security_group_rule_descriptions_egress(&mut tx, &request(), input).unwrap();
    let out = rules(&tx, &id).into_iter().find(|rule| rule.egress).unwrap();
    assert_eq!(out.description.as_deref(), Some("out"));
}

#[test]
fn the_groups_of_a_vpc() {
    let mut tx = tx();
    let (home, _) = default_network(&tx);
    let id = group(&mut tx, "web", None).unwrap();
    let other = vpc(&mut tx, "10.0.0.0/16");
    let usable = |vpc: &str, filters| {
        let input =
            api::GetSecurityGroupsForVpcRequest { vpc_id: s(vpc), filters, ..Default::default() };
        let found = groups::get_security_groups_for_vpc(&tx, &request(), input)?;
        Ok::<_, Fault>(found.security_group_for_vpcs.unwrap())
    };
    let home = home.to_string();
    assert_eq!((usable(&home, None).unwrap().len(), usable(&other, None).unwrap().len()), (2, 1));
    let found = usable(&home, filter("group-name", "web")).unwrap();
    assert_eq!((found[0].group_id.clone(), found[0].primary_vpc_id.clone()), (s(&id), s(&home)));
    assert_eq!(code(usable("vpc-00000000000000000", None)), "InvalidVpcID.NotFound");
    assert_eq!(code(usable(&home, filter("color", "red"))), "InvalidParameterValue");
}

#[test]
fn quotas_of_rules_and_groups() {
    let mut tx = tx();
    let id = group(&mut tx, "web", None).unwrap();
    let v4 = |at: i32| tcp(at, at, "0.0.0.0/0");
    let v6 = |at: i32| api::IpPermission {
        ip_ranges: None,
        ipv6_ranges: Some(vec![api::Ipv6Range { description: None, cidr_ipv6: s("::/0") }]),
        ..tcp(at, at, "0.0.0.0/0")
    };
    // 60 about IPv4 and 60 about IPv6 in one direction; the other direction counts apart.
    ingress(&mut tx, &id, (1..=60).map(v4).collect()).unwrap();
    ingress(&mut tx, &id, (1..=60).map(v6).collect()).unwrap();
    for more in [v4(61), v6(61)] {
        assert_eq!(code(ingress(&mut tx, &id, vec![more])), "RulesPerSecurityGroupLimitExceeded");
    }
    let interface = interface(&mut tx).to_string();
    let mut ids = vec![id];
    ids.extend((0..5).map(|at| group(&mut tx, &format!("g{at}"), None).unwrap()));
    let give = |tx: &mut Tx, ids: &[String]| {
        let input = api::ModifyNetworkInterfaceAttributeRequest {
            network_interface_id: s(&interface),
            groups: Some(ids.to_vec()),
            ..Default::default()
        };
        enis::modify_network_interface_attribute(tx, &request(), input).map(|_| ())
    };
    assert_eq!(code(give(&mut tx, &ids)), "SecurityGroupsPerInterfaceLimitExceeded");
    give(&mut tx, &ids[..5]).unwrap();
}
