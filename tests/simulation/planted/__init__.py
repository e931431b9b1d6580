"""Bugs planted in production code, one at a time: the simulator must find each, or its checkers are blind there."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.simulation.faults import ALL, Faults

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Bug:
    """A mutation of production code, and the promise that it breaks."""

    promise: int
    plant: Plant
    faults: Faults = ALL
    """Under which it shows soonest; a normal run has all of them."""
    faulty: float = 300.0
    """Seconds with faults."""
    calm: float = 900.0
    """Seconds in which everything must have converged after them."""
    also: tuple[int, ...] = ()
    """Promises that may be seen to break first: which one it is depends on what happens."""

    @property
    def name(self) -> str:
        """As the table in docs/INVARIANTS.md calls it."""
        return self.plant.__name__
