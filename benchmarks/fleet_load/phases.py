"""What is measured, one after the other, on one stage; and what came out."""

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.fleet_load.crowd import Crowd, crowd
from benchmarks.fleet_load.nodes import Journey
from benchmarks.fleet_load.stage import Bus, Stage, stage
from controller.demo.processes import DemoError, cpu_seconds, rss_mb

FIRST, SECOND = "1.0.0", "1.1.0"
BATCHES = 100
"""Of the rollout by which decisions are timed; fewer where there are fewer nodes."""
PATIENCE = 300.0
STALLED = 20.0
"""Seconds without any report taken, after which those that are missing are lost."""
_LOOK = 0.2
"""Seconds between two looks at the controller's metrics, which cost it two or three milliseconds."""
_BUSY = 0.9
"""Of a core, or of all of them: no more is to be had."""


@dataclass(frozen=True)
class Cores:
    """How many cores were used, over a time."""

    seconds: float
    controller: float
    broker: float
    nodes: float
    others: float
    """Whatever else ran on this machine."""

    def limit(self) -> str:
        """What kept it from going faster."""
        there = os.cpu_count() or 1
        if self.controller >= _BUSY:
            return "the controller, which had a core"
        if self.controller + self.broker + self.nodes + self.others >= _BUSY * there:
            return f"this machine, whose {there} cores were busy"
        return "waiting: neither the controller nor the machine was busy"


@dataclass(frozen=True)
class Load:
    """Reports of one kind, pushed as fast as they were taken."""

    reports: int
    lost: int
    cores: Cores
    rss_mb: float

    @property
    def per_second(self) -> float:
        """Reports that the controller took and folded, each second."""
        return self.reports / self.cores.seconds

    @property
    def per_cpu_second(self) -> float:
        """The same for each second of the controller's own CPU time, bus included."""
        return self.per_second / self.cores.controller


@dataclass(frozen=True)
class Idle:
    """A fleet to which nothing happens; beside it, what the broker needs for a node."""

    cores: Cores
    rss_mb: float
    broker_kib_per_node: float
    broker_connect_ms_per_node: float


@dataclass
class Result:
    """One bus."""

    bus: Bus
    nodes: int
    connect_seconds: float
    idle: Idle
    decisions: Sequence[float]
    """Seconds from each report that ended a batch to the receipt of what followed from it at a node."""
    rollout_seconds: float
    loads: dict[str, Load] = field(default_factory=dict)
    controller_back: tuple[float, float] = (0.0, 0.0)
    """Seconds until all nodes were heard again: since the controller was killed, and since the new one answered."""
    broker_back: float | None = None
    """Seconds since the broker's port was open again."""


@dataclass(frozen=True)
class Extent:
    """How much is measured; times in seconds."""

    nodes: int = 1000
    reports: int = 20_000
    """Of each kind that are pushed."""
    idle: float = 30.0
    """For which idleness is measured."""
    interval: float = 30.0
    """Between two heartbeats of a node."""
    settle: float = 3.0
    """For what a phase left behind."""


