"""HostFacts: everything that is known about one host of one target, and what of it may be believed.

Silence is not evidence: what a silent node said last is history. Age only removes trust; only an answer moves a host
on: a reading counts for what we asked only if it was read under an assignment that already asked it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crds.messages import ServerReport, ServiceAssignment, ServiceReport
from crds.status import Journey
from reconcilers.fragments import SERVICE, Entry, server_key
from reconcilers.target import HostSpec, PoolSpec, TargetSpec
from reconcilers.values import service_of


@dataclass(frozen=True)
class HostFacts:
    """One host of one target. The world fills it in; it is compared, never changed."""

    host: HostSpec
    silent: bool
    """The host's agent has not reported in time (or never), or says that it does nothing."""
    service: ServiceReport | None = None
    servers: Mapping[tuple[str, str], ServerReport] = field(default_factory=dict)
    """By (balancer node, pool): only nodes that are not silent, and only what they could tell."""
    unclear: frozenset[tuple[str, str]] = frozenset()
    """(balancer node, pool) whose report does not add up: a host that it does not name may be anywhere."""
    entries: Mapping[tuple[str, str], Entry] = field(default_factory=dict)
    """What is asked about this host now, by (node, key)."""
    journey: Journey | None = None
    claimed_by: str | None = None
    """Another target that has the host on a journey."""
    lineless: frozenset[tuple[str, str]] = frozenset()
    """(balancer node, pool) that was asked about the host by name and has no such server."""
    proven: bool = False
    """Every host of the target ran its release already, so that this one is late, not early."""
    silent_since: datetime | None = None
    """Of a silent host: when it was heard last, or since when this controller listens."""
    restart: int = 0
    """The number under which a process of the target must have been started at least."""
    excluded: str = ""
    """In words, by whom and why it was excluded by command; empty if it was not."""
    revoked: bool = False
    """Of a host that leaves: a person has said that the machine counts no more."""
    distrust: str = ""
    """In words, why what its agent says does not count, where that is not for silence alone."""

    def silence(self) -> str:
        """In words, why nothing of what its agent said counts, where that is so."""
        return self.distrust or "its agent does not report"

    def lost(self, after: float | None, now: datetime) -> bool:
        """Silent for that many seconds; never, if ``after`` is None."""
        if after is None or not self.silent or self.silent_since is None:
            return False
        return (now - self.silent_since).total_seconds() >= after

    def believed_service(self) -> ServiceReport | None:
        """The host's newest word, if it was said under what is asked of it now."""
        entry = self.entries.get((self.host.name, SERVICE))
        if self.silent or self.service is None:
            return None
        return self.service if entry is None or self.service.read >= entry.stamp else None

    def believed_server(self, node: str, pool: str) -> ServerReport | None:
        """A balancer node's newest word on the host in a pool, if said under what is asked now."""
        report = self.servers.get((node, pool))
        entry = self.entries.get((node, server_key(pool, self.host.name)))
        return report if report and (entry is None or report.read >= entry.stamp) else None

    def assigned_service(self) -> ServiceAssignment | None:
        """What the host is asked to run now."""
        entry = self.entries.get((self.host.name, SERVICE))
        return service_of(entry.value) if entry else None


def online_places(target: TargetSpec) -> Iterator[tuple[str, PoolSpec]]:
    """Every (balancer node, pool) through which customers reach a host."""
    for pool in target.pools:
        for node in pool.nodes:
            yield node.name, pool


def persons_mark(target: TargetSpec, facts: HostFacts) -> str:
    """In words, where a person took the host out of a pool; empty if nobody did."""
    for node, pool in online_places(target):
        server = facts.servers.get((node, pool.online))
        if server is not None and server.by == "person" and server.admin != "ready":
            return f"somebody set it to {server.admin.upper()} in pool {pool.online} on {node}"
    return ""


def mismatch(target: TargetSpec, facts: HostFacts) -> str:
    """In words, which server line leads to another machine or port than the host's; empty if none does."""
    for node, pool in online_places(target):
        wanted = f"{facts.host.address}:{pool.port}"
        for name in pool.names:
            server = facts.servers.get((node, name))
            if server is not None and server.address != wanted:
                line = f"the server line {facts.host.name} of pool {name} on {node} has {server.address}"
                return f"{line}, but fleet and service say {wanted}; correct whichever is wrong"
    return ""


def maintenance_places(target: TargetSpec) -> Iterator[tuple[str, str]]:
    """Every (balancer node, maintenance pool name) through which tests reach a host."""
    for node, pool in online_places(target):
        if pool.maintenance:
            yield node, pool.maintenance
