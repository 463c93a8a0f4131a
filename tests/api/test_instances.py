"""Instances: launching, describing, changing, ending; no VM behind them."""

import base64
import datetime

import pytest
from fogbank_cloud import REGION, fault, instance, state, until, wait_state


@pytest.fixture
def run(ec2, ami):
    """Launches one instance (or as many as asked) of the tiny image."""

    def run(count=1, **parameters):
        parameters = {"ImageId": ami, "InstanceType": "t3.micro"} | parameters
        answer = ec2.run_instances(MinCount=count, MaxCount=count, **parameters)
        rows = answer["Instances"]
        return rows[0] if count == 1 else rows

    return run


def running(ec2, *ids):
    waiter = ec2.get_waiter("instance_running")
    waiter.wait(InstanceIds=list(ids), WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def test_a_launch_from_pending_to_terminated(ec2, run):
    row = run()
    instance_id = row["InstanceId"]
    assert row["State"] == {"Code": 0, "Name": "pending"}
    assert row["Placement"]["AvailabilityZone"].startswith(REGION)
    running(ec2, instance_id)
    row = instance(ec2, instance_id)
    assert row["State"] == {"Code": 16, "Name": "running"}
    assert row["PrivateIpAddress"].startswith("172.31.")
    assert row["PublicIpAddress"].startswith("198.1")
    assert row["PrivateDnsName"] == (
        "ip-" + row["PrivateIpAddress"].replace(".", "-") + ".ec2.internal"
    )
    assert row["PublicDnsName"] == (
        "ec2-" + row["PublicIpAddress"].replace(".", "-") + ".compute-1.amazonaws.com"
    )
    (card,) = row["NetworkInterfaces"]
    assert card["Association"]["PublicIp"] == row["PublicIpAddress"]
    assert card["Attachment"]["DeleteOnTermination"]
    (disk,) = row["BlockDeviceMappings"]
    assert disk["DeviceName"] == row["RootDeviceName"] == "/dev/xvda"
    assert disk["Ebs"]["DeleteOnTermination"]
    (group,) = row["SecurityGroups"]
    assert group["GroupName"] == "default"

    (change,) = ec2.stop_instances(InstanceIds=[instance_id])["StoppingInstances"]
    assert change["PreviousState"]["Name"] == "running"
    assert change["CurrentState"] == {"Code": 64, "Name": "stopping"}
    wait_state(ec2, instance_id, "stopped")
    stopped = instance(ec2, instance_id)
    assert stopped["PrivateIpAddress"] == row["PrivateIpAddress"]
    assert "PublicIpAddress" not in stopped
    assert stopped["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert stopped["StateTransitionReason"].startswith("User initiated (20")

    (change,) = ec2.start_instances(InstanceIds=[instance_id])["StartingInstances"]
    assert change["PreviousState"] == {"Code": 80, "Name": "stopped"}
    assert change["CurrentState"]["Name"] == "pending"
    wait_state(ec2, instance_id, "running")
    again = instance(ec2, instance_id)
    assert again["PrivateIpAddress"] == row["PrivateIpAddress"]
    assert again["PublicIpAddress"] != row["PublicIpAddress"]
    assert again["LaunchTime"] > row["LaunchTime"]

    (change,) = ec2.terminate_instances(InstanceIds=[instance_id])["TerminatingInstances"]
    assert change["CurrentState"] == {"Code": 32, "Name": "shutting-down"}
    wait_state(ec2, instance_id, "terminated")
    gone = instance(ec2, instance_id)
    assert gone["State"]["Code"] == 48
    assert gone["NetworkInterfaces"] == [] and gone["BlockDeviceMappings"] == []
    assert "VpcId" not in gone and "PrivateIpAddress" not in gone
    filters = [{"Name": "attachment.instance-id", "Values": [instance_id]}]
    assert ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"] == []
    until("its volume is gone", lambda: not ec2.describe_volumes()["Volumes"])


def test_waiters_of_the_model(ec2, run):
    ids = [row["InstanceId"] for row in run(2)]
    fast = {"Delay": 1, "MaxAttempts": 30}
    ec2.get_waiter("instance_exists").wait(InstanceIds=ids, WaiterConfig=fast)
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=fast)
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=ids, WaiterConfig=fast)
    ec2.get_waiter("system_status_ok").wait(InstanceIds=ids, WaiterConfig=fast)
    ec2.stop_instances(InstanceIds=ids)
    ec2.get_waiter("instance_stopped").wait(InstanceIds=ids, WaiterConfig=fast)
    ec2.terminate_instances(InstanceIds=ids)
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=fast)


