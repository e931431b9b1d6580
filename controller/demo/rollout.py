"""Rolling a version out over the demo's fleet, and measuring it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from controller.cli.client import AskError, Resource
from controller.cli.words import condition, message_of
from controller.demo.balancers import ONLINE
from controller.demo.fleet import Fleet
from controller.demo.observe import FirstDrain
from controller.demo.processes import DemoError, cpu_seconds

Show = Callable[[Resource], None]
PATIENCE = 120.0
"""Seconds for a rollout of few hosts; each host gets one more."""

_SHOWN, _UNSEEN = 0.1, 0.25
"""Seconds between two looks; each costs the controller some milliseconds, which are counted as its own."""


@dataclass(frozen=True)
class Rollout:
    """The figures of one rollout."""

    seconds: float
    """From the commit until every host ran the version, healthy and online."""
    first_drain_seconds: float
    """From the commit until HAProxy had the first server out of rotation."""
    cpu_seconds: float
    """That the controller used."""


def converged(version: str) -> Callable[[Resource], bool]:
    """Whether every host of the target runs the version, healthy and online."""

    def came(target: Resource) -> bool:
        return target["status"]["version"] == version and condition(target, "Ready") is not None

    return came


def hold_of(target: Resource, version: str) -> str | None:
    """Why the rollout of the version does not go on; None while it may."""
    hold = target["status"]["hold"]
    return str(hold["message"]) if hold and target["status"]["version"] == version else None


def follow(fleet: Fleet, came: Callable[[Resource], bool], show: Show | None = None) -> Resource:
    """Look at the target until ``came`` is true of it; what it was then. Raises DemoError.

    ``show`` gets each look, with the rows of the hosts; without it they are not asked for.
    """
    last: list[Resource] = []

    def look() -> bool:
        try:
            target = fleet.target() if show else fleet.summary()
        except AskError:
            return False  # the controller has not read the repository yet
        if show:
            show(target)
        last[:] = [target]
        return came(target)

    try:
        interval = _SHOWN if show else _UNSEEN
        fleet.wait_for("the rollout", look, PATIENCE + len(fleet.layout.hosts), interval)
    except DemoError as error:
        where = f"; the target says: {message_of(last[0])}" if last else ""
        raise DemoError(f"{error}{where}", error.log) from error
    return last[0]


def measured_rollout(fleet: Fleet, version: str, tell: Callable[[list[str]], None], show: Show | None) -> Rollout:
    """Commit a version and follow it to its end; ``tell`` gets the command. Raises DemoError."""
    used = cpu_seconds(fleet.controller.pid)
    with FirstDrain(fleet.balancers[0].socket, ONLINE) as first_drain:
        tell(fleet.bump(version, commit=True))
        committed = fleet.committed_at()
        end = follow(fleet, converged(version), show)
    if first_drain.at is None:
        raise DemoError("no host left the online pool", fleet.controller.log)
    finished = datetime.fromisoformat(end["status"]["finished"]).timestamp()
    return Rollout(finished - committed, first_drain.at - committed, cpu_seconds(fleet.controller.pid) - used)
