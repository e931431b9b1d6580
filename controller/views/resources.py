"""What the API shows, in the manner of Kubernetes: metadata, spec, status. The OpenAPI document is made from these."""

from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import Field

from controller.store import Revision
from crds.base import API_VERSION, WireModel
from crds.messages import BalancerReport, ServiceReport, Stamp
from crds.service import Rollout
from crds.status import Approval, Condition, Counts, Event, Hold, Mark, Quarantine, Step, TaskRecord


class Meta(WireModel):
    """Who a resource is."""

    name: str
    labels: dict[str, str] = Field(default_factory=dict, description="what a labelSelector is compared with")
    generation: int | None = Field(default=None, description="counts changes of a target's spec")
    observed_at: datetime = Field(description="the controller's time when it said this; ages are counted from here")


class ListMeta(WireModel):
    """What a list is as of."""

    resource_version: int = Field(description="of the store; events go on after it")
    observed_at: datetime


Item = TypeVar("Item")


class Listing(WireModel, Generic[Item]):
    """Several resources of one kind."""

    api_version: str = API_VERSION
    metadata: ListMeta
    items: list[Item]


# --- targets


class PoolNames(WireModel):
    """The pools on one balancer through which a target is reached."""

    balancer: str
    nodes: list[str]
    online: str
    maintenance: str | None
    port: int


class TargetResourceSpec(WireModel):
    """What the target should be; all empty while no revision in force declares it."""

    declared: bool = Field(description="False: no revision that was read since the controller started declares it")
    revision: str
    version: str
    digest: str = Field(description="of the release; 'absent' where the service is to be removed")
    hosts: int
    pools: list[PoolNames]
    gates: list[str]
    migrations: list[str] = Field(description="expand, then contract")
    runners: list[str]
    freezes: list[str] = Field(description="names of the freezes that hold for it, in force now or not")
    profile: str = Field(default="", description="the service's rollout profile that the version file chose")
    break_glass: str = Field(default="", description="why this deployment may pass a freeze; empty: it may not")
    mode: str = Field(default="", description="observe, adopt or manage: what holds, whether git says so or not")


class Running(WireModel):
    """How many reporting hosts run one release."""

    version: str | None = Field(description="None: they run nothing")
    digest: str | None
    hosts: int


class Seat(WireModel):
    """One host on one balancer node."""

    node: str
    pool: str
    admin: str = Field(description="ready, drain or maint; unknown where the node does not tell")
    up: bool | None
    by: str = Field(default="", description="who set an admin state that is not ready: us, config or person")
    sessions: int = 0


class HostRow(WireModel):
    """One host of a target."""

    name: str
    zone: str
    address: str
    standing: str = Field(description="current, outdated, out, unhealthy, inFlight, failed, unknown or excluded")
    why: str = Field(description="for people, where the standing needs a word")
    version: str | None = Field(description="that its agent reported last; history if it is silent")
    digest: str | None
    state: str
    healthy: bool | None
    seats: list[Seat]
    step: Step | None = Field(description="on its journey, if it is on one")
    since: datetime | None = Field(description="when the step began")
    reason: str = Field(description="what its journey waits for, or why it failed")
    log_tail: list[str] = Field(description="the end of the log of the process that failed last on its journey")
    claimed_by: str | None = Field(description="another target that has it on a journey")
    silent: bool
    last_seen: datetime | None = Field(description="None: not since the controller started")


class LeavingRow(WireModel):
    """A host that is none of the target's any more, and has the service still."""

    name: str
    step: str = Field(description="waiting, draining, leaving (its pools) or removing (the service)")
    since: datetime | None = Field(description="when the step began")
    reason: str = Field(description="what it waits for")


class TargetResourceStatus(WireModel):
    """Where the target is."""

    headline: str = Field(description="one word for people, derived from the conditions")
    observed_generation: int
    revision: str
    version: str
    digest: str
    succeeded_digest: str
    restarting: bool = Field(description="hosts run the release already, and get new processes, as a person asked")
    batch: int
    started: datetime | None
    finished: datetime | None
    hold: Hold | None
    pause: Mark | None
    excluded: dict[str, Mark] = Field(description="by node: its hosts and balancer nodes that people excluded")
    quarantine: Quarantine | None = Field(description="the release that is not tried again here")
    good_version: str = Field(description="the last release that every host ran; empty if there is none")
    counts: Counts
    tasks: list[TaskRecord] = Field(description="gates and migrations of the present release that have no host")
    no_return: str = Field(description="why hosts cannot go back to the release before; empty if they can")
    conditions: list[Condition]
    running: list[Running]
    unknown: int = Field(description="hosts of which nobody can say what they run, because they are silent")
    planning_fails: bool = Field(description="planning raised an error; the controller's log says which")
    next_wake: datetime | None = Field(description="when it is looked at though nothing happened")
    hosts: list[HostRow] | None = Field(default=None, description="only where the target was asked for by name")
    leaving: list[LeavingRow] = Field(default=[], description="hosts on their way out, where it was asked for by name")


class TargetResource(WireModel):
    """One service on one fleet."""

    api_version: str = API_VERSION
    kind: Literal["Target"] = "Target"
    metadata: Meta
    spec: TargetResourceSpec
    status: TargetResourceStatus


class TargetList(Listing[TargetResource]):
    kind: Literal["TargetList"] = "TargetList"


# --- rollouts


class RolloutResourceSpec(WireModel):
    """What the target is converged to, and how."""

    revision: str
    version: str
    digest: str
    rollout: Rollout | None = Field(description="None while no revision in force declares the target")


class JourneyRow(WireModel):
    """One host on its way."""

    host: str
    batch: int
    step: Step
    begun: datetime
    since: datetime
    attempt: int
    out: bool = Field(description="left every pool")
    reason: str


