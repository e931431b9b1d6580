"""Clocks of machines that are wrong: stepped, or too fast."""

from datetime import datetime, timedelta

from tests.simulation.drivers import SimClock


class MachineClock:
    """One machine's clock; how much it differs from the true one can be changed at any time.

    A step moves the time of day alone. Speed changes both times, as a bad oscillator does.
    """

    def __init__(self, true: SimClock) -> None:
        self._true = true
        self._since, self._passed = 0.0, 0.0
        """True seconds at the last change of speed, and what this clock had counted then."""
        self.speed = 1.0
        self.offset = 0.0
        """Seconds by which the time of day is wrong."""

    def now(self) -> datetime:
        return self._true.began + timedelta(seconds=self.monotonic() + self.offset)

    def monotonic(self) -> float:
        return self._passed + (self._true.monotonic() - self._since) * self.speed

    def run_at(self, speed: float) -> None:
        """From now on a true second takes that many of this clock's."""
        self._passed, self._since = self.monotonic(), self._true.monotonic()
        self.speed = speed

    def set_right(self) -> None:
        """The time of day is the true one again: another step."""
        self.run_at(1.0)
        self.offset = self._true.monotonic() - self._passed

    def true_seconds(self, seconds: float) -> float:
        """How long it really takes until this clock has counted that many seconds."""
        return seconds / self.speed
