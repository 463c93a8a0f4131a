"""Each field that AWS was seen to send is sent here too, or there is a reason.

`data/recorded_fields.json` holds, for each operation served, the fields of answers of the real
EC2 and STS as public test suites recorded them ("2/3": in two of three places where it could have
been). `data/fields_left_out.toml` gives the reasons for what is missing; a reason for a field that
is sent is out of date and fails the test too.
"""

import base64
import json
import tomllib
from pathlib import Path

import pytest
from fogbank_cloud import image, instance, until, wait_state

DATA = Path(__file__).resolve().parent.parent / "data"


def fields(value, path=""):
    """All paths of fields in an answer."""
    if isinstance(value, dict):
        for name, inner in value.items():
            inner_path = f"{path}.{name}" if path else name
            yield inner_path
            yield from fields(inner, inner_path)
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner, f"{path}[]")


@pytest.fixture(scope="module")
def sent(open_cloud):
    """The fields of every answer while a cloud is made, changed and taken down."""
    seen = {}

    def record(parsed, model, **_):
        names = seen.setdefault(f"{model.service_model.endpoint_prefix}.{model.name}", set())
        names.update(fields({k: v for k, v in parsed.items() if k != "ResponseMetadata"}))

    account = "777777777777"
    clients = [open_cloud.client(name, key=account, secret="x") for name in ("ec2", "sts", "iam")]
    for client in clients:
        client.meta.events.register("after-call", record)
    tour(*clients)
    return seen


def tags(kind):
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": "tour"}]}]


def tour(ec2, sts, iam):
    """Calls each operation at least once, on resources with all that they can have."""
    sts.get_caller_identity()
    ec2.describe_regions()
    ec2.describe_availability_zones()
    ec2.describe_account_attributes()
    ami = image(ec2)
    ec2.describe_images(ImageIds=[ami])
    key = ec2.create_key_pair(KeyName="k", KeyType="ed25519", TagSpecifications=tags("key-pair"))
    ec2.describe_key_pairs()
    vpc = ec2.create_vpc(
        CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True, TagSpecifications=tags("vpc")
    )["Vpc"]["VpcId"]
    for name in ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics"):
        ec2.describe_vpc_attribute(VpcId=vpc, Attribute=name)
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    subnet = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.0.0.0/24", TagSpecifications=tags("subnet")
    )["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway(TagSpecifications=tags("internet-gateway"))
    gateway = gateway["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=tags("route-table"))
    table = table["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    group = ec2.create_security_group(
        GroupName="g", Description="g", VpcId=vpc, TagSpecifications=tags("security-group")
    )["GroupId"]
    permissions = [
        {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80,
         "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "d"}],
         "Ipv6Ranges": [{"CidrIpv6": "::/0", "Description": "d"}],
         "UserIdGroupPairs": [{"GroupId": group, "Description": "d"}]},
    ]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=permissions)
    ec2.describe_security_group_rules()
    ec2.modify_security_group_rules(
        GroupId=group,
        SecurityGroupRules=[
            {"SecurityGroupRuleId": rule["SecurityGroupRuleId"],
             "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 81, "ToPort": 81,
                                   "CidrIpv4": "10.1.0.0/16", "Description": "d"}}
            for rule in ec2.describe_security_group_rules()["SecurityGroupRules"]
            if rule.get("CidrIpv4") == "10.0.0.0/8" and not rule["IsEgress"]
        ],
    )
    spare = ec2.create_network_interface(
        SubnetId=subnet, Groups=[group], Description="spare",
        TagSpecifications=tags("network-interface"),
    )["NetworkInterface"]["NetworkInterfaceId"]
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock="192.168.0.0/16", NetworkInterfaceId=spare
    )
    options = ec2.describe_dhcp_options()["DhcpOptions"][0]["DhcpOptionsId"]
    acl = ec2.describe_network_acls()["NetworkAcls"][0]["NetworkAclId"]
    ec2.create_tags(Resources=[options, acl, key["KeyPairId"]], Tags=[{"Key": "a", "Value": "b"}])
    row = ec2.run_instances(
        ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1, KeyName="k",
        UserData="#!/bin/sh\n",
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group],
                            "AssociatePublicIpAddress": True, "Description": "primary"}],
        TagSpecifications=[*tags("instance"), *tags("volume")],
    )["Instances"][0]
    instance_id = row["InstanceId"]
    ids = {"InstanceIds": [instance_id]}
    wait_state(ec2, instance_id, "running")
    ec2.describe_instance_status(**ids)
    for name in ("instanceType", "kernel", "ramdisk", "userData", "disableApiTermination",
                 "disableApiStop", "instanceInitiatedShutdownBehavior", "rootDeviceName",
                 "blockDeviceMapping", "productCodes", "sourceDestCheck", "groupSet",
                 "ebsOptimized", "sriovNetSupport", "enaSupport", "enclaveOptions"):
        ec2.describe_instance_attribute(InstanceId=instance_id, Attribute=name)
    ec2.modify_instance_attribute(InstanceId=instance_id, SourceDestCheck={"Value": False})
    ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
    ec2.monitor_instances(**ids)
    ec2.unmonitor_instances(**ids)
    ec2.get_console_output(InstanceId=instance_id)
    ec2.reboot_instances(**ids)
    allocation = ec2.allocate_address(TagSpecifications=tags("elastic-ip"))["AllocationId"]
    association = ec2.associate_address(AllocationId=allocation, InstanceId=instance_id)
    ec2.describe_addresses()
    profiles(ec2, iam, instance_id)
    for describe in ("describe_vpcs", "describe_subnets", "describe_internet_gateways",
                     "describe_route_tables", "describe_security_groups", "describe_network_acls",
                     "describe_dhcp_options", "describe_network_interfaces", "describe_volumes",
                     "describe_snapshots", "describe_instances", "describe_tags",
                     "describe_prefix_lists", "describe_iam_instance_profile_associations",
                     "describe_addresses_attribute", "describe_instance_types",
                     "describe_instance_type_offerings"):
        getattr(ec2, describe)()
    ec2.disassociate_address(AssociationId=association["AssociationId"])
    ec2.release_address(AllocationId=allocation)
    ec2.stop_instances(**ids)
    wait_state(ec2, instance_id, "stopped")
    attachment = ec2.attach_network_interface(
        NetworkInterfaceId=spare, InstanceId=instance_id, DeviceIndex=1
    )["AttachmentId"]
    ec2.detach_network_interface(AttachmentId=attachment)
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="192.168.0.0/16")
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=spare, Description={"Value": "changed"}
    )
    ec2.delete_network_interface(NetworkInterfaceId=spare)
    ec2.start_instances(**ids)
    wait_state(ec2, instance_id, "running")
    assert instance(ec2, instance_id)["KeyName"] == "k"
    ec2.terminate_instances(**ids)
    wait_state(ec2, instance_id, "terminated")
    instance(ec2, instance_id)
    until("the volume is gone", lambda: not ec2.describe_volumes()["Volumes"])
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=permissions)
    ec2.revoke_security_group_ingress(
        GroupId=group,
        SecurityGroupRuleIds=[
            rule["SecurityGroupRuleId"]
            for rule in ec2.describe_security_group_rules()["SecurityGroupRules"]
            if rule["GroupId"] == group and not rule["IsEgress"]
        ],
    )
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "a", "Value": "b"}])
    ec2.delete_tags(Resources=[vpc], Tags=[{"Key": "a"}])
    ec2.delete_key_pair(KeyPairId=key["KeyPairId"])
    ec2.import_key_pair(
        KeyName="i", PublicKeyMaterial=b"ssh-ed25519 " + base64.b64encode(
            b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))
        ),
    )
    ec2.delete_security_group(GroupId=group)
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_route_table(RouteTableId=table)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    ec2.delete_vpc(VpcId=vpc)


