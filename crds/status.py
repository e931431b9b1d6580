"""What the controller keeps and shows: conditions, rollouts, the journeys of hosts, operations, events."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from crds.base import WireModel
from crds.messages import OperationReport, OperationSpec, ProcessIdentity
from crds.probe import Probe
from crds.release import Release
from crds.service import Gate


class Condition(WireModel):
    """One observation about a target, in the form that Kubernetes made common."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(description="one word in CamelCase, for machines")
    message: str = Field(default="", description="one sentence for people")
    last_transition_time: datetime
    observed_generation: int


class Step(StrEnum):
    """Where a host is on its journey; the order is the journey's."""

    WAITING = "waiting"
    """Chosen for the batch; not yet touched, because the budget or another target does not allow it."""
    DRAINING = "draining"
    """DRAIN on every balancer node, until idle or the drain's timeout."""
    LEAVING = "leaving"
    """MAINT; not out before every node reads it back, idle, with no worker left from before."""
    DEPLOYING = "deploying"
    """Out of the pools, and assigned the new release."""
    TESTING = "testing"
    """In the maintenance pool, with gates running."""
    ENABLING = "enabling"
    """Tested; going back online."""
    SOAKING = "soaking"
    """Online; must stay healthy for the soak."""
    FAILED = "failed"
    """Stays out of the pools with its reason."""


class Cause(StrEnum):
    """Why a host has failed, as far as it matters for what follows."""

    GATE = "gate"
    DEPLOYMENT = "deployment"
    """It could not be installed, or ends again and again."""
    HEALTH = "health"
    DEADLINE = "deadline"
    SILENCE = "silence"
    """Its deadline passed while its agent was not heard: that says nothing about the release."""


class Journey(WireModel):
    """One host's way through a rollout: a row that exists while the host is part of a batch."""

    host: str
    digest: str = Field(description="the release it goes to")
    batch: int
    step: Step
    begun: datetime = Field(description="when the host was chosen; names this journey's operations")
    since: datetime = Field(description="when this step began")
    elapsed: float = Field(default=0.0, description="seconds on the way that the controller watched, without waiting")
    entered: float = Field(default=0.0, description="elapsed when this step began")
    accounted: datetime = Field(description="up to when elapsed is counted")
    attempt: int = Field(default=0, description="of the gates")
    tries: int = Field(default=0, description="how often its deployment was tried again")
    failure: str = Field(default="", description="why the try before failed, for people")
    log_tail: list[str] = Field(default_factory=list, description="the end of the log of the process that failed last")
    tested: bool = Field(default=False, description="has passed its own gates in maintenance; waits for the batch's")
    vouched: bool = Field(default=False, description="has passed the batch's gates with its batch")
    before: ProcessIdentity | None = Field(default=None, description="the process that must be gone")
    before_digest: str | None = None
    out: bool = Field(default=False, description="left every pool: nothing is disrupted by going on with it")
    restart: int = Field(default=0, description="the number under which its process is to be started")
    skip: bool = Field(default=False, description="a person ends its soak")
    yields: bool = Field(default=False, description="claims the host no more: another target may have it meanwhile")
    reason: str = Field(default="", description="for people: what it waits for, or why it failed")
    cause: Cause | None = Field(default=None, description="why it failed, for machines; None on its way")


class GoodRelease(WireModel):
    """A release that every host ran healthy and online, with everything that it takes to run and test it again."""

    release: Release
    statement: str | None = Field(default=None, description="what was signed about it and the commands around it")
    probes: list[Probe] = Field(default_factory=list, description="by which its health is told")
    gates: list[Gate] = Field(default_factory=list, description="that test it")
    since: datetime = Field(description="when every host ran it first")


class Quarantine(WireModel):
    """A release that is not tried again before git declares another one, or somebody says so."""

    digest: str
    version: str
    reason: str = Field(description="one word in CamelCase, for machines")
    message: str
    since: datetime
    by: str = Field(default="drumbeat", description="who decided it")


class Stopwatch(WireModel):
    """How long a rollout has taken, of the time that counts; kept where a deadline needs it."""

    elapsed: float = Field(default=0.0, description="seconds that counted until `accounted`")
    progressed: float = Field(default=0.0, description="elapsed when a host last reached another step")
    accounted: datetime
    running: bool = Field(default=False, description="time counts now")


class Hold(WireModel):
    """Why a rollout does not go on; ends with a new release."""

    digest: str
    reason: str
    message: str
    since: datetime


class Mark(WireModel):
    """Something that a person decided, and that stays until it is lifted."""

    by: str
    reason: str = Field(description="in that person's words")
    since: datetime
    until: datetime | None = Field(default=None, description="when it lifts itself; None: only a person lifts it")


