"""Clouds for the tests. Whatever fails shows the logs of the clouds that it used."""

import itertools

import pytest
from fogbank_cloud import Cloud, image, running, started

_accounts = itertools.count(100_000_000_001)


@pytest.fixture(scope="session")
def api_cloud():
    """A cloud of simulated instances, which verifies signatures."""
    yield from started(Cloud())


@pytest.fixture(scope="session")
def open_cloud():
    """A cloud of simulated instances for any key: each test has an account of its own in it."""
    yield from started(Cloud("--trust-any-key"))


@pytest.fixture
def account():
    """An account that no other test has."""
    return str(next(_accounts))


@pytest.fixture
def ec2(open_cloud, account):
    """EC2 in a new account."""
    return open_cloud.client(key=account, secret="any")


@pytest.fixture
def ami(ec2):
    """The tiny quick-start image."""
    return image(ec2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for cloud in running:
            report.sections.append((f"logs of {cloud.data}", cloud.logs()))
