"""The bus on RabbitMQ without a broker: URLs, names of queues, books of what is under way."""

import re
import socket

import pytest
from pika.adapters.select_connection import IOLoop

from bus.amqp_connection import _Services
from bus.amqp_settling import Deliveries, Publications
from bus.amqp_topology import SHARDS, node_of_queue, node_permissions, node_queue, shard_of
from bus.amqp_url import BadBrokerUrl, BrokerUrl, parse_broker_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amqp://localhost", BrokerUrl((("localhost", 5672),))),
        ("amqp://127.0.0.2,[::1]:1", BrokerUrl((("127.0.0.2", 5672), ("::1", 1)))),
        ("amqps://mq/", BrokerUrl((("mq", 5671),), tls=True)),
        (
            "amqps://mq-1.example.com:5671,mq-2,[::1]:99/drumbeat",
            BrokerUrl((("mq-1.example.com", 5671), ("mq-2", 5671), ("::1", 99)), "drumbeat", tls=True),
        ),
        ("amqp://drum%20beat@127.0.0.1:1/a%2Fb", BrokerUrl((("127.0.0.1", 1),), "a/b", "drum beat")),
    ],
)
def test_urls_are_read(text: str, expected: BrokerUrl) -> None:
    assert parse_broker_url(text) == expected


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("amqp://", "write amqps://HOST:PORT,HOST:PORT/VHOST"),
        ("amqp://mq/a/b", "write amqps://HOST:PORT,HOST:PORT/VHOST"),
        ("amqp://mq?heartbeat=1", "write amqps://HOST:PORT,HOST:PORT/VHOST"),
        ("amqp://me:secret@mq", "leave out ':PASSWORD'"),
        ("amqp://mq:0", "is not HOST:PORT"),
        ("amqp://mq:65536", "is not HOST:PORT"),
        ("amqp://a,,b", "is not HOST:PORT"),
        ("amqp://mq", "write amqps://, or loopback addresses"),
        ("amqp://127.0.0.1,10.0.0.1/drumbeat", "write amqps://, or loopback addresses"),
        ("amqp://localhost.example.com", "write amqps://, or loopback addresses"),
        ("amqp://[::]:5672", "write amqps://, or loopback addresses"),
    ],
)
def test_bad_urls_are_explained_without_the_password(text: str, advice: str) -> None:
    with pytest.raises(BadBrokerUrl) as refused:
        parse_broker_url(text)
    assert advice in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_queue_belongs_to_one_node_alone() -> None:
    """Names have dots: what is below another node's name must not be taken for its own."""
    assert node_of_queue(node_queue("a.b", 7)) == "a.b"
    for foreign in (
        "drumbeat.node.a",
        "drumbeat.node.a.b.zz",
        "drumbeat.reports.0",
        "",
        "xdrumbeat.node.a." + "0" * 16,
    ):
        assert node_of_queue(foreign) is None
    allowed = re.compile(node_permissions("a")["read"])
    assert allowed.search(node_queue("a", 7))
    assert not allowed.search(node_queue("a.b", 7))
    assert not allowed.search(node_queue("axb", 7))


def test_a_node_s_shard_never_changes() -> None:
    assert [shard_of(f"host-{number}") for number in range(4)] == [1, 3, 1, 3]
    assert {shard_of(f"node-{number:03}") for number in range(100)} == set(range(SHARDS))


def test_what_is_settled_without_a_gap_is_acknowledged_at_once() -> None:
    deliveries = Deliveries()
    for tag in range(1, 7):
        deliveries.came(tag)
    assert deliveries.run() is None
    for tag in (2, 1, 5):
        deliveries.settle(tag)
    assert deliveries.run() == 2
    assert deliveries.run() is None
    assert deliveries.first == 3


def test_one_that_is_never_settled_does_not_hold_the_others() -> None:
    deliveries = Deliveries()
    for tag in range(1, 6):
        deliveries.came(tag)
    for tag in (4, 2):
        deliveries.settle(tag)
    assert deliveries.behind() == [2, 4]
    assert deliveries.behind() == []
    for tag in (1, 3):
        deliveries.settle(tag)
    assert deliveries.run() == 3
    assert deliveries.first == 5


def test_confirms_name_one_or_all_before() -> None:
    publications: Publications[str] = Publications()
    for what in "abcde":
        publications.sent(what)
    assert publications.confirm(2, multiple=False) == ["b"]
    assert publications.confirm(2, multiple=False) == []
    assert publications.confirm(4, multiple=True) == ["a", "c", "d"]
    assert publications.open() == ["e"]


def test_a_connection_that_is_reset_as_it_is_made_is_a_broker_that_is_away() -> None:
    loop = IOLoop()
    reset = socket.socket()
    reset.setblocking(False)
    found: list[object] = []

    def done(result: object) -> None:
        found.append(result)
        loop.stop()

    _Services(loop).create_streaming_connection(object, reset, done)
    loop.start()
    loop.close()
    assert [type(result) for result in found] == [OSError]
    assert reset.fileno() == -1
