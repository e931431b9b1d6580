"""How tests are spread over workers, and what they share."""

import os
from collections.abc import Iterator

import hypothesis
import pytest
import structlog
from xdist.scheduler import LoadScopeScheduling

from tests.support.rabbitmq import RabbitMq, VirtualHost, is_installed, running


class Spread(LoadScopeScheduling):
    """One by one, but a folder below tests/e2e is one worker's: its scenarios share a fleet, which is started once."""

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.partition("::")[0].rpartition("/")[0]
        return folder if "/e2e/" in folder else nodeid


def pytest_configure() -> None:
    """Called by pytest. How long an example takes says nothing on a busy machine.

    Under a hook or ``git rebase --exec`` git names its repository in the environment: tests would commit to that one.
    """
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]
    hypothesis.settings.register_profile("drumbeat", deadline=None)
    hypothesis.settings.load_profile("drumbeat")


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Spread:
    """Called by pytest-xdist, once."""
    return Spread(config, log)


@pytest.fixture(autouse=True)
def _logs_as_ever() -> Iterator[None]:
    """What one test says of logging is not the next one's: programs configure it for their whole process."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """One RabbitMQ for all tests of a worker; a test that kills it starts one of its own."""
    if not is_installed():
        pytest.skip("rabbitmq-server is not installed")
    with running(tmp_path_factory.mktemp("rabbitmq") / "node") as node:
        yield node


@pytest.fixture
def vhost(rabbitmq: RabbitMq) -> Iterator[VirtualHost]:
    """A virtual host for one test."""
    with rabbitmq.vhost() as made:
        yield made
