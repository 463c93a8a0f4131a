"""The session that the README shows to newcomers, word for word, in a shell."""

import os
import subprocess

from fogbank_cloud import program
from fogbank_guest import Guest

SESSION = """
set -eu
eval "$({fogbank} env --data {data})"
aws ec2 create-key-pair --key-name me --query KeyMaterial --output text > me.pem; chmod 600 me.pem
AMI=$(aws ec2 describe-images --owners amazon --filters 'Name=name,Values=fogbank-tiny-*' \
  --query 'Images[0].ImageId' --output text)
aws ec2 authorize-security-group-ingress --group-name default --protocol tcp --port 22 \
  --cidr 0.0.0.0/0 > rule.json
ID=$(aws ec2 run-instances --image-id $AMI --instance-type t3.micro --key-name me \
  --user-data file://hello.sh --query 'Instances[0].InstanceId' --output text)
aws ec2 wait instance-running --instance-ids $ID
IP=$(aws ec2 describe-instances --instance-ids $ID \
  --query 'Reservations[0].Instances[0].PublicIpAddress' --output text)
echo $ID $IP
"""

LOGIN = "ssh -i me.pem -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null ec2-user@"


def shell(cloud, folder, script, seconds=180):
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=cloud.environment(), capture_output=True,
        text=True, timeout=seconds, stdin=subprocess.DEVNULL, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_the_newcomers_session(newcomers_cloud, tmp_path):
    cloud = newcomers_cloud
    (tmp_path / "hello.sh").write_text("#!/bin/sh\necho hello from $(hostname) >/hello\n")
    out = shell(cloud, tmp_path, SESSION.format(fogbank=program(), data=cloud.data))
    instance_id, address = out.split()
    guest = Guest(cloud.client(), instance_id, tmp_path / "me.pem").ready()
    assert shell(cloud, tmp_path, f"{LOGIN}{address} whoami") == "ec2-user"
    guest.settled()
    assert shell(cloud, tmp_path, f"{LOGIN}{address} cat /hello").startswith("hello from ip-172-31")
    # The shorter way: the key is found by its name, the user by the image's.
    env = dict(os.environ)
    done = subprocess.run(
        [program(), "ssh", "--data", cloud.data, instance_id, "id", "-un"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout.strip() == "ec2-user", done.stderr
