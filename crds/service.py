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


HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s@/?#]+(/[^\s?#]*)?$")]
"""An address without credentials, query and fragment."""


class Quiesce(FileModel):
    """A command on the host that has the service's process finish its work before it is stopped.

    It runs in the unpacked archive, as the service's user and with its environment, and DRUMBEAT_PID is the process.
    """

    command: Command
    timeout: Seconds = Field(default=60.0, description="then it is killed, and the process stopped all the same")

    @model_validator(mode="after")
    def _has_time(self) -> Self:
        if self.timeout <= 0:
            raise ValueError("timeout must be longer than 0s; write how long the work may take, or leave it out")
        return self


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
    quiesce: Quiesce | None = Field(default=None, description="run before the process is stopped")
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
    """A GET to the very host, in maintenance through the maintenance pool; to ``url`` where the gate has no host."""

    url: HttpUrl | None = Field(
        default=None, description="before, batch and after: where the path is asked for; other gates ask the host"
    )
    path: UrlPath = "/"
    status: list[Annotated[int, Field(ge=100, le=599)]] = Field(default=[200])
    contains: str | None = Field(default=None, description="text that the body must contain; {version} is filled in")
    timeout: Seconds = 10.0


class ExecGate(FileModel):
    """A command on a runner. ``{url}`` leads to the very host, in maintenance through the maintenance pool.

    Also filled in, and set as DRUMBEAT_URL, DRUMBEAT_HOST, DRUMBEAT_VERSION: ``{host}``, ``{version}``. A gate without
    a host has ``{version}`` alone.
    """

    command: Command
    secrets: Secrets = Field(default_factory=dict)
    timeout: Seconds = 60.0


class Samples(FileModel):
    """How much a query must rest upon before its answer means anything."""

    query: Annotated[str, Field(min_length=1)] = Field(
        description="PromQL for how many there were, such as the requests of the last five minutes"
    )
    min: Annotated[float, Field(gt=0)] = Field(description="fewer tell nothing")


class Credentials(FileModel):
    """Who asks a Prometheus: a bearer token, or a user with a password. References only, see Secrets."""

    token: Name | None = Field(default=None, description="name of a secret on the runner")
    user: Annotated[str, Field(pattern=r"^[!-9;-~]+$")] | None = None
    password: Name | None = Field(default=None, description="name of a secret on the runner")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.user is None) != (self.password is None) or (self.token is None) == (self.user is None):
            raise ValueError("credentials are either a token, or a user and a password; write one of the two")
        return self


class PrometheusGate(FileModel):
    """A question to a Prometheus, by a runner. Every value of the answer must lie within the thresholds.

    No value, one that is no number, or too few samples tell nothing. ``{host}`` and ``{version}`` are filled in.
    """

    url: HttpUrl = Field(description="the Prometheus, without /api/v1")
    query: Annotated[str, Field(min_length=1)] = Field(description="PromQL")
    max: float | None = Field(default=None, description="a value above it fails")
    min: float | None = Field(default=None, description="a value below it fails")
    samples: Samples | None = None
    credentials: Credentials | None = None
    timeout: Seconds = 10.0

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.max is None and self.min is None:
            raise ValueError("nothing could fail; write max, min or both")
        if self.max is not None and self.min is not None and self.min > self.max:
            raise ValueError(f"no value is both at least {self.min:g} and at most {self.max:g}; mend min or max")
        return self


When = Literal["before", "maintenance", "batch", "online", "after"]
PER_HOST: tuple[When, ...] = ("maintenance", "online")
"""Gates of one host each; the others look at the whole target."""


class Gate(FileModel):
    """A test that must pass before a rollout goes on: exactly one of exec, http and prometheus."""

    name: Name
    when: When = Field(
        default="maintenance",
        description="before: before the first host is taken out; maintenance: on each host before it goes online; "
        "batch: once all hosts of a batch have passed those, before any of them goes online; online: on each host "
        "while it soaks; after: once all hosts have arrived, before the rollout counts as succeeded",
    )
    exec: ExecGate | None = None
    http: HttpGate | None = None
    prometheus: PrometheusGate | None = None
    count: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="measurements that must tell something")
    interval: Seconds = Field(default=0.0, description="from one measurement to the next")
    failure_limit: Annotated[int, Field(ge=0)] = Field(default=0, description="measurements that may fail")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(kind is not None for kind in (self.exec, self.http, self.prometheus)) != 1:
            raise ValueError("a gate has exactly one of exec, http and prometheus; write a gate for each test")
        if self.failure_limit >= self.count:
            raise ValueError("failureLimit must be below count, or nothing could fail; raise count")
        if self.http is not None and (self.http.url is None) != (self.when in PER_HOST):
            if self.http.url is None:
                raise ValueError(f"a gate that runs {self.when} has no host; write http.url, such as the service's own")
            raise ValueError(f"a gate that runs {self.when} asks the host itself; leave http.url out")
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


