"""Queue: when each target is planned next, with back-off for targets whose planning failed."""

import heapq
from datetime import datetime, timedelta
from random import Random

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 60.0


class Queue:
    """Wake-ups by target. A target that fails waits twice as long each time, with jitter, and holds up nobody else."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._heap: list[tuple[datetime, str]] = []
        self._wake_at: dict[str, datetime] = {}
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, datetime] = {}

    def wake(self, target: str, at: datetime | None) -> None:
        """Plan the target at that time, whatever was asked before; None: not by time."""
        self._wake_at.pop(target, None)
        if at is not None:
            self._wake_at[target] = at
            heapq.heappush(self._heap, (at, target))

    def wake_at(self, target: str) -> datetime | None:
        """When time alone will have the target planned."""
        return self._wake_at.get(target)

    def due(self, now: datetime) -> set[str]:
        """Targets whose time has come; each is named once."""
        due = set()
        while self._heap and self._heap[0][0] <= now:
            at, target = heapq.heappop(self._heap)
            if self._wake_at.get(target) == at:
                del self._wake_at[target]
                due.add(target)
        return due

    def next(self) -> datetime | None:
        """When the next target is due."""
        while self._heap and self._wake_at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def shift(self, jump: timedelta) -> None:
        """The time of day has jumped: what was due in a minute is still due in a minute."""
        self._wake_at = {target: at + jump for target, at in self._wake_at.items()}
        self._heap = [(at, target) for target, at in self._wake_at.items()]
        heapq.heapify(self._heap)
        self._not_before = {target: at + jump for target, at in self._not_before.items()}

    def rests(self, target: str, now: datetime) -> bool:
        """The target's planning failed, and its back-off has not passed."""
        return now < self._not_before.get(target, now)

    def failed(self, target: str, now: datetime) -> float:
        """Planning failed: try again after the seconds that this returns."""
        failures = self._failures[target] = self._failures.get(target, 0) + 1
        longest = min(_FIRST_DELAY * 2**failures, _LONGEST_DELAY)
        delay = self._random.uniform(longest / 2, longest)
        self._not_before[target] = now + timedelta(seconds=delay)
        self.wake(target, self._not_before[target])
        return delay

    def succeeded(self, target: str) -> None:
        """Planning worked: the next failure starts from the shortest delay."""
        self._failures.pop(target, None)
        self._not_before.pop(target, None)
