"""The bus on RabbitMQ, stopped at whatever moment of its connecting."""

import threading
import time

import pytest

from tests.conformance.bus.transports import Amqp
from tests.support.rabbitmq import VirtualHost, is_installed

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not installed"),
]


def test_a_node_that_still_connects_is_stopped_for_good(vhost: VirtualHost) -> None:
    amqp, before = Amqp(vhost), set(threading.enumerate())
    for moment in range(60):
        node = amqp.node("host-1")
        node.start(lambda envelope: None, lambda: b"beat")
        time.sleep(moment % 30 / 1000)
        node.stop()
        assert set(threading.enumerate()) <= before, f"its thread goes on, stopped after {moment % 30} ms"
