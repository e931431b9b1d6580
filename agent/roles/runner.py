"""The runner role: operations, each run once for its id, with a result that is kept until nobody asks for it."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from agent.drivers.contracts import OperationDriver, Outcome
from agent.drivers.operations.measuring import measure
from agent.drivers.operations.way import open_way
from agent.expiry import expired
from agent.role import Observed, Steps, Wake
from agent.trust import NodeTrust
from agent.work import Jobs
from bus.clock import Clock
from crds.messages import Assignment, OperationReport, OperationSpec, Stamp

_RUNNING = "running"
_INTERVAL = 5.0
"""Seconds between two looks at operations that run: their end wakes the core by itself."""


@dataclass(frozen=True)
class RunnerPorts:
    """What the role works with."""

    drivers: Mapping[str, OperationDriver]
    """By kind: ``exec``, ``http``, ``prometheus`` and ``migration``."""
    executor: Executor
    concurrency: int
    """Operations at the same time; the executor must not have fewer threads."""
    steps: Steps
    clock: Clock
    wake: Wake
    trust: NodeTrust
    sleep: Callable[[float], None] = time.sleep
    """Between measurements, on a worker thread."""
    run: Callable[[OperationDriver, OperationSpec], Outcome] | None = None
    """Instead of ``run_operation``: the simulator has no sockets to open a way to a host."""


class RunnerRole:
    """Starts what is assigned and not known yet; a result outlives a restart, and a restart outlives no operation."""

    name = "runner"

    def __init__(self, ports: RunnerPorts) -> None:
        self._ports = ports
        self._jobs: Jobs[Outcome] = Jobs(ports.executor, ports.wake)
        self._begun: dict[str, float] = {}
        """Operations that run now, and since when."""
        self._known: dict[str, dict[str, Any]] = ports.steps.load()
        """What the journal says of each: that it was started, or how it ended."""
        self._ended: dict[str, dict[str, Any]] = {}
        """Results that the journal does not have yet."""

    def converge(self, assignment: Assignment, now: datetime) -> Observed:
        self._take_ended()
        known = self._known | self._ended
        self._mourn(known, assignment)
        for identity in known.keys() - assignment.operations.keys() - self._begun.keys():
            del known[identity]
        waiting = [identity for identity in assignment.operations if identity not in known]
        stale = set(waiting) if expired(assignment, now) else set()
        fresh = [] if stale else sorted(waiting)[: max(0, self._ports.concurrency - len(self._begun))]
        known |= {identity: {"state": _RUNNING} for identity in fresh}
        self._remember(known)
        for identity in fresh:
            self._start(identity, assignment)
        self._take_ended()  # an executor without threads has done it already
        self._remember(known | self._ended)
        reports = {identity: self._report(identity, assignment.stamp) for identity in assignment.operations}
        expiry = {identity: OperationReport(read=assignment.stamp, state="expired") for identity in stale}
        return Observed(
            operations=expiry | {identity: report for identity, report in reports.items() if report is not None},
            again_in=_INTERVAL if self._begun else None,
        )

    def close(self) -> None:
        """Whoever made the executor ends it; what still runs is inconclusive after the restart."""

    def _start(self, identity: str, assignment: Assignment) -> None:
        """Begin it, unless the machine stood still since the pass began: writing the journal may have taken a day."""
        spec = assignment.operations[identity]
        if expired(assignment, self._ports.clock.now()):
            self._ended[identity] = _finished(Outcome("inconclusive", "the assignment expired before it began"), 0.0)
            return
        self._ports.trust.take([spec.trust])
        if refusal := self._ports.trust.operate(spec):
            self._ended[identity] = _finished(Outcome("failed", refusal), 0.0)
            return
        self._begun[identity] = self._ports.clock.monotonic()
        run = self._ports.run or partial(run_operation, sleep=self._ports.sleep)
        self._jobs.start(identity, run, self._ports.drivers[_kind(spec)], spec)

    def _take_ended(self) -> None:
        for identity, future in self._jobs.take():
            seconds = self._ports.clock.monotonic() - self._begun.pop(identity)
            self._ended[identity] = _finished(_outcome(future), seconds)

    def _mourn(self, known: dict[str, dict[str, Any]], assignment: Assignment) -> None:
        """Operations that an earlier life of this agent started; nobody knows how far they got.

        A migration is taken up again, since its check can tell; anything else is inconclusive.
        """
        for identity, said in list(known.items()):
            if said["state"] != _RUNNING or identity in self._begun:
                continue
            spec = assignment.operations.get(identity)
            if spec is not None and spec.migration is not None:
                del known[identity]
            else:
                known[identity] = _finished(Outcome("inconclusive", "the runner restarted while it ran"), 0.0)

    def _remember(self, known: dict[str, dict[str, Any]]) -> None:
        if known != self._known:
            self._ports.steps.save(known)
            self._known = dict(known)
        self._ended.clear()

    def _report(self, identity: str, stamp: Stamp) -> OperationReport | None:
        said = self._known.get(identity)
        if said is None:
            return None
        if said["state"] == _RUNNING:
            seconds = self._ports.clock.monotonic() - self._begun[identity]
            return OperationReport(read=stamp, state="running", seconds=round(seconds, 3))
        return OperationReport.model_validate({"read": stamp, **said})


def _kind(spec: OperationSpec) -> str:
    if spec.migration is not None:
        return "migration"
    if spec.prometheus is not None:
        return "prometheus"
    return "exec" if spec.command is not None else "http"


def run_operation(driver: OperationDriver, spec: OperationSpec, sleep: Callable[[float], None] = time.sleep) -> Outcome:
    """Run it along its way to the host; an outcome counts only if the way proves that it was the host's."""

    def once() -> Outcome:
        with open_way(spec) as way:
            values = {"url": way.url, "host": spec.host or "", "version": spec.version}
            return way.judge(driver.run(spec, values))

    try:
        return measure(spec, once, sleep)
    except OSError as error:
        return Outcome("inconclusive", f"the runner could not open a way to {spec.host}: {error.strerror or error}")


def _outcome(future: "Future[Outcome]") -> Outcome:
    error = future.exception()
    if error is not None:
        return Outcome("inconclusive", f"the runner failed in a way it should not: {type(error).__name__}: {error}")
    return future.result()


def _finished(outcome: Outcome, seconds: float) -> dict[str, Any]:
    return {
        "state": "finished",
        "outcome": outcome.outcome,
        "message": outcome.message,
        "log_tail": outcome.log_tail,
        "seconds": round(seconds, 3),
    }
