"""Supervisor ``process``: plain processes that outlive their agent.

Each start is announced on disk, with a random token, before it happens; the token is in the process's environment. So
an agent that was killed between the start and writing down the process finds it by the token, instead of starting
a second one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from pydantic import Field

from agent.backoff import Backoff
from agent.drivers.contracts import Retry, Running
from agent.drivers.supervisors.logs import ServiceLog, last_lines
from agent.drivers.supervisors.quiesce import LOOK, Quiescing, quiesce_of
from agent.drivers.supervisors.record import Quiesce, Record, Records
from agent.environment import fill, service_environment
from agent.processes import Processes, Start
from agent.role import Wake
from bus.clock import Clock
from crds.base import FileModel
from crds.messages import ProcessIdentity
from crds.release import Release

TOKEN = "DRUMBEAT_START"
_SETTLING = 1.0
"""A start that was announced and then interrupted may take this long to show among the processes."""


class Config(FileModel):
    """Settings of the supervisor."""

    log_bytes: int = Field(default=10 * 1024**2, ge=4096, description="a service's log is cut when it is larger")


@dataclass
class _Life:
    """What is known of a service only while this agent runs."""

    since: float
    """When its process was started or adopted, on the monotonic clock."""
    watched: ProcessIdentity | None = None
    woken: bool = False
    """The watched process's end wakes the core."""
    asked: float | None = None
    """When it was asked to stop."""
    killed: bool = False
    remains: bool = False
    """It is gone itself, and something that it left behind was not a moment ago."""
    resume: float = 0.0
    """No start before this."""
    tail: str = ""
    """The end of what the process wrote that ended by itself."""


