"""The shortest list of faults, on runs that are not simulated and on one with a planted bug."""

import pytest

import reconcilers.journey
from crds.status import Journey, Step
from reconcilers.journey import Situation, moved
from tests.simulation.__main__ import main
from tests.simulation.faults import ALL, Faults
from tests.simulation.shrink import shrink


def test_kinds_that_have_no_part_in_it_are_left_out() -> None:
    def broken_by(faults: Faults) -> int | None:
        return 5 if {"late", "reload"} <= faults.kinds else 7 if "late" in faults.kinds else None

    assert shrink(ALL, 5, broken_by).kinds == {"late", "reload"}


def test_it_ends_after_so_many_runs_with_what_it_has() -> None:
    runs = []

    def broken_by(faults: Faults) -> int | None:
        runs.append(faults)
        return 5 if {"late", "reload", "twice"} <= faults.kinds else None

    assert {"late", "reload", "twice"} <= shrink(ALL, 5, broken_by, most=6).kinds
    assert len(runs) == 6


def test_a_bug_that_needs_no_fault_needs_none() -> None:
    assert not shrink(ALL, 5, lambda _: 5).kinds


@pytest.mark.timeout(300)
def test_a_planted_bug_is_printed_with_the_shortest_list_and_its_replay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gates that are skipped do harm whatever else goes wrong."""

    def testing(journey: Journey, at: Situation, elapsed: float) -> Journey:
        return moved(journey, Step.ENABLING, at.now, elapsed)

    monkeypatch.setitem(reconcilers.journey._STEPS, Step.TESTING, testing)
    monkeypatch.setattr("sys.argv", ["", "--seed", "21", "--hosts", "4", "--seconds", "60", "--faults", "late,reload"])
    assert main() == 1
    told = capsys.readouterr().out
    assert "promise 4 is broken: " in told
    assert "broken after step " in told
    assert "shortest list: no fault at all\n" in told
    assert told.splitlines()[-1].endswith("--faults none")
