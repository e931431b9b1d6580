"""What tests of one transport share."""

from collections.abc import Iterator

import pytest

from tests.conformance.bus.transports import Amqp
from tests.support.rabbitmq import VirtualHost


@pytest.fixture
def amqp(vhost: VirtualHost) -> Iterator[Amqp]:
    """Both ends over a virtual host of the test's own."""
    made = Amqp(vhost)
    try:
        yield made
    finally:
        made.close()