def test_changes_from_wrong_states(ec2, run):
    instance_id = run()["InstanceId"]
    running(ec2, instance_id)
    ids = {"InstanceIds": [instance_id]}
    # Starting what runs and stopping what is stopped change nothing.
    assert ec2.start_instances(**ids)["StartingInstances"][0]["CurrentState"]["Name"] == "running"
    ec2.stop_instances(**ids)
    wait_state(ec2, instance_id, "stopped")
    assert ec2.stop_instances(**ids)["StoppingInstances"][0]["CurrentState"]["Name"] == "stopped"
    with fault("IncorrectInstanceState", instance_id):
        ec2.reboot_instances(**ids)
    ec2.terminate_instances(**ids)
    wait_state(ec2, instance_id, "terminated")
    with fault("IncorrectInstanceState", "is not in a state from which it can be started"):
        ec2.start_instances(**ids)
    with fault("IncorrectInstanceState", "is not in a state from which it can be stopped"):
        ec2.stop_instances(**ids)
    ec2.reboot_instances(**ids)
    again = ec2.terminate_instances(**ids)["TerminatingInstances"][0]
    assert again["PreviousState"]["Name"] == again["CurrentState"]["Name"] == "terminated"


def test_one_bad_id_in_a_batch_and_none_is_touched(ec2, run):
    ids = [row["InstanceId"] for row in run(2)]
    running(ec2, *ids)
    with fault("InvalidInstanceID.NotFound", "i-0123456789abcdef0"):
        ec2.stop_instances(InstanceIds=[*ids, "i-0123456789abcdef0"])
    with fault("InvalidInstanceID.NotFound", "i-0123456789abcdef0, i-0123456789abcdef1"):
        ec2.terminate_instances(InstanceIds=["i-0123456789abcdef0", *ids, "i-0123456789abcdef1"])
    with fault("InvalidInstanceID.Malformed", 'Invalid id: "i-xyz"'):
        ec2.reboot_instances(InstanceIds=[*ids, "i-xyz"])
    assert {state(ec2, at) for at in ids} == {"running"}


def test_protection(ec2, run):
    row = run(DisableApiTermination=True, DisableApiStop=True)
    instance_id = row["InstanceId"]
    running(ec2, instance_id)
    with fault("OperationNotPermitted", "'disableApiTermination'"):
        ec2.terminate_instances(InstanceIds=[instance_id])
    with fault("OperationNotPermitted", "'disableApiStop'"):
        ec2.stop_instances(InstanceIds=[instance_id])
    ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiStop={"Value": False})
    ec2.modify_instance_attribute(
        InstanceId=instance_id, Attribute="disableApiTermination", Value="false"
    )
    ec2.stop_instances(InstanceIds=[instance_id])
    ec2.terminate_instances(InstanceIds=[instance_id])
    wait_state(ec2, instance_id, "terminated")