def profiles(ec2, iam, instance_id):
    """Instance profiles on an instance; it is left with one."""
    trust = json.dumps({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }})
    for name in ("one", "other"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    given = ec2.associate_iam_instance_profile(
        InstanceId=instance_id, IamInstanceProfile={"Name": "one"}
    )
    taken = ec2.replace_iam_instance_profile_association(
        AssociationId=given["IamInstanceProfileAssociation"]["AssociationId"],
        IamInstanceProfile={"Name": "other"},
    )
    ec2.disassociate_iam_instance_profile(
        AssociationId=taken["IamInstanceProfileAssociation"]["AssociationId"]
    )
    ec2.associate_iam_instance_profile(
        InstanceId=instance_id, IamInstanceProfile={"Name": "one"}
    )
    ec2.modify_instance_metadata_defaults(
        HttpTokens="required", HttpPutResponseHopLimit=2, HttpEndpoint="enabled",
        InstanceMetadataTags="disabled",
    )
    ec2.get_instance_metadata_defaults()


RECORDED = json.loads((DATA / "recorded_fields.json").read_text())
LEFT_OUT = tomllib.loads((DATA / "fields_left_out.toml").read_text())


@pytest.mark.parametrize("operation", sorted(RECORDED))
def test_recorded_fields_are_sent(sent, operation):
    recorded = set(RECORDED[operation])
    reasons = {}
    for reason, paths in LEFT_OUT.get(operation.replace(".", "-"), {}).items():
        assert reason.strip(), "each field left out has a reason"
        reasons |= dict.fromkeys(paths, reason)
    if operation not in sent:
        assert set(reasons) >= recorded, f"{operation} was not called in the tour"
        return

    def excused(path):
        parts = path.replace("[]", "").split(".")
        above = {".".join(parts[:at]) for at in range(1, len(parts) + 1)}
        return any(reason.replace("[]", "") in above for reason in reasons)

    missing = sorted(path for path in recorded - sent[operation] if not excused(path))
    assert not missing, f"{operation} doesn't send {missing}"
    stale = sorted(path for path in reasons if path in sent[operation])
    assert not stale, f"fields_left_out.toml: {operation} does send {stale}"
    unknown = sorted(path for path in reasons if path not in recorded)
    assert not unknown, f"fields_left_out.toml: {operation} has no recorded {unknown}"