class Migration(FileModel):
    """A change outside the hosts, such as of a database's schema, made once for a release by a command on a runner.

    The check says whether it is made: exit status 0 yes, 1 no, anything else tells nothing. It is asked before the
    command and after it, and so are those who come back after a crash. ``{version}`` is filled in, in both.
    """

    name: Name
    command: Command
    check: Command = Field(description="exit status 0: it is done; 1: it is not; anything else: nobody knows")
    timeout: Seconds = Field(default=600.0, description="for the command")
    check_timeout: Seconds = Field(default=60.0, description="for the check")
    secrets: Secrets = Field(default_factory=dict)
    lock: Name | None = Field(
        default=None,
        description="of a fleet's migrations with the same lock one runs at a time; the service's name if left out",
    )


class Expand(Migration):
    """A migration before the first host is taken out: what it leaves behind suits the old release and the new one."""

    compatible: bool = Field(
        default=True, description="false: the release before does not work any more with what it leaves behind"
    )


class Contract(Migration):
    """A migration after the last batch: it takes away what only the release before needed. There is no way back."""

    approval: Literal["none", "required"] = Field(default="none", description="required: a person must say go")


class Migrations(FileModel):
    """What is changed around a release, in this order."""

    expand: list[Expand] = Field(default_factory=list, description="before the first host is taken out")
    contract: list[Contract] = Field(default_factory=list, description="after the last batch and its soak")


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


class Profile(FileModel):
    """What differs in a rollout whose version file names the profile; what is left out is as ever."""

    batches: Annotated[list[Amount], Field(min_length=1)] | None = None
    max_unavailable: Amount | None = None
    min_available: Amount | None = None
    pause_after: list[Annotated[int, Field(ge=1)]] | None = None
    soak: Seconds | None = None


class Rollout(FileModel):
    """How a target is converged to a new release."""

    batches: Annotated[list[Amount], Field(min_length=1)] = Field(
        default=["25%"], description="hosts that go together, batch after batch; the last one repeats"
    )
    max_unavailable: Amount = Field(default="25%", description="hosts that may be missing at once, for whatever cause")
    min_available: Amount | None = Field(
        default=None, description="hosts that must be left, percentages rounded up; the stricter of the two counts"
    )
    pause_after: list[Annotated[int, Field(ge=1)]] = Field(
        default_factory=list,
        description="numbers of batches, from 1, after which a person must say go: 'drumbeat rollout resume'",
    )
    soak: Seconds = Field(default=0.0, description="a host must stay healthy online for this long")
    deadline: Seconds = Field(default=600.0, description="for one host's journey back online")
    progress_deadline: Seconds | None = Field(
        default=None, description="for the next step of any host of a batch; none if left out"
    )
    rollout_deadline: Seconds | None = Field(default=None, description="for the whole rollout; none if left out")
    drain: Drain = Drain()
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        default=0,
        description="how often a host that is out is tried again, with a new process, after the release could not be "
        "installed, ended again and again, or started unhealthy; the host's deadline holds all the same",
    )
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
        description="a host whose agent was not heard from for so long, and for no less than the controller's node "
        "timeout (90s), keeps no rollout from succeeding; none is left out if this is",
    )
    drift: Literal["repair", "report"] = Field(
        default="repair",
        description="what becomes of a host that no longer runs the release that it was brought to: it makes its "
        "journey again, or is only listed",
    )
    downtime: Literal["refused", "allowed"] = Field(
        default="refused", description="allowed: a single host may be taken out although nobody replaces it"
    )
    profiles: dict[Name, Profile] = Field(
        default_factory=dict, description="other ways to roll out, by the name that a version file's profile gives"
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
    singleton: bool = Field(
        default=False,
        description="at most one process of it on the whole fleet: the selector may match one host, and when that "
        "becomes another one, it begins only after the one before has said that the service is gone there",
    )
    artifact: Artifact
    probes: list[Probe] = Field(default_factory=list)
    pools: list[PoolRef] = Field(default_factory=list)
    gates: list[Gate] = Field(default_factory=list)
    migrations: Migrations = Migrations()
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

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        migrations = [each.name for each in (*self.migrations.expand, *self.migrations.contract)]
        for where, names in (("gates", [gate.name for gate in self.gates]), ("migrations", migrations)):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two {where} are called {twice[0]}; give each a name of its own: results bear it")
        return self


class Service(FileModel):
    """A service: what runs."""

    api_version: Literal["drumbeat/v1alpha1"] = Field(description=f"always {API_VERSION}")
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec
