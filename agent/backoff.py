"""Waiting longer after each failure, never in step with others."""

from dataclasses import dataclass
from random import Random


@dataclass
class Backoff:
    """Delays that double from ``first`` to ``most`` seconds, each shortened at random by up to a half."""

    random: Random
    first: float
    most: float
    failures: int = 0

    def next(self) -> float:
        """Count one more failure; seconds to wait before the next try."""
        self.failures += 1
        return self.delay(self.failures)

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        whole = min(self.most, self.first * 2.0 ** min(failures - 1, 32))
        return whole * self.random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It worked."""
        self.failures = 0