def test_a_protected_instance_keeps_those_of_its_zone(ec2, run):
    def launch(zone, **parameters):
        return run(Placement={"AvailabilityZone": f"{REGION}{zone}"}, **parameters)["InstanceId"]

    a, b, d = launch("a"), launch("a"), launch("b")
    c = launch("b", DisableApiTermination=True)
    running(ec2, a, b, c, d)
    with fault("OperationNotPermitted", c):
        ec2.terminate_instances(InstanceIds=[a, b, c, d], DryRun=True)
    assert {state(ec2, at) for at in (a, b, c, d)} == {"running"}
    with fault("OperationNotPermitted", f"The instance '{c}' may not be terminated."):
        ec2.terminate_instances(InstanceIds=[a, b, c, d])
    wait_state(ec2, a, "terminated")
    wait_state(ec2, b, "terminated")
    assert {state(ec2, at) for at in (c, d)} == {"running"}
    # Not named with it, the other of its zone goes.
    ec2.terminate_instances(InstanceIds=[d])
    wait_state(ec2, d, "terminated")


def test_attributes(ec2, run):
    user_data = "#!/bin/sh\necho hello\n"
    instance_id = run(UserData=user_data)["InstanceId"]
    running(ec2, instance_id)

    def attribute(name):
        return ec2.describe_instance_attribute(InstanceId=instance_id, Attribute=name)

    assert base64.b64decode(attribute("userData")["UserData"]["Value"]).decode() == user_data
    assert attribute("instanceType")["InstanceType"]["Value"] == "t3.micro"
    assert attribute("instanceInitiatedShutdownBehavior")["InstanceInitiatedShutdownBehavior"] == {
        "Value": "stop"
    }
    assert attribute("rootDeviceName")["RootDeviceName"]["Value"] == "/dev/xvda"
    assert attribute("disableApiTermination")["DisableApiTermination"]["Value"] is False
    assert attribute("sourceDestCheck")["SourceDestCheck"]["Value"] is True
    assert attribute("groupSet")["Groups"][0]["GroupId"].startswith("sg-")
    assert attribute("blockDeviceMapping")["BlockDeviceMappings"][0]["DeviceName"] == "/dev/xvda"
    assert attribute("ebsOptimized")["EbsOptimized"]["Value"] is False
    assert attribute("enaSupport")["EnaSupport"]["Value"] is True

    for change in ({"InstanceType": {"Value": "t3.small"}}, {"UserData": {"Value": b"x"}}):
        with fault("IncorrectInstanceState", instance_id):
            ec2.modify_instance_attribute(InstanceId=instance_id, **change)
    ec2.modify_instance_attribute(
        InstanceId=instance_id, InstanceInitiatedShutdownBehavior={"Value": "terminate"}
    )
    with fault("InvalidParameterValue"):
        ec2.modify_instance_attribute(
            InstanceId=instance_id, InstanceInitiatedShutdownBehavior={"Value": "explode"}
        )
    ec2.modify_instance_attribute(InstanceId=instance_id, SourceDestCheck={"Value": False})
    assert instance(ec2, instance_id)["SourceDestCheck"] is False
    group = ec2.create_security_group(GroupName="other", Description="other")["GroupId"]
    ec2.modify_instance_attribute(InstanceId=instance_id, Groups=[group])
    assert [at["GroupId"] for at in instance(ec2, instance_id)["SecurityGroups"]] == [group]
    ec2.modify_instance_attribute(
        InstanceId=instance_id,
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": False}}],
    )
    ec2.stop_instances(InstanceIds=[instance_id])
    wait_state(ec2, instance_id, "stopped")
    ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": "t3.small"})
    ec2.modify_instance_attribute(InstanceId=instance_id, UserData={"Value": b"new"})
    row = instance(ec2, instance_id)
    assert row["InstanceType"] == "t3.small"
    assert base64.b64decode(attribute("userData")["UserData"]["Value"]) == b"new"
    volume = row["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    ec2.terminate_instances(InstanceIds=[instance_id])
    wait_state(ec2, instance_id, "terminated")
    (kept,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
    assert kept["State"] == "available"


def test_metadata_options(ec2, run):
    row = run(MetadataOptions={"HttpTokens": "optional", "HttpPutResponseHopLimit": 3})
    assert row["MetadataOptions"]["HttpTokens"] == "optional"
    instance_id = row["InstanceId"]
    options = ec2.modify_instance_metadata_options(
        InstanceId=instance_id, HttpTokens="required", HttpEndpoint="disabled",
        InstanceMetadataTags="enabled",
    )["InstanceMetadataOptions"]
    assert options["HttpTokens"] == "required"
    assert options["HttpEndpoint"] == "disabled"
    assert options["HttpPutResponseHopLimit"] == 3
    assert options["InstanceMetadataTags"] == "enabled"
    assert instance(ec2, instance_id)["MetadataOptions"]["HttpEndpoint"] == "disabled"
    for limit in (0, 65):
        with fault("InvalidParameterValue"):
            ec2.modify_instance_metadata_options(
                InstanceId=instance_id, HttpPutResponseHopLimit=limit
            )


def test_monitoring(ec2, run):
    instance_id = run()["InstanceId"]
    (on,) = ec2.monitor_instances(InstanceIds=[instance_id])["InstanceMonitorings"]
    assert on["Monitoring"]["State"] in ("pending", "enabled")
    assert instance(ec2, instance_id)["Monitoring"]["State"] == "enabled"
    (off,) = ec2.unmonitor_instances(InstanceIds=[instance_id])["InstanceMonitorings"]
    assert off["Monitoring"]["State"] in ("disabling", "disabled")
    assert instance(ec2, instance_id)["Monitoring"]["State"] == "disabled"


def test_status(ec2, run):
    one, other = (row["InstanceId"] for row in run(2))
    running(ec2, one, other)
    ec2.stop_instances(InstanceIds=[other])
    wait_state(ec2, other, "stopped")
    (status,) = ec2.describe_instance_status()["InstanceStatuses"]
    assert status["InstanceId"] == one
    assert status["InstanceStatus"]["Status"] == status["SystemStatus"]["Status"] == "ok"
    assert status["InstanceStatus"]["Details"] == [{"Name": "reachability", "Status": "passed"}]
    all_ids = {
        at["InstanceId"]
        for at in ec2.describe_instance_status(IncludeAllInstances=True)["InstanceStatuses"]
    }
    assert all_ids == {one, other}
    filters = [{"Name": "instance-state-name", "Values": ["stopped"]}]
    (found,) = ec2.describe_instance_status(IncludeAllInstances=True, Filters=filters)[
        "InstanceStatuses"
    ]
    assert found["InstanceId"] == other


def test_console_output(ec2, run):
    instance_id = run()["InstanceId"]
    running(ec2, instance_id)
    answer = ec2.get_console_output(InstanceId=instance_id)
    assert answer["InstanceId"] == instance_id
    age = datetime.datetime.now(datetime.UTC) - answer["Timestamp"]
    assert abs(age) < datetime.timedelta(minutes=5)
    with fault("InvalidInstanceID.NotFound"):
        ec2.get_console_output(InstanceId="i-0123456789abcdef0")


def test_dry_run_changes_nothing(ec2, ami, run):
    with fault("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412):
        ec2.run_instances(
            ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1, DryRun=True
        )
    assert ec2.describe_instances()["Reservations"] == []
    with fault("InvalidAMIID.NotFound"):
        ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, DryRun=True)
    instance_id = run()["InstanceId"]
    running(ec2, instance_id)
    with fault("DryRunOperation", status=412):
        ec2.terminate_instances(InstanceIds=[instance_id], DryRun=True)
    assert state(ec2, instance_id) == "running"
    with fault("DryRunOperation", status=412):
        ec2.describe_instances(DryRun=True)


def test_a_token_makes_a_launch_happen_once(ec2, run):
    first = run(ClientToken="launch-1")
    second = run(ClientToken="launch-1")
    assert first["InstanceId"] == second["InstanceId"]
    assert first["ClientToken"] == "launch-1"
    with fault("IdempotentParameterMismatch"):
        run(ClientToken="launch-1", InstanceType="t3.small")
    assert run(ClientToken="launch-2")["InstanceId"] != first["InstanceId"]
    assert sum(len(at["Instances"]) for at in ec2.describe_instances()["Reservations"]) == 2


def test_tags_at_launch(ec2, run):
    specification = [
        {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]},
        {"ResourceType": "volume", "Tags": [{"Key": "disk", "Value": "root"}]},
        {"ResourceType": "network-interface", "Tags": [{"Key": "card", "Value": "0"}]},
    ]
    row = run(TagSpecifications=specification)
    assert row["Tags"] == [{"Key": "Name", "Value": "web"}]
    (volume,) = ec2.describe_volumes()["Volumes"]
    assert volume["Tags"] == [{"Key": "disk", "Value": "root"}]
    (card,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert card["TagSet"] == [{"Key": "card", "Value": "0"}]
    with fault("InvalidParameterValue"):
        run(TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}])


