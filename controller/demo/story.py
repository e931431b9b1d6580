"""The demo's story: version 1 runs, version 2 is rolled out under load, version 3 is held before customers meet it."""

import time
from dataclasses import dataclass

from controller.cli.client import Resource
from controller.demo.display import Display
from controller.demo.fleet import Fleet
from controller.demo.processes import DemoError, peak_rss_mb
from controller.demo.rollout import Rollout, converged, follow, hold_of, measured_rollout

FIRST, SECOND, BROKEN = "1.0.0", "1.1.0", "1.2.0"
RATE = 200.0
"""Customers' requests a second."""


@dataclass(frozen=True)
class Result:
    """What the demo found; its fields are those of ``--json``."""

    hosts: int
    converged_version: str
    """The version that every host ran, healthy and online, before the broken one was declared."""
    requests_total: int
    requests_failed: int
    customers_saw_bad_version: bool
    bad_version_held: bool
    held_because: str
    rollout_seconds: float
    commit_to_first_drain_seconds: float
    controller_cpu_seconds: float
    """Of the rollout of the second version, as the two before."""
    controller_rss_mb: float
    """The most that the controller held, until the end."""

    @property
    def good(self) -> bool:
        """Whether all that the demo promises came true."""
        kept_away = self.bad_version_held and not self.customers_saw_bad_version
        return self.converged_version == SECOND and self.requests_failed == 0 and kept_away


class Story:
    """Tells itself on a display, chapter by chapter. Every method raises DemoError."""

    def __init__(self, fleet: Fleet, display: Display) -> None:
        self._fleet, self._display = fleet, display

    def tell(self) -> Result:
        """The whole story; the customers are gone at its end, the fleet stays."""
        self._begin()
        rollout = self._roll_out()
        held = self._hold()
        rss = peak_rss_mb(self._fleet.controller.pid)
        tally = self._fleet.dismiss_customers()
        return Result(
            hosts=len(self._fleet.layout.hosts),
            converged_version=SECOND,
            requests_total=tally.requests,
            requests_failed=tally.failed,
            customers_saw_bad_version=BROKEN in tally.versions,
            bad_version_held=bool(held),
            held_because=held,
            rollout_seconds=round(rollout.seconds, 2),
            commit_to_first_drain_seconds=round(rollout.first_drain_seconds, 3),
            controller_cpu_seconds=round(rollout.cpu_seconds, 2),
            controller_rss_mb=rss,
        )

    def _begin(self) -> None:
        fleet, say = self._fleet, self._display.say
        begun = time.monotonic()
        self._display.chapter(f"{len(fleet.layout.hosts)} hosts, a balancer, a runner and a controller start")
        say(f"They run on this machine, in {fleet.layout.root}")
        fleet.start(FIRST)
        with self._display.rollout():
            follow(fleet, converged(FIRST), self._show)
        say(f"Version {FIRST} runs everywhere, {time.monotonic() - begun:.1f}s after an empty folder.")
        fleet.admit_customers(RATE)
        say(f"Customers now send {RATE:.0f} requests a second to {fleet.layout.customers_url}")

    def _roll_out(self) -> Rollout:
        self._display.chapter(f"Version {SECOND} is committed")
        with self._display.rollout():
            rollout = measured_rollout(self._fleet, SECOND, self._display.command, self._show)
        self._display.say(
            f"Version {SECOND} runs everywhere, {rollout.seconds:.1f}s after its commit; "
            f"the first host was out of the pool after {rollout.first_drain_seconds:.2f}s."
        )
        return rollout

    def _hold(self) -> str:
        fleet = self._fleet
        self._display.chapter(f"Version {BROKEN} is committed: it says that it is healthy, and cannot do its work")
        with self._display.rollout():
            self._display.command(fleet.bump(BROKEN, broken=True, commit=True))
            follow(fleet, lambda target: hold_of(target, BROKEN) is not None, self._show)
            # Had a customer been sent there, it would show now.
            seen = fleet.tally().requests
            fleet.wait_for("customers", lambda: fleet.tally().requests >= seen + RATE, 30.0)
        hold = hold_of(fleet.target(), BROKEN)
        if hold is None:
            raise DemoError(f"version {BROKEN} was held, and then went on", fleet.controller.log)
        self._display.say(f"Held before any customer met it: {hold}")
        return hold

    def _show(self, target: Resource) -> None:
        self._display.show(target, self._fleet.tally())
