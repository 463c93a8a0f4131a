"""A reset with guests that run: answered within a second, and nothing of them is left soon after."""

import http.client
import time

import pytest
from fogbank_cloud import Cloud, started, until
from fogbank_guest import HYPERVISOR, Guests, reachable


@pytest.fixture(scope="module")
def cloud():
    yield from started(Cloud("--trust-any-key", hypervisor=HYPERVISOR))


def by_request(cloud):
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=15)
    connection.request("POST", "/_fogbank/reset")
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def by_command(cloud):
    cloud.fogbank("reset", "--yes")


def volumes(cloud):
    return [folder.name for folder in (cloud.data / "volumes").iterdir() if folder.is_dir()]


@pytest.mark.parametrize("reset", [by_request, by_command])
def test_reset_ends_guests_that_run(cloud, reset):
    guests = Guests(cloud)
    both = [guests.launch(), guests.launch()]
    addresses = [guest.ready().public_ip for guest in both]
    assert len(cloud.guests()) == len(volumes(cloud)) == 2
    began = time.monotonic()
    reset(cloud)
    assert time.monotonic() - began < 1
    assert guests.ec2.describe_instances()["Reservations"] == []
    assert guests.ec2.describe_volumes()["Volumes"] == []
    assert guests.ec2.describe_key_pairs()["KeyPairs"] == []
    until("no VM runs", lambda: cloud.guests() == [], 60)
    until("no volume is left", lambda: volumes(cloud) == [])
    assert not any(reachable(address, 22, 1) for address in addresses)
    assert ": 0 vCPUs and 0 of " in cloud.fogbank("status").stdout
