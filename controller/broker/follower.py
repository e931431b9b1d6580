"""AccountFollower: keeps a broker's accounts what the ring says, while the controller runs."""

import threading
from pathlib import Path
from random import Random

import structlog

from bus.clock import Clock
from bus.keys import BadKey
from bus.listing import is_absent
from controller.broker.accounts import BrokerAccounts
from controller.broker.comparing import Plan
from controller.broker.management import ManagementError
from controller.metrics import Metrics
from controller.watching import Hints, hints

WHOLE_EVERY = 300.0
"""Seconds between two comparisons of everything, for what was changed at the broker, or was missed here."""
FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0
"""Seconds; doubled with each failure in a row."""
_ONE_BY_ONE = 50
"""So many changed nodes are asked about one by one; of more, everything is compared."""
_LINES = 100
"""So many changes, and as many problems, of a pass are logged; of more, their number: the broker has a say in them."""
_QUIET = 60.0
"""Seconds in which the same failure is logged once."""
_DEBOUNCE_MS, _STEP_MS = 200, 50


class AccountFollower:
    """Driven by steps, from one thread of its own: it waits for the broker, and nothing waits for it."""

    def __init__(
        self, accounts: BrokerAccounts, keys_directory: Path, clock: Clock, random: Random, metrics: Metrics
    ) -> None:
        self._accounts, self._nodes = accounts, keys_directory / "nodes"
        self._clock, self._random, self._metrics = clock, random, metrics
        self._changed: set[str] = set()
        self._whole_at = self._not_before = clock.monotonic()
        self._failures = 0
        self._said, self._said_at = "", 0.0
        self._hints: Hints | None = None
        self._watched = 0
        """The folder that is watched: another one of the same name may take its place."""
        self._log = structlog.get_logger("controller.broker")

    def run(self, stop: threading.Event) -> None:
        """Follow the ring until ``stop`` is set."""
        while not stop.is_set():
            self.look(stop)
            self.step()

    def step(self) -> None:
        """Compare and apply what is due, if anything is. Never raises for what broker, network or files do."""
        now = self._clock.monotonic()
        if now < self._not_before or not (self._changed or now >= self._whole_at):
            return
        try:
            self._follow(now)
        except (ManagementError, BadKey, OSError) as error:
            self._failures += 1
            self._not_before = self._clock.monotonic() + self._retry_in()
            # It may be another broker by then, or the same one begun anew.
            self._whole_at = self._not_before
            self._complain(str(error))
            return
        self._changed.clear()
        if self._failures:
            self._log.info("accounts.recovered", failures=self._failures)
        self._failures = 0

    def look(self, stop: threading.Event) -> None:
        """Wait for a moment, until ``stop`` is set or nodes have changed, and remember which."""
        try:
            if is_absent(self._nodes):
                # Nobody has joined yet, or it is being replaced: if it were made here, it would be in the way.
                self._hints = None
                stop.wait(FIRST_RETRY)
                return
            if self._hints is None or self._nodes.stat().st_ino != self._watched:
                self._hints = self._watch(stop)
                # What happened before the watch began is seen by comparing everything.
                self._whole_at = self._clock.monotonic()
            self._changed |= {Path(path).stem for _, path in next(self._hints, ())}
        except (OSError, RuntimeError) as error:
            self._hints = None
            self._complain(f"{self._nodes} cannot be watched: {error}")
            # A folder that is being replaced is there in a moment; a limit of the system is not lifted so soon.
            stop.wait(FIRST_RETRY if isinstance(error, FileNotFoundError) else LONGEST_RETRY)

    def _follow(self, now: float) -> None:
        if len(self._changed) > _ONE_BY_ONE or now >= self._whole_at:
            self._apply(self._accounts.plan())
            self._whole_at = now + WHOLE_EVERY * self._random.uniform(0.9, 1.1)
        else:
            self._apply(self._accounts.plan_of(sorted(self._changed)))

    def _apply(self, plan: Plan) -> None:
        self._accounts.apply(plan)
        self._metrics.failures_total.labels("accounts").inc(len(plan.problems))
        for change in plan.changes[:_LINES]:
            self._log.info("accounts.changed", **{change.kind: change.name}, verb=change.verb, detail=change.detail)
        for problem in plan.problems[:_LINES]:
            self._log.warning("accounts.left", problem=problem)
        more = {"changes": len(plan.changes) - _LINES, "problems": len(plan.problems) - _LINES}
        if max(more.values()) > 0:
            self._log.warning("accounts.more", **{what: max(number, 0) for what, number in more.items()})

    def _watch(self, stop: threading.Event) -> Hints:
        self._watched = self._nodes.stat().st_ino
        return hints([self._nodes], _is_entry, stop, debounce_ms=_DEBOUNCE_MS, step_ms=_STEP_MS)

    def _retry_in(self) -> float:
        whole = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(self._failures - 1, 32))
        return whole * self._random.uniform(0.5, 1.0)

    def _complain(self, error: str) -> None:
        self._metrics.failures_total.labels("accounts").inc()
        now = self._clock.monotonic()
        if error != self._said or now - self._said_at >= _QUIET:
            self._said, self._said_at = error, now
            self._log.warning("accounts.failed", error=error, failures=self._failures)


def _is_entry(path: Path) -> bool:
    return path.suffix == ".json" and not path.name.startswith(".")
