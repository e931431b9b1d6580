"""Probes: how an agent knows that its own service is healthy."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from crds.base import FileModel, Port, Seconds

Command = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
UrlPath = Annotated[str, Field(pattern=r"^/[!-~]*$", description="a path on the service, such as /health")]


class HttpCheck(FileModel):
    """A GET that must answer with one of the statuses."""

    path: UrlPath
    port: Port
    status: list[Annotated[int, Field(ge=100, le=599)]] = Field(default=[200])


class TcpCheck(FileModel):
    """A connection that must be accepted."""

    port: Port


class ExecCheck(FileModel):
    """A command in the release folder that must exit with 0."""

    command: Command


class Probe(FileModel):
    """The agent asks its own service whether it is healthy: exactly one of http, tcp and exec."""

    http: HttpCheck | None = None
    tcp: TcpCheck | None = None
    exec: ExecCheck | None = None
    interval: Seconds = 10.0
    timeout: Seconds = 2.0
    success_threshold: Annotated[int, Field(ge=1, le=100)] = 1
    failure_threshold: Annotated[int, Field(ge=1, le=100)] = 3

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(kind is not None for kind in (self.http, self.tcp, self.exec)) != 1:
            raise ValueError("a probe has exactly one of http, tcp and exec; write a probe for each question")
        if self.interval <= 0 or self.timeout <= 0:
            raise ValueError("interval and timeout must be longer than 0s; write 1s or more, or leave them out")
        return self