def test_several_instances_of_one_launch(ec2, run, ami):
    rows = run(5)
    assert sorted(row["AmiLaunchIndex"] for row in rows) == list(range(5))
    assert len({row["PrivateIpAddress"] for row in rows}) == 5
    (reservation,) = ec2.describe_instances()["Reservations"]
    assert len(reservation["Instances"]) == 5
    assert reservation["ReservationId"].startswith("r-")
    for counts in ({"MinCount": 0, "MaxCount": 1}, {"MinCount": 2, "MaxCount": 1}):
        with fault("InvalidParameterValue"):
            ec2.run_instances(ImageId=ami, InstanceType="t3.micro", **counts)


@pytest.mark.parametrize(
    ("parameters", "code", "message"),
    [
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound", "'[ami-0123456789abc"),
        ({"ImageId": "ami-nothing"}, "InvalidAMIID.Malformed", "ami-nothing"),
        ({"InstanceType": "t3.gigantic"}, "InvalidParameterValue", "t3.gigantic"),
        ({"InstanceType": "m7g.large"}, "InvalidParameterValue", "arm64"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound", "'nobody'"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound", "sg-0123"),
        ({"SecurityGroups": ["nobody"]}, "InvalidGroup.NotFound", "nobody"),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound", "subnet-0123"),
        ({"PrivateIpAddress": "10.1.2.3"}, "InvalidParameterValue", "subnet's address range"),
        ({"PrivateIpAddress": "nowhere"}, "InvalidParameterValue", "nowhere"),
        ({"Placement": {"AvailabilityZone": "us-east-1z"}}, "InvalidParameterValue", "us-east-1z"),
        ({"UserData": "x" * 16385}, "InvalidParameterValue", "16384"),
        ({"CreditSpecification": {"CpuCredits": "endless"}}, "InvalidParameterValue", "endless"),
        (
            {"InstanceType": "m5.large", "CreditSpecification": {"CpuCredits": "standard"}},
            "InvalidParameterCombination", "m5.large",
        ),
        ({"CpuOptions": {"CoreCount": 7, "ThreadsPerCore": 2}}, "InvalidParameterValue", "7"),
        ({"ClientToken": "x" * 65}, "InvalidParameterValue", "64"),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 0}}]},
            "InvalidParameterValue", "volumeSize",
        ),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeType": "gp2"}}]},
            "MissingParameter", "size or snapshotId",
        ),
        (
            {
                "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": []}],
                "SubnetId": "subnet-0123456789abcdef0",
            },
            "InvalidParameterCombination", "Network interfaces",
        ),
        ({"HibernationOptions": {"Configured": True}}, "UnsupportedOperation", "Hibernation"),
        ({"LaunchTemplate": {"LaunchTemplateName": "x"}}, "UnsupportedOperation", "LaunchTemplate"),
        ({"Placement": {"Tenancy": "dedicated"}}, "UnsupportedOperation", "Tenancy"),
    ],
)
def test_launches_that_are_refused(ec2, run, parameters, code, message):
    with fault(code, message):
        run(**parameters)
    assert ec2.describe_instances()["Reservations"] == [], "an error leaves no trace"
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_user_data_that_is_not_base64(ec2, ami):
    def raw(params, **_):
        params["body"]["UserData"] = "***"

    ec2.meta.events.register("before-call.ec2.RunInstances", raw)
    with fault("InvalidUserData.Malformed"):
        ec2.run_instances(
            ImageId=ami, InstanceType="t3.micro", MinCount=1, MaxCount=1, UserData="x"
        )