class Bench:
    """One stage with its nodes."""

    def __init__(self, stage: Stage, credentials: Sequence[Path], extent: Extent) -> None:
        self.stage, self._credentials, self._extent = stage, credentials, extent
        self._since: Sequence[float] = ()
        self._crowd: Crowd | None = None

    def measure(self, bus: Bus) -> Result:
        """Everything, in an order in which nothing spoils what follows."""
        count = self._extent.nodes
        self.stage.start_broker()
        self.stage.start_controller()
        time.sleep(self._extent.settle)
        empty = self._broker_now()
        with crowd(self.stage.bus, self._extent.interval, self._credentials) as self._crowd:
            connected = self._connect()
            connect_ms = (self._broker_now()[1] - empty[1]) * 1000 / count
            cores, rss = self._idle()
            idle = Idle(cores, rss, (self._broker_now()[0] - empty[0]) * 1024 / count, connect_ms)
            seconds, decisions = self._rollout()
            result = Result(bus, count, connected, idle, decisions, seconds)
            each = max(1, self._extent.reports // count)
            result.loads = {kind: self._load(each, kind == "full") for kind in ("short", "full")}
            result.controller_back = self._controller_back()
            result.broker_back = self._broker_back() if self.stage.broker else None
        return result

    # -- phases

    def _connect(self) -> float:
        begun = datetime.now(UTC)
        assert self._crowd is not None
        self._crowd.connect()
        seconds = self._heard_since(begun)
        self.stage.wait("the first version converges", lambda: self.stage.converged(FIRST), PATIENCE)
        time.sleep(self._extent.settle)
        return seconds

    def _idle(self) -> tuple[Cores, float]:
        self._begin()
        time.sleep(self._extent.idle)
        return self._end(), rss_mb(self.stage.controller.pid)

    def _rollout(self) -> tuple[float, list[float]]:
        assert self._crowd is not None
        begun = time.monotonic()
        self.stage.declare(SECOND)
        self.stage.wait("the second version converges", lambda: self.stage.converged(SECOND), PATIENCE, _LOOK)
        seconds = time.monotonic() - begun
        return seconds, decisions(self._crowd.journeys(SECOND), batch_size(len(self.stage.nodes)))

    def _load(self, each: int, full: bool) -> Load:
        assert self._crowd is not None
        self._crowd.prepare(each, full)
        time.sleep(self._extent.settle)
        before = self._taken()
        self._begin()
        pushed = self._crowd.push(each)
        taken = self._until_taken(before + pushed) - before
        return Load(taken, max(0, pushed - taken), self._end(), rss_mb(self.stage.controller.pid))

    def _until_taken(self, wanted: int) -> int:
        """How many have been taken once all are, or no more come."""
        taken, since = self._taken(), time.monotonic()
        while taken < wanted and time.monotonic() - since < STALLED:
            time.sleep(_LOOK)
            now = self._taken()
            if now > taken:
                taken, since = now, time.monotonic()
        return taken

    def _taken(self) -> int:
        return int(sum(self.stage.reports().values()))

    def _controller_back(self) -> tuple[float, float]:
        killed = datetime.now(UTC)
        answered = self.stage.restart_controller()
        seconds = self._heard_since(killed)
        return seconds, max(0.0, seconds - (answered - killed).total_seconds())

    def _broker_back(self) -> float:
        return self._heard_since(self.stage.restart_broker())

    def _heard_since(self, begun: datetime) -> float:
        """Seconds until every node was heard anew.

        A look costs the controller time for each node, so it is rare. What it finds is exact all the same, unless nodes
        were heard a second time meanwhile.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            asked = time.monotonic()
            seen = self.stage.last_seen()
            heard = [moment for moment in seen if moment is not None and moment >= begun]
            if len(heard) == len(seen):
                return (max(heard) - begun).total_seconds()
            if time.monotonic() > deadline:
                raise DemoError(f"only {len(heard)} of {len(seen)} nodes were heard again", self.stage.controller.log)
            time.sleep(max(0.05, min(5 * (time.monotonic() - asked), len(seen) / 1000)))

    # -- meters

    def _broker_now(self) -> tuple[float, float]:
        """The broker's memory in MiB, and the CPU seconds that it has used."""
        broker = self.stage.broker
        return (rss_mb(broker.pid), cpu_seconds(broker.pid)) if broker else (0.0, 0.0)

    def _begin(self) -> None:
        self._since = self._used()

    def _end(self) -> Cores:
        seconds, *used = (now - before for now, before in zip(self._used(), self._since, strict=True))
        controller, broker, nodes, everything = (cpu / seconds for cpu in used)
        return Cores(seconds, controller, broker, nodes, max(0.0, everything - controller - broker - nodes))

    def _used(self) -> Sequence[float]:
        """The time, and CPU seconds: the controller's, the broker's, the nodes', and everybody's."""
        assert self._crowd is not None
        controller, broker = cpu_seconds(self.stage.controller.pid), self._broker_now()[1]
        return time.monotonic(), controller, broker, self._crowd.cpu_seconds(), _machine_cpu_seconds()


def measure(root: Path, bus: Bus, extent: Extent) -> Result:
    """One bus, in a folder of its own. Raises DemoError."""
    with stage(root, extent.nodes, bus, batch_size(extent.nodes)) as (made, credentials):
        return Bench(made, credentials, extent).measure(bus)


def _machine_cpu_seconds() -> float:
    """That all processes together have used (Linux, /proc/stat: user, nice, system, irq, softirq)."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()
    return sum(int(fields[column]) for column in (1, 2, 3, 6, 7)) / os.sysconf("SC_CLK_TCK")


def batch_size(nodes: int) -> int:
    """Hosts that go together in the rollout by which decisions are timed."""
    return max(1, nodes // BATCHES)


def decisions(journeys: Sequence[Journey], batch: int) -> list[float]:
    """From the report that ended a batch to the receipt of what it caused, at each node of the next batch.

    A batch begins once the one before it has ended, or its own nodes have fetched, whichever is later.
    """
    order = sorted(journeys, key=lambda journey: journey.assigned)
    groups = [order[first : first + batch] for first in range(0, len(order), batch)]
    found = []
    for before, after in pairwise(groups):
        cause = max(*(node.answered for node in before), *(node.fetched for node in after))
        found += [node.assigned - cause for node in after]
    return found


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of them do not exceed, nearly; 0 of too few to tell."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else 0.0