class OperationRow(WireModel):
    """A gate's or a migration's run on a runner."""

    id: str
    name: str
    host: str
    node: str
    state: str = Field(description="requested, running or finished")
    outcome: str | None
    message: str
    log_tail: list[str]


class RolloutResourceStatus(WireModel):
    """How far it is."""

    headline: str
    restarting: bool = Field(description="hosts run the release already, and get new processes, as a person asked")
    batch: int
    started: datetime | None
    finished: datetime | None
    hold: Hold | None
    quarantine: Quarantine | None = Field(description="the release that is not tried again here")
    good_version: str = Field(description="the last release that every host ran; empty if there is none")
    counts: Counts
    conditions: list[Condition]
    journeys: list[JourneyRow]
    operations: list[OperationRow]
    tasks: list[TaskRecord] = Field(description="gates and migrations of the present release that have no host")
    approval: Approval | None = Field(description="a person's go for its contract migrations")
    no_return: str = Field(description="why hosts cannot go back to the release before; empty if they can")
    next_wake: datetime | None


class RolloutResource(WireModel):
    """Converging one target to one release; it bears the target's name."""

    api_version: str = API_VERSION
    kind: Literal["Rollout"] = "Rollout"
    metadata: Meta
    spec: RolloutResourceSpec
    status: RolloutResourceStatus


class RolloutList(Listing[RolloutResource]):
    kind: Literal["RolloutList"] = "RolloutList"


# --- nodes


class NodeResourceSpec(WireModel):
    """What the revision in force makes of the node."""

    roles: list[str] = Field(description="host, balancer, runner; empty if no target needs it")
    zone: str
    targets: list[str]


class NodeResourceStatus(WireModel):
    """What the node says of itself."""

    headline: str = Field(
        description="Ready, Excluded, Silent, Revoked, Disputed, Problem, BalancerUnreachable or ReloadUnsafe"
    )
    message: str = Field(description="for people, where the headline needs a word")
    silent: bool
    excluded: Mark | None = Field(description="people have excluded it by command")
    last_seen: datetime | None = Field(description="its last report; None: none since the controller started")
    overdue: bool = Field(description="it counts still, though its next report should have come: it may be gone")
    agent_version: str
    platform: str
    roles: list[str] = Field(description="that its agent plays")
    taken: Stamp = Field(description="(term, serial) of the assignment that it has taken")
    assigned: int = Field(description="serial of its newest assignment")
    balancer: BalancerReport | None
    pools: list[str]
    services: dict[str, ServiceReport] | None = Field(
        default=None, description="by target; only where the node was asked for by name"
    )


class NodeResource(WireModel):
    """A machine with an agent."""

    api_version: str = API_VERSION
    kind: Literal["Node"] = "Node"
    metadata: Meta
    spec: NodeResourceSpec
    status: NodeResourceStatus


class NodeList(Listing[NodeResource]):
    kind: Literal["NodeList"] = "NodeList"


# --- pools


class PoolResourceSpec(WireModel):
    """Whose pool it is."""

    node: str
    pool: str
    balancer: str
    use: Literal["online", "maintenance"]
    target: str
    hosts: int = Field(description="hosts of the target")
    port: int


class ServerRow(WireModel):
    """One server of a pool on one balancer node."""

    name: str
    admin: str = Field(description="ready, drain or maint; unknown where the node does not tell")
    up: bool | None
    by: str
    sessions: int
    old_workers: int
    address: str
    status: str = Field(description="the balancer's own words")


class PoolCounts(WireModel):
    """Servers of a pool, each counted once in the first three."""

    ready: int = 0
    drain: int = 0
    maint: int = 0
    up: int = 0
    sessions: int = Field(default=0, description="of the servers that the node names")


class PoolResourceStatus(WireModel):
    """What the balancer node sees."""

    headline: str = Field(description="Ready, Silent, NoAnswer, Missing, BalancerUnreachable or ReloadUnsafe")
    message: str
    counts: PoolCounts
    plain: int = Field(description="servers that the node does not name, because they are where they should be")
    servers: list[ServerRow] | None = Field(
        default=None, description="only where the pool was asked for by name; of a maintenance pool those named"
    )


class PoolResource(WireModel):
    """One pool on one balancer node, named NODE/POOL."""

    api_version: str = API_VERSION
    kind: Literal["Pool"] = "Pool"
    metadata: Meta
    spec: PoolResourceSpec
    status: PoolResourceStatus


class PoolList(Listing[PoolResource]):
    kind: Literal["PoolList"] = "PoolList"


# --- the whole


class EventList(Listing[Event]):
    kind: Literal["EventList"] = "EventList"


class StateResource(WireModel):
    """What is in force, what was refused, and how the whole stands."""

    api_version: str = API_VERSION
    kind: Literal["State"] = "State"
    metadata: ListMeta
    term: int = Field(description="grows with each start of a controller")
    revision: Revision | None = Field(description="the last good one: it is in force")
    refused: Revision | None = Field(description="a newer one that was refused, with its problems")
    source_error: str = Field(description="why the repository cannot be read; empty if it can")
    targets: dict[str, int] = Field(description="how many targets there are, by headline")
    nodes: int
    silent_nodes: list[str] = Field(description="declared ones, or such that reported once")


class Done(WireModel):
    """What came of a command."""

    api_version: str = API_VERSION
    kind: Literal["Done"] = "Done"
    message: str = Field(description="one sentence for whoever asked")


class Problem(WireModel):
    """Every error of the API."""

    error: str = Field(description="what is wrong")
    hint: str = Field(default="", description="what to do instead")
