"""Settings of the controller: flags over environment over a YAML file, each value checked, each mistake located."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel, to_snake
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from bus.amqp_definitions import CONTROLLER_USER
from bus.amqp_url import is_broker_url, parse_broker_url
from controller.broker.management import parse_management_url
from controller.source.strict_yaml import load
from crds.base import Seconds, format_duration

PREFIX = "DRUMBEAT_"
EMBEDDED = "http"
"""The bus in the controller itself."""
_LISTEN = re.compile(r"(?:\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):(\d{1,5})")


class SettingsError(Exception):
    """A setting is missing or wrong. One line for each, with its flag, variable, or file and line."""


def _address(text: str) -> str:
    found = _LISTEN.fullmatch(text)
    if not found or int(found[1]) > 65535:
        raise ValueError(
            f"{text!r} is not ADDRESS:PORT; write 127.0.0.1:7420 for this machine alone, 0.0.0.0:7420 for every address"
        )
    return text


def _bus(text: str) -> str:
    if is_broker_url(text):
        parse_broker_url(text)
    elif text != EMBEDDED:
        raise ValueError("write http for the bus in the controller itself, or amqps://HOST:PORT,HOST:PORT/VHOST")
    return text


def _management(text: str) -> str:
    if text:
        parse_management_url(text)
    return text


def _at_least_a_second(seconds: float) -> float:
    if seconds < 1:
        raise ValueError(f"{format_duration(seconds)} is too short; write at least 1s")
    return seconds


Interval = Annotated[Seconds, AfterValidator(_at_least_a_second)]


class Settings(BaseSettings):
    """What an operator may set. Every field is a flag, a variable and a line of the file."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=False)

    repository: Annotated[str, Field(min_length=1)] = Field(
        description="the git repository with the desired state: a URL or a path", examples=["/srv/git/state.git"]
    )
    branch: Annotated[str, Field(min_length=1)] = Field(default="main", description="the branch that is followed")
    folder: str = Field(
        default=".", description="the folder in the repository that holds fleets/, services/, versions/"
    )
    poll_interval: Interval = Field(default=30.0, description="time between two looks at the repository")
    data_directory: Path = Field(
        default=Path("/var/lib/drumbeat"), description="the store and the mirror of the repository lie here"
    )
    keys_directory: Path = Field(
        default=Path("/etc/drumbeat/keys"), description="the controller's signing key, and the nodes' public keys"
    )
    listen: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:7420",
        description="ADDRESS:PORT for agents, API and metrics; loopback unless told otherwise, port 0 takes a free one",
    )
    bus: Annotated[str, AfterValidator(_bus)] = Field(
        default=EMBEDDED,
        description="how agents are reached: http is the controller itself, else amqps://HOST:PORT,HOST:PORT/VHOST; "
        "the password is in the keys directory, bus.password",
    )
    bus_management: Annotated[str, AfterValidator(_management)] = Field(
        default="",
        description="https://HOST:PORT,HOST:PORT of RabbitMQ's management, by which accounts of nodes are made and "
        "deleted as nodes join and are revoked; the password is in the keys directory, bus.management.password",
    )
    heartbeat_interval: Interval = Field(default=30.0, description="time between two short reports of a node")
    node_timeout: Interval = Field(
        default=90.0, description="a node that was silent for this long is unknown, and never acted on"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least that is logged"
    )
    log_format: Literal["auto", "text", "json"] = Field(
        default="auto", description="text or json; auto is text on a terminal and JSON otherwise"
    )

    @model_validator(mode="after")
    def _survives_a_lost_report(self) -> Self:
        if self.node_timeout < 2 * self.heartbeat_interval:
            raise ValueError(
                f"a node would count as unknown after one lost report: node timeout "
                f"{format_duration(self.node_timeout)} must be at least twice the heartbeat interval "
                f"{format_duration(self.heartbeat_interval)}"
            )
        return self

    @model_validator(mode="after")
    def _manages_its_own_bus(self) -> Self:
        if self.bus_management and self.bus == EMBEDDED:
            raise ValueError(
                "busManagement is given, and bus is http; write the broker's amqps:// into bus, or neither"
            )
        user = parse_broker_url(self.bus).user if self.bus_management else None
        if user not in (None, CONTROLLER_USER):
            raise ValueError(
                f"bus names the account {user!r}, and busManagement looks after {CONTROLLER_USER} as the controller's; "
                "leave the name out of bus, or leave busManagement out and make all accounts yourself"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but what is passed: load_settings reads the sources itself, to know where each value came from."""
        return (init_settings,)


def load_settings(flags: Mapping[str, Any], file: Path | None = None) -> Settings:
    """Read the settings: ``flags`` (by field name, those that were given), then the environment, then the file.

    Raises SettingsError, with a line for everything that is wrong.
    """
    in_file, places = _read(file) if file else ({}, {})
    variables = EnvSettingsSource(Settings)()
    places |= {name: variable_of(name) for name in variables} | {name: flag_of(name) for name in flags}
    try:
        return Settings(**{**in_file, **variables, **flags})
    except ValidationError as error:
        raise SettingsError("\n".join(_complaint(problem, places, file) for problem in error.errors())) from error


def flag_of(setting: str) -> str:
    """The flag that sets a field: ``--poll-interval``."""
    return "--" + setting.replace("_", "-")


def variable_of(setting: str) -> str:
    """The environment variable that sets a field: ``DRUMBEAT_POLL_INTERVAL``."""
    return PREFIX + setting.upper()


def example() -> str:
    """A settings file with every field, its meaning and its default; what has a default is commented out."""
    lines = ["# Settings of the Drumbeat controller. A flag or a variable goes before what is written here.", ""]
    for name, field in Settings.model_fields.items():
        lines.append(f"# {field.description}")
        lines.append(f"# ({flag_of(name)}, {variable_of(name)})")
        if field.is_required():
            lines.append(f"{to_camel(name)}: {(field.examples or [''])[0]}")
        else:
            lines.append(f"# {to_camel(name)}: {_written(field.default)}")
        lines.append("")
    return "\n".join(lines)


def _written(value: Any) -> str:
    return format_duration(value) if isinstance(value, float) else str(value) or '""'


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of a settings file, and ``FILE:LINE: FIELD`` for each of them."""
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    for key, value, line in _mapping(path):
        place = f"{path}:{line}: {key}"
        name = _setting(key, place)
        values[name], places[name] = value, place
    return values, places


def _mapping(path: Path) -> list[tuple[str, Any, int]]:
    """Key, value and line of each entry of the file."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error}; name a file with --config that is there") from error
    if all(line.lstrip().startswith(b"#") for line in raw.splitlines() if line.strip()):
        return []
    document = load(str(path), raw)
    if document.problems:
        raise SettingsError("\n".join(str(problem) for problem in document.problems))
    if not isinstance(document.data, dict):
        raise SettingsError(f"{path}:1: write one setting on a line, such as 'branch: main'")
    return [(key, value, document.keys[key,].line) for key, value in document.data.items()]


def _setting(key: str, place: str) -> str:
    known = {to_camel(name): name for name in Settings.model_fields}
    if key in known:
        return known[key]
    near = difflib.get_close_matches(to_camel(to_snake(key.replace("-", "_"))), known, n=1)
    advice = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(known)}"
    raise SettingsError(f"{place}: there is no such setting; {advice}")


def _complaint(problem: ErrorDetails, places: Mapping[str, str], file: Path | None) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return f"settings: {message}"
    name = str(problem["loc"][0])
    if problem["type"] == "missing":
        where = f"write {to_camel(name)} into {file}" if file else "write it into a file for --config"
        return f"{flag_of(name)} is missing: give it, set {variable_of(name)}, or {where}"
    if name not in Settings.model_fields:
        return f"{places.get(name, name)}: there is no such setting"
    return f"{places.get(name, name)}: {message}"
