"""What planning looks at, and a plan in the making."""

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime

from crds.status import Journey, Operation, RolloutStatus, Step
from reconcilers.facts import HostFacts
from reconcilers.index import TargetIndex
from reconcilers.limits import FleetIndex
from reconcilers.order import Others
from reconcilers.target import TargetSpec
from reconcilers.writes import AddEvent, Write


def _nobody(host: str) -> HostFacts:
    raise KeyError(f"{host} does not leave")


@dataclass(frozen=True)
class Observed:
    """Everything that planning one target looks at."""

    status: RolloutStatus
    index: TargetIndex
    facts: Callable[[str], HostFacts]
    """Facts of a host by name; asked only for hosts that matter now."""
    journeys: Mapping[str, Journey]
    operations: Mapping[str, Operation]
    """Requested and kept ones, by id."""
    stray: Sequence[tuple[str, str]] = ()
    """(node, key) of entries of this target that belong to no host, pool or operation of its spec any more."""
    pool_entries: Mapping[tuple[str, str], str] = field(default_factory=dict)
    silent_balancers: Sequence[str] = ()
    """Balancer nodes of the target that do not report, or whose balancer must not be disrupted, each in words."""
    unasked: Sequence[str] = ()
    """NODE/POOL of balancer nodes that were never asked about the target, where that is only supposed."""
    runners: Sequence[str] = ()
    """Runners of the fleet that report."""
    leavers: Set[str] = frozenset()
    """Hosts that are none of the target's any more, and of which something is still asked."""
    leaver: Callable[[str], HostFacts] = field(default=_nobody)
    """Facts of one of them."""
    elsewhere: Callable[[], Collection[str]] = tuple
    """Nodes that are none of the target's hosts, and by whose last word its service runs there."""
    locks: Mapping[str, Operation] = field(default_factory=dict)
    """Migrations of the fleet that were requested and have not ended, by their lock."""
    others: Others = lambda _: None
    """Other targets, by name."""
    failed: Callable[[str], Collection[str]] = lambda _: ()
    """Targets on which the rollouts that a revision began have failed."""
    watching_since: datetime = field(kw_only=True)
    changed: Set[str] | None = None
    """Hosts about which anything changed since the last plan; None: every host is to be looked at."""
    fleet: FleetIndex | None = None
    """Who has the places that the fleet has for all targets together; None: it sets no limits."""


@dataclass
class Draft:
    """A plan in the making: what was decided so far, on top of what was observed."""

    target: TargetSpec
    observed: Observed
    now: datetime
    status: RolloutStatus
    journeys: dict[str, Journey]
    writes: list[Write] = field(default_factory=list)
    moved: set[str] = field(default_factory=set)
    """Hosts whose journey this plan has changed, begun or ended."""
    forgotten: set[str] = field(default_factory=set)
    """Hosts that have left in this plan."""
    undecided: str = ""
    """In words, why it is not known yet whether the target is to be managed."""
    lacking: set[str] = field(default_factory=set)
    """Limits of the fleet at which hosts of the batch wait."""
    started: bool = False
    """This plan has taken out a host."""
    stuck: bool = False
    """Nobody of the batch moves, and time alone will not change that."""
    _facts: dict[str, HostFacts] = field(default_factory=dict)
    """As they were observed: each host is looked at several times."""

    def facts(self, host: str) -> HostFacts:
        """The host's facts, with the journey as decided so far."""
        if host not in self._facts:
            self._facts[host] = self.observed.facts(host)
        facts, journey = self._facts[host], self.journeys.get(host)
        return facts if facts.journey is journey else replace(facts, journey=journey)

    def put(self, host: str, journey: Journey | None) -> None:
        """Change the host's journey, or end it."""
        if journey is None:
            del self.journeys[host]
        elif self.journeys.get(host) is journey or self.journeys.get(host) == journey:
            return
        else:
            self.journeys[host] = journey
        self.moved.add(host)

    def concerns(self, host: str) -> bool:
        """Whether there is anything new about the host: for all others the last plan's answer stands."""
        changed = self.observed.changed
        return changed is None or host in changed or host in self.moved

    def has_hosts_to_take(self) -> bool:
        """Some host waits for its turn, or would be chosen next."""
        waiting = any(journey.step is Step.WAITING for journey in self.journeys.values())
        return waiting or bool(self.observed.index.candidates)

    def event(self, verb: str, object_: str, reason: str, message: str) -> None:
        """Put something on record, caused by the revision in force."""
        self.writes.append(AddEvent(verb, object_, reason, message, cause=self.target.revision[:12]))