def test_disks_at_launch(ec2, run):
    row = run(
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 12, "VolumeType": "gp3"}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3, "DeleteOnTermination": False}},
        ]
    )
    running(ec2, row["InstanceId"])
    row = instance(ec2, row["InstanceId"])
    volumes = {at["DeviceName"]: at["Ebs"]["VolumeId"] for at in row["BlockDeviceMappings"]}
    found = {
        at["VolumeId"]: at
        for at in ec2.describe_volumes(VolumeIds=list(volumes.values()))["Volumes"]
    }
    root, data = found[volumes["/dev/xvda"]], found[volumes["/dev/sdf"]]
    assert (root["Size"], root["VolumeType"], root["State"]) == (12, "gp3", "in-use")
    assert root["SnapshotId"].startswith("snap-")
    assert (data["Size"], data["VolumeType"], data["SnapshotId"]) == (3, "gp2", "")
    assert root["Attachments"][0]["State"] == "attached"
    ec2.terminate_instances(InstanceIds=[row["InstanceId"]])
    wait_state(ec2, row["InstanceId"], "terminated")
    until(
        "the root volume is gone",
        lambda: [at["VolumeId"] for at in ec2.describe_volumes()["Volumes"]] == [data["VolumeId"]],
    )
    assert ec2.describe_volumes()["Volumes"][0]["State"] == "available"


