"""Service: what runs, how it is known to be healthy, and how it is rolled out."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from crds.base import API_VERSION, Amount, FileModel, Labels, Limit, Metadata, Name, PoolName, Port, Seconds
from crds.probe import Command, Probe, UrlPath

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Mode = Literal["observe", "adopt", "manage"]
Environment = dict[Variable, str]
Secrets = Annotated[
    dict[Variable, Name], Field(description="environment variable: name of a secret in the node's agent.yaml")
]
"""References only: how a node gets the value is its own business, and the value never leaves it."""


class Artifact(FileModel):
    """What is installed and how it is started; everything here is part of the release.

    ``{version}``, ``{host}`` and ``{address}`` are filled in, the last two on the host itself.
    """

    driver: Literal["archive"] = "archive"
    url: Annotated[str, Field(pattern=r"^(https?|file)://\S+$")] = Field(
        description="where the archive is fetched from; {version} is filled in"
    )
    run: Command = Field(description="the command, started in the unpacked archive")
    environment: Environment = Field(default_factory=dict)
    secrets: Secrets = Field(default_factory=dict)
    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] | None = Field(
        default=None, description="the account it runs under; the agent's own if left out"
    )
    supervisor: Literal["process"] = Field(default="process", description="how it is kept running")
    stop_timeout: Seconds = Field(default=10.0, description="after SIGTERM, before SIGKILL")

    @model_validator(mode="after")
    def _one_value_each(self) -> Self:
        if twice := sorted(self.environment.keys() & self.secrets.keys()):
            raise ValueError(f"{twice[0]} is in both environment and secrets; leave it out of one of them")
        return self


class PoolRef(FileModel):
    """The pools through which customers and tests reach the service."""

    balancer: Name = Field(description="name of a LoadBalancer of the same fleet")
    online: PoolName = Field(description="the pool that serves customers")
    maintenance: PoolName | None = Field(default=None, description="the pool that serves tests")
    port: Port = Field(description="the service's port on each host")


class HttpGate(FileModel):
    """A GET through the maintenance pool to the very host."""

    path: UrlPath = "/"
    status: list[Annotated[int, Field(ge=100, le=599)]] = Field(default=[200])
    contains: str | None = Field(default=None, description="text that the body must contain; {version} is filled in")
    timeout: Seconds = 10.0


class ExecGate(FileModel):
    """A command on a runner. ``{url}`` leads through the maintenance pool to the very host.

    Also filled in, and set as DRUMBEAT_URL, DRUMBEAT_HOST, DRUMBEAT_VERSION: ``{host}``, ``{version}``.
    """

    command: Command
    secrets: Secrets = Field(default_factory=dict)
    timeout: Seconds = 60.0


class Gate(FileModel):
    """A test that must pass before a host goes back online: exactly one of exec and http."""

    name: Name
    when: Literal["maintenance"] = "maintenance"
    exec: ExecGate | None = None
    http: HttpGate | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.exec is None) == (self.http is None):
            raise ValueError("a gate has exactly one of exec and http; write a gate for each test")
        return self


class Adopt(FileModel):
    """How the process of a service that runs already is known, so that it can be taken over as it is."""

    process: Annotated[str, Field(min_length=3, max_length=500)] = Field(
        description="regular expression; exactly one process of the host may have it in its command line, "
        "not counting those that it started itself"
    )

    @field_validator("process")
    @classmethod
    def _can_be_used(cls, value: str) -> str:
        try:
            found = re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from error
        if found.search(""):
            raise ValueError(f"{value!r} matches every process; write part of the command line")
        return value


class Drain(FileModel):
    """How long customers' sessions may take to end."""

    timeout: Seconds = Field(default=30.0, description="after this, no new session at all is admitted (MAINT)")
    on_timeout: Literal["hold", "close"] = Field(
        default="hold", description="what still holds on then: hold waits for it, close cuts it"
    )


