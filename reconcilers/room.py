"""Room: how many more hosts that serve customers may be taken out, counted down while a plan takes them.

Only taking out an available host needs room. What is unavailable already, for whatever cause, is counted against the
budget and may always be mended, so that a broken fleet can receive its fix.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from crds.base import Amount
from reconcilers.classify import Standing
from reconcilers.draft import Draft
from reconcilers.index import Need
from reconcilers.limits import limit_of_zone, limits_on
from reconcilers.sizes import budget, zone_share
from reconcilers.target import TargetSpec
from reconcilers.words import NAMED, listed

_MISSING = (Standing.UNKNOWN, Standing.UNHEALTHY, Standing.EXCLUDED, Standing.FAILED)


@dataclass(frozen=True)
class Allowed:
    """How many hosts of a target may be unavailable at once, and what says so."""

    hosts: int
    by: str


def allowed(target: TargetSpec) -> Allowed:
    """The strictest of everything that is said about the target alone.

    A service that is to be removed need not be kept available.
    """
    rollout, total = target.rollout, len(target.hosts)
    if target.release is None:
        return Allowed(total, "its removal")
    downtime = rollout.downtime == "allowed"

    def most(max_unavailable: Amount, min_available: Amount | None = None) -> int:
        return budget(max_unavailable, total, downtime, min_available)

    found = [Allowed(most(rollout.max_unavailable), "maxUnavailable")]
    if rollout.min_available is not None:
        found.append(Allowed(most(total, rollout.min_available), f"minAvailable {rollout.min_available}"))
    for pool in target.pools:
        if pool.max_unavailable is not None:
            found.append(Allowed(most(pool.max_unavailable), f"pool {pool.online} of balancer {pool.balancer}"))
    return min(found, key=lambda each: each.hosts)


class Room:
    """What is left of a target's budget, as a whole and in each zone, and of what its fleet allows all targets."""

    def __init__(self, draft: Draft) -> None:
        index = draft.observed.index
        self._hosts, self._index, self._allowed = draft.target.hosts, index, allowed(draft.target)
        self._unavailable, self._by_zone = index.unavailable, Counter(index.zones_unavailable)
        self._target, self._fleet, self._taken = draft.target.name, draft.observed.fleet, Counter[str]()
        self._said: dict[str | None, str] = {}
        self.lacking: set[str] = set()
        """Limits of the fleet that have no place left."""

    def lacks(self, host: str) -> str:
        """In words, why the host cannot be taken out now; empty if it can. Limits of the fleet are noted as lacking."""
        return self._of_the_target(host) or self._of_the_fleet(host)

    def _of_the_target(self, host: str) -> str:
        if not self._index.hosts[host].available:
            return ""
        if self._unavailable >= self._allowed.hosts:
            counted = f"{self._unavailable} of {len(self._index.hosts)}"
            words = f"{counted} hosts are unavailable, and {self._allowed.by} allows {self._allowed.hosts}"
            return words + self._whom_to_look_for()
        return self._zone_lacks(self._hosts[host].zone)

    def _of_the_fleet(self, host: str) -> str:
        if self._fleet is None or host in self._fleet.out:
            return ""
        for limit in limits_on(self._hosts[host].zone):
            if self._full(limit):
                self.lacking.add(limit)
                return self._fleet.words(limit, self._target)
        return ""

    def _full(self, limit: str) -> bool:
        return self._fleet is not None and self._fleet.left(limit, self._target) - self._taken[limit] <= 0

    def take(self, host: str) -> None:
        """Count the host as taken out."""
        zone = self._hosts[host].zone
        if self._index.hosts[host].available:
            self._unavailable += 1
            self._by_zone[zone] += 1
        if self._fleet is not None and host not in self._fleet.out:
            self._taken.update(limits_on(zone))

    def barred(self) -> dict[str, Need]:
        """By zone that is short of hosts: which need cannot be met there, whoever is out elsewhere."""
        found = {zone: Need.BUDGET for zone in self._index.zones if self._zone_lacks(zone)}
        return found | {zone: Need.PLACE for zone in self._index.zones if self._full(limit_of_zone(zone))}

    def _zone_lacks(self, zone: str) -> str:
        size = self._index.zones[zone]
        share = zone_share(self._allowed.hosts, size, len(self._index.hosts))
        if self._by_zone[zone] < share:
            return ""
        counted = f"{self._by_zone[zone]} of {size} hosts in zone {zone}"
        words = f"{counted} are unavailable, and its share of what {self._allowed.by} allows is {share}"
        return words + self._whom_to_look_for(zone)

    def _whom_to_look_for(self, zone: str | None = None) -> str:
        """Names of missing hosts, in the zone or anywhere: who is on its way comes back by itself, these do not."""
        if zone not in self._said:
            names = [name for name in self._missing if zone in (None, self._hosts[name].zone)]
            said = listed([f"{name} ({self._index.hosts[name].standing})" for name in names[:NAMED]], len(names))
            self._said[zone] = f"; missing: {said}" if said else ""
        return self._said[zone]

    @cached_property
    def _missing(self) -> list[str]:
        """Hosts that are unavailable and on no journey, or have failed on it."""
        named = chain.from_iterable(self._index.named.get(standing, ()) for standing in _MISSING)
        return sorted(name for name in named if not self._index.hosts[name].available)
