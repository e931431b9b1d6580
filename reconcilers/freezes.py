"""Freezes: whether hosts may be taken out at a time, and until when not.

A freeze that denies is in force within its windows. Where any freeze that allows holds for a target, hosts are taken
out only within the windows of such; deny beats allow. (Argo CD combines its sync windows likewise.)

Windows that come again begin by the wall clock of their time zone, as cron does on Debian: a time that summer time
skips begins right after the gap, one that comes twice begins once. They last as long as they say, in elapsed time.
Windows that come once cover both readings of a time that comes twice: more is frozen rather than less.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from crds.desired import DesiredState
from crds.freeze import WRITTEN, Freeze, Window

_LINKS = 50
"""Windows that follow each other without a gap, followed at most to say when it all ends."""

Span = tuple[datetime, datetime]
"""From (included) until (not included), in UTC."""


@dataclass(frozen=True)
class Frozen:
    """No host may be taken out, because of this freeze."""

    name: str
    reason: str
    until: datetime | None
    """When something else holds, as far as can be told; None if never again."""


def freezes_of(state: DesiredState, fleet: str, service: str) -> tuple[Freeze, ...]:
    """The freezes that hold for a service on a fleet, by name."""
    labels = state.services[service].metadata.labels.items()
    return tuple(
        freeze
        for _, freeze in sorted(state.freezes.items())
        if fleet in (freeze.spec.fleets or [fleet])
        and service in (freeze.spec.services or [service])
        and freeze.spec.labels.items() <= labels
    )


def frozen(freezes: Sequence[Freeze], when: datetime, rolling_back: bool = False) -> Frozen | None:
    """What forbids taking hosts out at that moment; None: nothing does.

    ``rolling_back``: freezes that let a rollback pass do not count.
    """
    counted = [each for each in freezes if not (rolling_back and each.spec.rollbacks == "allowed")]
    first = _at(counted, when)
    if first is None:
        return None
    until = first.until
    for _ in range(_LINKS):
        following = _at(counted, until) if until else None
        if following is None:
            break
        until = following.until
    return Frozen(first.name, first.reason, until)


def _at(freezes: Sequence[Freeze], when: datetime) -> Frozen | None:
    for freeze in freezes:
        if freeze.spec.effect == "deny" and (end := _covered(freeze, when)):
            return Frozen(freeze.metadata.name, freeze.spec.reason, end)
    allowing = [freeze for freeze in freezes if freeze.spec.effect == "allow"]
    if not allowing or any(_covered(freeze, when) for freeze in allowing):
        return None
    openings = [begins for freeze in allowing for window in freeze.spec.windows if (begins := _next(window, when))]
    names = ", ".join(freeze.metadata.name for freeze in allowing)
    return Frozen(names, allowing[0].spec.reason, min(openings, default=None))


def _covered(freeze: Freeze, when: datetime) -> datetime | None:
    """The latest end of the freeze's windows that cover the moment."""
    ends = [span[1] for window in freeze.spec.windows for span in _spans(window, when) if span[0] <= when < span[1]]
    return max(ends, default=None)


def _spans(window: Window, when: datetime) -> Iterator[Span]:
    """Spans of the window that may cover the moment; of one that comes again the earliest."""
    if window.start is not None and window.duration is not None:
        lasts = timedelta(seconds=window.duration)
        if begins := _after(window.start, window.timezone, when - lasts):
            yield begins, begins + lasts
    elif span := _once(window):
        yield span


def _after(start: str, timezone: str, when: datetime) -> datetime | None:
    """The first time after the moment that the expression stands for; None: it does not come within decades."""
    for begins in CronSim(start, when.astimezone(ZoneInfo(timezone))):
        # Where clocks are turned back, the first time told may be the former of two readings, and past.
        if (moment := begins.astimezone(UTC)) > when:
            return moment
    return None


def _next(window: Window, when: datetime) -> datetime | None:
    if window.start is not None:
        return _after(window.start, window.timezone, when)
    span = _once(window)
    return span[0] if span and span[0] > when else None


def _once(window: Window) -> Span | None:
    if window.from_ is None or window.until is None:
        return None
    return min(_readings(window.from_, window.timezone)), max(_readings(window.until, window.timezone))


def _readings(text: str, timezone: str) -> list[datetime]:
    """The moments that a local time may mean: two where clocks are turned back or forward."""
    local = datetime.strptime(text, WRITTEN).replace(tzinfo=ZoneInfo(timezone))
    return [local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
