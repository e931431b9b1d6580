"""Assignment and Report: what the controller tells a node, and what the node answers."""

import hashlib
from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, Field

from crds.base import TargetName, WireModel
from crds.probe import Probe
from crds.release import Release

ASSIGNMENT_TYPE = "application/vnd.drumbeat.assignment.v1+json"
REPORT_TYPE = "application/vnd.drumbeat.report.v1+json"

ServerState = Literal["ready", "drain", "maint", "watch"]
"""What a balancer is asked: ``watch`` changes nothing and only asks that the server be named in reports."""
AdminState = Literal["ready", "drain", "maint"]

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""Grows by one. Bounded, so that no message holds a number that a store or a JSON reader cannot."""


class Stamp(NamedTuple):
    """Which assignment something was read under; newer ones compare greater."""

    term: Count
    serial: Count


class ServiceAssignment(WireModel):
    """One service on a host."""

    release: Release | None = Field(description="None: the service must not run here and is removed")
    next: Release | None = Field(default=None, description="fetch this already; do not install it")
    probes: list[Probe] = Field(default_factory=list)
    address: str = Field(default="127.0.0.1", description="the host's address in its fleet; probes ask it")
    adopt: str | None = Field(
        default=None,
        description="regular expression: nothing is installed or started; the one process with it in its command "
        "line is kept as the release",
    )
    statement: str | None = Field(default=None, description="who signed the release: an envelope around a Statement")
    next_statement: str | None = Field(default=None, description="the same for next")
    trust: str | None = Field(default=None, description="the fleet's trust document in its envelope")
    restart: Count = Field(default=0, description="a process that was started under a lower number is replaced")


class ServerAssignment(WireModel):
    """One server of a pool that is not to be left alone."""

    state: ServerState
    address: str = Field(description="ADDRESS:PORT that the server line must have")
    close: bool = Field(default=False, description="with maint: cut the sessions that still hold on")


class PoolAssignment(WireModel):
    """One pool on a balancer node; servers that are not named are left as they are."""

    driver: str = "haproxy"
    plain: Literal["ready", "maint"] = Field(
        default="ready",
        description="where a server that is not named should be: online (ready and up), or in MAINT as in a "
        "maintenance pool; reports need not name a server that is there",
    )
    servers: dict[str, ServerAssignment] = Field(default_factory=dict)


class Via(WireModel):
    """The way through a maintenance pool to one very host."""

    url: str = Field(description="the maintenance pool's frontend on one balancer node")
    server: str = Field(description="asked for by header, and the answer must prove it")


class PrometheusQuery(WireModel):
    """A question to a Prometheus, and what its answer must be."""

    url: str
    query: str
    max: float | None = None
    min: float | None = None
    samples: str = Field(default="", description="the query for how many samples the answer rests upon")
    fewest: float = Field(default=0.0, description="samples without which the answer tells nothing")
    user: str = Field(default="", description="beside the secret called password; a bearer token is called token")


class Migrating(WireModel):
    """What makes an operation a migration: how to tell that it is done, and whom it must not run beside."""

    phase: Literal["expand", "contract"]
    check: list[str] = Field(description="exit status 0: it is done; 1: it is not; anything else: nobody knows")
    check_timeout: float = 60.0
    lock: str = Field(description="no two migrations with the same lock run at a time on a fleet")


class OperationSpec(WireModel):
    """Something to be done once; its id is derived from what it is for."""

    name: str
    target: TargetName
    host: str | None = None
    version: str = ""
    command: list[str] | None = Field(default=None, description="exec: {url}, {host}, {version} are filled in")
    secrets: dict[str, str] = Field(
        default_factory=dict, description="exec: environment variable: name of a secret on the runner"
    )
    path: str | None = Field(default=None, description="http: GET this path")
    status: list[int] = Field(default_factory=lambda: [200])
    contains: str | None = None
    url: str | None = Field(default=None, description="where a test without a host leads to")
    prometheus: PrometheusQuery | None = None
    migration: Migrating | None = None
    count: int = Field(default=1, description="measurements that must tell something")
    interval: float = Field(default=0.0, description="seconds from one measurement to the next")
    failure_limit: int = Field(default=0, description="measurements that may fail")
    timeout: float = 60.0
    via: Via | None = None
    address: str | None = Field(default=None, description="ADDRESS:PORT of the host, for a service without pools")
    statement: str | None = Field(default=None, description="who signed the command, with the release it tests")
    trust: str | None = Field(default=None, description="the fleet's trust document in its envelope")


class Assignment(WireModel):
    """The whole desired state of one node. The newest (term, serial) wins."""

    node: str
    term: Count
    serial: Count
    expires: AwareDatetime = Field(description="no installation and no operation is started after this")
    services: dict[TargetName, ServiceAssignment] = Field(default_factory=dict, description="by target")
    pools: dict[str, PoolAssignment] = Field(default_factory=dict, description="by pool name")
    operations: dict[str, OperationSpec] = Field(default_factory=dict, description="by operation id")

    @property
    def stamp(self) -> Stamp:
        """What reports on this assignment are stamped with."""
        return Stamp(self.term, self.serial)


class ProcessIdentity(WireModel):
    """One life of one process: a process id alone is used again."""

    boot: str
    pid: int
    started: str = Field(description="the kernel's start time of the process")
    executable: str


class ServiceReport(WireModel):
    """What a host says of one service."""

    read: Stamp
    state: Literal["absent", "installing", "starting", "running", "stopped", "crashing", "failed", "expired"]
    digest: str | None = Field(default=None, description="digest of the release whose process runs")
    version: str | None = None
    identity: ProcessIdentity | None = None
    adopted: bool = Field(default=False, description="the process was not started by an agent, but taken over")
    healthy: bool | None = Field(default=None, description="all probes; None before the first answer")
    fetched: str | None = Field(default=None, description="digest of the release named as next, once it is on disk")
    restarts: int = 0
    restart: Count = Field(default=0, description="the number under which the process was started")
    message: str = ""
    log_tail: list[str] = Field(default_factory=list)


class ServerReport(WireModel):
    """What a balancer node sees of one server in one pool."""

    read: Stamp
    admin: AdminState
    by: Literal["us", "config", "person"] = Field(default="us", description="who set an admin state that is not ready")
    up: bool = Field(description="a fresh check succeeded and the server takes traffic when admin is ready")
    routed: bool = Field(default=False, description="requests reach it, perhaps by the verdict of a check from before")
    idle: bool = Field(description="no session, queue entry or connection here, nor in a worker from before a reload")
    address: str
    sessions: int = 0
    old_workers: int = Field(default=0, description="workers from before a reload that may still send it requests")
    status: str = Field(default="", description="the balancer's own words")


class PoolReport(WireModel):
    """One pool: servers that were named, or are not where ``plain`` puts them; the rest by count and digest."""

    read: Stamp
    known: bool = Field(default=True, description="False: the balancer has no such pool")
    servers: dict[str, ServerReport] = Field(default_factory=dict)
    plain_count: int = 0
    plain_digest: str = Field(default="", description="see plain_digest()")
    message: str = ""


class BalancerReport(WireModel):
    """The balancer beside the agent."""

    reachable: bool
    reload_safe: bool = Field(description="False: a reload would forget what was set; nothing is disrupted then")
    worker: str = Field(default="", description="identity of the worker that answers now")
    message: str = ""


class OperationReport(WireModel):
    """What became of an operation; kept until it is no longer assigned."""

    read: Stamp
    state: Literal["running", "finished", "expired"] = Field(
        description="expired: not begun, since the assignment is too old to begin anything by it"
    )
    outcome: Literal["passed", "failed", "inconclusive"] | None = None
    message: str = ""
    log_tail: list[str] = Field(default_factory=list)
    seconds: float = 0.0


class Report(WireModel):
    """What a node says of itself. A short report has ``full`` False, names the last full one and no entries."""

    node: str
    incarnation: str = Field(description="one life of one journal")
    life: str = Field(default="", max_length=64, description="one start of an agent: no two agents say the same")
    seq: Count = Field(description="grows with each report of an incarnation")
    full: bool
    full_seq: Count = Field(description="seq of the newest full report")
    taken: Stamp = Field(description="the newest assignment that was journaled")
    agent_version: str = ""
    platform: str = ""
    roles: list[str] = Field(default_factory=list)
    problem: str = Field(default="", description="why the agent does nothing, such as an unreadable journal")
    services: dict[str, ServiceReport] = Field(default_factory=dict)
    pools: dict[str, PoolReport] = Field(default_factory=dict)
    operations: dict[str, OperationReport] = Field(default_factory=dict)
    balancer: BalancerReport | None = None


def plain_digest(servers: dict[str, str]) -> str:
    """Name a set of plainly online servers, ``{server: ADDRESS:PORT}``, in 16 hexadecimal digits.

    A sum over the servers, so that one that leaves or joins costs one addition, not a walk over the pool.
    """
    return format(sum(server_number(name, address) for name, address in servers.items()) % 2**64, "016x")


def server_number(name: str, address: str) -> int:
    """One server's share of the digest of its pool."""
    return int.from_bytes(hashlib.sha256(f"{name} {address}".encode()).digest()[:8], "big")
