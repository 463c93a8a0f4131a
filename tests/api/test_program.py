"""The fogbank program and the aws CLI, as people type them."""

import os
import subprocess
import time

import pytest
from fogbank_cloud import Cloud, alive, fault, image, instance, program, started, until, wait_state


@pytest.fixture
def own_cloud():
    """A cloud for one test, which may kill and restart it."""
    yield from started(Cloud())


def test_env_is_for_a_shell(api_cloud):
    script = f'eval "$({program()} env --data {api_cloud.data})"; env'
    out = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    variables = dict(line.partition("=")[::2] for line in out.splitlines())
    assert variables["AWS_ENDPOINT_URL"] == api_cloud.endpoint
    assert variables["AWS_DEFAULT_REGION"] == "us-east-1"
    assert variables["AWS_ACCESS_KEY_ID"].startswith("AKIA")
    assert len(variables["AWS_SECRET_ACCESS_KEY"]) == 40


def test_the_aws_cli(api_cloud):
    identity = api_cloud.aws("sts", "get-caller-identity")
    assert identity["Account"].isdigit()
    ami = api_cloud.aws(
        "ec2", "describe-images", "--owners", "amazon", "--filters",
        "Name=name,Values=fogbank-tiny-*", "--query", "Images[0].ImageId", "--output", "text",
    )
    assert ami.startswith("ami-")
    vpcs = api_cloud.aws("ec2", "describe-vpcs")["Vpcs"]
    assert vpcs[0]["CidrBlock"] == "172.31.0.0/16"
    made = api_cloud.aws(
        "ec2", "run-instances", "--image-id", ami, "--instance-type", "t3.nano",
        "--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value=cli}]",
    )
    instance_id = made["Instances"][0]["InstanceId"]
    api_cloud.aws("ec2", "wait", "instance-running", "--instance-ids", instance_id)
    name = api_cloud.aws(
        "ec2", "describe-instances", "--instance-ids", instance_id, "--query",
        "Reservations[].Instances[].Tags[].Value", "--output", "text",
    )
    assert name == "cli"
    api_cloud.aws("ec2", "terminate-instances", "--instance-ids", instance_id)
    api_cloud.aws("ec2", "wait", "instance-terminated", "--instance-ids", instance_id)
    failed = api_cloud.aws(
        "ec2", "start-instances", "--instance-ids", instance_id, check=False
    )
    assert failed.returncode != 0
    assert "(IncorrectInstanceState) when calling the StartInstances operation" in failed.stderr


def test_status_and_images(api_cloud):
    out = api_cloud.fogbank("status").stdout
    assert api_cloud.endpoint in out
    assert {"supervisor", "server", "agent"} <= set(api_cloud.processes())
    assert "(simulated, connected)" in out
    listed = api_cloud.fogbank("image", "list").stdout
    assert "tiny" in listed and "debian-12" in listed


def test_a_second_up_changes_nothing(api_cloud):
    before = api_cloud.processes()
    done = api_cloud.up()
    assert "running already" in done.stderr
    assert api_cloud.processes() == before


def test_every_command_has_help():
    for words in ([], ["up"], ["down"], ["env"], ["status"], ["ssh"], ["doctor"], ["image"],
                  ["image", "build"], ["objects"], ["objects", "status"], ["objects", "locate"],
                  ["objects", "node"], ["objects", "node", "add"], ["objects", "node", "remove"],
                  ["objects", "scrub"], ["objects", "advance-clock"], ["reset"], ["test"], ["bench"]):
        done = subprocess.run(
            [program(), *words, "--help"], capture_output=True, text=True, check=True
        )
        assert "--data" in done.stdout
        assert len(done.stdout.splitlines()) > 5


def test_commands_on_no_cloud(tmp_path):
    for words in (["env"], ["down"], ["status"], ["reset", "--yes"]):
        done = subprocess.run(
            [program(), *words, "--data", tmp_path / "none"],
            capture_output=True, text=True, check=False,
        )
        said = done.stdout + done.stderr
        assert "fogbank up" in said, said
        assert "panicked" not in said
        if words != ["down"]:
            assert done.returncode != 0


def test_a_port_that_is_taken(api_cloud):
    other = Cloud()
    other.port = api_cloud.port
    try:
        done = other.fogbank(
            "up", "--detach", "--hypervisor", "simulated", "--listen",
            f"127.0.0.1:{other.port}", check=False,
        )
        assert done.returncode != 0
        assert "--listen" in done.stderr
    finally:
        other.destroy()


