"""The agent: it takes the newest assignment, has its roles converge, and reports. One thread, one step at a time."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock

from agent.journal import Journal, JournalProblem
from agent.reporting import Entries, Reporter
from agent.role import Observed, Role, Wake
from bus.envelope import Refused
from crds.messages import Assignment

_INBOX = 8
"""Envelopes kept between two steps: more than one only if several came at once."""
_AFTER_DEFECT = 5.0
"""Seconds until a role that failed in a way it should not is called again."""
_QUIET = timedelta(minutes=1)
"""In which refusals for the same reason are logged once: whoever sends rubbish must not fill the node's disk."""


class Inbox:
    """Envelopes from the bus's thread to the core's. Old ones fall out: the controller repeats what was lost."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self._lock = Lock()
        self._envelopes: list[bytes] = []

    def put(self, envelope: bytes) -> None:
        """Add one and wake the core; from any thread."""
        with self._lock:
            self._envelopes = [*self._envelopes, envelope][-_INBOX:]
        self._wake()

    def drain(self) -> list[bytes]:
        """All that came, oldest first."""
        with self._lock:
            envelopes, self._envelopes = self._envelopes, []
        return envelopes


class Agent:
    """One node's agent. It has no thread and no clock of its own, so a simulator can drive it.

    ``open_envelope`` verifies (raises Refused), the reporter seals and sends. ``receive`` and ``heartbeat`` are for
    the bus and may be called from its threads; ``step`` is for one thread.
    """

    def __init__(
        self,
        journal: Journal,
        roles: Sequence[Role],
        open_envelope: Callable[[bytes], Assignment],
        reporter: Reporter,
        wake: Wake,
        interval: float,
    ) -> None:
        self._journal = journal
        self._roles = roles
        self._open = open_envelope
        self._reporter = reporter
        self._inbox = Inbox(wake)
        self._interval = interval
        self._log = logging.getLogger("agent")
        self._observed: dict[str, Observed] = {}
        self._problems: dict[str, str] = {}
        self._asked_again = False
        self._unwritten: bytes | None = None
        self.refused: Counter[str] = Counter()
        """Envelopes that were not taken, by reason."""
        self._refusal_logged: dict[str, datetime] = {}
        self._assignment = self._remembered()

    def receive(self, envelope: bytes) -> None:
        """Take an envelope from the bus."""
        self._inbox.put(envelope)

    def heartbeat(self) -> bytes:
        """A short report for the bus."""
        return self._reporter.heartbeat()

    def step(self, now: datetime) -> float:
        """Do what can be done now; seconds until the next step is wanted, unless something wakes the agent before."""
        self._take_newest(now)
        waits = [_AFTER_DEFECT if self._unwritten else self._interval]
        if self._assignment is not None:
            waits += [self._converge(role, self._assignment, now) for role in self._roles]
        entries = Entries.gather(list(self._observed.values()))
        problem = "; ".join(self._problems.values())
        held = self._reporter.tell(entries, self._journal.stamp, problem, now, anyway=self._asked_again)
        self._asked_again = False
        return max(0.0, min(waits if held is None else [*waits, held]))

    def close(self) -> None:
        """Let go of what the roles hold. Services run on."""
        for role in self._roles:
            role.close()

    def _remembered(self) -> Assignment | None:
        """What was taken before a restart, verified again: the journal may have been written by somebody else."""
        if not self._journal.envelope:
            return None
        try:
            remembered = self._open(self._journal.envelope)
        except Refused as refused:
            why = str(refused)
        else:
            if remembered.stamp == self._journal.stamp:
                return remembered
            why = f"it is {remembered.stamp}, and {self._journal.stamp} was taken"
        self._problems["journal"] = f"the assignment in the journal is not believed ({why}); waiting for another"
        return None

    def _take_newest(self, now: datetime) -> None:
        waiting = [self._unwritten] if self._unwritten else []
        self._unwritten = None
        envelopes = [*waiting, *self._inbox.drain()]
        believed = [(said, envelope) for envelope in envelopes if (said := self._believe(envelope, now))]
        if believed:
            self._take(*max(believed, key=lambda pair: pair[0].stamp), now)

    def _take(self, newest: Assignment, envelope: bytes, now: datetime) -> None:
        try:
            verdict = self._journal.take(newest.stamp, envelope)
        except JournalProblem as problem:
            self._unwritten, self._problems["journal"] = envelope, str(problem)
            return
        if verdict == "taken" or (verdict == "same" and self._assignment is None):
            self._assignment = newest
            self._problems.pop("journal", None)
        elif verdict == "same":
            self._asked_again = True  # whoever repeats it may not have heard the answer
        else:
            self._refuse("older", f"{newest.stamp} is older than {self._journal.stamp}", now)

    def _believe(self, envelope: bytes, now: datetime) -> Assignment | None:
        try:
            return self._open(envelope)
        except Refused as refused:
            self._refuse(refused.reason, str(refused), now)
            return None

    def _refuse(self, reason: str, detail: str, now: datetime) -> None:
        self.refused[reason] += 1
        logged = self._refusal_logged.get(reason)
        if logged is None or abs(now - logged) >= _QUIET:  # a clock that was set back must not silence it
            self._refusal_logged[reason] = now
            said = {"reason": reason, "detail": detail, "times": self.refused[reason]}
            self._log.warning("refused an assignment", extra=said)

    def _converge(self, role: Role, assignment: Assignment, now: datetime) -> float:
        try:
            observed = role.converge(assignment, now)
        except JournalProblem as problem:
            self._problems[role.name] = str(problem)
            return _AFTER_DEFECT
        except Exception as error:  # noqa: BLE001  one role's defect must not stop the others
            self._problems[role.name] = (
                f"role {role.name} failed in a way it should not: {type(error).__name__}: {error}"
            )
            self._log.exception("a role failed; the others go on", extra={"role": role.name})
            return _AFTER_DEFECT
        self._problems.pop(role.name, None)
        self._observed[role.name] = observed
        return self._interval if observed.again_in is None else observed.again_in
