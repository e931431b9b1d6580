"""TargetIndex: what planning needs to know about all hosts of a target, kept step by step.

The cost of a change is that of the changed host: counts, candidates and unsettled hosts are updated, never recomputed.
Property: an index kept through any history equals one built from the same facts at once.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import TypeVar

from sortedcontainers import SortedList

from crds.status import Counts
from reconcilers.classify import Classification, Standing
from reconcilers.sizes import zone_share
from reconcilers.target import HostSpec

_Group = TypeVar("_Group")
_Member = TypeVar("_Member")


class Need(IntEnum):
    """What has to be free before a host is taken out; each includes those before it."""

    NOTHING = 0
    """It is out already."""
    PLACE = 1
    """It serves nobody and nobody misses it: a place of the fleet, where that has limits."""
    BUDGET = 2
    """It serves: a part of the target's budget."""


CandidateKey = tuple[Need, tuple[int, str, str]]
"""Hosts that need the least first, then by rank, which spreads over zones."""


NAMED = (
    Standing.UNKNOWN,
    Standing.UNHEALTHY,
    Standing.EXCLUDED,
    Standing.FAILED,
    Standing.DRIFTED,
    Standing.UNADOPTED,
)
"""Standings whose hosts people hear of by name."""
_OUTDATED = (Standing.OUTDATED, Standing.OUT, Standing.UNHEALTHY, Standing.UNADOPTED, Standing.DRIFTED)


@dataclass
class TargetIndex:
    """Classifications of a target's hosts, and what follows from them."""

    hosts: dict[str, Classification] = field(default_factory=dict)
    standings: Counter[Standing] = field(default_factory=Counter)
    unavailable: int = 0
    unsettled: set[str] = field(default_factory=set)
    candidates: SortedList[CandidateKey] = field(default_factory=SortedList)
    zones: Counter[str] = field(default_factory=Counter)
    """Hosts by zone."""
    zones_unavailable: Counter[str] = field(default_factory=Counter)
    zone_candidates: dict[str, SortedList[CandidateKey]] = field(default_factory=dict)
    """The candidates of each zone that has any, in order."""
    named: dict[Standing, SortedList[str]] = field(default_factory=dict)
    """Hosts of a standing in NAMED, in order."""

    def put(self, host: HostSpec, now: Classification) -> None:
        """Replace what is known of the host."""
        self.drop(host)
        self.hosts[host.name] = now
        self.standings[now.standing] += 1
        self.unavailable += not now.available
        self.zones[host.zone] += 1
        self.zones_unavailable[host.zone] += not now.available
        if not now.settled:
            self.unsettled.add(host.name)
        if now.standing in NAMED:
            self.named.setdefault(now.standing, SortedList()).add(host.name)
        if is_candidate(now):
            self.candidates.add((need_of(now), host.rank))
            self.zone_candidates.setdefault(host.zone, SortedList()).add((need_of(now), host.rank))

    def drop(self, host: HostSpec) -> None:
        """Forget the host."""
        before = self.hosts.pop(host.name, None)
        if before is None:
            return
        self.standings[before.standing] -= 1
        if not self.standings[before.standing]:
            del self.standings[before.standing]
        self.unavailable -= not before.available
        self.zones[host.zone] -= 1
        self.zones_unavailable[host.zone] -= not before.available
        self.unsettled.discard(host.name)
        if before.standing in NAMED:
            _take(self.named, before.standing, host.name)
        if is_candidate(before):
            self.candidates.remove((need_of(before), host.rank))
            _take(self.zone_candidates, host.zone, (need_of(before), host.rank))

    def copied(self) -> "TargetIndex":
        """The same, to be changed by itself."""
        return TargetIndex(
            hosts=dict(self.hosts),
            standings=Counter(self.standings),
            unavailable=self.unavailable,
            unsettled=set(self.unsettled),
            candidates=SortedList(self.candidates),
            zones=Counter(self.zones),
            zones_unavailable=Counter(self.zones_unavailable),
            zone_candidates={zone: SortedList(keys) for zone, keys in self.zone_candidates.items()},
            named={standing: SortedList(names) for standing, names in self.named.items()},
        )

    def next_hosts(self, count: int, barred: Mapping[str, Need] = MappingProxyType({})) -> list[str]:
        """The hosts whose turn comes next, in order, at most ``count``; no zone loses more than its share of these.

        A host that serves nobody is not lost by going. ``barred``: by zone, which need cannot be met there.
        """
        chosen = list[CandidateKey]()
        for zone, keys in self.zone_candidates.items():
            most = _before(keys, Need.BUDGET) + zone_share(count, self.zones[zone], len(self.hosts))
            most = min(most, _before(keys, barred[zone])) if zone in barred else most
            chosen += keys[: min(count, most)]
        return [rank[2] for _, rank in sorted(chosen)[:count]]

    def counts(self) -> Counts:
        """The same in the words of the status."""
        of = self.standings
        return Counts(
            total=len(self.hosts),
            current=of[Standing.CURRENT],
            outdated=sum(of[standing] for standing in _OUTDATED),
            in_flight=of[Standing.IN_FLIGHT],
            failed=of[Standing.FAILED],
            unknown=of[Standing.UNKNOWN],
            excluded=of[Standing.EXCLUDED],
            unavailable=self.unavailable,
        )


def _take(groups: dict[_Group, SortedList[_Member]], group: _Group, member: _Member) -> None:
    """Remove the member, and the group if nobody is left in it."""
    groups[group].remove(member)
    if not groups[group]:
        del groups[group]


def _before(keys: SortedList[CandidateKey], need: Need) -> int:
    """How many of them need less."""
    return int(keys.bisect_left((need, (-1, "", ""))))


def need_of(now: Classification) -> Need:
    """What has to be free before the host is taken out."""
    return Need.BUDGET if now.available else Need.NOTHING if now.out else Need.PLACE


def is_candidate(now: Classification) -> bool:
    """A journey would help the host."""
    return now.standing in (Standing.OUTDATED, Standing.OUT)


def rebuilt(hosts: Mapping[str, HostSpec], classifications: Mapping[str, Classification]) -> TargetIndex:
    """The index from nothing."""
    index = TargetIndex()
    for name, classification in classifications.items():
        index.put(hosts[name], classification)
    return index
