"""Freezes: when they are in force, and how they combine."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from crds.freeze import Freeze
from reconcilers.freezes import freezes_of, frozen
from tests.support.bad_input import Case
from tests.support.state_files import read
from tests.support.states import API, made

CLOSING = {"from": "2026-12-20 18:00", "until": "2027-01-03 08:00", "timezone": "Europe/London"}


def freeze(name: str, *windows: dict[str, str], **spec: Any) -> Freeze:
    content = {"reason": f"because of {name}", "windows": list(windows), **spec}
    return made(Freeze, {**API, "kind": "Freeze", "metadata": {"name": name}, "spec": content})


def again(start: str, duration: str, timezone: str = "UTC") -> dict[str, str]:
    return {"start": start, "duration": duration, "timezone": timezone}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def until(freezes: Iterable[Freeze], text: str, **how: bool) -> str | None:
    """By which freeze nothing moves at that moment, and until when."""
    found = frozen(list(freezes), utc(text), **how)
    return found and f"{found.name} {found.until:%m-%d %H:%M}" if found and found.until else found and found.name


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-12-20 17:59:59", None),
        ("2026-12-20 18:00:00", "closing 01-03 08:00"),
        ("2027-01-03 07:59:59", "closing 01-03 08:00"),
        ("2027-01-03 08:00:00", None),
    ],
)
def test_a_window_that_comes_once_has_its_first_moment_and_not_its_last(when: str, expected: str | None) -> None:
    assert until([freeze("closing", CLOSING)], when) == expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-07-03 16:59:59", None),
        ("2026-07-03 17:00:00", "weekend 07-06 07:00"),
        ("2026-07-06 06:59:59", "weekend 07-06 07:00"),
        ("2026-07-06 07:00:00", None),
        ("2026-12-04 17:59:59", None),
        ("2026-12-04 18:00:00", "weekend 12-07 08:00"),
        ("2026-03-27 18:00:00", "weekend 03-30 08:00"),
        ("2026-03-30 07:59:59", "weekend 03-30 08:00"),
    ],
)
def test_a_window_comes_by_the_wall_clock_of_its_zone_and_lasts_elapsed_time(when: str, expected: str | None) -> None:
    assert until([freeze("weekend", again("0 18 * * FRI", "62h", "Europe/London"))], when) == expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-03-29 00:59:00", None),
        ("2026-03-29 01:00:00", "night 03-29 01:10"),  # 01:30 does not exist; the clock shows 02:00
        ("2026-03-29 01:10:00", None),
        ("2026-10-25 00:30:00", "night 10-25 00:40"),  # the first 01:30
        ("2026-10-25 01:30:00", None),  # the second
    ],
)
def test_a_time_that_clocks_skip_begins_after_the_gap_and_one_that_comes_twice_once(
    when: str, expected: str | None
) -> None:
    assert until([freeze("night", again("30 1 * * *", "10m", "Europe/London"))], when) == expected


def test_a_window_covers_the_hour_that_comes_twice_from_its_start_on() -> None:
    """At 01:10 by the clock for the second time, the window that began at 01:30 for the first time lasts still."""
    assert (
        until([freeze("night", again("30 1 * * *", "1h", "Europe/London"))], "2026-10-25 01:10:00")
        == "night 10-25 01:30"
    )


def test_a_local_time_that_comes_twice_freezes_more_rather_than_less() -> None:
    window = {"from": "2026-10-25 01:30", "until": "2026-10-25 01:40", "timezone": "Europe/London"}
    assert until([freeze("night", window)], "2026-10-25 00:30:00") == "night 10-25 01:40"


def test_windows_that_follow_each_other_are_one_freeze_to_whoever_waits() -> None:
    night, day = freeze("night", again("0 0 * * *", "12h")), freeze("day", again("0 11 * * *", "5h"))
    assert until([night, day], "2026-05-01 03:00") == "night 05-01 16:00"


def test_where_something_allows_nothing_moves_outside_of_it() -> None:
    mornings = freeze("mornings", again("0 6 * * MON-FRI", "3h"), effect="allow")
    assert until([mornings], "2026-05-01 08:00") is None
    assert until([mornings], "2026-05-01 09:00") == "mornings 05-04 06:00"


def test_deny_beats_allow() -> None:
    mornings = freeze("mornings", again("0 6 * * *", "3h"), effect="allow")
    holiday = freeze("holiday", again("0 0 1 5 *", "24h"))
    assert until([mornings, holiday], "2026-05-01 07:00") == "holiday 05-02 06:00"


def test_what_was_allowed_once_and_is_past_never_comes_again() -> None:
    past = freeze("past", CLOSING, effect="allow")
    assert until([past], "2027-02-01 00:00") == "past"


def test_a_rollback_passes_unless_the_freeze_says_otherwise() -> None:
    lenient, strict = freeze("lenient", CLOSING), freeze("strict", CLOSING, rollbacks="refused")
    assert until([lenient], "2026-12-24 12:00", rolling_back=True) is None
    assert until([lenient, strict], "2026-12-24 12:00", rolling_back=True) == "strict 01-03 08:00"


TEXT = """\
apiVersion: drumbeat/v1alpha1
kind: Freeze
metadata: {name: closing}
spec:
  reason: year-end closing
  windows: [{from: "2026-12-20 18:00", until: "2027-01-03 08:00"}]
