"""Drive: a world that is planned event by event, each of them timed."""

import statistics
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from benchmarks.planning.estate import Size, estate
from benchmarks.planning.nodes import Fleet
from controller.queue import Queue
from controller.store import Loaded
from controller.world import World
from crds.messages import Report, Stamp
from reconcilers.plan import plan
from reconcilers.target import targets_of
from reconcilers.writes import DropEntry, PutEntry, Write

_RESYNC = timedelta(seconds=10)
_BETWEEN = timedelta(milliseconds=10)
"""Between two reports."""


class Drive:
    """One fleet, converged on the first versions, and what is asked of its nodes."""

    def __init__(self, size: Size) -> None:
        self._size, self._versions = size, dict[str, str]()
        self._clock = _cost_of_the_clock()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.world = World(Loaded(), 1e9, self.now)
        self.queue = Queue(Random(1))
        self._waiting: deque[str] = deque()
        self._asked: set[str] = set()
        specs = targets_of(estate(size, {}))
        self.fleet = Fleet(specs)
        self.world.set_specs(specs, self.now)
        for name in (*self.fleet.balancers, *self.fleet.hosts):
            self.world.fold(self.fleet.answer(name, {}, Stamp(0, 0)), self.now)
        self._plan_all()
        while self._waiting:
            self._answer_all()

    def commit(self, service: str) -> float:
        """Put a new version of the service in force; says the seconds of CPU until everything is planned."""
        self._versions[service] = str(int(self._versions.get(service, "1")) + 1)
        state = estate(self._size, self._versions)
        begun = time.process_time()
        self.world.set_specs(targets_of(state), self.now)
        self._plan_all()
        return time.process_time() - begun

    def step(self) -> float:
        """The next report that is due, and every decision that follows; says the seconds of CPU of both, or 0."""
        if not self._waiting and not self.world.dirty:
            return 0.0
        self.now += _BETWEEN
        report = self._next_report() if self._waiting else None
        begun = time.process_time()
        if report is not None:
            self.world.fold(report, self.now)
        self._plan_all()
        return max(time.process_time() - begun - self._clock, 1e-9)

    def _answer_all(self) -> None:
        """All reports that are due, then every decision that follows."""
        self.now += _BETWEEN
        while self._waiting:
            self.world.fold(self._next_report(), self.now)
        self._plan_all()

    def _next_report(self) -> Report:
        node = self._waiting.popleft()
        self._asked.discard(node)
        stamp = Stamp(1, self.world.serials.get(node, 0))
        return self.fleet.answer(node, self.world.entries.get(node, {}), stamp)

    def _plan_all(self) -> None:
        for target in self.queue.due(self.now):
            self.world.look_at_all(target)
        stamped: set[str] = set()
        for _ in range(8):
            self.world.catch_up()
            waiting = sorted(self.world.dirty)
            for target in waiting:
                self.world.dirty.discard(target)
                self._plan(target, stamped)
            if not waiting:
                break
        for node in sorted(stamped - self._asked):
            self._asked.add(node)
            self._waiting.append(node)

    def _plan(self, target: str, stamped: set[str]) -> None:
        decided = plan(self.world.specs[target], self.world.observed(target), self.now)
        self._apply(target, decided.writes, stamped)
        times = [decided.wake_at, self.now + _RESYNC if self.world.journeys.get(target) else None]
        self.queue.wake(target, min((at for at in times if at is not None), default=None))

    def _apply(self, target: str, writes: Sequence[Write], stamped: set[str]) -> None:
        for write in writes:
            stamp = Stamp(0, 0)
            if isinstance(write, PutEntry | DropEntry):
                if write.node not in stamped:
                    stamped.add(write.node)
                    self.world.serials[write.node] = self.world.serials.get(write.node, 0) + 1
                stamp = Stamp(1, self.world.serials[write.node])
            self.world.apply(target, write, stamp)

    def converged(self, service: str) -> bool:
        """Every host of the service runs its newest version, healthy and online."""
        target = f"{service}@prod"
        status = self.world.statuses[target]
        counts = status.counts
        return status.finished is not None and counts.current == counts.total == len(self.world.specs[target].hosts)


def _cost_of_the_clock() -> float:
    """Seconds that two readings of the CPU's clock see of themselves: on some machines as much as a decision."""
    spans = [-(time.process_time() - time.process_time()) for _ in range(200)]
    return statistics.median(spans)
