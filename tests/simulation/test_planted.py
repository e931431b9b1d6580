"""Bugs planted in production code: the simulator must find each, or its checkers are blind there."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

import controller.lives
import controller.revisions
import reconcilers.journey
import reconcilers.obstacles
import reconcilers.plan
import reconcilers.room
import tests.simulation.checkers
import tests.simulation.desired
from agent.drivers.contracts import Outcome
from agent.drivers.operations.migration import Driver
from agent.journal import Journal
from controller.operations import Operations
from controller.world import World
from crds.desired import DesiredState
from crds.status import Counts, Journey, Step
from reconcilers.facts import HostFacts
from reconcilers.index import TargetIndex
from reconcilers.journey import Situation, moved
from reconcilers.limits import HOSTS, FleetIndex
from reconcilers.target import TargetSpec
from tests.simulation.__main__ import simulate
from tests.simulation.checkers import PromiseBroken
from tests.simulation.faults import ALL, CLONES

Plant = Callable[[pytest.MonkeyPatch], None]


def budget_off_by_one(patch: pytest.MonkeyPatch) -> None:
    real = reconcilers.room.budget
    patch.setattr(reconcilers.room, "budget", lambda *args: real(*args) + 1)


def tight_limits(patch: pytest.MonkeyPatch, **shares: int) -> None:
    """Where the fleet allows no more than one service would take alone: two seldom need more at once."""
    for name, share in shares.items():
        for module in (tests.simulation.desired, tests.simulation.checkers):
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


def claims_forgotten(patch: pytest.MonkeyPatch) -> None:
    real = World.facts

    def facts(world: World, target: str, name: str) -> HostFacts:
        return replace(real(world, target, name), claimed_by=None)

    patch.setattr(World, "facts", facts)


def deployed_without_waiting(patch: pytest.MonkeyPatch) -> None:
    def leaving(journey: Journey, at: Situation, elapsed: float) -> Journey:
        return journey if at.unprepared else moved(journey, Step.DEPLOYING, at.now, elapsed)

    patch.setitem(reconcilers.journey._STEPS, Step.LEAVING, leaving)


def only_one_balancer_asked(patch: pytest.MonkeyPatch) -> None:
    real = reconcilers.journey.online_places
    patch.setattr(reconcilers.journey, "online_places", lambda target: list(real(target))[:1])


def gates_skipped(patch: pytest.MonkeyPatch) -> None:
    def testing(journey: Journey, at: Situation, elapsed: float) -> Journey:
        return moved(journey, Step.ENABLING, at.now, elapsed)

    patch.setitem(reconcilers.journey._STEPS, Step.TESTING, testing)


def older_assignments_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Journal, "compare", lambda _journal, _stamp: "taken")


def half_a_commit(patch: pytest.MonkeyPatch) -> None:
    real = controller.revisions.targets_of
    seen: dict[str, TargetSpec] = {}

    def targets_of(state: DesiredState) -> dict[str, TargetSpec]:
        found = real(state)
        return found | {"web@prod": seen.setdefault("web@prod", found["web@prod"])}

    patch.setattr(controller.revisions, "targets_of", targets_of)


def success_between_two_batches(patch: pytest.MonkeyPatch) -> None:
    real = TargetIndex.counts

    def counts(index: TargetIndex) -> Counts:
        said = real(index)
        return said.model_copy(update={"current": said.total - said.excluded})

    patch.setattr(TargetIndex, "counts", counts)


def reports_of_services_ignored(patch: pytest.MonkeyPatch) -> None:
    real = World.facts

    def facts(world: World, target: str, name: str) -> HostFacts:
        return replace(real(world, target, name), service=None)

    patch.setattr(World, "facts", facts)


def exclusions_forgotten(patch: pytest.MonkeyPatch) -> None:
    real = World.facts

    def facts(world: World, target: str, name: str) -> HostFacts:
        return replace(real(world, target, name), excluded="")

    patch.setattr(World, "facts", facts)


def restarts_taken_for_clones(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(controller.lives, "_clash", lambda _own, _other, _now: "planted")


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


PLANTED: list[tuple[int, Plant]] = [
    (1, budget_off_by_one),
    (1, a_place_too_many_in_the_fleet),
    (1, a_place_too_many_in_a_zone),
    (1, each_target_counts_for_itself),
    (2, claims_forgotten),
    (3, deployed_without_waiting),
    (3, only_one_balancer_asked),
    (4, gates_skipped),
    (5, older_assignments_taken),
    (6, half_a_commit),
    (8, success_between_two_batches),
    (20, check_asked_only_afterwards),
    (20, hosts_do_not_wait_for_expand),
    (20, locks_forgotten),
    (13, exclusions_forgotten),
    (17, reports_of_services_ignored),
    (18, restarts_taken_for_clones),
]


@pytest.mark.parametrize(("promise", "plant"), PLANTED, ids=lambda value: getattr(value, "__name__", f"promise{value}"))
def test_a_planted_bug_is_found(promise: int, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    broken = []
    for seed in range(21, 31):
        try:
            simulate(seed, hosts=8, faults=ALL, faulty=300.0, calm=900.0)
        except PromiseBroken as found:
            broken.append(found.promise)
            break
    assert broken == [promise]


def test_a_clone_that_nobody_notices_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller.lives, "LATEST", timedelta(days=1))
    with pytest.raises(PromiseBroken) as broken:
        simulate(31, hosts=8, faults=CLONES, faulty=700.0, calm=900.0)
    assert broken.value.promise == 18