class Rollback(FileModel):
    """What differs on the way back to the last good release; what is left out is as in the rollout."""

    batches: Annotated[list[Amount], Field(min_length=1)] | None = Field(
        default=None, description="hosts that go back together, batch after batch; as the rollout's if left out"
    )
    max_unavailable: Amount | None = Field(
        default=None, description="hosts that may be missing at once meanwhile; as the rollout's if left out"
    )
    soak: Seconds | None = Field(default=None, description="as the rollout's if left out")


class Rollout(FileModel):
    """How a target is converged to a new release."""

    batches: Annotated[list[Amount], Field(min_length=1)] = Field(
        default=["25%"], description="hosts that go together, batch after batch; the last one repeats"
    )
    max_unavailable: Amount = Field(default="25%", description="hosts that may be missing at once, for whatever cause")
    min_available: Amount | None = Field(
        default=None, description="hosts that must be left, percentages rounded up; the stricter of the two counts"
    )
    soak: Seconds = Field(default=0.0, description="a host must stay healthy online for this long")
    deadline: Seconds = Field(default=600.0, description="for one host's journey back online")
    progress_deadline: Seconds | None = Field(
        default=None, description="for the next step of any host of a batch; none if left out"
    )
    rollout_deadline: Seconds | None = Field(default=None, description="for the whole rollout; none if left out")
    drain: Drain = Drain()
    max_failed: Limit = Field(default=0, description="failed hosts with which the rollout goes on")
    max_unknown: Limit | None = Field(
        default=None, description="silent hosts with which further hosts are taken out; any number if left out"
    )
    on_failure: Literal["hold", "rollback"] = Field(
        default="hold", description="what becomes of the rollout once more hosts than maxFailed have failed"
    )
    on_deadline: Literal["hold", "rollback"] = Field(
        default="hold", description="what becomes of it at progressDeadline and rolloutDeadline"
    )
    rollback: Rollback = Rollback()
    lost_after: Seconds | None = Field(
        default=None,
        description="a host whose agent was silent for so long keeps no rollout from succeeding; none is left out "
        "if this is",
    )
    drift: Literal["repair", "report"] = Field(
        default="repair",
        description="what becomes of a host that no longer runs the release that it was brought to: it makes its "
        "journey again, or is only listed",
    )
    downtime: Literal["refused", "allowed"] = Field(
        default="refused", description="allowed: a single host may be taken out although nobody replaces it"
    )


class After(FileModel):
    """Which fleet comes first."""

    fleet: Name = Field(description="the service must be deployed there too")
    soak: Seconds = Field(
        default=0.0, description="the same version and service revision must have been ready there for so long"
    )


class ServiceSpec(FileModel):
    """What runs on which hosts."""

    mode: Mode | None = Field(
        default=None,
        description="observe: report and touch nothing; adopt: take over what runs, without a restart; manage: roll "
        "releases out. If left out: observe while the service was never managed here and hosts that nobody of ours "
        "put there serve in its pool, manage otherwise",
    )
    adopt: Adopt | None = Field(default=None, description="with mode adopt: how the running process is known")
    hosts: Labels = Field(description="label selector: every label given must match")
    artifact: Artifact
    probes: list[Probe] = Field(default_factory=list)
    pools: list[PoolRef] = Field(default_factory=list)
    gates: list[Gate] = Field(default_factory=list)
    rollout: Rollout = Rollout()
    depends_on: list[Name] = Field(
        default_factory=list,
        description="services that must be ready on the same fleet, each with its release, before a new one comes here",
    )
    wave: Annotated[int, Field(ge=-1000, le=1000)] = Field(
        default=0,
        description="new releases wait until all services of lower waves on the fleet have finished theirs",
    )
    after: After | None = Field(
        default=None, description="fleet on which a release must have been ready before it comes here, as staging"
    )
    fleets: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="what differs on one fleet, field by field"
    )

    @model_validator(mode="after")
    def _knows_what_to_adopt(self) -> Self:
        if self.mode == "adopt" and self.adopt is None:
            raise ValueError("mode: adopt needs to know the process; write adopt: {process: REGULAR EXPRESSION}")
        return self


class Service(FileModel):
    """A service: what runs."""

    api_version: Literal["drumbeat/v1alpha1"] = Field(description=f"always {API_VERSION}")
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec
