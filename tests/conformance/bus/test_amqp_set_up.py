"""Brokers on which something is not as it should be when an end of the bus sets its connection up."""

from collections.abc import Iterator

import pytest

from bus.amqp_node import AmqpNodeBus
from bus.amqp_topology import EXCHANGE, REPORT_QUEUE_ARGUMENTS, SHARDS, controller_permissions, report_queue, shard_of
from bus.amqp_url import Account, parse_broker_url
from bus.port import Received
from tests.conformance.bus.transports import Amqp, eventually
from tests.support.logs import capture_logs
from tests.support.rabbitmq import VirtualHost, is_installed

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not installed"),
]

REPORTS_ALONE = r"^drumbeat\.reports\..*$"


@pytest.fixture
def amqp(vhost: VirtualHost) -> Iterator[Amqp]:
    made = Amqp(vhost, retry_cap=5.0)
    try:
        yield made
    finally:
        made.close()


def test_a_broker_that_ends_each_connection_once_it_is_set_up_is_asked_less_and_less(amqp: Amqp) -> None:
    """The controller may read reports and not publish: each connection ends with the first assignment that is due."""
    amqp.vhost.rabbitmq.permit("drumbeat", amqp.vhost.name, **controller_permissions() | {"write": REPORTS_ALONE})
    node, reports = amqp.node("host-1"), list[Received]()
    with capture_logs("bus") as logs:
        controller = amqp.start_controller(reports.append)
        eventually(amqp, lambda: controller._ready, "queues, without which the node would complain too")
        ends, since = list[float](), controller._connection._clock.monotonic
        down = controller.down
        controller.down = lambda: (ends.append(since()), down())[1]
        controller.publish("host-1", b"refused")
        node.start(lambda _: None, lambda: b"beat")
        eventually(amqp, lambda: len(ends) >= 6, "connections that end")
        assert ends[0] <= (controller._connection._away_since or 0.0) <= ends[1]
    assert [line["event"] for line in logs] == ["the broker cannot be used; trying again until it can"]
    assert "ACCESS_REFUSED" in logs[0]["why"]


def test_a_controller_that_starts_makes_bindings_that_were_lost(amqp: Amqp) -> None:
    controller, reports = amqp.start_controller(lambda received: None), list[Received]()
    eventually(amqp, lambda: controller._ready)
    amqp.stop_controller()
    shard = shard_of("host-1")
    binding = f"bindings/{amqp.vhost.name}/e/{EXCHANGE}/q/{report_queue(shard)}/{shard}"
    amqp.vhost.rabbitmq.ask("DELETE", binding)
    amqp.start_controller(reports.append)
    amqp.node("host-1").start(lambda _: None, lambda: b"beat")
    eventually(amqp, lambda: bool(reports), "a report of the shard that had lost its binding")


def test_queues_of_an_older_version_are_named_and_used(amqp: Amqp) -> None:
    older = REPORT_QUEUE_ARGUMENTS | {"x-max-length": 1000}
    rabbitmq, name = amqp.vhost.rabbitmq, amqp.vhost.name
    rabbitmq.ask("PUT", f"exchanges/{name}/{EXCHANGE}", {"type": "direct", "durable": True})
    for shard in range(SHARDS):
        rabbitmq.ask("PUT", f"queues/{name}/{report_queue(shard)}", {"durable": True, "arguments": older})
        bind = f"bindings/{name}/e/{EXCHANGE}/q/{report_queue(shard)}"
        rabbitmq.ask("POST", bind, {"routing_key": str(shard)})
    reports = list[Received]()
    with capture_logs("bus") as logs:
        amqp.start_controller(reports.append)
        amqp.node("host-1").start(lambda _: None, lambda: b"beat")
        eventually(amqp, lambda: bool(reports), "a report through a queue of an older version")
    assert any("PRECONDITION_FAILED - inequivalent arg" in line.get("why", "") for line in logs), logs


@pytest.mark.parametrize("name", ["rabbit..example", f"{'a' * 64}.example"])
def test_a_name_that_cannot_be_one_is_a_broker_that_is_away(amqp: Amqp, name: str) -> None:
    """It is said once, and is no defect."""
    node = AmqpNodeBus(parse_broker_url(f"amqps://{name}"), "h1", Account("h1", "p"), interval=1.0)
    with capture_logs("bus") as logs:
        node.start(lambda _: None, lambda: b"beat")
        eventually(amqp, lambda: any("label" in line["why"] for line in logs if "why" in line))
        node.stop()
    assert {line["log_level"] for line in logs} == {"warning"}, logs


def test_a_broker_that_is_back_for_a_while_is_said_to_be_back(amqp: Amqp) -> None:
    controller = amqp.start_controller(lambda received: controller.settle([received]))
    eventually(amqp, lambda: controller._ready)
    with capture_logs("bus") as logs:
        amqp.vhost.rabbitmq.close_connections("drumbeat")
        eventually(amqp, lambda: logs[-1:] and logs[-1]["event"] == "the broker is back")
    assert controller._connection._away_since is None
