"""TargetIndex: what planning needs to know about all hosts of a target, kept step by step.

The cost of a change is that of the changed host: counts, candidates and unsettled hosts are updated, never recomputed.
Property: an index kept through any history equals one built from the same facts at once.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from crds.status import Counts
from reconcilers.classify import Classification, Standing
from reconcilers.target import HostSpec

CandidateKey = tuple[bool, tuple[int, str, str]]
"""Hosts that serve nobody first, then by rank, which spreads over zones."""


@dataclass
class TargetIndex:
    """Classifications of a target's hosts, and what follows from them."""

    hosts: dict[str, Classification] = field(default_factory=dict)
    standings: Counter[Standing] = field(default_factory=Counter)
    unavailable: int = 0
    unsettled: set[str] = field(default_factory=set)
    candidates: list[CandidateKey] = field(default_factory=list)

    def put(self, host: HostSpec, now: Classification) -> None:
        """Replace what is known of the host."""
        self.drop(host)
        self.hosts[host.name] = now
        self.standings[now.standing] += 1
        self.unavailable += not now.available
        if not now.settled:
            self.unsettled.add(host.name)
        if is_candidate(now):
            insort(self.candidates, (now.available, host.rank))

    def drop(self, host: HostSpec) -> None:
        """Forget the host."""
        before = self.hosts.pop(host.name, None)
        if before is None:
            return
        self.standings[before.standing] -= 1
        if not self.standings[before.standing]:
            del self.standings[before.standing]
        self.unavailable -= not before.available
        self.unsettled.discard(host.name)
        if is_candidate(before):
            del self.candidates[bisect_left(self.candidates, (before.available, host.rank))]

    def next_hosts(self, count: int) -> list[str]:
        """The hosts whose turn comes next, in order."""
        return [rank[2] for _, rank in self.candidates[:count]]

    def counts(self) -> Counts:
        """The same in the words of the status."""
        of = self.standings
        return Counts(
            total=len(self.hosts),
            current=of[Standing.CURRENT],
            outdated=of[Standing.OUTDATED] + of[Standing.OUT] + of[Standing.UNHEALTHY],
            in_flight=of[Standing.IN_FLIGHT],
            failed=of[Standing.FAILED],
            unknown=of[Standing.UNKNOWN],
            excluded=of[Standing.EXCLUDED],
            unavailable=self.unavailable,
        )


def is_candidate(now: Classification) -> bool:
    """A journey would help the host."""
    return now.standing in (Standing.OUTDATED, Standing.OUT)


def rebuilt(hosts: Mapping[str, HostSpec], classifications: Mapping[str, Classification]) -> TargetIndex:
    """The index from nothing."""
    index = TargetIndex()
    for name, classification in classifications.items():
        index.put(hosts[name], classification)
    return index
