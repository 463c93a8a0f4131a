"""Security groups and their rules."""

import pytest
from fogbank_cloud import fault


@pytest.fixture
def group(ec2):
    return ec2.create_security_group(GroupName="web", Description="web servers")["GroupId"]


def tcp(port, cidr="0.0.0.0/0", to=None, **more):
    return {
        "IpProtocol": "tcp", "FromPort": port, "ToPort": to or port,
        "IpRanges": [{"CidrIp": cidr} | more],
    }


def one(ec2, group):
    return ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]


def test_a_new_group(ec2, group):
    row = one(ec2, group)
    assert row["GroupName"] == "web" and row["Description"] == "web servers"
    assert row["IpPermissions"] == []
    (egress,) = row["IpPermissionsEgress"]
    assert (egress["IpProtocol"], egress["IpRanges"]) == ("-1", [{"CidrIp": "0.0.0.0/0"}])
    assert row["SecurityGroupArn"].endswith(f":security-group/{group}")
    waiter = ec2.get_waiter("security_group_exists")
    waiter.wait(GroupIds=[group], WaiterConfig={"Delay": 1})
    with fault("InvalidGroup.Duplicate", "'web'"):
        ec2.create_security_group(GroupName="web", Description="again")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    other = ec2.create_security_group(GroupName="web", Description="other VPC", VpcId=vpc)
    assert other["GroupId"] != group
    ec2.delete_security_group(GroupId=group)
    with fault("InvalidGroup.NotFound", group):
        one(ec2, group)


@pytest.mark.parametrize("name", ["sg-mine", "x" * 256, "default"])
def test_names_that_can_not_be(ec2, name):
    with fault("InvalidParameterValue"):
        ec2.create_security_group(GroupName=name, Description="d")


def test_the_default_group_stays(ec2):
    (default,) = ec2.describe_security_groups()["SecurityGroups"]
    with fault("CannotDelete", default["GroupId"]):
        ec2.delete_security_group(GroupId=default["GroupId"])


def test_rules_come_and_go(ec2, group):
    answer = ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            tcp(80), tcp(443, Description="https"),
            {"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1,
             "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
            {"IpProtocol": "udp", "FromPort": 53, "ToPort": 53,
             "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
            {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
        ],
        TagSpecifications=[
            {"ResourceType": "security-group-rule", "Tags": [{"Key": "a", "Value": "b"}]}
        ],
    )
    assert answer["Return"]
    rules = answer["SecurityGroupRules"]
    assert len(rules) == 5
    assert all(rule["SecurityGroupRuleId"].startswith("sgr-") for rule in rules)
    assert all(rule["Tags"] == [{"Key": "a", "Value": "b"}] for rule in rules)
    assert len(one(ec2, group)["IpPermissions"]) == 5
    with fault("InvalidPermission.Duplicate"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(22), tcp(80)])
    assert len(one(ec2, group)["IpPermissions"]) == 5, "all or nothing"

    filters = [{"Name": "group-id", "Values": [group]}]
    found = ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    assert len(found) == 6
    https = next(rule for rule in found if rule.get("Description") == "https")
    assert (https["FromPort"], https["CidrIpv4"], https["IsEgress"]) == (443, "0.0.0.0/0", False)
    ec2.modify_security_group_rules(
        GroupId=group,
        SecurityGroupRules=[{
            "SecurityGroupRuleId": https["SecurityGroupRuleId"],
            "SecurityGroupRule": {
                "IpProtocol": "tcp", "FromPort": 8443, "ToPort": 8443, "CidrIpv4": "10.0.0.0/8",
            },
        }],
    )
    (changed,) = ec2.describe_security_group_rules(
        SecurityGroupRuleIds=[https["SecurityGroupRuleId"]]
    )["SecurityGroupRules"]
    assert (changed["FromPort"], changed["CidrIpv4"]) == (8443, "10.0.0.0/8")
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[tcp(80)])
    ec2.revoke_security_group_ingress(
        GroupId=group, SecurityGroupRuleIds=[https["SecurityGroupRuleId"]]
    )
    assert len(one(ec2, group)["IpPermissions"]) == 3
    with fault("InvalidSecurityGroupRuleId.NotFound"):
        ec2.revoke_security_group_ingress(
            GroupId=group, SecurityGroupRuleIds=[https["SecurityGroupRuleId"]]
        )