class Turn(WireModel):
    """A target's place among those that wait for what their fleet allows all of them together."""

    limits: list[str] = Field(description="what it waits for: hosts, zone/NAME, rollouts")
    since: datetime = Field(description="who has waited longest comes first; it begins anew with each host taken out")


class Counts(WireModel):
    """Hosts of a target, each counted once in the first five."""

    total: int = 0
    current: int = 0
    outdated: int = 0
    in_flight: int = 0
    failed: int = 0
    unknown: int = 0
    excluded: int = 0
    unavailable: int = 0


Task = Literal["before", "expand", "batch", "after", "contract"]
"""What an operation without a host is there for: a gate by its ``when``, or a migration."""


class TaskRecord(WireModel):
    """What became of something that is done once for a release: it vouches for the status's digest and no other."""

    task: Task
    name: str
    state: Literal["waiting", "running", "passed", "failed", "inconclusive"]
    scope: str = Field(default="", description="what beside the release it vouches for: which hosts of a batch")
    attempt: int = Field(default=0, description="each is an operation of its own")
    operation: str = Field(default="", description="the id of the newest one")
    message: str = ""
    since: datetime


class Approval(WireModel):
    """A person's go for the contract migrations of one release."""

    digest: str
    by: str
    reason: str = ""
    at: datetime


class ProvenEdition(WireModel):
    """A version and service revision that was ready on a target; other fleets may wait for it."""

    edition: str
    version: str
    ready_since: datetime | None = Field(default=None, description="None: not ready now")
    longest: float = Field(default=0.0, description="seconds that it was ready without a break, before that")


class RolloutStatus(WireModel):
    """A target's status. No phase is stored: a headline is derived from the conditions."""

    target: str
    revision: str = ""
    version: str = ""
    digest: str = ""
    generation: int = 0
    observed_generation: int = 0
    fingerprint: str = Field(default="", description="of the spec that generation counts")
    batch: int = Field(default=0, description="number of the batch under way or last finished, from 1")
    started: datetime | None = Field(default=None, description="when the rollout to this digest began")
    finished: datetime | None = None
    rollout_revision: str = Field(default="", description="the revision that began the rollout to this digest")
    editions: list[ProvenEdition] = Field(default_factory=list, description="the last ones, oldest first")
    succeeded_digest: str = Field(default="", description="the last release that every host ran healthy and online")
    hold: Hold | None = None
    tasks: list[TaskRecord] = Field(
        default_factory=list, description="gates and migrations of the present release that have no host"
    )
    approval: Approval | None = Field(default=None, description="a person's go for its contract migrations")
    restart: int = Field(default=0, description="hosts whose process was started under a lower number are restarted")
    go: int = Field(default=0, description="the last batch after which a person said go")
    break_glass: str = Field(default="", description="why a freeze does not hold it, as it was put on record")
    pause: Mark | None = Field(default=None, description="a person has paused it: no host is taken out")
    good: GoodRelease | None = Field(default=None, description="the last release that every host ran")
    former: GoodRelease | None = Field(default=None, description="the good release before that one")
    quarantine: Quarantine | None = None
    no_return: str = Field(default="", description="in words, what was done that an older release cannot run with")
    retried: datetime | None = Field(default=None, description="failures before this moment count no more")
    stopwatch: Stopwatch | None = None
    under_way: bool = Field(default=False, description="counts among the rollouts that its fleet allows at once")
    turn: Turn | None = None
    managed: bool = Field(default=False, description="hosts are, or were, moved here: without a mode it stays so")
    unclaimed: str = Field(default="", description="in words, who serves in its pool that nobody of ours put there")
    vouched: str = Field(default="", description="digest of the release as which running processes are adopted")
    drifted: dict[str, str] = Field(
        default_factory=dict, description="hosts whose drift is being repaired: in words, what they were found to run"
    )
    leaving: dict[str, Journey] = Field(
        default_factory=dict, description="hosts that are none of the target's any more, on their way out"
    )
    leaving_waits: str = Field(default="", description="in words, why others of these have not begun to leave")
    counts: Counts = Counts()
    conditions: list[Condition] = Field(default_factory=list)


def status_of(statuses: Mapping[str, RolloutStatus], target: str) -> RolloutStatus:
    """The target's status; an empty one before its first plan."""
    return statuses.get(target) or RolloutStatus(target=target)


class Operation(WireModel):
    """Something to be done once, with its kept result."""

    id: str
    target: str
    host: str = Field(description="empty: it is about the whole target")
    node: str = Field(description="the runner that has it")
    digest: str = Field(default="", description="of the release that its result vouches for")
    spec: OperationSpec
    result: OperationReport | None = None


class Event(WireModel):
    """One line of the record: who did what to what, and why."""

    id: int = 0
    resource_version: int = 0
    at: datetime
    actor: str
    verb: str
    object: str
    reason: str = ""
    message: str = ""
    cause: str = Field(default="", description="what led to it: a revision, an operation, another event")
