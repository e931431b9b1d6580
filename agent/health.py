"""From single answers to health: when to ask, and what the answers so far mean."""

from dataclasses import dataclass, field
from random import Random

from crds.messages import Stamp
from crds.probe import Probe

_FIRST = 0.05
"""Seconds from the first question after a start to the second."""
_GROWTH = 1.2
"""Until the service was healthy once, each wait is longer than the last: a start is noticed a fifth late at most."""
_PATIENCE = 0.5
"""Seconds that each of these questions waits for a service that does not listen yet."""


@dataclass
class ProbeState:
    """One probe of one process."""

    probe: Probe
    due: float
    """When to ask next, on the monotonic clock."""
    read: Stamp | None = None
    """The assignment under which the newest answer was asked for."""
    healthy: bool | None = None
    was_healthy: bool = False
    reason: str = ""
    _quick: float = _FIRST
    _successes: int = 0
    _failures: int = 0
    _started: bool = False

    @property
    def patience(self) -> float:
        """Seconds for which a refused connection is no answer yet."""
        return _PATIENCE if self._waiting() else 0.0

    def answer(self, reason: str, read: Stamp, now: float, random: Random) -> None:
        """Take an answer to a question that was asked under ``read``."""
        self.read, self.reason = max(read, self.read or read), reason
        if reason:
            self._fail()
        else:
            self._succeed()
        following = self._pace() if self._waiting() else self.probe.interval * random.uniform(0.9, 1.0)
        # Something new may have been assigned since the question: then it is asked again at once, whatever the answer.
        self.due = min(self.due, now + following)

    def _succeed(self) -> None:
        self._started = True
        self._failures = 0
        self._successes += 1
        if self._successes >= self.probe.success_threshold:
            self.healthy = self.was_healthy = True

    def _fail(self) -> None:
        self._successes = 0
        if self._waiting():  # questions that come faster than the interval say nothing about a service that starts
            return
        self._failures += 1
        if self._failures >= self.probe.failure_threshold:
            self.healthy = False

    def _waiting(self) -> bool:
        return not self._started and self._quick < self.probe.interval

    def _pace(self) -> float:
        pace = self._quick
        self._quick *= _GROWTH
        return pace


@dataclass
class Health:
    """All probes of one process."""

    probes: list[ProbeState] = field(default_factory=list)
    begun: bool = False
    """It is known what to ask; without that, no probes mean nothing."""

    @classmethod
    def begin(cls, probes: list[Probe], now: float) -> "Health":
        """A process whose health nobody has asked for yet."""
        return cls([ProbeState(probe, now) for probe in probes], begun=True)

    def asking(self, probes: list[Probe], now: float) -> "Health":
        """The same process, asked other questions: answers to those that stay are kept."""
        known = {state.probe.model_dump_json(): state for state in self.probes}
        return Health([known.get(probe.model_dump_json()) or ProbeState(probe, now) for probe in probes], begun=True)

    def asks(self) -> list[Probe]:
        """What is asked."""
        return [state.probe for state in self.probes]

    def healthy(self) -> bool | None:
        """True if all probes say so, False if one denies it, None as long as one has not said."""
        verdicts = [state.healthy for state in self.probes]
        if False in verdicts:
            return False
        return None if None in verdicts else True

    def started(self) -> bool:
        """Whether every probe has said, at some time, that it is healthy."""
        return all(state.was_healthy for state in self.probes)

    def reason(self) -> str:
        """Why it is not healthy, in words; empty if it is."""
        return "; ".join(state.reason for state in self.probes if state.reason and not state.healthy)

    def read(self, stamp: Stamp) -> Stamp:
        """The oldest assignment that an answer was asked under: what is said of health is at least that new."""
        reads = [state.read for state in self.probes if state.read is not None]
        return min([*reads, stamp])

    def ask_again(self, now: float) -> None:
        """Something new was assigned: ask at once, so that health is read under it."""
        for state in self.probes:
            state.due = min(state.due, now)
