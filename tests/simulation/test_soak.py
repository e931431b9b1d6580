"""The soak: it goes on where it was, and names what it finds."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.simulation import soak
from tests.simulation.faults import NONE
from tests.simulation.run import Run
from tests.simulation.soak import Sum


def ten_journeys(seed: int) -> dict[str, Any]:
    """A run that was quick."""
    return {"seed": seed, "journeys": 10, "seconds": 1.0, "broken": None, "replay": ""}


def test_a_soak_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "soak.jsonl"
    path.write_text(f"{json.dumps(ten_journeys(2))}\n")
    assert str(soak.soak(path, 10, first=1, cores=1, run=ten_journeys)) == (
        "1 seeds, 10 journeys, 10.0 journeys a second and core, 0 broken promises"
    )
    assert soak.soak(path, 30, first=1, cores=2, run=ten_journeys).journeys >= 30
    seeds = [json.loads(said)["seed"] for said in path.read_text().splitlines()]
    assert {1, 2} <= set(seeds), "which of the later ones ends first is chance"
    assert len(set(seeds)) == len(seeds) >= 3


def test_a_line_of_a_soak_says_what_a_run_came_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "run_of", lambda seed: Run(seed, 2, 1, NONE, 10.0))
    line = soak.one(7)
    assert line["journeys"] >= 2
    assert line["broken"] is None
    assert line["replay"].endswith("--seed 7 --hosts 2 --services 1 --seconds 10 --faults none")


def test_a_seed_always_stands_for_the_same_run() -> None:
    assert str(soak.run_of(5)) == str(soak.run_of(5))
    assert len({str(soak.run_of(seed)).partition("--hosts")[2] for seed in range(40)}) > 20


def test_a_broken_promise_is_counted() -> None:
    total = Sum()
    total.add({"seed": 1, "journeys": 0, "seconds": 1.0, "broken": 3})
    assert total.broken == 1