def test_reset(own_cloud):
    ec2 = own_cloud.client()
    ami = image(ec2)
    ec2.run_instances(ImageId=ami, InstanceType="t3.nano", MinCount=3, MaxCount=3)
    ec2.create_vpc(CidrBlock="10.0.0.0/16")
    began = time.monotonic()
    own_cloud.fogbank("reset", "--yes")
    assert time.monotonic() - began < 1
    assert image(ec2) == ami
    assert len(ec2.describe_vpcs()["Vpcs"]) == 1
    assert ec2.describe_instances()["Reservations"] == []
    ec2.run_instances(ImageId=ami, InstanceType="t3.nano", MinCount=1, MaxCount=1)


def test_state_outlives_killed_processes(own_cloud):
    ec2 = own_cloud.client()
    row = ec2.run_instances(
        ImageId=image(ec2), InstanceType="t3.nano", MinCount=1, MaxCount=1
    )["Instances"][0]
    wait_state(ec2, row["InstanceId"], "running")
    before = instance(ec2, row["InstanceId"])
    for roles in (["server"], ["agent"], ["server", "agent"]):
        killed = own_cloud.kill(*roles)
        own_cloud.replaced(killed)
        until("the endpoint answers", lambda: answers(own_cloud))
        assert instance(ec2, row["InstanceId"]) == before
    ec2.stop_instances(InstanceIds=[row["InstanceId"]])
    wait_state(ec2, row["InstanceId"], "stopped")


def answers(cloud):
    try:
        cloud.client().describe_regions()
    except Exception:  # noqa: BLE001 - whatever it is, it isn't an answer
        return False
    return True


def test_an_answered_call_survives_a_kill(own_cloud):
    """An answer follows the durable commit: what was answered is there after kill -9."""
    ec2 = own_cloud.client()
    made = [ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"] for _ in range(20)]
    own_cloud.replaced(own_cloud.kill("server"))
    until("the endpoint answers", lambda: answers(own_cloud))
    assert set(made) <= {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]}


def test_the_supervisor_killed_and_up_again(own_cloud):
    ec2 = own_cloud.client()
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    before = own_cloud.kill("supervisor")
    left = own_cloud.processes()
    assert alive(left["server"]) and alive(left["agent"])
    assert answers(own_cloud)
    own_cloud.up()
    assert own_cloud.processes()["supervisor"] != before["supervisor"]
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]


def test_a_full_log_makes_room_while_its_process_runs(own_cloud):
    log, old = (own_cloud.data / "log" / name for name in ("supervisor.log", "supervisor.log.old"))
    before = own_cloud.processes()["supervisor"]
    os.truncate(log, 8 << 20)
    # Each agent that is started again is a line in the supervisor's log.
    for _ in range(2):
        own_cloud.replaced(own_cloud.kill("agent"))
    assert old.stat().st_size == 8 << 20
    assert log.read_text().count("the agent ended") == 2
    assert own_cloud.processes()["supervisor"] == before


def test_down_and_up(own_cloud):
    ec2 = own_cloud.client()
    rows = ec2.run_instances(
        ImageId=image(ec2), InstanceType="t3.nano", MinCount=2, MaxCount=2
    )["Instances"]
    runs, stopped = (row["InstanceId"] for row in rows)
    wait_state(ec2, runs, "running")
    wait_state(ec2, stopped, "running")
    ec2.stop_instances(InstanceIds=[stopped])
    wait_state(ec2, stopped, "stopped")
    private = instance(ec2, runs)["PrivateIpAddress"]
    own_cloud.down()
    assert own_cloud.processes() == {}
    own_cloud.up()
    wait_state(ec2, runs, "running")
    assert instance(ec2, runs)["PrivateIpAddress"] == private
    assert instance(ec2, stopped)["State"]["Name"] == "stopped"


def test_two_clouds_side_by_side(api_cloud, own_cloud):
    assert api_cloud.endpoint != own_cloud.endpoint
    one, other = api_cloud.client(), own_cloud.client()
    made = one.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    with fault("InvalidVpcID.NotFound"):
        other.describe_vpcs(VpcIds=[made])
    with fault("AuthFailure", status=401):
        api_cloud.client(key=own_cloud.key, secret=own_cloud.secret).describe_vpcs()
    assert not api_cloud.pool().overlaps(own_cloud.pool())
