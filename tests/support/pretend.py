"""Pretend nodes: they answer each assignment at once with a report, as if everything asked had been done."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bus.port import Received
from crds.messages import (
    AdminState,
    Assignment,
    BalancerReport,
    OperationReport,
    OperationSpec,
    PoolAssignment,
    PoolReport,
    ProcessIdentity,
    Report,
    ServerReport,
    ServiceReport,
    Stamp,
    plain_digest,
)
from tests.support.states import BALANCERS, PORT, RUNNER, address

Gate = Callable[[OperationSpec], str]
"""The outcome of a gate."""


@dataclass
class Pretence:
    """How the nodes behave; may be changed while they run."""

    silent: set[str] = field(default_factory=set)
    """Nodes that never say anything."""
    installing: set[str] = field(default_factory=set)
    """Hosts that never finish an installation."""
    gate: Gate = lambda spec: "passed"


class Node:
    """One node: the last assignment it took, and what came of it."""

    def __init__(self, name: str, hosts: list[str], pretence: Pretence) -> None:
        self.name, self._hosts, self._pretence = name, hosts, pretence
        self._taken = Assignment.model_validate(
            {"node": name, "term": 0, "serial": 0, "expires": _never()}, strict=False
        )
        self._seq = 0
        self._runs: dict[str, tuple[str, str, int]] = {}
        self._admin: dict[str, dict[str, AdminState]] = {}
        self._restarts: dict[str, int] = {}

    def take(self, assignment: Assignment) -> None:
        """Do everything that is asked."""
        self._taken = assignment
        for target, asked in assignment.services.items():
            release = asked.release
            if self.name in self._pretence.installing or release is None:
                continue
            _, digest, pid = self._runs.get(target, ("", "", 1))
            if digest != release.digest or asked.restart > self._restarts.get(target, 0):
                self._runs[target] = (release.version, release.digest, pid + 1)
                self._restarts[target] = asked.restart
        for pool, asked_pool in assignment.pools.items():
            servers = self._admin.setdefault(pool, dict.fromkeys(self._hosts, "maint"))
            servers.update({s: a.state for s, a in asked_pool.servers.items() if a.state != "watch"})

    def retry(self) -> None:
        """Do once more what was asked."""
        self.take(self._taken)

    def report(self) -> Report:
        """What is, stamped with the assignment that was taken."""
        self._seq += 1
        is_balancer = self.name in BALANCERS
        return Report(
            node=self.name,
            incarnation="life",
            seq=self._seq,
            full=True,
            full_seq=self._seq,
            taken=self._stamp,
            agent_version="0.1.0",
            platform="linux",
            roles=["balancer" if is_balancer else "runner" if self.name == RUNNER else "host"],
            services={target: self._service(target) for target in self._taken.services.keys() | self._runs.keys()},
            pools={name: self._pool(name, asked) for name, asked in self._taken.pools.items()},
            operations={identity: self._operation(spec) for identity, spec in self._taken.operations.items()},
            balancer=BalancerReport(reachable=True, reload_safe=True) if is_balancer else None,
        )

    @property
    def _stamp(self) -> Stamp:
        return self._taken.stamp

    def _service(self, target: str) -> ServiceReport:
        asked = self._taken.services.get(target)
        following = asked.next if asked else None
        fetched = following.digest if following else None
        if target not in self._runs or self.name in self._pretence.installing:
            return ServiceReport(read=self._stamp, state="installing", message="unpacks the archive", fetched=fetched)
        version, digest, pid = self._runs[target]
        identity = ProcessIdentity(boot="boot", pid=pid, started="1", executable="api")
        return ServiceReport(
            read=self._stamp,
            state="running",
            digest=digest,
            version=version,
            healthy=True,
            identity=identity,
            restart=self._restarts.get(target, 0),
            fetched=fetched,
        )

    def _pool(self, name: str, asked: PoolAssignment) -> PoolReport:
        named: dict[str, ServerReport] = {}
        plain: dict[str, str] = {}
        for host, admin in self._admin[name].items():
            where = f"{address(host)}:{PORT}"
            if host not in asked.servers and admin == asked.plain:
                plain[host] = where
            else:
                up = admin == "ready"
                named[host] = ServerReport(read=self._stamp, admin=admin, up=up, routed=up, idle=not up, address=where)
        return PoolReport(read=self._stamp, servers=named, plain_count=len(plain), plain_digest=plain_digest(plain))

    def _operation(self, spec: OperationSpec) -> OperationReport:
        outcome = self._pretence.gate(spec)
        if outcome == "running":
            return OperationReport(read=self._stamp, state="running")
        return OperationReport.model_validate(
            {"read": self._stamp, "state": "finished", "outcome": outcome, "message": f"smoke said {outcome}"}
        )


def _never() -> str:
    return "9999-01-01T00:00:00Z"


class PretendBus:
    """A ControllerBus whose nodes answer at once; reports come on a thread of its own, as they would."""

    def __init__(self, hosts: Iterable[str], pretence: Pretence) -> None:
        names = list(hosts)
        self._pretence = pretence
        self._nodes = {name: Node(name, names, pretence) for name in (*names, *BALANCERS, RUNNER)}
        self._lock = threading.Lock()
        self._deliver: Callable[[Report, Received], None] = lambda report, received: None

    def connect(self, deliver: Callable[[Report, Received], None]) -> None:
        """Have every node report for the first time, and from then on answer to ``deliver``."""
        self._deliver = deliver
        for name in self._nodes:
            self.speak(name)

    def speak(self, name: str) -> None:
        """Have a node report now."""
        if name in self._pretence.silent:
            return
        with self._lock:
            report = self._nodes[name].report()
        self._deliver(report, Received(name, b""))

    def retry(self, name: str) -> None:
        """Have a node do once more what it was asked, and report."""
        with self._lock:
            self._nodes[name].retry()
        self.speak(name)

    def start(self, receive: Callable[[Received], None]) -> None:
        """Nothing to begin: nodes answer when something is published."""

    def publish(self, node: str, envelope: bytes) -> None:
        with self._lock:
            if node in self._nodes:
                self._nodes[node].take(Assignment.model_validate_json(envelope))
        if node in self._nodes:
            self.speak(node)

    def settle(self, received: list[Received]) -> None:
        """Nothing was kept."""

    def stop(self) -> None:
        """Nothing runs."""
