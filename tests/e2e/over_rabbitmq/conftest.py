"""The fleet of this folder: each scenario begins and ends with a converged one, under load all the while."""

from collections.abc import Iterator

import pytest

from controller.demo.rabbitmq import is_installed
from tests.support.fleet import Rig, started


@pytest.fixture(scope="package")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A running fleet on a RabbitMQ of its own."""
    if not is_installed():
        pytest.skip("rabbitmq-server is not installed")
    yield from started(tmp_path_factory.mktemp("fleet"), balancers=1, bus="amqp")
