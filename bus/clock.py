"""Time as a port, so that tests and the simulator can pass their own."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The two times that Drumbeat uses."""

    def now(self) -> datetime:
        """The time of day, in UTC: for records, deadlines and expiry."""

    def monotonic(self) -> float:
        """Seconds that never go back: for intervals within one process."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
