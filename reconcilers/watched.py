"""Watched time: what passes while a controller looks; deadlines and soaks count nothing else."""

from datetime import datetime, timedelta

_UNEVEN = timedelta(seconds=1)
"""By so much a time of day may go back unnoticed."""


def watched_from(moment: datetime, now: datetime, watching_since: datetime) -> datetime:
    """From when on it was watched what followed a moment; never after ``now``.

    A moment that lies ahead was noted before the clock was set back, and whoever noticed that began to watch anew.
    """
    behind = moment <= now + _UNEVEN
    return min(max(moment, watching_since) if behind else watching_since, now)
