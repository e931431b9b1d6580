"""What a fleet allows all of its targets together: hosts out at once, hosts of one zone, rollouts under way.

A *limit* is ``hosts``, ``zone/NAME`` or ``rollouts``; it has *places*. A host that is out takes one place of its fleet
and one of its zone, for however many targets it is out; a rollout takes one while it is under way. What is out already
may always be mended: it has its place.

Whoever finds no place waits in turn: a free place is for the one that has waited longest, and whoever gets one waits
anew from then on, so that two rollouts that want many hosts take turns.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from crds.fleet import Fleet
from crds.status import RolloutStatus, Turn
from reconcilers.sizes import hosts_of

HOSTS = "hosts"
ROLLOUTS = "rollouts"
_NAMED = 4
"""Targets that a message names."""


def limit_of_zone(zone: str) -> str:
    """The limit of one zone."""
    return f"zone/{zone}"


def limits_on(zone: str) -> tuple[str, ...]:
    """Limits of which a host of that zone takes a place; the narrower first. A host without a zone is in none."""
    return (limit_of_zone(zone), HOSTS) if zone else (HOSTS,)


def keeps_places(status: RolloutStatus) -> bool:
    """The target has failed hosts, and moves none: the places that they take stay taken until somebody mends that.

    Not while another of its hosts is out, or cannot be told: that one may be back by itself.
    """
    counts = status.counts
    failed = status.hold is not None or counts.failed > 0
    return failed and not status.under_way and counts.unavailable <= counts.failed + counts.excluded


@dataclass(frozen=True)
class FleetLimits:
    """A fleet's limits, in numbers."""

    fleet: str
    places: Mapping[str, int]
    """By limit; what is not named is not limited."""
    sizes: Mapping[str, int]
    """Hosts among which a limit counts."""


def limits_of(fleet: Fleet) -> FleetLimits | None:
    """The fleet's limits; None if it sets none. A percentage is rounded down, but to 1: each host must have a turn."""
    said = fleet.spec.limits
    zones = Counter(host.zone for host in fleet.spec.hosts if host.zone)
    sizes = {HOSTS: len(fleet.spec.hosts)} | {limit_of_zone(zone): size for zone, size in zones.items()}
    places: dict[str, int] = {}
    if said.max_unavailable is not None:
        places[HOSTS] = max(hosts_of(said.max_unavailable, sizes[HOSTS]), 1)
    if said.per_zone is not None:
        places |= {limit_of_zone(zone): max(hosts_of(said.per_zone, size), 1) for zone, size in zones.items()}
    if said.rollouts is not None:
        places[ROLLOUTS] = said.rollouts
    return FleetLimits(fleet.metadata.name, places, sizes) if places else None


