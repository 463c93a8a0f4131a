"""The Debian 12 image: what an unmodified cloud image with cloud-init makes of this EC2."""

USER_DATA = """#cloud-config
write_files:
  - path: /etc/from-user-data
    content: written by cloud-init
runcmd:
  - echo ran >>/var/lib/user-data-runs
"""

# Asks for a token and prints the TTL of the packets that come back.
HOP_LIMIT = """
import socket, urllib.request
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
raw.settimeout(5)
request = urllib.request.Request(
    "http://169.254.169.254/latest/api/token", method="PUT",
    headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"},
)
urllib.request.urlopen(request, timeout=10).read()
source = socket.inet_aton("169.254.169.254")
while True:
    packet = raw.recv(65535)
    if packet[26:30] == source and len(packet) > 200:
        print(packet[22])
        break
"""


def test_debian(guests):
    root = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 10}}
    guest = guests.launch(
        "debian-12", user="admin", InstanceType="t3.small", UserData=USER_DATA,
        BlockDeviceMappings=[root], MetadataOptions={"HttpPutResponseHopLimit": 7},
    )
    guest.ready(seconds=180)
    done = guest.ssh("cloud-init status --wait --long", check=False, seconds=180).stdout
    assert "status: done" in done, done
    assert "DataSourceEc2" in done, done
    assert guest.ssh("cat /etc/from-user-data") == "written by cloud-init"
    assert guest.ssh("cat /var/lib/user-data-runs") == "ran"
    assert guest.ssh("cloud-init query instance_id") == guest.id
    assert guest.ssh("hostname -f") == guest.describe()["PrivateDnsName"]
    assert int(guest.ssh("df -m --output=size / | tail -1")) > 9000
    assert guest.ssh("systemctl is-system-running --wait || systemctl --failed") == "running"
    assert guest.ssh("lsblk -dno SERIAL /dev/nvme0n1").startswith("vol0")
    assert guest.ssh("sudo python3 -", text=HOP_LIMIT) == "7"
    guest.terminate(seconds=120)
