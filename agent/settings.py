"""The agent's settings: one YAML file that an operator writes, see deploy/agent/agent.yaml."""

import re
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator

from agent.drivers.services.archive import Config as ArchiveConfig
from agent.drivers.services.archive.stores import Store
from agent.drivers.supervisors.process import Config as ProcessConfig
from agent.files import SettingsPath
from agent.secrets import Sources
from bus.amqp_url import is_broker_url, parse_broker_url
from bus.plain_yaml import NotPlain, read_plain
from crds.base import FileModel, HostName, Seconds


class BadSettings(Exception):
    """The settings cannot be used; the text names the file, the field, and what to write instead."""


def _bus(text: str) -> str:
    if is_broker_url(text):
        if parse_broker_url(text).user is not None:
            raise ValueError(
                "a node's account at the broker has the node's name; leave out what is written before the @"
            )
    elif not is_http_url(text):
        raise ValueError("write https://HOST for a controller, or amqps://HOST:PORT,HOST:PORT/VHOST for brokers")
    return text


def is_http_url(text: str) -> bool:
    """Whether a controller can be at that URL: it names a host, and no port that cannot be."""
    try:
        place = urlsplit(text)
        return bool(re.fullmatch(r"https?://\S+", text) and place.hostname and place.port != 0)
    except ValueError:
        return False


class HostSettings(FileModel):
    """The node runs services."""

    archive: ArchiveConfig = ArchiveConfig()
    process: ProcessConfig = ProcessConfig()
    downloads: int = Field(default=2, ge=1, le=32, description="downloads and installations at the same time")
    probes: int = Field(default=8, ge=1, le=256, description="probes at the same time")


class RunnerSettings(FileModel):
    """The node runs gates and other operations."""

    concurrency: int = Field(default=32, ge=1, le=256, description="operations at the same time")
    scripts: SettingsPath = Field(default=Path(), description="the folder in which commands of gates are run")


class Settings(FileModel):
    """The whole file. Relative paths start at the file's folder."""

    node: HostName = Field(description="this node's name: in the fleet's file, and on the balancers' server lines")
    bus: Annotated[str, AfterValidator(_bus)] = Field(
        description="where the controller is (http, https), or the brokers (amqps; amqp on loopback alone)"
    )
    ca: SettingsPath | None = Field(default=None, description="trust the certificates of this file only")
    credentials: SettingsPath = Field(description="the folder with the node's key, token and the controller's key")
    state: SettingsPath = Field(description="the folder for the journal, releases, records and logs")
    report_interval: Seconds = Field(default=30.0, description="between reports while nothing changes")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    secrets: Sources = Field(default_factory=dict, description="what services and gates may ask for, by name")
    artifacts: list[Store] = Field(default_factory=list, description="stores that ask who is there")
    host: HostSettings | None = None
    balancer: dict[str, Any] | None = Field(default=None, description="driver, and what the driver is to be told")
    runner: RunnerSettings | None = None

    @model_validator(mode="after")
    def _useful(self) -> Self:
        if self.host is None and self.balancer is None and self.runner is None:
            raise ValueError("the node has no role; write 'host: {}', 'balancer: {...}' or 'runner: {}'")
        if not 0.1 <= self.report_interval <= 300:
            raise ValueError(
                "reportInterval must be from 100ms to 5m; the controller counts silence in multiples of it"
            )
        unknown = sorted({name for store in self.artifacts for name in store.secrets} - self.secrets.keys())
        if unknown:
            raise ValueError(f"artifacts: there is no secret {unknown[0]!r}; add it to 'secrets', or mend the name")
        return self


def read_settings(path: Path) -> Settings:
    """Read and check the file. Raises BadSettings."""
    try:
        with path.open("rb") as file:
            said = read_plain(file)
    except OSError as error:
        raise BadSettings(f"{path}: cannot be read: {error.strerror}") from error
    except NotPlain as error:
        raise BadSettings(f"{path}: {error}") from error
    if not isinstance(said, dict):
        raise BadSettings(f"{path}: must hold fields such as 'node: web-01'; see deploy/agent/agent.yaml")
    try:
        settings = Settings.model_validate(said)
    except ValidationError as error:
        raise BadSettings(explain(path, error)) from error
    return _from_folder(settings, path.resolve().parent)


def driver_config(said: dict[str, Any], module: ModuleType) -> Any:
    """What a driver is to be told, checked by its own ``Config``. Raises BadSettings."""
    own = {name: value for name, value in said.items() if name != "driver"}
    try:
        return module.Config.model_validate(own)
    except ValidationError as error:
        raise BadSettings(explain(Path("the agent's settings"), error, inside="balancer")) from error


def explain(path: Path, error: ValidationError, inside: str = "") -> str:
    """Each mistake in one line: file, field, what is wrong."""
    lines = []
    for mistake in error.errors(include_url=False, include_input=False):
        field = ".".join([*filter(None, [inside]), *(str(part) for part in mistake["loc"])]) or "the whole file"
        text = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            text = "there is no such setting; see deploy/agent/agent.yaml"
        lines.append(f"{path}: {field}: {text}")
    return "\n".join(lines)


def _from_folder(settings: Settings, folder: Path) -> Settings:
    paths: dict[str, Any] = {name: folder / getattr(settings, name) for name in ("credentials", "state")}
    paths["secrets"] = {name: source.beside(folder) for name, source in settings.secrets.items()}
    paths["artifacts"] = [store.beside(folder) for store in settings.artifacts]
    if settings.runner is not None:
        scripts = folder / settings.runner.scripts
        settings = settings.model_copy(update={"runner": settings.runner.model_copy(update={"scripts": scripts})})
    return settings.model_copy(update={**paths, "ca": folder / settings.ca if settings.ca else None})
