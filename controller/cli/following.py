"""Following a target until it has converged, cannot go on, or the time is up."""

from collections.abc import Callable
from typing import NamedTuple

from bus.clock import Clock
from controller.cli.client import Client, Resource, Unreachable
from controller.cli.kinds import name_of
from controller.cli.options import FAILED, TIMED_OUT
from controller.cli.tables import talk
from controller.cli.words import condition, converged, leading, short

INTERVAL = 0.5
"""Seconds between two looks."""
PATIENCE = 60.0
"""Seconds that a controller may be away (it restarts, or another one takes over) before following it ends."""


class Outcome(NamedTuple):
    """How following ended."""

    code: int
    message: str


class Follower:
    """Looks again and again. Losing the controller after it answered once is only waited out."""

    def __init__(self, clock: Clock, sleep: Callable[[float], None], timeout: float) -> None:
        """``timeout`` in seconds; 0 is none."""
        self._clock, self._sleep, self._timeout = clock, sleep, timeout
        self._lost: float | None = None

    def until(self, look: Callable[[], Outcome | None], waits_for: Callable[[], str]) -> Outcome:
        """What ``look`` came to; ``waits_for`` says in words what was missing when the time was up.

        Raises Unreachable if the controller does not answer the first time or stays away, and AskError.
        """
        began, answered = self._clock.monotonic(), False
        while True:
            try:
                outcome = look()
                answered, self._lost = True, None
            except Unreachable as error:
                if not answered:
                    raise
                outcome = None
                self._bear(error)
            if outcome is not None:
                return outcome
            left = began + self._timeout - self._clock.monotonic() if self._timeout else INTERVAL
            if left <= 0:
                return Outcome(TIMED_OUT, f"timed out: {waits_for()}")
            self._sleep(min(INTERVAL, left))

    def _bear(self, error: Unreachable) -> None:
        now = self._clock.monotonic()
        if self._lost is None:
            self._lost = now
            talk(f"{error}; trying again")
        if now - self._lost >= PATIENCE:
            raise error


def verdict(target: Resource, in_force: str) -> Outcome | None:
    """Whether the target has converged to the revision in force, or never will by itself; None while it moves."""
    name, stalled = name_of(target), condition(target, "Stalled")
    if stalled:
        return Outcome(FAILED, f"{name} is stalled ({stalled['reason']}): {stalled['message']}")
    seen = target["spec"]["declared"] and target["status"]["revision"] == in_force
    if seen and condition(target, "Ready"):
        return Outcome(0, f"{name}: {converged(target)}")
    return None


class Look:
    """Looks at a target and at the revision in force, and remembers the last target seen."""

    def __init__(self, client: Client, name: str, revision: str | None = None, with_hosts: bool = False) -> None:
        self._client, self._name, self._revision, self._with_hosts = client, name, revision, with_hosts
        self._came = revision is None
        self._warned = ""
        self.target: Resource | None = None

    def __call__(self) -> Outcome | None:
        """How it ended, if it has. Raises AskError."""
        state = self._client.state()
        refused = self._refused(state)
        if refused:
            return refused
        if not self._came and not self._has_come(state):
            return None
        self.target = self._client.target(self._name, self._with_hosts)
        return verdict(self.target, (state["revision"] or {}).get("id", ""))

    def waits_for(self) -> str:
        """In words, what is missing."""
        if not self._came:
            return f"revision {self._revision} is not in force; is it on the branch that the controller follows?"
        found = leading(self.target) if self.target else None
        return (
            f"{self._name} is not there: {found['reason']}: {found['message']}"
            if found
            else f"{self._name} is not there"
        )

    def _refused(self, state: Resource) -> Outcome | None:
        refused = state["refused"]
        if not refused:
            return None
        if self._revision and refused["id"].startswith(self._revision):
            problems = "\n".join(f"  {problem}" for problem in refused["problems"])
            return Outcome(FAILED, f"revision {short(refused['id'])} was refused:\n{problems}")
        if self._warned != refused["id"]:
            self._warned = refused["id"]
            talk(f"note: revision {short(refused['id'])} was refused; what was in force before stays so")
        return None

    def _has_come(self, state: Resource) -> bool:
        """The revision is in force, or was: then a newer one took its place, and that is waited for."""
        revision, in_force = str(self._revision), (state["revision"] or {}).get("id", "")
        self._came = in_force.startswith(revision)
        if not self._came and any(_accepted(event, revision) for event in self._client.events("state")["items"]):
            self._came = True
            talk(f"note: revision {short(in_force)} has taken the place of {revision}; waiting for that one")
        return self._came


def _accepted(event: Resource, revision: str) -> bool:
    return event["verb"] == "RevisionAccepted" and str(event["cause"]).startswith(revision)
