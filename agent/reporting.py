"""Reports: one in full when something changed, short ones otherwise."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from agent.journal import Journal
from agent.role import Observed
from crds.messages import BalancerReport, OperationReport, PoolReport, Report, ServiceReport, Stamp


@dataclass(frozen=True)
class Entries:
    """What all roles saw together."""

    services: dict[str, ServiceReport] = field(default_factory=dict)
    pools: dict[str, PoolReport] = field(default_factory=dict)
    operations: dict[str, OperationReport] = field(default_factory=dict)
    balancer: BalancerReport | None = None

    @classmethod
    def gather(cls, observed: list[Observed]) -> "Entries":
        """Put the roles' parts together; no two roles speak of the same thing."""
        return cls(
            services={target: entry for one in observed for target, entry in one.services.items()},
            pools={pool: entry for one in observed for pool, entry in one.pools.items()},
            operations={name: entry for one in observed for name, entry in one.operations.items()},
            balancer=next((one.balancer for one in observed if one.balancer is not None), None),
        )

    def steady(self) -> "Entries":
        """The entries without what moves all the time and decides nothing."""
        return Entries(
            services=self.services,
            pools={name: _steady_pool(pool) for name, pool in self.pools.items()},
            operations={name: entry.model_copy(update={"seconds": 0.0}) for name, entry in self.operations.items()},
            balancer=self.balancer,
        )


def _steady_pool(pool: PoolReport) -> PoolReport:
    still = {"sessions": 0, "status": ""}
    servers = {name: server.model_copy(update=still) for name, server in pool.servers.items()}
    return pool.model_copy(update={"servers": servers})


@dataclass(frozen=True)
class Speaker:
    """Who reports."""

    node: str
    agent_version: str
    platform: str
    roles: list[str]


class Reporter:
    """Numbers, seals and sends reports. ``heartbeat`` may be called from any thread, ``tell`` from the core's only."""

    def __init__(
        self,
        speaker: Speaker,
        journal: Journal,
        seal: Callable[[Report], bytes],
        send: Callable[[bytes], None],
        interval: timedelta,
    ) -> None:
        self._journal = journal
        self._seal = seal
        self._send = send
        self._interval = interval
        self._lock = Lock()
        self._told: Entries | None = None
        self._told_at: datetime | None = None
        self._newest = Report(
            node=speaker.node,
            incarnation=journal.incarnation,
            seq=0,
            full=False,
            full_seq=0,
            taken=journal.stamp,
            agent_version=speaker.agent_version,
            platform=speaker.platform,
            roles=speaker.roles,
        )

    def tell(self, entries: Entries, taken: Stamp, problem: str, now: datetime, anyway: bool = False) -> None:
        """Send a full report if something changed that matters, or something that does not a whole interval ago."""
        if anyway or self._is_news(entries, taken, problem, now):
            self._told, self._told_at = entries, now
            self._send(self._seal(self._in_full(entries, taken, problem)))

    def heartbeat(self) -> bytes:
        """A short report, sealed."""
        with self._lock:
            seq = self._journal.next_number()
            short = self._newest.model_copy(update={"seq": seq, "full": False, **_NOTHING})
        return self._seal(short)

    def _is_news(self, entries: Entries, taken: Stamp, problem: str, now: datetime) -> bool:
        before = (self._newest.taken, self._newest.problem)
        if self._told is None or self._told_at is None or (taken, problem) != before:
            return True
        if entries == self._told:
            return False
        return entries.steady() != self._told.steady() or now - self._told_at >= self._interval

    def _in_full(self, entries: Entries, taken: Stamp, problem: str) -> Report:
        with self._lock:
            seq = self._journal.next_number()
            said = {"seq": seq, "full": True, "full_seq": seq, "taken": taken, "problem": problem}
            self._newest = self._newest.model_copy(
                update={
                    **said,
                    "services": entries.services,
                    "pools": entries.pools,
                    "operations": entries.operations,
                    "balancer": entries.balancer,
                }
            )
            return self._newest


_NOTHING: dict[str, Any] = {"services": {}, "pools": {}, "operations": {}, "balancer": None}
