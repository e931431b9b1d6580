"""Drivers without disk or processes, for the simulator: time is the clock's, faults are planted.

The conformance suites hold them to the same contracts as the real ones.
"""

import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

from agent.drivers.contracts import Retry, Running, Terminal
from agent.role import Wake
from bus.clock import Clock
from crds.messages import ProcessIdentity
from crds.release import Release

T = TypeVar("T")
P = ParamSpec("P")


class SimClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.began = now
        self._passed = 0.0

    def now(self) -> datetime:
        return self.began + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def advance(self, seconds: float) -> None:
        self._passed += seconds


class SimExecutor(Executor):
    """Runs each job ``delay`` seconds after it was submitted, when asked to."""

    def __init__(self, clock: Clock, delay: Callable[[], float] = lambda: 0.0) -> None:
        self._clock = clock
        self._delay = delay
        self._jobs: list[tuple[float, Callable[[], None]]] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def job() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001  a future carries it
                future.set_exception(error)

        self._jobs.append((self._clock.monotonic() + self._delay(), job))
        return future

    def next_due(self) -> float | None:
        """When the next job is due, on the monotonic clock."""
        return min((due for due, _ in self._jobs), default=None)

    def run_due(self) -> None:
        """Run what is due, in the order of submission."""
        now = self._clock.monotonic()
        due = [job for at, job in self._jobs if at <= now]
        self._jobs = [(at, job) for at, job in self._jobs if at > now]
        for job in due:
            job()


@dataclass
class ServiceFaults:
    """What goes wrong when releases are brought onto a host."""

    retries: int = 0
    """So many of the next calls fail and may be tried again."""
    terminal: set[str] = field(default_factory=set)
    """Digests that cannot be installed at all."""


class SimServiceDriver:
    """A ServiceDriver that remembers what it installed. Survives its agent: give the same one to the next."""

    def __init__(self, faults: ServiceFaults | None = None) -> None:
        self.faults = faults or ServiceFaults()
        self.fetched: dict[str, set[str]] = {}
        self.folders: dict[str, dict[str, Path]] = {}

    def fetch(self, target: str, release: Release) -> None:
        if release.digest in self.faults.terminal:
            raise Terminal(f"planted: version {release.version} cannot be fetched")
        if self.faults.retries > 0:
            self.faults.retries -= 1
            raise Retry("planted: the server of artifacts does not answer")
        self.fetched.setdefault(target, set()).add(release.digest)

    def install(self, target: str, release: Release) -> Path:
        self.fetch(target, release)
        return self.folders.setdefault(target, {}).setdefault(release.digest, Path("/sim") / release.digest[:16])

    def installed(self, target: str, digest: str) -> Path | None:
        return self.folders.get(target, {}).get(digest)

    def remove(self, target: str, keep: set[str]) -> None:
        for digest in set(self.folders.get(target, {})) - keep:
            del self.folders[target][digest]
        self.fetched[target] = self.fetched.get(target, set()) & keep


@dataclass
class ProcessFaults:
    """What goes wrong with processes."""

    lasts: dict[str, float] = field(default_factory=dict)
    """By digest: seconds after which its process ends by itself; a small number makes a crash loop."""
    stubborn: set[str] = field(default_factory=set)
    """Digests whose process ignores that it is asked to stop."""
    stop_seconds: float = 0.0
    quiesce_seconds: float = 0.0


@dataclass
class _Process:
    release: Release
    identity: ProcessIdentity
    since: float
    told: float | None = None
    """When its quiesce began."""
    asked: float | None = None
    ends: float | None = None
    given: dict[str, str] = field(default_factory=dict)
    adopted: bool = False


@dataclass
class _Slot:
    process: _Process | None = None
    digest: str | None = None
    quick_ends: int = 0
    restarts: int = 0
    resume: float = 0.0


