"""Bugs in what goes on around the hosts of one rollout: rollbacks, migrations, the limits of the fleet."""

from dataclasses import replace
from datetime import datetime

import pytest

import controller.world
import reconcilers.batch
import reconcilers.obstacles
import reconcilers.plan
import reconcilers.verdict
import tests.simulation.checkers.acts
import tests.simulation.desired
from agent.drivers.contracts import Outcome
from agent.drivers.operations.migration import Driver
from controller.operations import Operations
from crds.status import RolloutStatus
from reconcilers.draft import Draft
from reconcilers.limits import HOSTS, FleetIndex
from reconcilers.obstacles import Obstacle
from reconcilers.target import TargetSpec
from tests.simulation.faults import ALL
from tests.simulation.planted import Bug

BAD = replace(ALL.only({"bad_release", "lost", "late", "controller_crash"}), bad_release=0.5, commit=150.0)
MIGRATING = ALL.only({"died_migrating", "unclear_check", "late"})
FREEZING = replace(ALL.only({"freeze"}), freeze=40.0, commit=50.0)
FEW = ALL.only({"late", "busy"})


def a_quarantine_ends_with_the_rollback(patch: pytest.MonkeyPatch) -> None:
    real = reconcilers.verdict.remembered

    def remembered(status: RolloutStatus, target: TargetSpec, now: datetime) -> RolloutStatus:
        return real(status, target, now).model_copy(update={"quarantine": None})

    patch.setattr(reconcilers.verdict, "remembered", remembered)


def nothing_takes_the_place_of_a_quarantined_release(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(controller.world, "effective", lambda declared, _status: declared)


def check_asked_only_afterwards(patch: pytest.MonkeyPatch) -> None:
    """Whoever comes back after a crash begins anew."""
    real = Driver._check
    asked: set[int] = set()

    def check(driver: Driver, *args: object) -> Outcome | None:
        again = id(driver) in asked
        asked.add(id(driver))
        return real(driver, *args) if again else None  # type: ignore[arg-type]

    patch.setattr(Driver, "_check", check)
    patch.setattr(Driver, "run", lambda driver, *args, run=Driver.run: (asked.clear(), run(driver, *args))[1])


def hosts_do_not_wait_for_expand(patch: pytest.MonkeyPatch) -> None:
    for module in (reconcilers.obstacles, reconcilers.plan):
        patch.setattr(module, "unprepared", lambda _draft: None)


def locks_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Operations, "locks", lambda _operations, _target: {})


def tight_limits(patch: pytest.MonkeyPatch, **shares: int) -> None:
    """Where the fleet allows no more than one service would take alone: two seldom need more at once."""
    for name, share in shares.items():
        for module in (tests.simulation.desired, tests.simulation.checkers.acts):
            patch.setattr(module, name, share)


def a_place_too_many_in_the_fleet(patch: pytest.MonkeyPatch) -> None:
    tight_limits(patch, FLEET_SHARE=25)
    real = FleetIndex.left
    patch.setattr(FleetIndex, "left", lambda index, limit, target: real(index, limit, target) + (limit == HOSTS))


def a_place_too_many_in_a_zone(patch: pytest.MonkeyPatch) -> None:
    tight_limits(patch, FLEET_SHARE=40, ZONE_SHARE=50)
    real = FleetIndex.left
    patch.setattr(FleetIndex, "left", lambda index, limit, target: real(index, limit, target) + ("/" in limit))


def each_target_counts_for_itself(patch: pytest.MonkeyPatch) -> None:
    tight_limits(patch, FLEET_SHARE=25)

    def left(index: FleetIndex, limit: str, target: str) -> float:
        return index.limits.places.get(limit, 1000) - index.holders[limit, target]

    patch.setattr(FleetIndex, "left", left)


def freezes_count_only_when_a_batch_begins(patch: pytest.MonkeyPatch) -> None:
    real = reconcilers.batch.obstacle

    def obstacle(draft: Draft, serving: bool = True) -> Obstacle | None:
        found = real(draft, serving)
        return None if found and found.reason == "Frozen" and draft.journeys else found

    patch.setattr(reconcilers.batch, "obstacle", obstacle)


def freezes_forgotten(patch: pytest.MonkeyPatch) -> None:
    real = reconcilers.obstacles.frozen
    patch.setattr(reconcilers.obstacles, "frozen", lambda *args, **more: real(args[0][:0], *args[1:], **more))


BUGS = [
    Bug(12, freezes_count_only_when_a_batch_begins, FREEZING),
    Bug(12, freezes_forgotten, FREEZING),
    Bug(1, a_place_too_many_in_the_fleet, FEW),
    Bug(1, a_place_too_many_in_a_zone, FEW),
    Bug(1, each_target_counts_for_itself, FEW),
    Bug(19, a_quarantine_ends_with_the_rollback, BAD, 600.0),
    Bug(19, nothing_takes_the_place_of_a_quarantined_release, BAD, 600.0),
    Bug(20, check_asked_only_afterwards, MIGRATING),
    Bug(20, hosts_do_not_wait_for_expand, MIGRATING),
    Bug(20, locks_forgotten, MIGRATING),
]
