"""What a plan wants saved. The commit carries it out in order, in one transaction, and publishes what came of it."""

from dataclasses import dataclass, field
from datetime import datetime

from crds.status import Journey, Mark, Operation, RolloutStatus


@dataclass(frozen=True)
class PutStatus:
    status: RolloutStatus


@dataclass(frozen=True)
class PutJourney:
    journey: Journey


@dataclass(frozen=True)
class DropJourney:
    host: str


@dataclass(frozen=True)
class PutEntry:
    """Ask something of a node; its stamp is the assignment that the commit makes of it."""

    node: str
    key: str
    value: str


@dataclass(frozen=True)
class DropEntry:
    node: str
    key: str


@dataclass(frozen=True)
class PutOperation:
    operation: Operation


@dataclass(frozen=True)
class DropOperation:
    id: str


@dataclass(frozen=True)
class PutExclusion:
    """Leave a host or a balancer node alone, whatever its targets."""

    node: str
    mark: Mark


@dataclass(frozen=True)
class DropExclusion:
    node: str


@dataclass(frozen=True)
class AddEvent:
    """For the record, committed together with what it tells."""

    verb: str
    object: str
    reason: str
    message: str
    cause: str = ""
    actor: str = ""
    """The person who asked for it; empty: Drumbeat itself."""


Write = (
    PutStatus
    | PutJourney
    | DropJourney
    | PutEntry
    | DropEntry
    | PutOperation
    | DropOperation
    | PutExclusion
    | DropExclusion
    | AddEvent
)


@dataclass(frozen=True)
class Plan:
    """What to save now, and when to plan again though nothing happened."""

    writes: list[Write] = field(default_factory=list)
    wake_at: datetime | None = None
