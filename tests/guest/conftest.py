"""Clouds with real guests. Tests share guests where they leave them as they were."""

import pytest
from fogbank_cloud import Cloud, started
from fogbank_dns import Resolver
from fogbank_guest import HYPERVISOR, Guests

USER_DATA = """#!/bin/sh
# Counts its runs, so that a second one would be seen.
echo ran >>/var/lib/user-data-runs
hostname >/var/lib/user-data-hostname
"""


@pytest.fixture(scope="session")
def resolver():
    """Who the shared cloud asks for names outside of its VPCs."""
    resolver = Resolver()
    yield resolver
    resolver.close()


@pytest.fixture(scope="session")
def guest_cloud(resolver):
    yield from started(Cloud("--resolver", resolver.address, hypervisor=HYPERVISOR))


@pytest.fixture
def newcomers_cloud():
    """A cloud as after the first `up`."""
    yield from started(Cloud(hypervisor=HYPERVISOR))


@pytest.fixture(scope="session")
def guests(guest_cloud):
    return Guests(guest_cloud)


@pytest.fixture(scope="session")
def launched(guests):
    """The two shared guests, booting at the same time."""
    web_group, app_group = guests.group("web"), guests.group("app")
    root = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 3}}
    one = guests.launch(
        UserData=USER_DATA, InstanceType="t3.micro", BlockDeviceMappings=[root],
        SecurityGroupIds=[guests.login, web_group],
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "one"}]}
        ],
    )
    other = guests.launch(SecurityGroupIds=[guests.login, app_group])
    one.group, other.group = web_group, app_group
    return one, other


@pytest.fixture(scope="session")
def one(launched):
    """A guest with user data, 2 vCPUs and a root volume of 3 GiB."""
    return launched[0].ready()


@pytest.fixture(scope="session")
def other(launched):
    """A second guest in the same VPC."""
    return launched[1].ready()