def test_the_older_flat_parameters(ec2, group):
    ec2.authorize_security_group_ingress(
        GroupName="web", IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="10.0.0.0/8"
    )
    (rule,) = one(ec2, group)["IpPermissions"]
    assert (rule["FromPort"], rule["IpRanges"]) == (22, [{"CidrIp": "10.0.0.0/8"}])


def test_egress(ec2, group):
    ec2.revoke_security_group_egress(
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    )
    assert one(ec2, group)["IpPermissionsEgress"] == []
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[tcp(443)])
    assert len(one(ec2, group)["IpPermissionsEgress"]) == 1


def test_revoking_what_is_not_there(ec2, group):
    answer = ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[tcp(80)])
    assert answer["UnknownIpPermissions"][0]["FromPort"] == 80, "in the default VPC"
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    other = ec2.create_security_group(GroupName="o", Description="o", VpcId=vpc)["GroupId"]
    with fault("InvalidPermission.NotFound"):
        ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=[tcp(80)])


@pytest.mark.parametrize(
    ("permission", "code"),
    [
        (tcp(80, "10.0.0.0/40"), "InvalidParameterValue"),
        (tcp(80, "everywhere"), "InvalidParameterValue"),
        (tcp(90000), "InvalidParameterValue"),
        (tcp(443, to=80), "InvalidParameterValue"),
        ({"IpProtocol": "carrier-pigeon", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
         "InvalidParameterValue"),
        ({"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80,
          "UserIdGroupPairs": [{"GroupId": "sg-0123456789abcdef0"}]}, "InvalidGroup.NotFound"),
    ],
)
def test_rules_that_can_not_be(ec2, group, permission, code):
    with fault(code):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    assert one(ec2, group)["IpPermissions"] == []


def test_the_quota_of_rules(ec2, group):
    with fault("RulesPerSecurityGroupLimitExceeded"):
        ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[tcp(port) for port in range(1000, 1061)]
        )
    ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[tcp(port) for port in range(1000, 1060)]
    )


def test_a_group_in_use(ec2, group):
    other = ec2.create_security_group(GroupName="other", Description="o")["GroupId"]
    pair = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[pair])
    with fault("DependencyViolation", group):
        ec2.delete_security_group(GroupId=group)
    ec2.revoke_security_group_ingress(GroupId=other, IpPermissions=[pair])
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    card = ec2.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]
    with fault("DependencyViolation", group):
        ec2.delete_security_group(GroupId=group)
    ec2.delete_network_interface(NetworkInterfaceId=card["NetworkInterfaceId"])
    ec2.delete_security_group(GroupId=group)


def test_filters_and_pages(ec2, group):
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[tcp(8080)])

    def found(**filters):
        named = [{"Name": key, "Values": [value]} for key, value in filters.items()]
        rows = ec2.describe_security_groups(Filters=named)["SecurityGroups"]
        return {row["GroupName"] for row in rows}

    assert found(**{"group-name": "w*"}) == {"web"}
    assert found(**{"ip-permission.from-port": "8080"}) == {"web"}
    assert found(**{"egress.ip-permission.cidr": "0.0.0.0/0"}) == {"web", "default"}
    names = {row["GroupName"] for row in
             ec2.describe_security_groups(GroupNames=["web"])["SecurityGroups"]}
    assert names == {"web"}
    for at in range(6):
        ec2.create_security_group(GroupName=f"g{at}", Description="g")
    pages = ec2.get_paginator("describe_security_groups").paginate(PaginationConfig={"PageSize": 5})
    assert [len(page["SecurityGroups"]) for page in pages] == [5, 3]
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        PaginationConfig={"PageSize": 5}
    )
    assert sum(len(page["SecurityGroupRules"]) for page in pages) == 10