class Driver:
    """Implements agent.drivers.contracts.Supervisor with one process and one session for each service."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        processes: Processes,
        clock: Clock,
        random: Random,
        wake: Wake,
        base: Mapping[str, str],
        hide: Callable[[str], str] = str,
    ) -> None:
        """``base`` is the clean environment of every service; ``hide`` takes secrets out of what is reported."""
        self._config = config
        self._folder = folder
        self._processes = processes
        self._clock = clock
        self._random = random
        self._wake = wake
        self._base = base
        self._hide = hide
        self._records = Records(folder / "services", processes.boot)
        self._quiescing = Quiescing(processes, self._records, clock, wake)
        self._backoff = Backoff(random, first=0.25, most=30.0)
        self._lives: dict[str, _Life] = {}
        self._logs: dict[str, ServiceLog] = {}

    def ensure(
        self, target: str, release: Release, folder: Path, values: dict[str, str], secrets: Mapping[str, str] | None
    ) -> Running:
        record = self._refresh(target)
        if secrets is None and not (record and record.digest == release.digest and record.token):
            return self._say(record) if record else Running()
        if record and record.token:
            return self._keep(record, release)
        waiting = self._clock.monotonic() < self._life(target).resume
        if record and waiting and record.digest == release.digest:
            return self._say(record)
        quiesce = quiesce_of(release, folder, values, self._base)
        return self._start(target, release, self._prepare(release, folder, values, secrets or {}), quiesce, record)

    def adopt(self, target: str, release: Release, pattern: str) -> Running:
        record = self._refresh(target)
        if record and record.token:
            return self._say(record)
        taken = self._records.of_others(target)
        identity = self._only(pattern, [each for each in self._processes.matching(pattern, TOKEN) if each not in taken])
        record = Record(
            target=target,
            digest=release.digest,
            version=release.version,
            token=f"{self._random.getrandbits(128):032x}",
            identity=identity,
            adopted=True,
            stop_timeout=release.stop_timeout,
        )
        self._records.write(record)
        self._lives[target] = _Life(since=self._clock.monotonic())
        self._follow(identity, self._lives[target])
        return self._say(record)

    def given(self, target: str) -> dict[str, str]:
        record = self._refresh(target)
        return self._processes.environment(record.identity) if record and record.identity else {}

    def stop(self, target: str, timeout: float) -> Running:
        record = self._refresh(target)
        if record is None:
            return Running()
        if record.token:
            return self._end(record, timeout) if record.identity else self._unsettled(record)
        self._records.forget(target)
        self._lives.pop(target, None)
        return Running()

    def running(self, target: str) -> Running:
        record = self._refresh(target)
        return self._say(record) if record else Running()

    def _only(self, pattern: str, found: list[ProcessIdentity]) -> ProcessIdentity:
        if not found:
            raise Retry(f"nothing to adopt: no process has {pattern!r} in its command line, or it is adopted already")
        if len(found) > 1:
            pids = ", ".join(str(each.pid) for each in found)
            raise Retry(f"not clear what to adopt: processes {pids} have {pattern!r} in their command line")
        if not self._processes.may_signal(found[0]):
            raise Retry(f"process {found[0].pid} is not adopted: the agent's account may not stop it")
        return found[0]

    def _keep(self, record: Record, release: Release) -> Running:
        """A process runs, or may: leave it if it is the right one, else end it first."""
        if record.identity is None:
            return self._unsettled(record)
        told = self._life(record.target).asked is not None or _was_told(record)
        if record.digest == release.digest and not told:
            return self._say(record)
        return self._end(record, record.stop_timeout)

    def _refresh(self, target: str) -> Record | None:
        """The record as the processes bear it out: interrupted starts resolved, ended processes noticed."""
        record = self._records.read(target)
        if record is None or not record.token:
            return record
        life, identity = self._life(target), record.identity
        if identity is None:
            return self._resolve(record, life)
        if self._log(target).rotate():
            record = record.model_copy(update={"log_begin": 0})
            self._records.write(record)
        if self._processes.alive(identity):
            self._follow(identity, life)
            return record
        if self._quiescing.runs(record):
            return record  # that command is part of it
        life.remains = not record.adopted and self._processes.sweep(TOKEN, record.token)
        if life.remains:
            return record  # so is what it has started, wherever that went
        return self._ended(record, identity, life)

    def _resolve(self, record: Record, life: _Life) -> Record:
        found = self._processes.find(TOKEN, record.token)
        if found:
            record = record.model_copy(update={"identity": found[0]})
        elif self._clock.monotonic() - life.since >= _SETTLING and not self._processes.sweep(TOKEN, record.token):
            record = record.model_copy(update={"token": "", "ended": "its start was interrupted"})
        else:
            return record
        self._records.write(record)
        return record

    def _follow(self, identity: ProcessIdentity, life: _Life) -> None:
        if life.watched != identity:
            life.watched = identity
            life.woken = self._processes.watch(identity, self._wake)

    def _ended(self, record: Record, identity: ProcessIdentity, life: _Life) -> Record:
        """Its process is gone, and all that it started: choose when to start again."""
        how = self._processes.ending(identity) or "ended"
        asked = life.asked is not None or _was_told(record)
        now = self._clock.monotonic()
        quick = record.quick_ends + 1 if not asked and now - life.since < _LASTING else 0
        changes = {"identity": None, "token": "", "quick_ends": quick, "ended": "" if asked else how}
        record = record.model_copy(update=changes)
        self._records.write(record)
        delay = self._backoff.delay(quick - 1) if quick > 1 else 0.0
        tail = "" if asked else self._log(record.target).tail(record.log_begin)
        self._lives[record.target] = _Life(since=now, resume=now + delay, tail=tail)
        return record

    def _start(
        self, target: str, release: Release, start: Start, quiesce: Quiesce | None, last: Record | None
    ) -> Running:
        if last and last.digest != release.digest:
            self._life(target).tail = ""  # another release's, with secrets of its own
        log = self._log(target)
        record = self._announce(target, release, quiesce, last, log.begin())
        try:
            environment = {**start.environment, TOKEN: record.token}
            identity = self._processes.start(replace(start, environment=environment), log.path)
        except Exception:
            self._records.write(record.model_copy(update={"token": ""}))  # nothing came of it
            raise
        record = record.model_copy(update={"identity": identity})
        self._records.write(record)
        self._lives[target] = _Life(since=self._clock.monotonic(), tail=self._life(target).tail)
        self._follow(identity, self._lives[target])
        return self._say(record)

    def _announce(
        self, target: str, release: Release, quiesce: Quiesce | None, last: Record | None, log_begin: int
    ) -> Record:
        again = last is not None and last.digest == release.digest
        record = Record(
            target=target,
            digest=release.digest,
            version=release.version,
            token=f"{self._random.getrandbits(128):032x}",
            stop_timeout=release.stop_timeout,
            quiesce=quiesce,
            note=self._quiescing.tell(target),
            quick_ends=last.quick_ends if last and again else 0,
            restarts=last.restarts + 1 if last and again else 0,
            ended=last.ended if last and again else "",
            log_begin=log_begin,
        )
        self._records.write(record)
        return record

    def _prepare(self, release: Release, folder: Path, values: dict[str, str], secrets: Mapping[str, str]) -> Start:
        environment = service_environment(self._base, release, values, secrets)
        return Start([fill(part, values) for part in release.run], folder, environment, release.user)

    def _end(self, record: Record, timeout: float) -> Running:
        """Have it finish its work, ask it to stop, and after ``timeout`` seconds leave it no choice."""
        identity = record.identity
        assert identity is not None
        record, left = self._quiescing.go_on(record, self._log(record.target).path)
        if left is not None:
            return self._say(record, "finishing its work before it is stopped", left)
        life, now = self._life(record.target), self._clock.monotonic()
        if life.asked is None:
            life.asked = now
            life.woken = life.woken and self._processes.alive(identity)
            self._processes.stop(identity, force=False)
        elif not life.killed and now - life.asked >= timeout:
            life.killed = True
            self._processes.stop(identity, force=True)
        left = LOOK if life.killed else max(0.0, timeout - (now - life.asked))
        trouble = self._quiescing.trouble(record.target)
        words = f"stopping; {trouble}" if trouble else "stopping"
        return self._say(record, words, left if life.woken else min(left, LOOK))

    def _unsettled(self, record: Record) -> Running:
        message = "looking for the process of a start that was interrupted"
        return Running(record.digest, record.version, message=message, restarts=record.restarts, again_in=LOOK)

    def _say(self, record: Record, message: str = "", again_in: float | None = None) -> Running:
        life, now = self._life(record.target), self._clock.monotonic()
        settled = record.identity is not None and now - life.since >= _LASTING
        crashing = record.quick_ends >= _CRASHING and not settled
        if record.identity is None:
            again_in = life.resume - now if life.resume > now else None
        elif again_in is None and (crashing or not life.woken):
            again_in = life.since + _LASTING - now if life.woken else _UNWATCHED
        if life.remains:
            message, again_in = "what its process left behind is being ended", LOOK
        if record.ended and not message:
            message = record.ended if record.identity is None else f"restarted: the process before {record.ended}"
        if record.note:
            message = f"{message}; before that {record.note}" if message else f"before its start {record.note}"
        return Running(
            digest=record.digest,
            version=record.version,
            identity=record.identity,
            adopted=record.adopted and record.identity is not None,
            crashing=crashing,
            restarts=record.restarts,
            message=message,
            log_tail=last_lines(self._hide(life.tail)) if crashing or record.identity is None else [],
            again_in=again_in,
        )

    def _life(self, target: str) -> _Life:
        return self._lives.setdefault(target, _Life(since=self._clock.monotonic()))

    def _log(self, target: str) -> ServiceLog:
        if target not in self._logs:
            self._logs[target] = ServiceLog(self._folder / "logs" / f"{target}.log", self._config.log_bytes)
        return self._logs[target]


def _was_told(record: Record) -> bool:
    """Its quiesce has begun: whatever is wanted now, it is to end."""
    return record.quiesce is not None and record.quiesce.begun


_CRASHING = 3
"""So many quick ends in a row are a crash loop."""
_LASTING = 60.0
"""A process that ran this many seconds did not end quickly."""
_UNWATCHED = 1.0
"""Seconds between looks at a process whose end does not wake the core."""
