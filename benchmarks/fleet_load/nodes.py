"""Simulated nodes, many in a process: the node's end of the bus, keys and signatures are the real ones.

Such a node does at once whatever it is asked, and keeps no journal: what is measured is the controller and what carries
its messages, not agents (benchmarks.agent_memory does).
"""

import http.client
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from bus.amqp_node import AmqpNodeBus
from bus.amqp_url import Account, is_broker_url, parse_broker_url
from bus.envelope import open_assignment, seal_report
from bus.http_node import HttpNodeBus
from bus.keys import NodeKeys
from bus.logs import configure_logging
from bus.port import NodeBus
from crds.messages import Assignment, ProcessIdentity, Report, ServiceReport, Stamp

SENDERS = 4
"""Connections of one process over which reports are pushed."""


Post = Callable[[str, str, bytes], None]
"""Sends a node's report, given its name and token."""


@dataclass(frozen=True)
class Company:
    """The nodes of one process, and where they find the controller."""

    bus: str
    interval: float
    credentials: Sequence[Path]
    """A folder for each, of the node's name."""


@dataclass(frozen=True)
class Journey:
    """When a node was asked for a version and answered; seconds on the machine's monotonic clock, 0 if never."""

    fetched: float = 0.0
    """It said that the artifact is there, before it was asked to run it."""
    assigned: float = 0.0
    answered: float = 0.0


class SimulatedNode:
    """One node. Its methods may be called from any thread."""

    def __init__(self, name: str, keys: NodeKeys, bus: NodeBus) -> None:
        self.name, self.token = name, keys.token
        self._keys, self._bus = keys, bus
        self._lock = Lock()
        self._incarnation = f"life-{time.time_ns():x}"
        self._seq = self._full_seq = self._restarts = 0
        self._assignment: Assignment | None = None
        self._prepared: deque[bytes] = deque()
        self._journeys: dict[str, Journey] = {}

    def start(self) -> None:
        """Connect, and say in full what is."""
        self._bus.start(self.receive, self.heartbeat)
        self._bus.send(self._sealed(full=True))

    def receive(self, envelope: bytes) -> None:
        """Do what an assignment asks, and say so."""
        now = time.monotonic()
        assignment = open_assignment(envelope, self._keys.controller_keys, self.name)
        if self._assignment is None or assignment.stamp > self._assignment.stamp:
            self._assignment = assignment
            report = self._sealed(full=True)
            self._note(assignment, now, time.monotonic())
            self._bus.send(report)

    def heartbeat(self) -> bytes:
        """A short report; while reports are being pushed one of these, so that numbers stay in order."""
        try:
            return self._prepared.popleft()
        except IndexError:
            return self._sealed(full=False)

    def journey(self, version: str) -> Journey:
        """To that version."""
        return self._journeys.get(version, Journey())

    def prepare(self, count: int, full: bool) -> None:
        """Seal reports, each of which is news: the service was restarted once more."""
        for _ in range(count):
            self._restarts += 1
            self._prepared.append(self._sealed(full))

    def push(self, post: Post | None) -> int:
        """Send one of them, through the bus unless there is another way; 0 if heartbeats have taken all."""
        try:
            report = self._prepared.popleft()
        except IndexError:
            return 0
        if post:
            post(self.name, self.token, report)
        else:
            self._bus.send(report)
        return 1

    def _note(self, assignment: Assignment, asked: float, answered: float) -> None:
        for service in assignment.services.values():
            if service.next and not self.journey(service.next.version).assigned:
                self._journeys[service.next.version] = Journey(fetched=answered)
            release = service.release
            if release and not self.journey(release.version).assigned:
                before = self.journey(release.version)
                self._journeys[release.version] = Journey(before.fetched, asked, answered)

    def _sealed(self, full: bool) -> bytes:
        with self._lock:
            self._seq += 1
            self._full_seq = self._seq if full else self._full_seq
            report = self._report(full)
        return seal_report(report, self._keys.signer)

    def _report(self, full: bool) -> Report:
        taken = self._assignment
        return Report(
            node=self.name,
            incarnation=self._incarnation,
            life=self._incarnation,
            seq=self._seq,
            full=full,
            full_seq=self._full_seq,
            taken=taken.stamp if taken else Stamp(0, 0),
            agent_version="1.0.0",
            platform="linux",
            roles=["host"],
            services={target: self._service(taken, target) for target in taken.services} if taken and full else {},
        )

    def _service(self, taken: Assignment, target: str) -> ServiceReport:
        asked = taken.services[target]
        fetched = asked.next.digest if asked.next else None
        if asked.release is None:
            return ServiceReport(read=taken.stamp, state="absent", fetched=fetched)
        pid = int(asked.release.digest[:6], 16)
        return ServiceReport(
            read=taken.stamp,
            state="running",
            digest=asked.release.digest,
            version=asked.release.version,
            identity=ProcessIdentity(boot="b" * 36, pid=pid, started="4567", executable="/usr/bin/service"),
            healthy=True,
            fetched=fetched,
            restarts=self._restarts,
        )


def serve(company: Company, orders: Connection) -> None:
    """A process of simulated nodes: carries out the orders of the benchmark until it is told to stop."""
    configure_logging(sys.stderr, "error")
    nodes = [_node(company, folder) for folder in company.credentials]
    for node in nodes:
        node.start()
    orders.send(None)
    while True:
        order, *words = orders.recv()
        if order == "stop":
            return  # at once: nobody waits for a goodbye of nodes that are not there
        orders.send(_ORDERS[order](nodes, company, *words))


def _node(company: Company, folder: Path) -> SimulatedNode:
    keys = NodeKeys.load(folder)
    return SimulatedNode(folder.name, keys, _bus(company, folder.name, keys.token))


def _bus(company: Company, node: str, token: str) -> NodeBus:
    if is_broker_url(company.bus):
        return AmqpNodeBus(parse_broker_url(company.bus), node, Account(node, token), interval=company.interval)
    return HttpNodeBus(company.bus, node, token, interval=company.interval)


def _prepare(nodes: Sequence[SimulatedNode], _: Company, count: int, full: bool) -> None:
    for node in nodes:
        node.prepare(count, full)


def _push(nodes: Sequence[SimulatedNode], company: Company, count: int) -> int:
    """Send what was prepared, node after node in turn, as fast as the other side takes it; how many those were.

    A bus over HTTP keeps the newest report only, so that it cannot be used for that. The broker takes what comes.
    """
    if is_broker_url(company.bus):
        return sum(node.push(None) for _ in range(count) for node in nodes)
    with ThreadPoolExecutor(SENDERS) as senders:
        shares = [nodes[first::SENDERS] for first in range(SENDERS)]
        return sum(senders.map(lambda share: _post_all(share, company.bus, count), shares))


def _post_all(nodes: Sequence[SimulatedNode], url: str, count: int) -> int:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)

    def post(node: str, token: str, report: bytes) -> None:
        connection.request("POST", f"/bus/v1/nodes/{node}/report", report, {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 202:
            raise RuntimeError(f"the controller answered {answer.status} to a report of {node}")

    sent = sum(node.push(post) for _ in range(count) for node in nodes)
    connection.close()
    return sent


def _journeys(nodes: Sequence[SimulatedNode], _: Company, version: str) -> list[Journey]:
    return [node.journey(version) for node in nodes]


_ORDERS: dict[str, Callable[..., object]] = {"prepare": _prepare, "push": _push, "journeys": _journeys}
