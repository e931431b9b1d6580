"""Freeze: times in which no host may be taken out, or the only ones in which hosts may."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from crds.base import API_VERSION, FileModel, Labels, Metadata, Name, Seconds

WRITTEN = "%Y-%m-%d %H:%M"
"""How local times are written."""
_FIELDS = 5
_LONGEST = 366 * 86400.0
_YEARS = range(2000, 3000)


def _zone(name: str) -> str:
    """Only names of the IANA database: an abbreviation such as CET says nothing about summer time."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write its IANA name, such as Europe/London or UTC") from None
    return name


def _cron(text: str) -> str:
    if len(text.split()) != _FIELDS:
        raise ValueError(f"{text!r} is no cron expression of five fields; write '0 18 * * FRI' for Fridays at 18:00")
    try:
        CronSim(text, datetime(2026, 1, 1))  # noqa: DTZ001  only whether it can be read counts
    except CronSimError as error:
        raise ValueError(
            f"{text!r} is no cron expression: {error}; write '0 18 * * FRI' for Fridays at 18:00"
        ) from None
    return text


def _local(text: Any) -> Any:
    if isinstance(text, str):
        try:
            year = datetime.strptime(text, WRITTEN).year  # noqa: DTZ007  the zone stands beside it
        except ValueError:
            raise ValueError(f"{text!r} is no date with a time; write it as '2026-12-20 18:00'") from None
        if year not in _YEARS:
            raise ValueError(f"{text!r} is out of reach; write a year from {_YEARS[0]} to {_YEARS[-1]}")
    return text


TimeZone = Annotated[str, AfterValidator(_zone), Field(description="IANA name, such as Europe/London")]
Cron = Annotated[str, AfterValidator(_cron), Field(description="minute, hour, day, month, weekday, as in crontab(5)")]
LocalTime = Annotated[str, BeforeValidator(_local), Field(description="as 2026-12-20 18:00, in the window's time zone")]


class Window(FileModel):
    """A span that comes again (``start`` and ``duration``), or comes once (``from`` and ``until``)."""

    start: Cron | None = Field(
        default=None, description="when it begins, again and again: minute hour day month weekday"
    )
    duration: Seconds | None = Field(default=None, description="how long it lasts each time, as elapsed time")
    from_: LocalTime | None = Field(default=None, alias="from", description="when it begins, once: 2026-12-20 18:00")
    until: LocalTime | None = Field(default=None, description="when it ends, once: 2027-01-03 08:00")
    timezone: TimeZone = "UTC"

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        again, once = (self.start, self.duration), (self.from_, self.until)
        if not ((all(again) and not any(once)) or (all(once) and not any(again))):
            raise ValueError("a window has either start and duration, or from and until; write one pair of the two")
        if self.duration is not None and self.duration > _LONGEST:
            raise ValueError("a window that comes again lasts a year at most; write from and until for a longer one")
        if self.from_ is not None and self.until is not None and self.until <= self.from_:
            raise ValueError(f"it ends at {self.until}, before it begins at {self.from_}; exchange from and until")
        return self


class FreezeSpec(FileModel):
    """What is frozen, when, and why. Selectors that are left out match everything; all given ones must match."""

    reason: Annotated[str, Field(min_length=1, max_length=500)] = Field(description="for people who wait for its end")
    effect: Literal["deny", "allow"] = Field(
        default="deny",
        description="deny: no host is taken out within the windows; allow: hosts are taken out only within the windows "
        "of such freezes. deny beats allow",
    )
    windows: Annotated[list[Window], Field(min_length=1)]
    fleets: list[Name] = Field(default_factory=list, description="fleets it holds for; all if left out")
    services: list[Name] = Field(default_factory=list, description="services it holds for; all if left out")
    labels: Labels = Field(default_factory=dict, description="labels in a Service's metadata that must match")
    rollbacks: Literal["refused", "allowed"] = Field(
        default="allowed", description="whether a rollback to the last good release may take hosts out meanwhile"
    )


class Freeze(FileModel):
    """freezes/NAME.yaml: when nothing may be disrupted."""

    api_version: Literal["drumbeat/v1alpha1"] = Field(description=f"always {API_VERSION}")
    kind: Literal["Freeze"]
    metadata: Metadata
    spec: FreezeSpec
