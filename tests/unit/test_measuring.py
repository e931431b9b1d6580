"""Several measurements make one verdict."""

import pytest

from agent.drivers.contracts import Outcome
from agent.drivers.operations.measuring import measure
from crds.messages import OperationSpec

WORDS = {"p": "passed", "f": "failed", "i": "inconclusive"}


def measured(letters: str, count: int, limit: int = 0) -> tuple[str, int, list[float], str]:
    """Outcome, how many measurements it took, the pauses between them, and the message."""
    left, pauses = list(letters), list[float]()
    spec = OperationSpec(name="errors", target="api@prod", count=count, interval=5.0, failure_limit=limit)
    outcome = measure(spec, lambda: Outcome(WORDS[left.pop(0)], "said"), pauses.append)
    return outcome.outcome, len(letters) - len(left), pauses, outcome.message


@pytest.mark.parametrize(
    ("letters", "count", "limit", "expected"),
    [
        ("p", 1, 0, ("passed", 1)),
        ("f", 1, 0, ("failed", 1)),
        ("i", 1, 0, ("inconclusive", 1)),
        ("ppp", 3, 0, ("passed", 3)),
        ("pfp", 3, 0, ("failed", 2)),
        ("pfp", 3, 1, ("passed", 3)),
        ("pff", 3, 1, ("failed", 3)),
        ("iippp", 3, 0, ("passed", 5)),
        ("ipipi", 3, 0, ("inconclusive", 5)),
        ("iif", 3, 0, ("failed", 3)),
    ],
)
def test_the_verdict(letters: str, count: int, limit: int, expected: tuple[str, int]) -> None:
    assert measured(letters, count, limit)[:2] == expected


def test_measurements_are_an_interval_apart_and_the_message_counts_them() -> None:
    _, _, pauses, message = measured("pif", 3)
    assert pauses == [5.0, 5.0]
    assert message == "1 of 3 measurements passed, 1 failed, 1 told nothing; the last: said"
    assert measured("f", 1)[3] == "said"
