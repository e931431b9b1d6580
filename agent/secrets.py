"""The node's secrets: where their values come from, and who is told them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Protocol, Self

from pydantic import Field, model_validator

from agent.drivers.contracts import Retry, Terminal
from agent.files import SettingsPath
from agent.redaction import SHORTEST, Redactor
from crds.base import FileModel, Name, Seconds

LONGEST = 16 * 1024
"""Bytes of a value."""
_MOST_READ = LONGEST + len("\r\n") + 1
"""Bytes; of what has more than a line end behind the longest value it need not be known how long it is."""

Word = Annotated[str, Field(min_length=1)]


class Source(FileModel):
    """Where the node gets one secret: exactly one of file, environment and command."""

    file: SettingsPath | None = Field(default=None, description="its content, without line ends at the end")
    environment: Word | None = Field(default=None, description="a variable in the environment of the agent's unit")
    command: Annotated[list[Word], Field(min_length=1)] | None = Field(
        default=None, description="what it writes to its standard output, without line ends at the end"
    )
    timeout: Seconds = Field(default=10.0, description="for the command")
    services: list[Name] | None = Field(
        default=None,
        description="the services that may have it, and their gates; every one if left out, with [] only stores",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(kind is not None for kind in (self.file, self.environment, self.command)) != 1:
            raise ValueError("a secret has exactly one of file, environment and command")
        return self

    def beside(self, folder: Path) -> "Source":
        """The same with a relative path led from a folder."""
        return self.model_copy(update={"file": folder / self.file}) if self.file else self


Sources = dict[Name, Source]


class Ask(Protocol):
    """How a command is asked: see agent.processes.Processes.ask."""

    def __call__(self, command: list[str], environment: Mapping[str, str], timeout: float, most: int) -> bytes: ...


class Secrets:
    """Looks values up whenever they are needed and keeps them nowhere; the redactor learns each."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        redactor: Redactor,
        ask: Ask,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._sources = sources
        self._redactor = redactor
        self._ask = ask
        self._environment = environment

    def variables(self, wanted: Mapping[str, str], target: str) -> dict[str, str]:
        """The value of each variable, by the names of secrets, for a target's service or one of its gates.

        May take as long as the secrets' commands. Raises Terminal for a name that the node does not know, or that is
        not for this service, Retry for whatever may pass; no text has a value.
        """
        for name in sorted(set(wanted.values())):
            _check_may_have(target.rpartition("@")[0], name, self._source(name))
        return {variable: self.value(name) for variable, name in wanted.items()}

    def value(self, name: str) -> str:
        """One secret's value, for the agent itself. Raises as ``variables`` does."""
        value = _checked(name, self._read(name, self._source(name)))
        self._redactor.learn(value)
        return value

    def _source(self, name: str) -> Source:
        source = self._sources.get(name)
        if source is None:
            known = ", ".join(sorted(self._sources)) or "none"
            raise Terminal(
                f"this node knows no secret {name!r}; it knows: {known}. Add it to 'secrets' in its agent.yaml and "
                "restart the agent, or mend the name"
            )
        return source

    def learn(self, values: Mapping[str, str]) -> None:
        """A process of before this agent's start has these; they are hidden too."""
        for value in values.values():
            if len(value) >= SHORTEST:
                self._redactor.learn(value)

    def _read(self, name: str, source: Source) -> bytes:
        if source.environment is not None:
            value = self._environment.get(source.environment)
            if value is None:
                raise Terminal(
                    f"secret {name!r}: the agent's environment has no {source.environment}; set it in the agent's unit "
                    "and restart the agent"
                )
            return value.encode(errors="surrogateescape")
        if source.file is not None:
            return _content(name, source.file)
        assert source.command is not None
        try:
            return self._ask(source.command, self._environment, source.timeout, _MOST_READ)
        except (Retry, Terminal) as error:
            raise Retry(
                f"secret {name!r}: its command {error}. Run {source.command[0]!r} as the agent's account to see why; "
                "it is tried again"
            ) from error


def _check_may_have(service: str, name: str, source: Source) -> None:
    if source.services is not None and service not in source.services:
        whom = ", ".join(source.services) or "no service"
        raise Terminal(
            f"secret {name!r} is not for {service}: this node keeps it for {whom}. Add {service} to the secret's "
            "'services' in its agent.yaml and restart the agent, or mend the name"
        )


def _content(name: str, file: Path) -> bytes:
    try:
        with file.open("rb") as content:
            return content.read(_MOST_READ)
    except OSError as error:
        raise Retry(
            f"secret {name!r}: cannot read {file}: {error.strerror}; put the value there, readable by the agent's "
            "account. It is tried again"
        ) from error


def _checked(name: str, raw: bytes) -> str:
    """The value as text. Raises Retry: whoever keeps the secret may mend it at any time."""
    again = "Mend the value; it is tried again"
    if len(raw) >= _MOST_READ or len(raw.rstrip(b"\r\n")) > LONGEST:
        raise Retry(f"secret {name!r} is longer than {LONGEST} bytes. {again}")
    try:
        value = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Retry(f"secret {name!r} is not text in UTF-8; encode it, in base64 perhaps. {again}") from None
    if "\0" in value:
        raise Retry(f"secret {name!r} has a zero byte, which no environment can hold. {again}")
    if len(value.strip()) < SHORTEST:
        raise Retry(
            f"secret {name!r} has fewer than {SHORTEST} characters, too few to be kept out of logs: every word like "
            f"it would be hidden. Choose a longer one. {again}"
        )
    return value
