"""What the bus on RabbitMQ promises beyond the port: after whatever happens it is whole again by itself."""

import datetime
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from bus.amqp_controller import AmqpControllerBus
from bus.amqp_node import AmqpNodeBus
from bus.amqp_topology import EXCHANGE, node_queue, report_queue, shard_of
from bus.amqp_url import Account, parse_broker_url
from bus.port import Received
from tests.conformance.bus.transports import INTERVAL, MAX_ENVELOPE, Amqp, eventually
from tests.support.certificates import Authority
from tests.support.logs import capture_logs
from tests.support.ports import free_port, own_address
from tests.support.rabbitmq import is_installed, running

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not installed"),
]


class Pair:
    """A controller and some nodes, and what has reached each of them."""

    def __init__(self, amqp: Amqp, nodes: int = 1) -> None:
        self.amqp = amqp
        self.reports: list[Received] = []
        self.assignments: dict[str, list[bytes]] = {}
        self.controller = amqp.start_controller(self._receive)
        self.nodes = {f"host-{number}": amqp.node(f"host-{number}") for number in range(1, nodes + 1)}
        self._round = 0
        for name, node in self.nodes.items():
            got = self.assignments[name] = []
            node.start(got.append, lambda: b"beat")
        self.exchange()

    def _receive(self, received: Received) -> None:
        self.reports.append(received)
        self.controller.settle([received])

    def exchange(self) -> None:
        """Wait until a new report of each node has come, and a new assignment has reached it."""
        self._round += 1
        for name, node in self.nodes.items():
            node.send(b"report %d" % self._round)
            self.controller.publish(name, b"assignment %d" % self._round)
        eventually(self.amqp, self._exchanged, "reports and assignments, both ways")

    def _exchanged(self) -> bool:
        reports = {one.node for one in self.reports if one.envelope == b"report %d" % self._round}
        newest = b"assignment %d" % self._round
        return reports == set(self.nodes) and all(got[-1:] == [newest] for got in self.assignments.values())

    def beats(self) -> int:
        return sum(one.envelope == b"beat" for one in self.reports)


def publish(amqp: Amqp, user: str, body: bytes, shard: str = "0", **properties: Any) -> None:
    """Publish as somebody might who has that account and a program of his own."""
    url = amqp.vhost.url_of(user, f"{user}'s")
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(EXCHANGE, shard, body, pika.BasicProperties(**properties))


# -- who is believed


def test_nobody_reports_under_another_s_name(amqp: Amqp) -> None:
    pair = Pair(amqp, nodes=2)
    seen = len(pair.reports)
    with pytest.raises(ChannelClosedByBroker, match="user_id"):
        publish(amqp, "host-2", b"forged", user_id="host-1")
    publish(amqp, "host-2", b"nobody's")
    publish(amqp, "host-2", b"elsewhere", user_id="host-2", reply_to=node_queue("host-1", 7))
    publish(amqp, "host-2", b"x" * (MAX_ENVELOPE + 1), user_id="host-2")
    refused = [("", "no_sender"), ("host-2", "wrong_reply_to"), ("host-2", "too_large")]
    eventually(amqp, lambda: amqp.refused == refused, f"{amqp.refused}")
    pair.exchange()
    fresh = {one.envelope for one in pair.reports[seen:]}
    assert fresh <= {b"beat", b"report 1", b"report 2"}
    assert amqp.vhost.waiting(report_queue(0)) == 0


def test_an_assignment_that_is_too_large_is_ignored(amqp: Amqp) -> None:
    controller = amqp.start_controller(lambda received: None)
    amqp.add("host-1")
    got: list[bytes] = []
    node = AmqpNodeBus(amqp.url, "host-1", Account("host-1", "host-1's"), interval=INTERVAL, max_envelope=10)
    try:
        node.start(got.append, lambda: b"beat")
        controller.publish("host-1", b"much too large")
        with capture_logs("bus") as logs:
            eventually(amqp, lambda: any("too large" in line["event"] for line in logs))
        controller.publish("host-1", b"small")
        eventually(amqp, lambda: got == [b"small"])
        with capture_logs("bus") as logs:
            node.send(b"much too large")
            eventually(amqp, lambda: any("too large" in line["event"] for line in logs))
    finally:
        node.stop()


