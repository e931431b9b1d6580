"""Books of what is under way on a channel: deliveries that are to be acknowledged, publications to be confirmed."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Deliveries:
    """What one channel has delivered and nobody has acknowledged yet, by tag, lowest first.

    Acknowledging "all up to here" is cheap, and possible while there is no gap. One delivery that is not settled for
    long would hold back everything after it; ``behind`` is the way past it.
    """

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._settled: set[int] = set()

    def came(self, tag: int) -> None:
        """A delivery; tags grow."""
        self._open.append(tag)

    def settle(self, tag: int) -> None:
        """It may be acknowledged."""
        self._settled.add(tag)

    @property
    def first(self) -> int | None:
        """The lowest tag that is not acknowledged."""
        return self._open[0] if self._open else None

    def run(self) -> int | None:
        """The tag up to which everything is settled and not acknowledged yet; None if there is nothing."""
        last = None
        while self._open and self._open[0] in self._settled:
            last = self._open.popleft()
            self._settled.discard(last)
        return last

    def behind(self) -> list[int]:
        """Settled ones behind one that is not, each to be acknowledged by itself."""
        tags = sorted(self._settled)
        self._open = deque(tag for tag in self._open if tag not in self._settled)
        self._settled.clear()
        return tags


class Publications(Generic[T]):
    """What was published on one channel and is not confirmed yet."""

    def __init__(self) -> None:
        self._count = 0
        self._open: OrderedDict[int, T] = OrderedDict()

    def sent(self, what: T) -> None:
        """The next publication."""
        self._count += 1
        self._open[self._count] = what

    def confirm(self, tag: int, multiple: bool) -> list[T]:
        """The broker has spoken about this one, or about all up to it."""
        if not multiple:
            return [self._open.pop(tag)] if tag in self._open else []
        spoken = []
        while self._open and next(iter(self._open)) <= tag:
            spoken.append(self._open.popitem(last=False)[1])
        return spoken

    def open(self) -> list[T]:
        """Those that the broker has not spoken about."""
        return list(self._open.values())
