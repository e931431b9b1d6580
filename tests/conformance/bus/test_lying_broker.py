"""A broker that was taken over, and sends without end: neither end of the bus gathers it, and both find back."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain, repeat

import pytest
from pika import BasicProperties
from pika.frame import Body, Header, Method
from pika.spec import Basic

from bus.amqp_connection import MOST_GATHERED
from bus.amqp_controller import AmqpControllerBus
from bus.amqp_node import AmqpNodeBus
from bus.amqp_topology import node_queue
from bus.amqp_url import Account, parse_broker_url
from bus.port import Received
from tests.conformance.bus.transports import INTERVAL, Amqp, eventually
from tests.support.rabbitmq import is_installed

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not installed"),
]

ENOUGH = MOST_GATHERED
"""Bytes after which whoever still listens has gathered too much."""
_FRAME_END = 1


class LyingBroker:
    """Stands before a real one, and says something of its own between two of its frames, once for each ``lie``."""

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open = [self._listener]
        self._lie: Iterator[bytes] | None = None
        self.taken: int | None = None
        """Bytes of the last lie that were taken before the other end hung up."""
        threading.Thread(target=self._accept, daemon=True).start()

    def lie(self, frames: Iterator[bytes]) -> None:
        self.taken, self._lie = None, frames

    def stop(self) -> None:
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, far = self._listener.accept()[0], socket.create_connection(self._upstream)
                self._open += [near, far]
                for carry, source, sink in ((self._words, near, far), (self._frames, far, near)):
                    threading.Thread(target=carry, args=(source, sink), daemon=True).start()

    def _words(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                sink.sendall(block)
        self._end(source, sink)

    def _frames(self, source: socket.socket, sink: socket.socket) -> None:
        stream = source.makefile("rb")
        with suppress(OSError, struct.error):
            while head := stream.read(7):
                sink.sendall(head + stream.read(struct.unpack(">BHL", head)[2] + _FRAME_END))
                lie, self._lie = self._lie, None
                if lie is not None:
                    self._tell(lie, sink)
                    break
        self._end(source, sink)

    def _tell(self, lie: Iterator[bytes], sink: socket.socket) -> None:
        taken = 0
        with suppress(OSError):
            while taken < ENOUGH:
                piece = next(lie)
                sink.sendall(piece)
                taken += len(piece)
        self.taken = taken

    def _end(self, *ends: socket.socket) -> None:
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def a_frame_without_end() -> Iterator[bytes]:
    return chain([struct.pack(">BHL", 3, 1, 2**32 - 1)], repeat(b"x" * 65536))


def a_message_without_end() -> Iterator[bytes]:
    begin = Method(1, Basic.Deliver("c", 1, False, "", "q")).marshal()
    head = Header(1, 2**40, BasicProperties()).marshal()
    return chain([begin, head], repeat(Body(1, b"x" * 65536).marshal()))


@pytest.fixture
def liar(amqp: Amqp) -> Iterator[LyingBroker]:
    made = LyingBroker(amqp.vhost.rabbitmq.address)
    yield made
    made.stop()


@pytest.mark.parametrize("without_end", [a_frame_without_end, a_message_without_end])
def test_endless_data_from_the_broker(
    amqp: Amqp, liar: LyingBroker, without_end: Callable[[], Iterator[bytes]]
) -> None:
    controller, got = amqp.start_controller(lambda received: controller.settle([received])), list[bytes]()
    amqp.add("host-1")
    url = parse_broker_url(amqp.vhost.url.replace(amqp.vhost.rabbitmq.address, liar.address))
    node = AmqpNodeBus(url, "host-1", Account("host-1", "host-1's"), interval=INTERVAL, retry_cap=1.0)
    try:
        node.start(got.append, lambda: b"beat")
        controller.publish("host-1", b"before")
        eventually(amqp, lambda: got[-1:] == [b"before"])
        liar.lie(without_end())
        eventually(amqp, lambda: liar.taken is not None, "an end to what the broker sends")
        assert liar.taken is not None
        assert liar.taken < ENOUGH
        controller.publish("host-1", b"after")
        eventually(amqp, lambda: got[-1:] == [b"after"])
    finally:
        node.stop()


def test_endless_data_of_invented_nodes(amqp: Amqp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each report names another sender, and a queue of its own to answer to."""
    monkeypatch.setattr("bus.amqp_controller.MAX_QUEUES", 10)
    heard: list[Received] = []
    controller = amqp.start_controller(heard.append)
    amqp.node("host-1").start(got := Got(), lambda: b"beat")
    eventually(amqp, lambda: any(one.node == "host-1" for one in heard))
    for number in range(30):
        controller._connection.call(partial(invent, controller, f"invented-{number}"))
    eventually(amqp, lambda: sum(one.node != "host-1" for one in heard) == 30)
    assert len(controller._queues) <= 10
    controller.publish("host-1", b"still found")
    eventually(amqp, lambda: got.newest == b"still found")


class Got:
    """The newest assignment."""

    newest = b""

    def __call__(self, envelope: bytes) -> None:
        self.newest = envelope


def invent(controller: AmqpControllerBus, node: str) -> None:
    """As if the broker had delivered it: an honest one vouches for its accounts."""
    channel = controller._channel
    assert channel is not None
    delivery = Basic.Deliver("c", 1, False, "", "q")
    controller._on_message(channel, delivery, BasicProperties(user_id=node, reply_to=node_queue(node, 1)), b"{}")
