"""Reboot, stop, start, shut down, terminate: what stays and what goes."""

import pytest
from fogbank_cloud import alive, fault, until


@pytest.fixture(scope="module")
def three(guests):
    """Three guests for this module, booting together: for stops, a stop from inside, an end."""
    user_data = "#!/bin/sh\necho ran >>/var/lib/user-data-runs\n"
    root = {"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": True}}
    data = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "DeleteOnTermination": False}}
    return (
        guests.launch(UserData=user_data),
        guests.launch(),
        guests.launch(
            InstanceInitiatedShutdownBehavior="terminate", BlockDeviceMappings=[root, data]
        ),
    )


def qemu_of(guests, guest):
    """The QEMU process of an instance."""
    for pid in guests.cloud.guests():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if guest.id.encode() in file.read():
                return pid
    return None


def boot_id(guest):
    return guest.ssh("cat /proc/sys/kernel/random/boot_id")


def test_reboot(guests, three):
    guest = three[0].ready().settled()
    before, first, process = guest.describe(), boot_id(guest), qemu_of(guests, guest)
    guest.ssh("echo kept >/home/ec2-user/file && sync")
    guest.ec2.reboot_instances(InstanceIds=[guest.id])
    # Seen on the console: a login during the reboot would hang on a connection to nobody.
    console = lambda: guest.ec2.get_console_output(InstanceId=guest.id)["Output"]  # noqa: E731
    until("another boot", lambda: console().count("fogbank: ready after") == 2, 120)
    guest.ready()
    assert boot_id(guest) != first
    guest.settled()
    assert guest.ssh("cat /home/ec2-user/file") == "kept"
    assert guest.ssh("cat /var/lib/user-data-runs") == "ran", "user data ran once"
    after = guest.describe()
    for name in ("PublicIpAddress", "PrivateIpAddress", "LaunchTime"):
        assert after[name] == before[name]
    assert qemu_of(guests, guest) == process, "the same VM"


def test_stop_and_start(guests, three):
    guest = three[0].ready().settled()
    before = guest.describe()
    guest.ssh("head -c 8000000 /dev/urandom >/home/ec2-user/data && sync")
    expected = guest.ssh("sha256sum /home/ec2-user/data")
    process = qemu_of(guests, guest)
    assert process
    guest.stop()
    until("its VM has ended", lambda: not alive(process))
    stopped = guest.describe()
    assert "PublicIpAddress" not in stopped
    assert stopped["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    console = guest.ec2.get_console_output(InstanceId=guest.id)["Output"]
    assert "fogbank: poweroff" in console, "the guest was asked, and its console is kept"
    guest.start()
    after = guest.describe()
    assert after["PrivateIpAddress"] == before["PrivateIpAddress"]
    assert after["PublicIpAddress"] != before["PublicIpAddress"]
    assert guest.ssh("sha256sum /home/ec2-user/data") == expected
    guest.settled()
    assert guest.ssh("cat /var/lib/user-data-runs") == "ran", "user data ran once"


def test_another_type_while_stopped(guests, three):
    guest = three[0].ready()
    guest.stop()
    guest.ec2.modify_instance_attribute(InstanceId=guest.id, InstanceType={"Value": "t2.micro"})
    guest.start()
    assert guest.ssh("nproc") == "1"
    assert int(guest.ssh("awk '/MemTotal/ {print $2}' /proc/meminfo")) > 800_000


def test_a_shutdown_from_inside_stops(three):
    guest = three[1].ready()
    guest.power_off()
    until("it is stopped", lambda: guest.state == "stopped", 60)
    assert guest.describe()["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    guest.start()
    assert guest.ssh("id -un") == "ec2-user"


def test_a_shutdown_from_inside_terminates(guests, three):
    guest = three[2].ready()
    disks = guest.describe()["BlockDeviceMappings"]
    volumes = {disk["DeviceName"]: disk["Ebs"]["VolumeId"] for disk in disks}
    (card,) = guest.describe()["NetworkInterfaces"]
    assert guest.ssh("cat /sys/block/nvme1n1/device/serial") == volumes["/dev/sdf"].replace("-", "")
    guest.power_off()
    until("it is terminated", lambda: guest.state == "terminated", 60)
    ids = [{"Name": "volume-id", "Values": list(volumes.values())}]
    until(
        "its root volume is gone",
        lambda: [
            (at["VolumeId"], at["State"])
            for at in guest.ec2.describe_volumes(Filters=ids)["Volumes"]
        ] == [(volumes["/dev/sdf"], "available")],
    )
    cards = [{"Name": "network-interface-id", "Values": [card["NetworkInterfaceId"]]}]
    assert guest.ec2.describe_network_interfaces(Filters=cards)["NetworkInterfaces"] == []
    files = [str(at) for at in (guests.cloud.data / "volumes").rglob("*")]
    assert not any(volumes["/dev/xvda"] in at for at in files), "its blocks are gone"


def test_terminate(guests, three):
    guest = three[1].ready()
    row = guest.describe()
    process = qemu_of(guests, guest)
    guest.terminate()
    assert process and not alive(process)
    gone = guest.describe()
    assert gone["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert gone["BlockDeviceMappings"] == [] and gone["NetworkInterfaces"] == []
    volume = row["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    ids = [{"Name": "volume-id", "Values": [volume]}]
    until("its volume is gone", lambda: not guest.ec2.describe_volumes(Filters=ids)["Volumes"])


def test_a_guest_that_does_not_listen_is_powered_off(three):
    """`Force` doesn't wait for the guest."""
    guest = three[0].ready()
    guest.ssh("sudo killall acpid")
    guest.ec2.stop_instances(InstanceIds=[guest.id], Force=True)
    until("it is stopped", lambda: guest.state == "stopped", 15)
    guest.terminate()


def test_a_type_that_no_host_can_hold(guests):
    """The fault says what is free and what to do, as AWS's own doesn't."""
    with fault("InsufficientInstanceCapacity", status=500) as caught:
        guests.launch(InstanceType="x2iedn.32xlarge")
    message = caught.value.response["Error"]["Message"]
    assert "128 vCPUs" in message
    assert "Choose a smaller instance type" in message
