"""The promises, under faults: fixed seeds that cover much, and a fresh one each time."""

from random import SystemRandom

import pytest

from tests.simulation.faults import ALL, CLONES, NONE, PERSONS, named
from tests.simulation.run import simulate


def test_the_same_seed_gives_the_same_trace() -> None:
    first, second = (simulate(9, hosts=6, faults=ALL, faulty=120.0) for _ in range(2))
    assert first.trace == second.trace
    assert simulate(10, hosts=6, faults=ALL, faulty=120.0).digest != first.digest


def test_without_faults_a_rollout_needs_no_more_than_its_steps() -> None:
    outcomes = simulate(1, hosts=8, faults=NONE, faulty=60.0)
    assert outcomes.journeys == 2 * 2 * 8, "two services, two commits, every host once"


@pytest.mark.parametrize("seed", [12, 13, 14, 15])
def test_promises_hold_under_all_faults(seed: int) -> None:
    outcomes = simulate(seed, hosts=10, faults=ALL, faulty=400.0)
    assert outcomes.controller_lives > 1
    assert outcomes.journeys > 10


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_promises_hold_for_hundreds_of_hosts() -> None:
    faults = ALL.only({"lost", "twice", "late", "controller_crash", "reload"})
    outcomes = simulate(3, hosts=200, faults=faults, faulty=50.0, services=1)
    assert outcomes.journeys >= 200


@pytest.mark.parametrize("seed", [1001])
def test_promises_hold_under_some_faults(seed: int) -> None:
    """A third of all kinds: where less goes wrong, rollouts get further."""
    assert simulate(seed, hosts=8, faults=named("some", seed), faulty=300.0, services=3).journeys > 24


@pytest.mark.soak  # until many fresh seeds in a row have broken no promise
@pytest.mark.parametrize("group", ["some", "all"])
def test_promises_hold_for_a_fresh_seed(group: str) -> None:
    seed = SystemRandom().getrandbits(32)
    assert simulate(seed, hosts=8, faults=named(group, seed), faulty=300.0).journeys > 0


@pytest.mark.parametrize("seed", [41, 42, 43])
def test_promises_hold_where_people_restore_machines_and_the_store(seed: int) -> None:
    simulate(seed, hosts=8, faults=PERSONS, faulty=400.0)


@pytest.mark.parametrize("seed", [31, 32])
def test_clones_are_noticed_and_promises_hold_meanwhile(seed: int) -> None:
    """That nothing else looks like a clone is checked at the end of every run."""
    simulate(seed, hosts=10, faults=CLONES, faulty=700.0)
