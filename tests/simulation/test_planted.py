"""Each planted bug is found, within the seeds of a normal run, as the promise that it breaks."""

import pytest

from tests.simulation.checkers import PromiseBroken
from tests.simulation.planted import Bug, acting, deciding, rollouts
from tests.simulation.run import simulate

BUGS = [*deciding.BUGS, *acting.BUGS, *rollouts.BUGS]
SEEDS = range(21, 27)
FIRST = {bug.promise: bug for bug in reversed(BUGS)}
"""One bug of each promise is looked for by every ``make test``, all of them by ``make planted``."""


def _looked_for(bug: Bug) -> object:
    marks = [] if FIRST[bug.promise] is bug else [pytest.mark.soak]
    return pytest.param(bug, id=f"{bug.promise}-{bug.name}", marks=marks)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("bug", [_looked_for(bug) for bug in BUGS])
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.plant(monkeypatch)
    assert _broken_by(bug) in (bug.promise, *bug.also)


def _broken_by(bug: Bug) -> int | None:
    for seed in SEEDS:
        try:
            simulate(seed, hosts=8, faults=bug.faults, faulty=bug.faulty, calm=bug.calm)
        except PromiseBroken as broken:
            return broken.promise
    return None