@dataclass
class FleetIndex:
    """Who has the places of a fleet and who waits for one, kept step by step: each change costs what it changes.

    Property: kept through any history, it equals the one that is built at once.
    """

    limits: FleetLimits
    out: dict[str, set[str]] = field(default_factory=dict)
    """Hosts that are out, each with the targets for which it is."""
    used: Counter[str] = field(default_factory=Counter)
    """Places in use, by limit."""
    holders: Counter[tuple[str, str]] = field(default_factory=Counter)
    """The same by limit and target; a host that is out for two targets counts for both."""
    turns: dict[str, Turn] = field(default_factory=dict)
    """Targets that wait."""
    keeping: set[str] = field(default_factory=set)
    """Targets whose places stay taken until somebody mends their failed hosts."""
    freed: bool = field(default=False, compare=False)
    """A place became free, or somebody gave up his turn, since ``next_in_turn`` was last asked."""
    stopped: bool = field(default=False, compare=False)
    """Likewise, a target has begun to keep its places, or does so no more."""

    def put_host(self, target: str, host: str, zone: str, out: bool) -> None:
        """The host is out for the target, or is not."""
        targets = self.out.get(host, set())
        if (target in targets) == out:
            return
        alone = not targets - {target}
        (targets.add if out else targets.remove)(target)
        for limit in limits_on(zone):
            self._count(limit, target, 1 if out else -1, alone)
        if targets:
            self.out[host] = targets
        else:
            del self.out[host]

    def put_status(self, status: RolloutStatus) -> None:
        """The target's rollout is under way, waits, or does not."""
        if status.under_way != bool(self.holders[ROLLOUTS, status.target]):
            self._count(ROLLOUTS, status.target, 1 if status.under_way else -1, True)
        self._put_turn(status.target, status.turn)
        self._put_keeping(status.target, keeps_places(status))

    def leave(self, target: str) -> None:
        """The target gives up its turn, since it cannot be planned now: others must not wait for it."""
        self._put_turn(target, None)

    def forget(self, target: str, zones: Mapping[str, str]) -> None:
        """The target is no more, or is another one now. ``zones``: of its hosts, by name."""
        for host, zone in zones.items():
            self.put_host(target, host, zone, False)
        self.put_status(RolloutStatus(target=target))

    def _count(self, limit: str, target: str, change: int, alone: bool) -> None:
        self.holders[limit, target] += change
        if not self.holders[limit, target]:
            del self.holders[limit, target]
        if alone:
            self.used[limit] += change
            self.freed |= change < 0

    def _put_turn(self, target: str, turn: Turn | None) -> None:
        if self.turns.get(target) == turn:
            return
        self.freed = True
        if turn is None:
            del self.turns[target]
        else:
            self.turns[target] = turn

    def _put_keeping(self, target: str, keeps: bool) -> None:
        if keeps != (target in self.keeping):
            (self.keeping.add if keeps else self.keeping.remove)(target)
            self.stopped = True

    # --- what a plan asks

    def left(self, limit: str, target: str) -> float:
        """Places that the target may take now: whoever has waited longer has first choice."""
        if limit not in self.limits.places:
            return float("inf")
        own = bool(self.holders[limit, target]) if limit == ROLLOUTS else 0
        return self.limits.places[limit] - (self.used[limit] - own) - len(self._ahead(limit, target))

    def others_with(self, limits: Collection[str], target: str) -> list[str]:
        """The other targets that have places of these limits."""
        return sorted({who for name, who in self.holders if name in limits and who != target})

    def stay_full(self, limits: Collection[str], target: str) -> bool:
        """No place of these limits is free, nor will another target give one back by itself."""
        full = all(self.used[limit] >= self.limits.places[limit] for limit in limits)
        return full and self.keeping.issuperset(self.others_with(limits, target))

    def exceeds(self, limit: str) -> bool:
        """More places are in use than there are."""
        return self.used[limit] > self.limits.places.get(limit, float("inf"))

    def _ahead(self, limit: str, target: str) -> list[str]:
        mine = self.turns.get(target)
        waiting = list(self._waiting(limit))
        return [
            other for since, other in waiting if other != target and (not mine or (since, other) < (mine.since, target))
        ]

    def _waiting(self, limit: str) -> Iterator[tuple[datetime, str]]:
        """Who waits at the limit, in turn."""
        yield from sorted((turn.since, target) for target, turn in self.turns.items() if limit in turn.limits)

    def next_in_turn(self) -> set[str]:
        """Targets for which there is a place now, if anything has changed about that.

        All that wait, where another one begins to keep its places, or does so no more: they tell people.
        """
        if not self.freed and not self.stopped:
            return set()
        found = set(self.turns) if self.stopped else set()
        self.freed = self.stopped = False
        for limit, places in self.limits.places.items():
            free = max(places - self.used[limit], 0)
            found |= {target for _, target in list(self._waiting(limit))[:free]}
        return found

    def words(self, limit: str, target: str) -> str:
        """Why there is no place, and for whom the target waits."""
        used, fleet = self.used[limit], self.limits.fleet
        are = "is" if used == 1 else "are"
        if limit == ROLLOUTS:
            one = f"1 rollout is under way on fleet {fleet}"
            counted = one if used == 1 else f"{used} rollouts are under way on fleet {fleet}"
        elif limit == HOSTS:
            counted = f"{used} of {self.limits.sizes[limit]} hosts of fleet {fleet} {are} out"
        else:
            zone = limit.partition("/")[2]
            counted = f"{used} of {self.limits.sizes[limit]} hosts in zone {zone} of fleet {fleet} {are} out"
        held = sorted(((count, who) for (name, who), count in self.holders.items() if name == limit), reverse=True)
        by = ", ".join(who if limit == ROLLOUTS else f"{who} {count}" for count, who in held[:_NAMED])
        ahead = self._ahead(limit, target)
        longer = f"; {', '.join(ahead[:_NAMED])} waited first" if ahead else ""
        return f"{counted}{f' ({by})' if by else ''}, and its limits allow {self.limits.places[limit]}{longer}"
