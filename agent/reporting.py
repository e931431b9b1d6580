"""Reports: one in full when something changed, short ones otherwise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from threading import Lock
from typing import Any

from agent.journal import Journal
from agent.role import Observed
from crds.messages import BalancerReport, OperationReport, PoolReport, Report, ServiceReport, Stamp

Entry = ServiceReport | PoolReport | OperationReport

_HELD = timedelta(seconds=1)
"""For which news that answers nothing is held back: a quick start is one piece of news then, and not five."""


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

    def by_place(self) -> dict[tuple[str, str], Entry]:
        """Every entry under a name of its own."""
        kinds: dict[str, Mapping[str, Entry]] = {
            "services": self.services,
            "pools": self.pools,
            "operations": self.operations,
        }
        return {(kind, name): entry for kind, entries in kinds.items() for name, entry in entries.items()}

    @cached_property
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


def _answers(news: Entries, told: Entries, taken: Stamp) -> bool:
    """Whether there is an answer in the news that somebody may wait for: all is done, or a part of it just now."""
    before, now = told.by_place(), news.by_place()
    done = {place for place, entry in now.items() if entry.read >= taken and _is_done(entry)}
    if done == now.keys() or news.balancer != told.balancer:
        return True
    return any(now[place] != before.get(place) for place in done)


def _is_done(entry: Entry) -> bool:
    if isinstance(entry, ServiceReport):
        return entry.state not in ("installing", "starting")
    return not isinstance(entry, OperationReport) or entry.state == "finished"


@dataclass(frozen=True)
class Speaker:
    """Who reports."""

    node: str
    agent_version: str
    platform: str
    roles: list[str]
    life: str = ""
    """Of the agent: new with each start, so that the controller notices when two speak as one node."""


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
        self._held_since: datetime | None = None
        self._newest = Report(
            node=speaker.node,
            incarnation=journal.incarnation,
            life=speaker.life,
            seq=0,
            full=False,
            full_seq=0,
            taken=journal.stamp,
            agent_version=speaker.agent_version,
            platform=speaker.platform,
            roles=speaker.roles,
        )

    def tell(self, entries: Entries, taken: Stamp, problem: str, now: datetime, anyway: bool = False) -> float | None:
        """Send a full report if something changed that matters, or something that does not a whole interval ago.

        News of what is still under way is held back for a moment, as more of it will follow; then the seconds are
        returned after which it is due.
        """
        if not anyway and not self._is_news(entries, taken, problem, now):
            self._held_since = None
            return None
        held = timedelta(0) if self._held_since is None else now - self._held_since
        if not anyway and timedelta(0) <= held < _HELD and self._may_wait(entries, taken, problem, now):
            self._held_since = self._held_since or now
            return (_HELD - held).total_seconds()
        self._told, self._told_at, self._held_since = entries, now, None
        self._send(self._seal(self._in_full(entries, taken, problem)))
        return None

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
        return entries.steady != self._told.steady or now - self._told_at >= self._interval

    def _may_wait(self, entries: Entries, taken: Stamp, problem: str, now: datetime) -> bool:
        if self._told is None or self._told_at is None or problem != self._newest.problem:
            return False
        return now - self._told_at < self._interval and not _answers(entries, self._told, taken)

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
