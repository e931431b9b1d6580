"""One service on a host: from what is assigned to what runs."""

import math
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TypeVar

from agent.backoff import Backoff
from agent.drivers.contracts import Retry, Running, Supervisor, Terminal
from agent.environment import service_environment
from agent.health import Health, ProbeState
from agent.probes import Asked
from agent.roles.effort import Effort
from agent.roles.given import Given
from agent.roles.means import Means, driver_named
from agent.roles.telling import Sight, tell
from crds.messages import ProcessIdentity, ServiceAssignment, ServiceReport, Stamp
from crds.release import Release

_LOOK_AGAIN = 2.0
"""Seconds between looks for a process to adopt."""

T = TypeVar("T")


@dataclass(frozen=True)
class _Ended:
    effort: Effort
    digest: str
    error: Exception | None = None


@dataclass(frozen=True)
class _Answer:
    state: ProbeState
    read: Stamp
    reason: str


class HostedService:
    """Converges one service, step by step; never waits."""

    def __init__(self, target: str, kept: ServiceAssignment | None, means: Means) -> None:
        self._target = target
        self._kept = kept
        self._means = means
        self._install = Effort(Backoff(means.random, first=1.0, most=60.0))
        self._fetch = Effort(Backoff(means.random, first=1.0, most=60.0))
        self._start = Effort(Backoff(means.random, first=0.5, most=30.0))
        self._tidy = Effort(Backoff(means.random, first=60.0, most=3600.0))
        self._look_up = Effort(Backoff(means.random, first=0.5, most=30.0))
        self._given = Given(target, means.secrets)
        self._health = Health()
        self._asked_of: ProcessIdentity | None = None
        self._fetched_now = ""
        self._questions = count()

    @property
    def _efforts(self) -> tuple[Effort, ...]:
        return self._install, self._fetch, self._look_up, self._start, self._tidy

    @property
    def kept(self) -> bool:
        """Whether something of it runs, or is to be kept running."""
        return self._kept is not None

    def renew(self) -> None:
        """A new assignment was taken, whatever it says of this service."""
        for effort in self._efforts:
            effort.renew()
        self._health.ask_again(self._means.clock.monotonic())

    def finish(self, what: str, future: Future[object]) -> None:
        """Take the end of a job that this service began."""
        now = self._means.clock.monotonic()
        if what == "probe":
            answer = future.result()
            assert isinstance(answer, _Answer)
            answer.state.answer(answer.reason, answer.read, now, self._means.random)
            return
        ended = future.result()
        assert isinstance(ended, _Ended)
        if ended.digest != ended.effort.digest:
            return  # it was for a release that is not wanted any more
        if ended.error is None:
            ended.effort.worked()
        else:
            ended.effort.failed(ended.error, now)

    def converge(
        self, wanted: ServiceAssignment | None, stamp: Stamp, allowed: bool
    ) -> tuple[ServiceReport, float | None]:
        """One step towards what is wanted (None: kept as it is); what is, and when to look again in seconds.

        ``allowed`` is False once the assignment has expired: what runs is kept running, and nothing else is begun.
        """
        # Taken before anything is looked at: what becomes due during the pass is either done in it, or waited for.
        begun = self._means.clock.monotonic()
        gone = wanted is not None and wanted.release is None
        sight = self._remove(allowed) if gone else self._run(wanted, allowed)
        self._probe(sight.running, stamp)
        report = tell(replace(sight, running=self._given.veil(sight.running)), self._health, stamp)
        return report, self._wait(sight.running, begun)

    def _run(self, wanted: ServiceAssignment | None, allowed: bool) -> Sight:
        release = wanted.release if wanted else None
        current = self._kept.release if self._kept else None
        state = ""
        self._tidy.aim(self._wants(wanted) or "")
        if wanted and release and wanted.adopt is not None:
            return self._take_over(wanted, release, wanted.adopt, allowed)
        refusal = self._refusal(wanted, release) if wanted and release else ""
        late = wanted is not None and not refusal and self._starts_anew(wanted) and not allowed
        if wanted and late:
            wanted = wanted.model_copy(update={"restart": self._number})
        elif wanted and not refusal and self._starts_anew(wanted):
            stopping = self._stop()
            if stopping.identity is not None or stopping.again_in is not None:
                return Sight(stopping, "stopped", None, [stopping.message], self._wants(wanted), self._number)
        if wanted and release and not refusal and self._adopt(wanted, release, allowed):
            current = release
        elif release:
            under_way = self._install.begun and allowed
            state = "failed" if self._install.final or refusal else "installing" if under_way else "expired"
        running = self._supervise(current)
        self._prefetch(wanted, allowed)
        self._clean(wanted, running)
        notes = [refusal, *([self._install.failure] if state else [])]
        notes += [effort.failure for effort in (self._look_up, self._start, self._fetch, self._tidy)]
        notes.append(self._means.trust.trouble)
        if wanted is None:
            notes.append("not assigned any more; kept as it was")
        failed = (self._look_up.final or self._start.final) and not state
        said = "expired" if late else "failed" if failed else state
        return Sight(running, said, self._fetched(wanted), notes, self._wants(wanted), self._number)

    @property
    def _number(self) -> int:
        return self._kept.restart if self._kept else 0

    def _starts_anew(self, wanted: ServiceAssignment) -> bool:
        """A higher number is kept only once the process is gone: none that is left was started under a lower one."""
        release = wanted.release
        return release is not None and self._keeps(release) and wanted.restart > self._number

    def _take_over(self, wanted: ServiceAssignment, release: Release, pattern: str, allowed: bool) -> Sight:
        """Keep the process that runs already as the release: nothing is installed, started or restarted.

        Nor is it started again if it ends: what would start was never tested here. Whoever started it may do so, and
        then it is found again.
        """
        running = self._look(release)
        # Which process is looked for is signed as well, also where the release itself is kept already.
        trust, runs = self._means.trust, running.identity is not None
        refusal = self._refusal(wanted, release) if runs else trust.install(self._target, release, wanted)
        if running.identity is None and allowed and not refusal:
            running = self._adopted(release, pattern, running)
        if running.identity is not None and running.digest == release.digest and not refusal:
            self._keep(wanted, release)
            supervisor = driver_named(self._means.supervisors, release.supervisor, "supervisor")
            self._given.follow(release, running, lambda: supervisor.given(self._target))
        state = "" if running.identity else "failed" if refusal else "stopped"
        self._prefetch(wanted, allowed)
        notes = [refusal, self._fetch.failure, self._means.trust.trouble]
        return Sight(running, state, self._fetched(wanted), notes, self._wants(wanted))

    def _adopted(self, release: Release, pattern: str, before: Running) -> Running:
        try:
            supervisor = driver_named(self._means.supervisors, release.supervisor, "supervisor")
            return supervisor.adopt(self._target, release, pattern)
        except (Retry, Terminal) as error:
            ended = f"the adopted process {before.message}; " if before.message else ""
            return Running(message=f"{ended}{error}", again_in=_LOOK_AGAIN)

    def _refusal(self, wanted: ServiceAssignment, release: Release) -> str:
        """Why the wanted release must not run here. What is kept already keeps running, whoever is trusted now."""
        trust = self._means.trust
        return (
            trust.keep(self._target, wanted) if self._keeps(release) else trust.install(self._target, release, wanted)
        )

    def _keeps(self, release: Release) -> bool:
        return self._kept is not None and self._kept.release is not None and self._kept.release.digest == release.digest

    def _adopt(self, wanted: ServiceAssignment, release: Release, allowed: bool) -> bool:
        """Make the wanted release the one that is kept running, once it is installed.

        Also what was begun in time is not taken on after the assignment has expired: a machine that was frozen
        meanwhile must not start by an order that nobody stands by any more.
        """
        same = self._keeps(release)
        there = self._installed(release) is not None
        if self._install.done and not there:
            self._install.aim("")  # somebody deleted it
        self._install.aim(release.digest)
        if there and (same or allowed):
            self._keep(wanted, release)
            return True
        if not there and allowed and self._install.may_try(self._means.clock.monotonic()):
            self._install.begun = True
            if not self._fetching(release):
                self._work("disk", self._install, self._do_install, release)
        return same and not self._install.begun

    def _keep(self, wanted: ServiceAssignment, release: Release) -> None:
        """Only a statement that was proven is kept: it lets probes run for as long as the release does."""
        before = self._kept.statement if self._kept and self._keeps(release) else None
        proven = self._means.trust.proven(self._target, release, wanted.statement)
        statement = wanted.statement if proven else before
        kept = wanted.model_copy(update={"next": None, "next_statement": None, "trust": None, "statement": statement})
        if kept != self._kept:
            self._means.keep(self._target, kept)
            self._kept = kept

    def _do_install(self, release: Release) -> None:
        driver_named(self._means.services, release.driver, "service").install(self._target, release)

    def _work(self, kind: str, effort: Effort, job: Callable[[T], None], argument: T) -> None:
        """Have an effort's next try made elsewhere; jobs of one kind on one target never overlap."""
        self._means.installing.start(f"{kind} {self._target}", _attempt, effort, effort.digest, job, argument)

    def _installed(self, release: Release) -> Path | None:
        driver = self._means.services.get(release.driver)
        return driver.installed(self._target, release.digest) if driver else None

    def _supervise(self, release: Release | None) -> Running:
        """Have this release run if it can; say what runs."""
        now = self._means.clock.monotonic()
        folder = self._installed(release) if release else None
        if release is None or folder is None or (self._kept and self._kept.adopt is not None):
            return self._look(release)
        self._start.aim(release.digest)
        if self._start.final or now < self._start.again_at:
            return self._look(release)
        try:
            supervisor = driver_named(self._means.supervisors, release.supervisor, "supervisor")
            secrets = self._given.for_start(release)
            running = supervisor.ensure(self._target, release, folder, self._values(release), secrets)
            self._mind_secrets(release, running, supervisor)
        except (Retry, Terminal) as error:
            self._start.failed(error, now)
            return self._look(release)
        self._start.failure = ""
        self._start.backoff.reset()
        return running

    def _mind_secrets(self, release: Release, running: Running, supervisor: Supervisor) -> None:
        """Each start has its secrets looked up anew; nothing is started before they are there."""
        self._look_up.aim(release.digest)
        wanting = self._given.follow(release, running, lambda: supervisor.given(self._target))
        self._look_up.done = self._look_up.done and not wanting
        if wanting and self._look_up.may_try(self._means.clock.monotonic()):
            effort, job = self._look_up, self._given.look_up  # beside the downloads, which may take minutes
            self._means.probing.start(f"secrets {self._target}", _attempt, effort, effort.digest, job, release)

    def _look(self, release: Release | None) -> Running:
        name = release.supervisor if release else "process"
        supervisor = self._means.supervisors.get(name)
        try:
            return supervisor.running(self._target) if supervisor else Running()
        except (Retry, Terminal) as error:
            return Running(message=str(error))

    def _values(self, release: Release) -> dict[str, str]:
        address = self._kept.address if self._kept else "127.0.0.1"
        return {"host": self._means.node, "address": address, "version": release.version}

    def _remove(self, allowed: bool) -> Sight:
        """Stop it, then delete it."""
        self._tidy.aim("")
        if not allowed and self._kept is not None:
            return Sight(self._supervise(self._kept.release), "expired", None, [], None)
        running = self._stop()
        if running.identity is not None or running.again_in is not None:
            return Sight(running, "stopped", None, [running.message], None)
        if self._tidy.may_try(self._means.clock.monotonic()):
            self._work("disk", self._tidy, self._do_tidy, set())
        if self._tidy.done and self._kept is not None:
            self._means.keep(self._target, None)
            self._kept = None
        return Sight(running, "absent" if self._tidy.done else "stopped", None, [self._tidy.failure], None)

    def _stop(self) -> Running:
        release = self._kept.release if self._kept else None
        timeout = release.stop_timeout if release else 10.0
        try:
            stopped = [one.stop(self._target, timeout) for _, one in sorted(self._means.supervisors.items())]
        except (Retry, Terminal) as error:
            return Running(message=str(error), again_in=1.0)
        return next((one for one in stopped if one.identity or one.again_in is not None), Running())

    def _prefetch(self, wanted: ServiceAssignment | None, allowed: bool) -> None:
        following = wanted.next if wanted else None
        if wanted and following and self._means.trust.fetch(self._target, following, wanted.next_statement):
            following = None  # the agent's log says why, and so does the report once it is asked to run it
        self._fetch.aim(following.digest if following else "")
        busy = self._means.installing.busy(f"fetch {self._target}")
        if following and allowed and not busy and self._fetch.may_try(self._means.clock.monotonic()):
            self._fetched_now = following.digest
            self._work("fetch", self._fetch, self._do_fetch, following)

    def _do_fetch(self, release: Release) -> None:
        driver_named(self._means.services, release.driver, "service").fetch(self._target, release)

    def _fetching(self, release: Release) -> bool:
        return self._fetched_now == release.digest and self._means.installing.busy(f"fetch {self._target}")

    def _fetched(self, wanted: ServiceAssignment | None) -> str | None:
        return wanted.next.digest if wanted and wanted.next and self._fetch.done else None

    def _clean(self, wanted: ServiceAssignment | None, running: Running) -> None:
        """Once the wanted release has proven healthy, old ones need not be kept all."""
        digest = self._wants(wanted)
        if digest is None or running.digest != digest or not self._asked_of or not self._health.healthy():
            return
        following = {wanted.next.digest} if wanted and wanted.next else set()
        if self._tidy.may_try(self._means.clock.monotonic()):
            self._work("disk", self._tidy, self._do_tidy, {digest, *following})

    def _do_tidy(self, keep: set[str]) -> None:
        for _, driver in sorted(self._means.services.items()):
            driver.remove(self._target, keep)

    def _wants(self, wanted: ServiceAssignment | None) -> str | None:
        said = wanted or self._kept
        return said.release.digest if said and said.release else None

    def _probe(self, running: Running, stamp: Stamp) -> None:
        """Ask what is due of the process that runs, if it is known what to ask."""
        now = self._means.clock.monotonic()
        kept = self._kept
        if running.identity is None or kept is None or kept.release is None or kept.release.digest != running.digest:
            self._health, self._asked_of = Health(), None
            return
        if self._asked_of != running.identity:
            self._health, self._asked_of = Health.begin(kept.probes, now), running.identity
        elif self._health.asks() != kept.probes:
            self._health = self._health.asking(kept.probes, now)
        secrets = self._given.of_process(kept.release)
        due = [s for s in self._health.probes if s.due <= now and (secrets is not None or not s.probe.exec)]
        asked = self._whom(kept, kept.release) if due else None
        if asked:
            for state in due:
                refusal = self._means.trust.probe(self._target, kept, state.probe)
                if refusal:
                    state.answer(refusal, stamp, now, self._means.random)
                    continue
                state.due = math.inf  # until it is answered
                key = f"probe {self._target} {next(self._questions)}"
                self._means.probing.start(key, self._do_ask, state, asked, stamp)

    def _whom(self, kept: ServiceAssignment, release: Release) -> Asked | None:
        folder = Path("/") if kept.adopt is not None else self._installed(release)
        if folder is None:
            return None
        values = self._values(release)
        secrets = self._given.of_process(release) or {}
        environment = service_environment(self._means.environment, release, values, secrets)
        return Asked(kept.address, folder, environment, values, release.user)

    def _do_ask(self, state: ProbeState, asked: Asked, stamp: Stamp) -> _Answer:
        return _Answer(state, stamp, self._means.ask(state.probe, replace(asked, patience=state.patience)))

    def _wait(self, running: Running, now: float) -> float | None:
        waits = [effort.wait(now) for effort in self._efforts]
        waits += [state.due - now for state in self._health.probes if now < state.due < math.inf]
        return min((wait for wait in [*waits, running.again_in] if wait is not None), default=None)


def _attempt(effort: Effort, digest: str, job: Callable[[T], None], argument: T) -> _Ended:
    try:
        job(argument)
    except (Retry, Terminal) as error:
        return _Ended(effort, digest, error)
    except Exception as error:  # noqa: BLE001  a driver's defect is its service's trouble, not the agent's
        words = f"the driver failed in a way it should not: {type(error).__name__}: {error}"
        return _Ended(effort, digest, Retry(words))
    return _Ended(effort, digest)