def test_network_at_launch(ec2, run):
    vpc = ec2.create_vpc(CidrBlock="10.5.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.5.1.0/24")["Subnet"]["SubnetId"]
    row = run(SubnetId=subnet, PrivateIpAddress="10.5.1.77")
    assert row["PrivateIpAddress"] == "10.5.1.77"
    running(ec2, row["InstanceId"])
    row = instance(ec2, row["InstanceId"])
    assert "PublicIpAddress" not in row, "the subnet gives none"
    assert row["VpcId"] == vpc
    with fault("InvalidIPAddress.InUse"):
        run(SubnetId=subnet, PrivateIpAddress="10.5.1.77")
    with fault("InvalidParameterValue", "reserved"):
        run(SubnetId=subnet, PrivateIpAddress="10.5.1.3")
    other = run(
        NetworkInterfaces=[
            {"DeviceIndex": 0, "SubnetId": subnet, "AssociatePublicIpAddress": True,
             "Description": "primary", "SecondaryPrivateIpAddressCount": 2},
        ]
    )
    (card,) = other["NetworkInterfaces"]
    assert card["Description"] == "primary"
    assert len(card["PrivateIpAddresses"]) == 3
    assert instance(ec2, other["InstanceId"])["PublicIpAddress"]
    own = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    row = run(
        NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": own["NetworkInterfaceId"]}]
    )
    assert row["PrivateIpAddress"] == own["PrivateIpAddress"]
    with fault("InvalidNetworkInterface.InUse"):
        run(NetworkInterfaces=[
            {"DeviceIndex": 0, "NetworkInterfaceId": own["NetworkInterfaceId"]}
        ])
    running(ec2, row["InstanceId"])
    ec2.terminate_instances(InstanceIds=[row["InstanceId"]])
    wait_state(ec2, row["InstanceId"], "terminated")
    ids = [own["NetworkInterfaceId"]]
    (left,) = ec2.describe_network_interfaces(NetworkInterfaceIds=ids)["NetworkInterfaces"]
    assert left["Status"] == "available", "an interface made apart outlives the instance"


