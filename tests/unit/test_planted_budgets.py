"""One place too many, planted at each of the counts: the checkers of whole rollouts must see each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import reconcilers.index
import reconcilers.room
from reconcilers.limits import FleetIndex
from tests.support.promises import PROMISES
from tests.support.site import converged
from tests.support.worlds import hosts, pool, target
from tests.unit.test_fleet_limits import NAMES, fleet, release, watched

Plant = Callable[[pytest.MonkeyPatch], None]


def one_more(module: Any, name: str) -> Plant:
    """What a function of the module answers is one more than it should be."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = getattr(module, name)
        patch.setattr(module, name, lambda *args: real(*args) + 1)

    return plant


def forgotten(name: str) -> Plant:
    """The strictest of what is said of a target is not heeded."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        real = reconcilers.room.allowed
        kept = {"minAvailable": {"min_available": None}}.get(name, {})

        def allowed(spec: Any) -> Any:
            pools = tuple(replace(each, max_unavailable=None) for each in spec.pools) if name == "pool" else spec.pools
            return real(replace(spec, rollout=spec.rollout.model_copy(update=kept), pools=pools))

        patch.setattr(reconcilers.room, "allowed", allowed)

    return plant


def rolls_out(**rollout: Any) -> None:
    """Eight hosts to another release, each plan checked."""
    spec = {"count": 8, "batches": ["100%"], "max_unavailable": 4, "hosts": hosts(8, "aaab"), **rollout}
    site = converged(target("1", **spec), checks=PROMISES)
    site.declare(target("2", **spec))
    site.run(60)
    assert site.condition("Ready")[0] == "True"


CASES: list[tuple[Plant, dict[str, Any]]] = [
    (one_more(reconcilers.room, "budget"), {"max_unavailable": 2}),
    (one_more(reconcilers.room, "zone_share"), {}),
    (one_more(reconcilers.index, "zone_share"), {"batches": [4]}),
    (forgotten("minAvailable"), {"min_available": 6}),
    (forgotten("pool"), {"pools": (replace(pool(), max_unavailable=1),)}),
]


@pytest.mark.parametrize(("plant", "rollout"), CASES, ids=["budget", "zone", "batch", "minAvailable", "pool"])
def test_a_host_too_many_of_one_target_is_seen(
    plant: Plant, rollout: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rolls_out(**rollout)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        rolls_out(**rollout)


@pytest.mark.parametrize("places", [{"hosts": 2}, {"zone/a": 1}, {"rollouts": 1}])
def test_a_place_too_many_of_a_fleet_is_seen(places: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FleetIndex, "left", _one_left_more)
    with pytest.raises(AssertionError):
        watched(release(fleet(places, NAMES, batches=["100%"]), places, *NAMES, batches=["100%"]), places)


_left = FleetIndex.left


def _one_left_more(index: FleetIndex, limit: str, target: str) -> float:
    return _left(index, limit, target) + 1
