"""What the suite needs of a transport, beside the Bus port itself."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from bus.amqp_controller import AmqpControllerBus
from bus.amqp_node import AmqpNodeBus
from bus.amqp_topology import controller_permissions, node_permissions
from bus.amqp_url import Account, parse_broker_url
from bus.http_controller import HttpControllerBus
from bus.http_node import HttpNodeBus
from bus.keyring import KeyRing, write_node_keys
from bus.keys import generate_key
from bus.port import ControllerBus, NodeBus, Received
from tests.simulation.memory_bus import MemoryControllerBus, MemoryNetwork, MemoryNodeBus
from tests.support.rabbitmq import VirtualHost

INTERVAL = 0.4
"""Seconds between the heartbeats of nodes in this suite."""
MAX_ENVELOPE = 20_000
PATIENCE = 90.0


class Transport(Protocol):
    """One way of carrying messages, with everything it needs running around it."""

    has_credentials: bool

    def start_controller(self, receive: Callable[[Received], None], backlog: int = 1000) -> ControllerBus:
        """A controller's end, started, at the address that the nodes know; it holds ``backlog`` unsettled reports."""

    def stop_controller(self) -> None:
        """End the controller's end and what serves it; what nodes send finds nobody."""

    def node(self, name: str, credentials_of: str | None = None) -> NodeBus:
        """A node's end, not yet started."""

    def pump(self) -> None:
        """Let messages move; nothing to do for a transport that has threads."""

    def close(self) -> None: ...


def eventually(transport: Transport, condition: Callable[[], bool], what: str = "") -> None:
    """Wait until it holds. Raises AssertionError when patience ends."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what or condition}"
        transport.pump()
        time.sleep(0.005)


class Memory:
    """The simulator's."""

    has_credentials = False

    def __init__(self) -> None:
        self.network = MemoryNetwork(max_bytes=MAX_ENVELOPE)
        self._controller = MemoryControllerBus(self.network)
        self._beaten: dict[MemoryNodeBus, float] = {}

    def start_controller(self, receive: Callable[[Received], None], backlog: int = 1000) -> ControllerBus:
        self.network.max_unsettled = backlog
        self._controller.start(receive)
        return self._controller

    def stop_controller(self) -> None:
        self._controller.stop()

    def node(self, name: str, credentials_of: str | None = None) -> NodeBus:
        return MemoryNodeBus(self.network, name)

    def pump(self) -> None:
        for name, node in self.network.nodes.items():
            if time.monotonic() - self._beaten.get(node, 0.0) >= INTERVAL:
                self._beaten[node] = time.monotonic()
                self.network.beat(name)
        self.network.deliver_all()

    def close(self) -> None: ...


class Server:
    """uvicorn in a thread, on a port of loopback that stays ours between restarts."""

    def __init__(self) -> None:
        # Bound but never listening: connections are refused, and nobody else is given the port.
        self._placeholder = self._bind(0)
        self.port: int = self._placeholder.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def _bind(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        return listener

    def start(self, app: ASGIApp, **settings: str) -> None:
        config = uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=2, **settings)
        self._server = uvicorn.Server(config)
        listener = self._bind(self.port)
        self._thread = threading.Thread(target=self._server.run, args=[[listener]], name="test-server")
        self._thread.start()
        deadline = time.monotonic() + PATIENCE
        while not self._server.started:
            assert time.monotonic() < deadline, "uvicorn did not start"
            time.sleep(0.005)

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = self._thread = None

    def close(self) -> None:
        self.stop()
        self._placeholder.close()


class Http:
    """The embedded one, over a real server on loopback."""

    has_credentials = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ring = KeyRing(folder / "ring")
        self.server = Server()
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.bus: HttpControllerBus | None = None
        self._tokens: dict[str, str] = {}
        self._nodes: list[HttpNodeBus] = []

    def start_controller(self, receive: Callable[[Received], None], backlog: int = 1000) -> HttpControllerBus:
        bus = HttpControllerBus(self.ring, max_envelope=MAX_ENVELOPE, max_unsettled=backlog * 1100)
        app = Starlette(routes=bus.routes())
        bus.start(receive)
        self.server.start(app)
        self.bus = bus
        return bus

    def stop_controller(self) -> None:
        if self.bus is not None:
            self.bus.stop()
        self.server.stop()

    def token(self, name: str) -> str:
        """The token of a node, which gets its credentials now if it has none."""
        if name not in self._tokens:
            controller = generate_key().public_key
            self._tokens[name] = write_node_keys(self._folder / name, name, self.ring, [controller]).token
        return self._tokens[name]

    def node(self, name: str, credentials_of: str | None = None) -> HttpNodeBus:
        self.token(name)
        node = HttpNodeBus(
            self.url, name, self.token(credentials_of or name), interval=INTERVAL, retry_cap=1.0, random=Random(name)
        )
        self._nodes.append(node)
        return node

    def pump(self) -> None: ...

    def close(self) -> None:
        for node in self._nodes:
            node.stop()
        self.stop_controller()
        self.server.close()


class Amqp:
    """RabbitMQ, with an account for each node that may do what a node must."""

    has_credentials = True

    def __init__(self, vhost: VirtualHost, retry_cap: float = 1.0, heartbeat: int = 60) -> None:
        self.vhost, self._retry_cap, self._heartbeat = vhost, retry_cap, heartbeat
        self.url = parse_broker_url(vhost.url)
        self.bus: AmqpControllerBus | None = None
        self.refused: list[tuple[str, str]] = []
        self.lost: list[str] = []
        self._nodes: list[AmqpNodeBus] = []
        vhost.add_user("drumbeat", "controller's", **controller_permissions())

    def start_controller(self, receive: Callable[[Received], None], backlog: int = 1000) -> AmqpControllerBus:
        self.bus = AmqpControllerBus(
            self.url,
            Account("drumbeat", "controller's"),
            max_unsettled=backlog,
            max_envelope=MAX_ENVELOPE,
            retry_cap=self._retry_cap,
            heartbeat=self._heartbeat,
            check_interval=0.5,
            on_refused=lambda node, reason, _: self.refused.append((node, reason)),
            on_lost=self.lost.append,
            random=Random("controller"),
        )
        self.bus.start(receive)
        return self.bus

    def stop_controller(self) -> None:
        if self.bus is not None:
            self.bus.stop()

    def add(self, name: str) -> None:
        """A node's account, if it has none yet."""
        if name not in self.vhost.users:
            self.vhost.add_user(name, f"{name}'s", **node_permissions(name))

    def node(self, name: str, credentials_of: str | None = None) -> AmqpNodeBus:
        self.add(name)
        account = Account(name, f"{credentials_of or name}'s")
        node = AmqpNodeBus(
            self.url, name, account, interval=INTERVAL, retry_cap=self._retry_cap, heartbeat=self._heartbeat
        )
        self._nodes.append(node)
        return node

    def pump(self) -> None: ...

    def close(self) -> None:
        for node in self._nodes:
            node.stop()
        self.stop_controller()


def _made(kind: str, folder: Path, vhost: Callable[[], VirtualHost]) -> Transport:
    if kind == "memory":
        return Memory()
    return Http(folder) if kind == "http" else Amqp(vhost())


@contextlib.contextmanager
def transport(kind: str, folder: Path, vhost: Callable[[], VirtualHost]) -> Iterator[Transport]:
    """Every transport that must pass the suite, by name; ``vhost`` is asked for by those that need a broker."""
    made = _made(kind, folder, vhost)
    try:
        yield made
    finally:
        made.close()


TRANSPORTS = ["memory", "http", "amqp"]
