"""Unwatched: time that a clock says has passed, and in which this controller did not look.

Its process stood still, its machine slept, or its clock was set. Deadlines count watched time alone.
"""

from datetime import datetime, timedelta

import structlog

from bus.clock import Clock

LONGEST_WAIT = timedelta(seconds=10)
"""The deciding thread takes a step at least this often: whoever let more pass has stood still."""
_LATE = timedelta(seconds=5)
"""By how much a step may be late, and mean nothing."""
_BACK = timedelta(seconds=-0.1)
"""A time of day that went back by more than this was set."""


class Unwatched:
    """Compares the time of day with the seconds that cannot be set, from step to step."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._log = structlog.get_logger("controller.unwatched")
        self._at, self._seconds = clock.now(), clock.monotonic()

    def since_last_step(self, now: datetime) -> timedelta:
        """How far the time of day has moved beyond what was watched since the last call; negative if it was set back.

        Nothing, where that is little.
        """
        seconds = self._clock.monotonic()
        passed = timedelta(seconds=seconds - self._seconds)
        jump = now - self._at - min(passed, LONGEST_WAIT)
        self._at, self._seconds = now, seconds
        if _BACK <= jump <= _LATE:
            return timedelta(0)
        self._log.warning("clock.jumped", seconds=jump.total_seconds(), of_which_passed=passed.total_seconds())
        return jump
