"""A controller's end and several nodes' ends on one cluster, talking."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bus.amqp_controller import AmqpControllerBus
from bus.amqp_definitions import CONTROLLER_USER
from bus.amqp_node import AmqpNodeBus
from bus.amqp_url import Account, parse_broker_url
from bus.port import Received
from tests.support.rabbitmq_cluster import Cluster

VHOST = "drumbeat"
AGAIN = 1.0
"""Seconds after which both ends say again what has not arrived, as a controller and an agent would."""


class Conversation:
    """Everybody can be asked whether everybody hears everybody."""

    def __init__(self, cluster: Cluster, passwords: dict[str, str]) -> None:
        self._url = parse_broker_url(f"amqps://{','.join(cluster.addresses)}/{VHOST}")
        self._files = (cluster.authority.file, *cluster.authority.issue("client"))
        self._lock = threading.Lock()
        self._heard: dict[str, bytes] = {}
        self._given: dict[str, bytes] = {}
        self._marks = itertools.count(1)
        self.controller = AmqpControllerBus(self._url, self._account(CONTROLLER_USER, passwords))
        self.nodes = {
            name: AmqpNodeBus(self._url, name, self._account(name, passwords), interval=AGAIN)
            for name in passwords
            if name != CONTROLLER_USER
        }

    def _account(self, name: str, passwords: dict[str, str]) -> Account:
        return Account(name, passwords[name], *self._files)

    def start(self) -> None:
        self.controller.start(self._on_report)
        for name, node in self.nodes.items():
            node.start(self._taker(name), lambda name=name: f"{name} lives".encode())  # type: ignore[misc]

    def stop(self) -> None:
        for node in self.nodes.values():
            node.stop()
        self.controller.stop()

    def _on_report(self, received: Received) -> None:
        if not received.envelope.endswith(b"lives"):
            with self._lock:
                self._heard[received.node] = received.envelope
        self.controller.settle([received])

    def _taker(self, name: str) -> Callable[[bytes], None]:
        def take(envelope: bytes) -> None:
            with self._lock:
                self._given[name] = envelope

        return take

    def whole(self, within: float) -> float:
        """Seconds until something new has gone from each node to the controller and to each node.

        Raises AssertionError with those who are not reached after ``within`` seconds.
        """
        mark = f"mark {next(self._marks)}".encode()
        began = time.monotonic()
        said = -AGAIN
        while missing := self._missing(mark):
            now = time.monotonic() - began
            assert now < within, f"not reached after {now:.1f} s: {missing}"
            if now - said >= AGAIN:
                self._say(mark, missing)
                said = now
            time.sleep(0.02)
        return time.monotonic() - began

    def _say(self, mark: bytes, missing: list[str]) -> None:
        for way in missing:
            name, _, to = way.partition(" <- ")
            if to:
                self.controller.publish(name, mark)
            else:
                self.nodes[name.partition(" -> ")[0]].send(mark)

    def _missing(self, mark: bytes) -> list[str]:
        with self._lock:
            unheard = [f"{name} -> controller" for name in self.nodes if self._heard.get(name) != mark]
            return unheard + [f"{name} <- controller" for name in self.nodes if self._given.get(name) != mark]


@contextmanager
def conversation(cluster: Cluster, passwords: dict[str, str]) -> Iterator[Conversation]:
    """Started, and stopped whatever happens."""
    made = Conversation(cluster, passwords)
    made.start()
    try:
        yield made
    finally:
        made.stop()
