"""docs/INVARIANTS.md says what there is: each kind of fault, each promise, each planted bug."""

import re
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

from tests.simulation.faults import NOT_KINDS, Faults
from tests.simulation.test_planted import BUGS

TEXT = (Path(__file__).parents[2] / "docs" / "INVARIANTS.md").read_text()


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its first two lines."""
    lines = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0].splitlines()
    table = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_kind_of_fault_has_a_row_without_an_empty_cell() -> None:
    rows = rows_of("Faults and promises")
    named = [row[0].strip("`") for row in rows if row[0].startswith("`")]
    assert sorted(named) == sorted({each.name for each in fields(Faults)} - NOT_KINDS)
    promises = [int(number) for number in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)]
    for row in rows:
        assert len(row) == 1 + max(promises)
        assert all(cell in ("S", "a", "b", "c", "d") for cell in row[1:]), row[0]


def test_every_planted_bug_is_named_beside_its_promise() -> None:
    said = {int(row[0]): re.findall(r"`(\w+)`", row[1]) for row in rows_of("Planted bugs")}
    planted: dict[int, list[str]] = defaultdict(list)
    for bug in BUGS:
        planted[bug.promise].append(bug.name)
    assert said == planted


def test_every_promise_that_the_simulator_checks_has_two_planted_bugs() -> None:
    for row in rows_of("Planted bugs"):
        assert row[1].count("`") >= 4, row
