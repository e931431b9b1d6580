"""Watched: since when this controller looks, at all and at each target. What passed before counts for nothing."""

from collections.abc import Collection
from datetime import datetime


class Watched:
    """A target that nothing declares is planned no more: its time stands until it is declared again."""

    def __init__(self, since: datetime) -> None:
        self.since = since
        """When it began to look."""
        self._declared: dict[str, datetime] = {}
        """Since when targets are declared."""

    def declare(self, targets: Collection[str], now: datetime) -> None:
        """These are planned from now on, and no others; those that were planned already go on."""
        self._declared = {target: self._declared.get(target, now) for target in targets}

    def begin_anew(self, now: datetime) -> None:
        """Nothing that was before counts any more, for whatever target."""
        self.since = now
        self._declared = dict.fromkeys(self._declared, now)

    def of(self, target: str) -> datetime:
        """Since when the target is looked at."""
        return max(self.since, self._declared.get(target, self.since))
