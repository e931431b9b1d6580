"""Deadlines of batches and rollouts: what counts, what does not, and what happens then."""

from typing import Any

import pytest

from crds.status import Step
from reconcilers.target import TargetSpec
from tests.support.promises import PROMISES
from tests.support.site import Site, converged
from tests.support.worlds import pool, seconds, target

ROLLOUT: dict[str, Any] = {"batches": [1], "max_unavailable": 1, "deadline": "24h"}


def spec(version: str, **changes: Any) -> TargetSpec:
    return target(version, **(ROLLOUT | changes))


def deploying(*stuck: str, **changes: Any) -> Site:
    """A site whose first host deploys version 2; on some hosts that never ends."""
    site = converged(spec("1", **changes), checks=PROMISES)
    site.behaviour.stuck |= set(stuck)
    site.declare(spec("2", **changes))
    return site.until(lambda site: Step.DEPLOYING in site.steps().values())


def test_a_batch_without_progress_is_held() -> None:
    site = deploying("vm1", progress_deadline="2m")
    site.run(110)
    assert site.status().hold is None
    site.run(15)
    status, reason, message = site.condition("Stalled")
    assert (status, reason) == ("True", "ProgressDeadlineExceeded")
    assert message.startswith("batch 1 made no progress within 2m: vm1 is deploying (")
    assert site.steps() == {"vm1": Step.DEPLOYING}, "the host itself has all the time that its own deadline gives it"


def test_a_batch_that_moves_is_never_late() -> None:
    """Each host takes less than the deadline, all of them together more."""
    site = converged(spec("1", soak="20s", progress_deadline="25s"))
    site.declare(spec("2", soak="20s", progress_deadline="25s"))
    site.run(150)
    assert site.condition("Ready")[0] == "True"
    assert site.status().stopwatch is None, "nothing is left to measure"


def test_a_rollout_that_takes_too_long_is_held_though_it_moves() -> None:
    site = converged(spec("1", soak="20s", rollout_deadline="1m"))
    site.declare(spec("2", soak="20s", rollout_deadline="1m"))
    site.run(100)
    status, reason, message = site.condition("Stalled")
    assert (status, reason) == ("True", "RolloutDeadlineExceeded")
    assert message.startswith("the rollout is not done within 1m: ")


def test_a_deadline_may_roll_back() -> None:
    site = deploying("vm1", progress_deadline="2m", on_deadline="rollback")
    site.run(130)
    assert site.status().quarantine is not None
    site.behaviour.stuck.clear()
    site.run(30)
    assert site.condition("Stalled")[1] == "RolledBack"
    assert site.condition("RolledBack")[1] == "ProgressDeadlineExceeded"
    assert set(site.versions().values()) == {"1"}


def test_a_rollback_that_is_late_is_held() -> None:
    site = deploying("vm1", progress_deadline="1m", on_deadline="rollback")
    site.behaviour.down |= {("lb1", "vm1")}
    site.run(200)
    assert site.condition("Stalled")[1] == "ProgressDeadlineExceeded"
    assert "rolling back has failed itself" in site.condition("Stalled")[2]


def test_another_controller_goes_on_from_what_has_counted() -> None:
    site = deploying("vm1", progress_deadline="2m")
    site.run(90)
    site.world.look_at_all("api@prod")  # as the deciding thread does every ten seconds while hosts are under way
    site.run(1)
    site.restart()
    site.run(20)
    assert site.status().hold is None
    site.run(30)
    assert site.condition("Stalled")[1] == "ProgressDeadlineExceeded"


@pytest.mark.parametrize("limit", ["progress_deadline", "rollout_deadline"])
def test_the_controllers_absence_does_not_count(limit: str) -> None:
    site = deploying("vm1", **{limit: "2m"})
    site.run(30)
    site.now += seconds(86400)
    site.restart()
    site.run(60)
    assert site.status().hold is None
    site.behaviour.stuck.clear()
    site.run(60)
    assert site.condition("Ready")[0] == "True"


@pytest.mark.parametrize(("lost", "step"), [("lb2", Step.DEPLOYING), ("run1", Step.TESTING), ("vm1", Step.DEPLOYING)])
def test_while_nobody_could_move_no_time_counts(lost: str, step: Step) -> None:
    changes = {"progress_deadline": "5m", "rollout_deadline": "10m"}
    site = converged(spec("1", **changes))
    site.behaviour.stuck.add("vm1")
    site.declare(spec("2", **changes))
    site.until(lambda site: Step.DEPLOYING in site.steps().values())
    site.behaviour.silent.add(lost)
    if step is Step.TESTING:
        site.behaviour.stuck.clear()
    site.run(3600)
    assert site.status().hold is None
    site.behaviour.silent.clear()
    site.behaviour.stuck.clear()
    site.run(100)
    assert site.condition("Ready")[0] == "True"


def test_waiting_for_another_service_counts() -> None:
    first = spec("1")
    second = spec("1", name="web@prod", pools=(pool("web", ("lb1", "lb2"), "web-tests", 9090),), rollout_deadline="1m")
    site = converged(first, second)
    site.behaviour.stuck.add("vm1")
    site.declare(spec("2"))
    site.until(lambda site: Step.DEPLOYING in site.steps().values())
    site.declare(
        spec("2", name="web@prod", pools=(pool("web", ("lb1", "lb2"), "web-tests", 9090),), rollout_deadline="1m")
    )
    site.run(80)
    assert site.condition("Stalled", "web@prod")[1] == "RolloutDeadlineExceeded"


def test_a_hold_stops_the_clock() -> None:
    site = deploying("vm1", deadline="30s", progress_deadline="10m", rollout_deadline="20m")
    site.run(60)
    assert site.condition("Stalled")[1] == "HostFailed"
    site.run(3000)
    assert site.condition("Stalled")[1] == "HostFailed"


def test_it_wakes_for_the_deadline_itself() -> None:
    site = deploying("vm1", progress_deadline="2m")
    wake = site.wakes["api@prod"]
    assert wake is not None
    assert 0 < (wake - site.now).total_seconds() <= 121


def test_no_time_runs_while_nothing_declares_the_target() -> None:
    """Nobody plans it meanwhile, so that its hosts could not have moved."""
    site = deploying("vm1", deadline="5m", progress_deadline="5m")
    declared = site.world.declared
    site.world.set_specs({}, site.now)
    site.run(10, span=60.0)
    site.world.set_specs(declared, site.now)
    site.run(4, span=60.0)
    assert (site.steps(), site.status().hold) == ({"vm1": Step.DEPLOYING}, None)
    site.run(2, span=60.0)
    assert site.condition("Stalled")[:2] == ("True", "HostFailed")