class SimSupervisor:
    """A Supervisor of processes that exist only here. Survives its agent: give the same one to the next."""

    def __init__(self, clock: Clock, wake: Wake = lambda: None, faults: ProcessFaults | None = None) -> None:
        self._clock = clock
        self._wake = wake
        self.faults = faults or ProcessFaults()
        self.boot = "boot-1"
        self.starts: list[tuple[str, str]] = []
        """Every start that ever was: target and digest."""
        self.outsiders: list[str] = []
        """Command lines of processes that nobody of ours started."""
        self._slots: dict[str, _Slot] = {}
        self._pids = 100

    def ensure(
        self, target: str, release: Release, folder: Path, values: dict[str, str], secrets: Mapping[str, str] | None
    ) -> Running:
        slot, now = self._look(target), self._clock.monotonic()
        if secrets is None and not (slot.process and slot.process.release.digest == release.digest):
            return self._say(slot)
        if slot.process is not None:
            told = slot.process.asked is not None or slot.process.told is not None
            if slot.process.release.digest == release.digest and not told:
                return self._say(slot)
            return self._end(slot, slot.process, slot.process.release.stop_timeout)
        if slot.digest == release.digest and now < slot.resume:
            return self._say(slot)
        self._start(target, slot, release)
        assert slot.process is not None
        slot.process.given = dict(secrets or {})
        return self._say(slot)

    def adopt(self, target: str, release: Release, pattern: str) -> Running:
        slot = self._look(target)
        if slot.process is not None:
            return self._say(slot)
        found = [command for command in self.outsiders if re.search(pattern, command)]
        if len(found) != 1:
            raise Retry(f"{len(found)} processes have {pattern!r} in their command line")
        self.outsiders.remove(found[0])
        self._start(target, slot, release)
        self.starts.pop()
        assert slot.process is not None
        slot.process.adopted = True
        return self._say(slot)

    def given(self, target: str) -> dict[str, str]:
        process = self._look(target).process
        return process.given if process else {}

    def stop(self, target: str, timeout: float) -> Running:
        slot = self._look(target)
        if slot.process is not None:
            return self._end(slot, slot.process, timeout)
        del self._slots[target]
        return Running()

    def running(self, target: str) -> Running:
        return self._say(self._look(target))

    def runs(self, target: str) -> Release | None:
        """The release of the process that runs now."""
        process = self._look(target).process
        return process.release if process else None

    def kill(self, target: str) -> None:
        """The process ends, not by us."""
        process = self._slots[target].process
        assert process is not None
        process.ends = self._clock.monotonic()
        self._wake()

    def reboot(self) -> None:
        """The machine starts anew: no process is left."""
        self.boot = f"boot-{int(self.boot.removeprefix('boot-')) + 1}"
        for slot in self._slots.values():
            slot.process = None

    def _start(self, target: str, slot: _Slot, release: Release) -> None:
        again = slot.digest == release.digest
        slot.restarts = slot.restarts + 1 if again else 0
        slot.quick_ends = slot.quick_ends if again else 0
        self._pids += 1
        now = self._clock.monotonic()
        identity = ProcessIdentity(boot=self.boot, pid=self._pids, started=f"{now:g}", executable=release.run[0])
        lasts = self.faults.lasts.get(release.digest)
        slot.process = _Process(release, identity, now, ends=None if lasts is None else now + lasts)
        slot.digest = release.digest
        self.starts.append((target, release.digest))

    def _look(self, target: str) -> _Slot:
        slot, now = self._slots.setdefault(target, _Slot()), self._clock.monotonic()
        process = slot.process
        if process is None or process.ends is None or process.ends > now:
            return slot
        slot.process = None
        if process.asked is not None or process.told is not None:
            slot.quick_ends = 0
            return slot
        slot.quick_ends = slot.quick_ends + 1 if process.ends - process.since < 60 else 0
        slot.resume = now + (min(30.0, 0.25 * 2 ** (slot.quick_ends - 2)) if slot.quick_ends > 1 else 0.0)
        return slot

    def _end(self, slot: _Slot, process: _Process, timeout: float) -> Running:
        now = self._clock.monotonic()
        if process.release.quiesce and process.asked is None:
            process.told = now if process.told is None else process.told
            left = process.told + self.faults.quiesce_seconds - now
            if left > 0:
                return replace(self._say(slot), message="planted: finishing its work", again_in=left)
        if process.asked is None:
            process.asked = now
            stubborn = process.release.digest in self.faults.stubborn
            process.ends = now + (timeout if stubborn else min(timeout, self.faults.stop_seconds))
        said = self._say(slot)
        return replace(said, message="stopping", again_in=max(0.0, (process.ends or now) - now))

    def _say(self, slot: _Slot) -> Running:
        now, process = self._clock.monotonic(), slot.process
        crashing = slot.quick_ends >= 3 and not (process is not None and now - process.since >= 60)
        again_in = slot.resume - now if process is None and slot.resume > now else None
        if process is not None and process.ends is not None:
            again_in = max(0.0, process.ends - now)
        return Running(
            digest=slot.digest,
            version=process.release.version if process else None,
            identity=process.identity if process else None,
            adopted=process is not None and process.adopted,
            crashing=crashing,
            restarts=slot.restarts,
            message="planted: it ends by itself" if crashing else "",
            log_tail=["planted: panic"] if crashing else [],
            again_in=again_in,
        )
