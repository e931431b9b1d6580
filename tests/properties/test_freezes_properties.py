"""Freezes against a clock that is looked at minute by minute."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from crds.freeze import Freeze
from reconcilers.freezes import frozen
from tests.support.states import API, made

ZONES = ("UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")
CHANGES = [datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 4, 4, tzinfo=UTC)]
"""Days around which some of the zones change their clocks."""
MINUTE = timedelta(minutes=1)


@st.composite
def freezes(draw: st.DrawFn) -> tuple[Freeze, int, int, int, ZoneInfo]:
    """A freeze that begins each day at one time, and what it was made from."""
    hour, minute = draw(st.integers(0, 4)), draw(st.sampled_from([0, 15, 30, 59]))
    lasts, zone = draw(st.integers(1, 40 * 60)), draw(st.sampled_from(ZONES))
    window = {"start": f"{minute} {hour} * * *", "duration": f"{lasts}m", "timezone": zone}
    spec = {"reason": "x", "windows": [window]}
    content = {**API, "kind": "Freeze", "metadata": {"name": "x"}, "spec": spec}
    return made(Freeze, content), hour, minute, lasts, ZoneInfo(zone)


def begins(hour: int, minute: int, zone: ZoneInfo, first: datetime, last: datetime) -> Iterator[datetime]:
    """Each day's beginning, found by looking at the clock on the wall each minute."""
    days = set()
    moment = first
    while moment <= last:
        local = moment.astimezone(zone)
        if (local.hour, local.minute) >= (hour, minute) and local.date() not in days:
            days.add(local.date())
            yield moment
        moment += MINUTE


@given(freezes(), st.sampled_from(CHANGES), st.integers(0, 3 * 24 * 60))
def test_a_daily_window_is_in_force_when_a_clock_on_the_wall_says_so(
    made_from: tuple[Freeze, int, int, int, ZoneInfo], change: datetime, later: int
) -> None:
    freeze, hour, minute, lasts, zone = made_from
    when = change + timedelta(minutes=later)
    # From a local midnight on, so that the first day's beginning is not taken for one that is under way.
    first = (when.astimezone(zone) - timedelta(days=3)).replace(hour=0, minute=0, second=0).astimezone(UTC)
    spans = [(start, start + timedelta(minutes=lasts)) for start in begins(hour, minute, zone, first, when)]
    said = frozen([freeze], when)
    assert (said is not None) == any(start <= when < end for start, end in spans)
    if said is not None:
        assert said.until is not None
        assert said.until > when
        assert frozen([freeze], said.until - MINUTE) is not None