"""
PATH = "freezes/closing.yaml"


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("", True),
        ("  fleets: [prod]\n", True),
        ("  services: [api]\n", True),
        ("  services: [api]\n  labels: {team: payments}\n", False),
    ],
)
def test_all_selectors_that_are_given_must_match(selector: str, selected: bool) -> None:
    state = read({PATH: TEXT + selector}).state
    assert state is not None
    assert bool(freezes_of(state, "prod", "api")) == selected


def spoiled(old: str, new: str) -> dict[str, str]:
    assert old in TEXT
    return {PATH: TEXT.replace(old, new)}


CASES = [
    Case(
        "a fleet that is not there",
        {PATH: TEXT + "  fleets: [prd]\n"},
        "freezes/closing.yaml:7:12: error: spec.fleets[0]: there is no fleet prd (did you mean prod? Otherwise remove "
        "it, or leave the whole list out to freeze all)",
    ),
    Case(
        "a service that is not there",
        {PATH: TEXT + "  services: [web]\n"},
        "freezes/closing.yaml:7:14: error: spec.services[0]: there is no service web (remove it, or leave the whole "
        "list out to freeze all)",
    ),
    Case(
        "a time zone that is none",
        spoiled('08:00"}', '08:00", timezone: Europe/Lodnon}'),
        "freezes/closing.yaml:6:77: error: spec.windows[0].timezone: 'Europe/Lodnon' is no time zone (write its IANA "
        "name, such as Europe/London or UTC)",
    ),
    Case(
        "a date without a time",
        spoiled('"2026-12-20 18:00"', '"2026-12-20"'),
        "freezes/closing.yaml:6:20: error: spec.windows[0].from: '2026-12-20' is no date with a time (write it as "
        "'2026-12-20 18:00')",
    ),
    Case(
        "a year that nobody sees",
        spoiled("2027-01-03", "9999-12-31"),
        "freezes/closing.yaml:6:47: error: spec.windows[0].until: '9999-12-31 08:00' is out of reach (write a year "
        "from 2000 to 2999)",
    ),
    Case(
        "an end before the beginning",
        spoiled("2027-01-03", "2026-01-03"),
        "freezes/closing.yaml:6:13: error: spec.windows[0]: it ends at 2026-01-03 08:00, before it begins at "
        "2026-12-20 18:00 (exchange from and until)",
    ),
    Case(
        "both kinds of window",
        spoiled('until: "2027-01-03 08:00"', "duration: 1h"),
        "freezes/closing.yaml:6:13: error: spec.windows[0]: a window has either start and duration, or from and until "
        "(write one pair of the two)",
    ),
    Case(
        "a cron expression that cannot be read",
        spoiled('from: "2026-12-20 18:00", until: "2027-01-03 08:00"', 'start: "0 25 * * *", duration: 1h'),
        "freezes/closing.yaml:6:21: error: spec.windows[0].start: '0 25 * * *' is no cron expression: Bad hour (write "
        "'0 18 * * FRI' for Fridays at 18:00)",
    ),
    Case(
        "a cron expression with too few fields",
        spoiled('from: "2026-12-20 18:00", until: "2027-01-03 08:00"', 'start: "@weekly", duration: 1h'),
        "freezes/closing.yaml:6:21: error: spec.windows[0].start: '@weekly' is no cron expression of five fields "
        "(write '0 18 * * FRI' for Fridays at 18:00)",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(case: Case) -> None:
    case.check()