def test_a_wrong_password_is_told_to_the_node_s_operator_without_it(amqp: Amqp) -> None:
    with capture_logs("bus") as logs:
        node = amqp.node("host-1", credentials_of="host-2")
        node.start(lambda envelope: None, lambda: b"beat")
        eventually(amqp, lambda: bool(logs))
        node.stop()
    assert "ACCESS_REFUSED" in logs[0]["why"]
    assert "host-2's" not in str(logs)
    assert [line["log_level"] for line in logs] == ["warning"]


# -- reports that cannot be taken


def publish_unreadable(amqp: Amqp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header with a time so late that reading it is an error, in the midst of reading the connection."""
    with monkeypatch.context() as patched:
        patched.setattr("calendar.timegm", lambda _: 2**62)
        headers = {"at": datetime.datetime.now(datetime.UTC)}
        publish(amqp, "host-1", b"unreadable", str(shard_of("host-1")), user_id="host-1", headers=headers)


def test_a_poisoned_report_is_dropped_and_blocks_nothing(amqp: Amqp, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the receiver chokes on, a name that is no text, and what cannot even be read."""
    good: list[bytes] = []

    def receive(received: Received) -> None:
        if received.envelope == b"poison":
            raise RuntimeError("cannot stand it")
        good.append(received.envelope)
        controller.settle([received])

    controller = amqp.start_controller(receive)
    amqp.add("host-1")
    node = amqp.node("host-1")
    node.start(lambda envelope: None, lambda: b"beat")
    eventually(amqp, lambda: bool(good))
    with capture_logs("bus") as logs:
        publish(amqp, "host-1", b"poison", str(shard_of("host-1")), user_id="host-1")
        eventually(amqp, lambda: any("is dropped" in line["event"] for line in logs))
    publish(amqp, "host-1", b"odd", str(shard_of("host-1")), user_id="host-1", reply_to=b"\xff\xfe")
    publish_unreadable(amqp, monkeypatch)
    # What was delivered beside it, as often as it, is dropped with it; what follows is not.
    seen = len(good)
    eventually(amqp, lambda: len(good) >= seen + 3, "more heartbeats")
    node.send(b"1")
    eventually(amqp, lambda: b"1" in good)
    eventually(amqp, lambda: amqp.vhost.waiting(report_queue(shard_of("host-1"))) == 0, "an empty queue")


def test_one_report_that_is_never_settled_holds_up_no_other(amqp: Amqp) -> None:
    kept: list[Received] = []
    others: list[Received] = []

    def receive(received: Received) -> None:
        if not kept:
            kept.append(received)
        else:
            others.append(received)
            controller.settle([received])

    controller = amqp.start_controller(receive, backlog=8)
    nodes = [amqp.node(f"host-{number}") for number in range(1, 5)]
    for node in nodes:
        node.start(lambda envelope: None, lambda: b"beat")
    eventually(amqp, lambda: bool(kept))
    eventually(amqp, lambda: len(others) >= 20, "more than the broker gives out at once")
    for node in nodes:
        node.stop()
    queues = [report_queue(shard) for shard in range(4)]
    eventually(amqp, lambda: sum(map(amqp.vhost.waiting, queues)) == 1, "all but one acknowledged")


def test_what_was_not_settled_comes_again_to_the_next_controller(amqp: Amqp) -> None:
    first: list[bytes] = []
    amqp.start_controller(lambda received: first.append(received.envelope))
    node = amqp.node("host-1")
    node.start(lambda envelope: None, lambda: b"beat")
    node.send(b"1")
    eventually(amqp, lambda: b"1" in first)
    node.stop()
    amqp.stop_controller()
    second: list[bytes] = []
    amqp.start_controller(lambda received: second.append(received.envelope))
    eventually(amqp, lambda: b"1" in second)
    assert second[: len(first)] == first


def test_an_assignment_that_the_agent_failed_to_take_comes_again(amqp: Amqp) -> None:
    controller, got = amqp.start_controller(lambda received: None), []

    def fail_at_first(envelope: bytes) -> None:
        got.append(envelope)
        if len(got) == 1:
            raise RuntimeError("not today")

    amqp.node("host-1").start(fail_at_first, lambda: b"beat")
    controller.publish("host-1", b"1")
    eventually(amqp, lambda: got == [b"1", b"1"])


def test_what_reaches_nobody_is_counted(amqp: Amqp) -> None:
    pair = Pair(amqp)
    pair.nodes["host-1"].stop()
    pair.controller.publish("host-1", b"late")
    eventually(amqp, lambda: amqp.lost == ["unroutable"])


# -- trouble with the connection


def the_broker_closes_every_connection(pair: Pair) -> None:
    for user in ("drumbeat", "host-1", "host-2"):
        pair.amqp.vhost.rabbitmq.close_connections(user)


def somebody_deletes_a_node_s_queue(pair: Pair) -> None:
    node = pair.nodes["host-1"]
    node._connection.call(lambda: node._channel.queue_delete(node._queue))


def somebody_deletes_the_queues_of_reports(pair: Pair) -> None:
    for shard in range(4):
        pair.amqp.vhost.delete_queue(report_queue(shard))


def somebody_deletes_the_exchange(pair: Pair) -> None:
    pair.amqp.vhost.rabbitmq.ask("DELETE", f"exchanges/{pair.amqp.vhost.name}/{EXCHANGE}")


def somebody_unbinds_and_deletes_everything(pair: Pair) -> None:
    somebody_deletes_the_exchange(pair)
    somebody_deletes_the_queues_of_reports(pair)


def a_channel_breaks_the_rules(pair: Pair) -> None:
    """An unknown delivery tag: the broker closes the channel."""
    for bus in (pair.controller, pair.nodes["host-1"]):
        bus._connection.call(lambda bus=bus: bus._channel.basic_ack(999_999))


def a_part_of_the_bus_fails(pair: Pair) -> None:
    for bus in (pair.controller, pair.nodes["host-1"]):
        bus._connection.call(lambda: 1 / 0)


@pytest.mark.parametrize(
    "trouble",
    [
        the_broker_closes_every_connection,
        somebody_deletes_a_node_s_queue,
        somebody_deletes_the_queues_of_reports,
        somebody_deletes_the_exchange,
        somebody_unbinds_and_deletes_everything,
        a_channel_breaks_the_rules,
        a_part_of_the_bus_fails,
    ],
)
def test_it_is_whole_again_after(trouble: Callable[[Pair], None], amqp: Amqp) -> None:
    pair = Pair(amqp, nodes=2)
    trouble(pair)
    pair.exchange()
    pair.exchange()


def test_a_broker_without_memory_is_waited_for(amqp: Amqp) -> None:
    pair = Pair(amqp, nodes=2)
    blocked = [bus._connection for bus in (pair.controller, *pair.nodes.values())]
    with amqp.vhost.rabbitmq.memory_alarm():
        for name, node in pair.nodes.items():
            node.send(b"in the alarm")
            pair.controller.publish(name, b"in the alarm")
        eventually(amqp, lambda: all(one.blocked for one in blocked), "word that the broker takes nothing")
        for name, node in pair.nodes.items():
            node.send(b"newest")
            pair.controller.publish(name, b"newest")
    eventually(amqp, lambda: all(got[-1] == b"newest" for got in pair.assignments.values()))
    eventually(amqp, lambda: {one.node for one in pair.reports if one.envelope == b"newest"} == set(pair.nodes))
    pair.exchange()


def test_stopping_is_quick_while_the_broker_has_no_memory(amqp: Amqp) -> None:
    pair = Pair(amqp)
    with amqp.vhost.rabbitmq.memory_alarm():
        eventually(amqp, lambda: pair.nodes["host-1"]._connection.blocked)
        before = time.monotonic()
        pair.nodes["host-1"].stop()
        assert time.monotonic() - before < 10


def test_any_of_several_brokers_will_do(amqp: Amqp) -> None:
    amqp.url = parse_broker_url(amqp.vhost.url.replace("amqp://", "amqp://127.0.0.1:1,"))
    Pair(amqp, nodes=3)


def test_a_broker_that_was_killed_is_found_again(tmp_path: Path) -> None:
    with running(tmp_path / "node") as rabbitmq, rabbitmq.vhost() as vhost:
        amqp = Amqp(vhost, retry_cap=5.0)
        try:
            pair = Pair(amqp, nodes=5)
            rabbitmq.kill()
            for name, node in pair.nodes.items():
                node.send(b"meanwhile")
                pair.controller.publish(name, b"meanwhile")
            rabbitmq.start()
            opened = time.monotonic()
            everybody = set(pair.nodes)
            eventually(amqp, lambda: all(got[-1] == b"meanwhile" for got in pair.assignments.values()))
            eventually(amqp, lambda: {one.node for one in pair.reports if one.envelope == b"meanwhile"} == everybody)
            assert time.monotonic() - opened < 10
            pair.exchange()
        finally:
            amqp.close()


def test_a_broker_that_is_frozen_is_left_and_found_again(tmp_path: Path) -> None:
    """Its sockets stay open, and nothing comes: only heartbeats tell."""
    with running(tmp_path / "node") as rabbitmq, rabbitmq.vhost() as vhost:
        amqp = Amqp(vhost, heartbeat=2)
        try:
            pair = Pair(amqp, nodes=2)
            os.kill(rabbitmq.process.pid, signal.SIGSTOP)
            ends = [pair.controller, *pair.nodes.values()]
            eventually(amqp, lambda: all(end._connection._away_since is not None for end in ends), "word of it")
            os.kill(rabbitmq.process.pid, signal.SIGCONT)
            pair.exchange()
        finally:
            amqp.close()


def test_tls_both_ways(tmp_path: Path) -> None:
    """The ends believe only the broker that an authority of their own vouches for, and the broker asks the same."""
    authority = Authority(tmp_path)
    server, client = authority.issue("broker", own_address()), authority.issue("client")
    port = free_port()
    tls = [
        f"listeners.ssl.1 = {own_address()}:{port}",
        f"ssl_options.cacertfile = {authority.file}",
        f"ssl_options.certfile = {server.file}",
        f"ssl_options.keyfile = {server.key}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
    ]
    with running(tmp_path / "node", lines=tls) as rabbitmq, rabbitmq.vhost() as vhost:
        url = parse_broker_url(f"amqps://{own_address()}:{port}/{vhost.name}")
        vhost.add_user("drumbeat", "controller's")
        vhost.add_user("host-1", "host-1's")
        own = {"ca": authority.file, "certificate": client.file, "key": client.key}
        got: list[bytes] = []
        reports: list[bytes] = []
        controller = AmqpControllerBus(url, Account("drumbeat", "controller's", **own), random=Random(1))
        node = AmqpNodeBus(url, "host-1", Account("host-1", "host-1's", **own), interval=INTERVAL)
        doubting = AmqpNodeBus(url, "host-1", Account("host-1", "host-1's"), interval=INTERVAL)
        try:
            controller.start(lambda received: reports.append(received.envelope))
            node.start(got.append, lambda: b"beat")
            controller.publish("host-1", b"1")
            node.send(b"x" * 100_000)
            deadline = time.monotonic() + 30
            while not (got == [b"1"] and b"x" * 100_000 in reports):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            with capture_logs("bus") as logs:
                doubting.start(got.append, lambda: b"beat")
                while not logs:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
            assert "certificate verify failed" in logs[0]["why"]
        finally:
            for bus in (controller, node, doubting):
                bus.stop()
