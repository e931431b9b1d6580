"""Restarts never look like clones, and clones always do, whatever the bus does to their messages."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.lives import LATEST, Lives
from tests.support.worlds import NOW, report, seconds

LATE = 60.0
"""Seconds that a message may take, at most."""
INTERVAL = 30.0
BLOCK = 1_000_000

delays = st.one_of(st.floats(0, 0.1), st.floats(0, LATE))
spans = st.one_of(st.floats(0.1, 20), st.floats(1, 600))


@dataclass(frozen=True)
class Letter:
    """One report on its way."""

    arrives: float
    life: str
    seq: int
    incarnation: str


def letters(data: st.DataObject, life: str, begin: float, end: float, block: int, incarnation: str) -> list[Letter]:
    """What an agent says from begin to end: each arrives in its own time, some twice, some never."""
    found, at, seq = [], begin, block * BLOCK
    while at < end:
        seq += 1
        times = data.draw(st.lists(delays, min_size=0, max_size=2)) if data.draw(st.booleans()) else [0.01]
        found += [Letter(at + delay, life, seq, incarnation) for delay in times]
        at += data.draw(st.floats(INTERVAL / 3, INTERVAL))
    return found


def verdict(said: list[Letter], lives: Lives | None = None) -> str:
    """Why the node is disputed once all that has arrived."""
    lives, why = lives or Lives(), ""
    for letter in sorted(said, key=lambda each: each.arrives):
        told = report("vm1", letter.seq, life=letter.life, incarnation=letter.incarnation)
        why = why or lives.hear(told, NOW + seconds(letter.arrives))
    return why


@settings(max_examples=60, deadline=None)
@given(data=st.data(), lasts=st.lists(spans, min_size=1, max_size=6))
def test_restarts_are_never_disputed(data: st.DataObject, lasts: list[float]) -> None:
    """One after another, from the journal of the one before or from an empty one, known to the controller or not."""
    said: list[Letter] = []
    at, incarnation = 0.0, "journal-0"
    for number, span in enumerate(lasts):
        said += letters(data, f"life-{number}", at, at + span, number, incarnation)
        at += span + data.draw(st.floats(0, 30))
        if data.draw(st.integers(0, 4)) == 0:
            incarnation = f"journal-{number + 1}"
    lives = Lives()
    if data.draw(st.booleans()):
        lives.load(report("vm1", data.draw(st.integers(0, 20)), life="life-0", incarnation="journal-0"))
    assert verdict(said, lives) == ""


@settings(max_examples=60, deadline=None)
@given(data=st.data(), before=st.floats(0, 600), block=st.integers(0, 4), same=st.booleans())
def test_clones_that_go_on_are_disputed(data: st.DataObject, before: float, block: int, same: bool) -> None:
    """Whichever of the two has the higher numbers, and whether their journals have one name or two."""
    end = before + LATEST.total_seconds() + 2 * LATE + 2 * INTERVAL
    said = [
        Letter(at + data.draw(delays), life, number * BLOCK + count, incarnation)
        for life, number, incarnation, begin in (
            ("original", 2, "journal", 0.0),
            ("clone", block if block != 2 else 3, "journal" if same else "another", before),
        )
        for count, at in enumerate(begin + INTERVAL * step for step in range(int((end - begin) // INTERVAL) + 1))
    ]
    assert verdict(said)