def test_filters_of_instances(ec2, run):
    one = run(TagSpecifications=[
        {"ResourceType": "instance", "Tags": [{"Key": "role", "Value": "web-1"}]}
    ])
    two = run(InstanceType="t3.small")
    running(ec2, one["InstanceId"], two["InstanceId"])
    one = instance(ec2, one["InstanceId"])

    def ids(**filters):
        named = [
            {"Name": key.replace("_", "-"), "Values": [value]} for key, value in filters.items()
        ]
        return {
            row["InstanceId"]
            for page in ec2.describe_instances(Filters=named)["Reservations"]
            for row in page["Instances"]
        }

    both = {one["InstanceId"], two["InstanceId"]}
    assert ids(instance_state_name="running") == both
    assert ids(instance_state_code="16") == both
    assert ids(instance_type="t3.sm*") == {two["InstanceId"]}
    assert ids(instance_type="t3.????l") == {two["InstanceId"]}
    assert ids(private_ip_address=one["PrivateIpAddress"]) == {one["InstanceId"]}
    assert ids(ip_address=one["PublicIpAddress"]) == {one["InstanceId"]}
    assert ids(dns_name=one["PublicDnsName"]) == {one["InstanceId"]}
    assert ids(**{"tag:role": "web-*"}) == {one["InstanceId"]}
    assert ids(tag_key="role") == {one["InstanceId"]}
    assert ids(vpc_id=one["VpcId"], instance_type="t3.small") == {two["InstanceId"]}
    assert ids(**{"network-interface.mac-address": one["NetworkInterfaces"][0]["MacAddress"]}) == {
        one["InstanceId"]
    }
    assert ids(**{"block-device-mapping.volume-id":
                  one["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]}) == {one["InstanceId"]}
    assert ids(instance_state_name="stopped") == set()
    with fault("InvalidParameterValue", "The filter 'colour' is invalid"):
        ids(colour="red")
    with fault("FilterLimitExceeded"):
        ec2.describe_instances(
            Filters=[{"Name": "instance-id", "Values": [f"i-{at}" for at in range(201)]}]
        )


def test_pages_of_instances(ec2, run):
    expected = sorted(row["InstanceId"] for row in run(12))
    paginator = ec2.get_paginator("describe_instances")
    pages = list(paginator.paginate(PaginationConfig={"PageSize": 5}))
    counts = [sum(len(at["Instances"]) for at in page["Reservations"]) for page in pages]
    assert counts == [5, 5, 2]
    found = [
        row["InstanceId"]
        for page in pages
        for reservation in page["Reservations"]
        for row in reservation["Instances"]
    ]
    assert sorted(found) == expected
    statuses = ec2.get_paginator("describe_instance_status").paginate(
        IncludeAllInstances=True, PaginationConfig={"PageSize": 7}
    )
    assert [len(page["InstanceStatuses"]) for page in statuses] == [7, 5]
    for size in (4, 1001):
        with fault("InvalidParameterValue"):
            ec2.describe_instances(MaxResults=size)
    with fault("InvalidNextToken"):
        ec2.describe_instances(MaxResults=5, NextToken="***")


def test_credits_of_burstable_instances(ec2, run):
    t3, t2 = run()["InstanceId"], run(InstanceType="t2.micro")["InstanceId"]
    m5 = run(InstanceType="m5.large")["InstanceId"]
    answer = ec2.describe_instance_credit_specifications(InstanceIds=[t3, t2])
    found = {at["InstanceId"]: at["CpuCredits"] for at in answer["InstanceCreditSpecifications"]}
    assert found == {t3: "unlimited", t2: "standard"}
    with fault("InvalidParameterValue", m5):
        ec2.describe_instance_credit_specifications(InstanceIds=[m5])
