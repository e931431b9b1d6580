"""What fleets allow all of their targets together, kept step by step beside the world."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from crds.status import RolloutStatus, status_of
from reconcilers.index import TargetIndex
from reconcilers.limits import FleetIndex
from reconcilers.target import TargetSpec


def fleet_of(target: str) -> str:
    """The fleet that a target is on."""
    return target.rpartition("@")[2]


class Fleets:
    """Who has which place, for each fleet that sets limits; and which targets have to be counted anew."""

    def __init__(self) -> None:
        self.indexes: dict[str, FleetIndex] = {}
        self._behind: dict[str, set[str]] = defaultdict(set)
        """By fleet: targets of which something changed since they were counted."""

    def of(self, target: str) -> FleetIndex | None:
        """The index of the target's fleet; None if it sets no limits."""
        return self.indexes.get(fleet_of(target))

    def set_specs(
        self, specs: Mapping[str, TargetSpec], indexes: Mapping[str, TargetIndex], statuses: Mapping[str, RolloutStatus]
    ) -> None:
        """Put the limits of a revision in force; a fleet that sets some for the first time is counted from nothing."""
        limited = {spec.limits.fleet: spec.limits for spec in specs.values() if spec.limits is not None}
        new = limited.keys() - self.indexes.keys()
        self.indexes = {name: self.indexes.get(name) or FleetIndex(limits) for name, limits in limited.items()}
        self._behind.clear()
        for name, limits in limited.items():
            self.indexes[name].limits = limits
        for target, spec in specs.items():
            self.fell_behind(target)
            self.put_status(status_of(statuses, target))
            if fleet_of(target) in new and target in indexes:
                self.put_hosts(spec, indexes[target], spec.hosts)

    def fell_behind(self, target: str) -> None:
        """The target has to be counted anew before anybody of its fleet is planned."""
        self._behind[fleet_of(target)].add(target)

    def caught_up(self, target: str) -> None:
        """The target is counted."""
        self._behind[fleet_of(target)].discard(target)

    def behind(self, fleet: str) -> list[str]:
        """Targets that have to be counted anew, in order."""
        return sorted(self._behind[fleet])

    def put_hosts(self, spec: TargetSpec, index: TargetIndex, hosts: Iterable[str]) -> None:
        """Count these hosts of the target as the index says."""
        fleet = self.of(spec.name)
        if fleet is not None:
            for host in hosts:
                fleet.put_host(spec.name, host, spec.hosts[host].zone, index.hosts[host].out)

    def put_status(self, status: RolloutStatus) -> None:
        """Count the target's rollout, and give it its turn, as the status says."""
        fleet = self.of(status.target)
        if fleet is not None:
            fleet.put_status(status)

    def forget(self, spec: TargetSpec) -> None:
        """The target is no more, or is another one now."""
        fleet = self.of(spec.name)
        if fleet is not None:
            fleet.forget(spec.name, {host.name: host.zone for host in spec.hosts.values()})

    def leave(self, target: str) -> None:
        """The target cannot be planned now: have others not wait for it until it is."""
        fleet = self.of(target)
        if fleet is not None:
            fleet.leave(target)
