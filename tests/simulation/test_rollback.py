"""Rolling back under faults: a failed release stays where it is, and absence alone never rolls back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import reconcilers.deadlines
from crds.status import RolloutStatus, Step
from tests.simulation.faults import NONE
from tests.simulation.planted.rollouts import BAD
from tests.simulation.run import quiet, simulate
from tests.simulation.simulator import Simulation

AWAY = replace(NONE, controller_away=2400.0, commit=0.0)
"""Nothing goes wrong but that the controller is away for up to 40 minutes, longer than any host or batch may take."""


def test_bad_releases_are_rolled_back_under_faults() -> None:
    trace = simulate(23, hosts=8, faults=BAD, faulty=600.0).trace
    assert any("into quarantine" in line for line in trace)


def after_an_absence(folder: Path, seed: int, step: Step) -> RolloutStatus:
    """How a good release ends whose controller dies while the first host is at that step, and stays away for long."""
    quiet()
    simulation = Simulation(seed, 2, folder, AWAY, services=1)
    simulation.begin()
    go_until(simulation, lambda: has_ended(simulation))
    simulation.controller.commit("2")
    go_until(simulation, lambda: step in steps(simulation))
    while simulation.controller.deciding is not None:
        simulation.controller.crash_soon()  # in mid-publication, for example, which not every step has
        simulation.advance()
    died = simulation.clock.monotonic()
    go_until(simulation, lambda: simulation.controller.deciding is not None)
    assert simulation.clock.monotonic() - died > 900, "choose another seed"
    go_until(simulation, lambda: has_ended(simulation))
    return simulation.controller.world.statuses["api@prod"]


def go_until(simulation: Simulation, came: Callable[[], bool]) -> None:
    while not came():
        simulation.advance()


def has_ended(simulation: Simulation) -> bool:
    status = simulation.controller.world.statuses.get("api@prod")
    return status is not None and (status.finished is not None or status.quarantine is not None)


def steps(simulation: Simulation) -> set[Step]:
    return {journey.step for journey in simulation.controller.world.journeys.get("api@prod", {}).values()}


@pytest.mark.parametrize("step", [Step.DEPLOYING, Step.TESTING])
def test_absence_alone_rolls_nothing_back(step: Step, tmp_path: Path) -> None:
    """Promise 11."""
    status = after_an_absence(tmp_path, 44, step)
    assert (status.version, status.quarantine) == ("2", None)


def test_a_clock_that_counts_absence_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stopwatch's: a host's own clock also stands because no balancer node has reported yet after a start."""
    real = reconcilers.deadlines.elapsed_of
    monkeypatch.setattr(reconcilers.deadlines, "elapsed_of", lambda watch, now, _: real(watch, now, watch.accounted))
    assert after_an_absence(tmp_path, 44, Step.DEPLOYING).quarantine is not None
