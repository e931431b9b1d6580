"""The bus on RabbitMQ in a large fleet, most of which is away."""

import time

import pytest

from tests.conformance.bus.transports import Amqp, eventually
from tests.support.rabbitmq import VirtualHost, is_installed

AWAY = 40_000
MOST = 8.0
"""Seconds of this process's CPU time; less than one is usual, 18 if all that are due are looked at for each one."""

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not installed"),
]


def test_assignments_for_nodes_that_are_away_do_not_hold_up_the_others(vhost: VirtualHost) -> None:
    amqp, got = Amqp(vhost), list[bytes]()
    try:
        controller = amqp.start_controller(lambda received: controller.settle([received]))
        amqp.node("host-1").start(got.append, lambda: b"beat")
        controller.publish("host-1", b"first")
        eventually(amqp, lambda: got == [b"first"], "the first assignment")
        begun = time.process_time()
        for number in range(AWAY):
            controller.publish(f"away-{number}", b"waits")
        controller.publish("host-1", b"second")
        eventually(amqp, lambda: got[-1:] == [b"second"], "the assignment behind those of nodes that are away")
        assert time.process_time() - begun < MOST
    finally:
        amqp.close()
