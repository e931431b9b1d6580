"""The two strict model bases and the small types that every resource is made of."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

API_VERSION = "drumbeat/v1alpha1"

_DEVICE_NAMES = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 10 * 365 * 86400.0
"""Seconds: what is added to a date must still give a date."""
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


class FileModel(BaseModel):
    """Part of a file that people write: strict types, unknown fields refused, names in camelCase."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel, populate_by_name=True)


class WireModel(BaseModel):
    """Part of a message or a stored row: strict types; unknown fields ignored, so that versions can mix."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, alias_generator=to_camel, populate_by_name=True)


def not_a_device(name: str) -> str:
    """Refuse names that Windows reserves for devices, with or without an extension."""
    stem = name.split(".", maxsplit=1)[0].lower()
    if stem in _DEVICE_NAMES:
        raise ValueError(f"{name!r} is a device name on Windows; write another name, such as {name + '-1'!r}")
    return name


def _plain_version(version: str) -> str:
    if ".." in version or version.endswith("."):
        raise ValueError(f"{version!r} would not be a safe folder name; leave out '..' and a dot at the end")
    return not_a_device(version)


def parse_duration(text: Any) -> Any:
    """Turn ``1m30s`` into seconds; numbers are seconds already only on the wire.

    Raises ValueError for a text that is not a duration.
    """
    if not isinstance(text, str):
        return text
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write a number with a unit, such as '30s', '500ms' or '1m30s'")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    if seconds > _LONGEST:
        raise ValueError(f"{text[:30]} is longer than anybody waits; write at most {format_duration(_LONGEST)}")
    return seconds


def format_duration(seconds: float) -> str:
    """Write seconds the way people write them in files: ``90`` becomes ``1m30s``."""
    if seconds != int(seconds):
        return f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"
    whole, parts = int(seconds), []
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _must_have_unit(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit; write '{value}s' for seconds")
    return parse_duration(value)


def _amount(value: Any) -> Any:
    if isinstance(value, str):
        if not re.fullmatch(r"\d{1,3}%", value):
            raise ValueError(f"{value!r} is neither a number of hosts nor a percentage; write 2 or '25%'")
        if not 1 <= int(value[:-1]) <= 100:
            raise ValueError(f"{value} is out of range; write a percentage from 1% to 100%")
    elif isinstance(value, int) and not isinstance(value, bool) and value < 1:
        raise ValueError(f"{value} is out of range; write a number of at least 1, or a percentage such as '25%'")
    return value


def _limit(value: Any) -> Any:
    if isinstance(value, bool) or value != 0:
        return _amount(value)
    return value


_NAME = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"

Name = Annotated[
    str,
    Field(pattern=f"^{_NAME}$", description="lower-case letters, digits and dashes"),
    AfterValidator(not_a_device),
]
"""A resource's name: it becomes part of paths, keys and metrics."""

TargetName = Annotated[str, Field(pattern=f"^{_NAME}@{_NAME}$")]
"""SERVICE@FLEET. On nodes it becomes part of paths, and whoever sends it need not be trusted."""

HostName = Annotated[
    str,
    Field(
        max_length=253,
        pattern=rf"^{_NAME}(\.{_NAME})*$",
        description="a host name in lower case; the balancer's server lines bear the same name",
    ),
    AfterValidator(not_a_device),
]

PoolName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", description="the balancer's own name for the pool (HAProxy: backend)"),
]

Version = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$", description="what the artifact is called, always quoted"),
    AfterValidator(_plain_version),
]

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 in 64 lower-case hexadecimal digits")]

Seconds = Annotated[
    float,
    BeforeValidator(_must_have_unit),
    PlainSerializer(format_duration, return_type=str),
    Field(ge=0),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["30s", "500ms", "1m30s"]}),
]
"""A span of time in a file (``30s``), held in seconds."""

Amount = Annotated[
    int | str,
    BeforeValidator(_amount),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^([1-9]|[1-9][0-9]|100)%$"}]}
    ),
]
"""A number of hosts, or a percentage of a target's hosts."""

Limit = Annotated[
    int | str,
    BeforeValidator(_limit),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^([1-9]|[1-9][0-9]|100)%$"}]}
    ),
]
"""A number of hosts that are tolerated, none too, or a percentage of a target's hosts."""

Port = Annotated[int, Field(ge=1, le=65535)]

Labels = dict[
    Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?$")],
    Annotated[str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$")],
]


class Metadata(FileModel):
    """Who a resource is."""

    name: Name
    labels: Labels = Field(default_factory=dict)
