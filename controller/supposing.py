"""Supposing: what the deciding thread knows, as it would stand towards a commit that is not in force.

Only the deciding thread may call this, and nothing here changes the world: everything handed out is a copy, so that
working a forecast out is somebody else's time.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from crds.messages import ServerReport, Stamp
from crds.status import RolloutStatus, status_of
from reconcilers.classify import classify
from reconcilers.draft import Observed
from reconcilers.exclusions import without
from reconcilers.facts import HostFacts, online_places
from reconcilers.forecast import Beginnings, Forecast, differs, forecast, orphaned
from reconcilers.index import rebuilt
from reconcilers.limits import FleetIndex
from reconcilers.marks import marked
from reconcilers.modes import resolved
from reconcilers.order import Other, has_failed
from reconcilers.rollback import effective, settled
from reconcilers.sightings import adds_up, plain_server, pool_number
from reconcilers.target import HostSpec, PoolSpec, TargetSpec

if TYPE_CHECKING:
    from controller.world import World

_NEVER = Stamp(0, 0)


@dataclass(frozen=True)
class Supposed:
    """One target of the supposed commit, with all that is needed to work out what would happen to it."""

    spec: TargetSpec
    before: TargetSpec | None
    status: RolloutStatus
    facts: Mapping[str, HostFacts]
    silent_balancers: Collection[str]
    unasked: Sequence[str]
    runners: Collection[str]
    statuses: Mapping[str, RolloutStatus]
    fleet: FleetIndex | None
    watching_since: datetime
    watched_since: Mapping[str, datetime]
    """The same of every target that has a status."""

    def forecast(self, specs: Mapping[str, TargetSpec], now: datetime, begun: Beginnings | None = None) -> Forecast:
        """What would happen to it with these specs in force. Pure but for ``begun``, and the part that takes long."""
        found = {name: classify(self.spec, facts) for name, facts in self.facts.items()}
        observed = Observed(
            status=self.status,
            index=rebuilt(self.spec.hosts, found),
            facts=self.facts.__getitem__,
            journeys={name: facts.journey for name, facts in self.facts.items() if facts.journey},
            operations={},
            silent_balancers=list(self.silent_balancers),
            unasked=self.unasked,
            runners=list(self.runners),
            others=self._others(specs),
            failed=self._failed,
            fleet=self.fleet,
            watching_since=self.watching_since,
        )
        return forecast(self.spec, observed, self.before, now, begun)

    def _others(self, specs: Mapping[str, TargetSpec]) -> Callable[[str], Other | None]:
        def other(name: str) -> Other | None:
            spec = specs.get(name)
            status = status_of(self.statuses, name)
            return Other(spec, status, self.watched_since.get(name, self.watching_since)) if spec else None

        return other

    def _failed(self, revision: str) -> Collection[str]:
        return {name for name, each in self.statuses.items() if each.rollout_revision == revision and has_failed(each)}


def changed(world: "World", specs: Mapping[str, TargetSpec]) -> list[str]:
    """The targets that the commit changes or brings, by name. The others are not looked at any further."""
    return sorted(name for name, spec in specs.items() if differs(world.declared.get(name), spec))


def gone(world: "World", specs: Mapping[str, TargetSpec]) -> list[Forecast]:
    """What would become of targets that the commit does not declare any more."""
    return [orphaned(world.declared[name]) for name in sorted(world.declared.keys() - specs.keys())]


def suppose(world: "World", declared: TargetSpec, hosts: Iterable[str] | None = None) -> Supposed:
    """The target as it would stand towards the spec; of its hosts all, or only these: each costs some time."""
    name = declared.name
    status = status_of(world.statuses, name)
    spec = without(effective(resolved(declared, status), settled(status, declared)), world.exclusions.keys())
    sight = _Sight(world, spec)
    return Supposed(
        spec=spec,
        before=world.declared.get(name),
        status=status,
        facts={host: sight.facts(host) for host in (spec.hosts if hosts is None else hosts)},
        silent_balancers=[words for node in spec.balancer_nodes if (words := world.nodes.obstacle(node))],
        unasked=sight.unasked(),
        runners=[runner for runner in spec.runners if not world.nodes.get(runner).mute],
        statuses=dict(world.statuses),
        fleet=_fleet(world, spec),
        watching_since=world.watched.of(name),
        watched_since={other: world.watched.of(other) for other in world.statuses},
    )


def _fleet(world: "World", spec: TargetSpec) -> FleetIndex | None:
    """Who has the places of the fleet, with the limits that the spec brings. New limits find all places free."""
    if spec.limits is None:
        return None
    known = world.fleets.of(spec.name)
    return replace(deepcopy(known), limits=spec.limits) if known else FleetIndex(spec.limits)


class _Sight:
    """What is known of each host, whether the target has it already or not."""

    def __init__(self, world: "World", spec: TargetSpec) -> None:
        self._world, self._spec, self._live = world, spec, world.specs.get(spec.name)
        places = list(online_places(spec))
        known = {(node, pool.online) for node, pool in online_places(self._live)} if self._live else set()
        self._places, self._new_places = places, [each for each in places if (each[0], each[1].online) not in known]
        self._sums: dict[tuple[str, str], bool] = {}

    def unasked(self) -> list[str]:
        """NODE/POOL of which nobody knows yet who serves there: its node reports, and was not asked about it."""
        reports = [(node, pool.online, self._world.nodes.get(node)) for node, pool in self._places]
        return [
            f"{name}/{pool}"
            for name, pool, node in reports
            if not node.mute and node.report is not None and pool not in node.report.pools
        ]

    def facts(self, name: str) -> HostFacts:
        """The host's facts, detached from the world."""
        host = self._spec.hosts[name]
        if self._live is None or name not in self._live.hosts:
            return self._of_a_new_host(host)
        facts = self._world.facts(self._spec.name, name)
        servers = dict(facts.servers) | self._servers(host, self._new_places)
        return replace(facts, host=host, servers=servers, entries=dict(facts.entries))

    def _of_a_new_host(self, host: HostSpec) -> HostFacts:
        node, mark = self._world.nodes.get(host.name), self._world.exclusions.get(host.name)
        return HostFacts(
            host=host,
            silent=node.mute,
            distrust=node.distrust,
            service=node.report.services.get(self._spec.name) if node.report else None,
            servers=self._servers(host, self._places),
            journey=self._world.journeys.get(self._spec.name, {}).get(host.name),
            claimed_by=self._world.claims.of_another(self._spec.name, host.name),
            excluded=f"excluded {marked(mark)}" if mark else "",
        )

    def _servers(self, host: HostSpec, places: list[tuple[str, PoolSpec]]) -> dict[tuple[str, str], ServerReport]:
        """What balancer nodes say of the host, or will say once they are asked: server lines ship disabled."""
        found = {}
        for name, pool in places:
            node, address = self._world.nodes.get(name), f"{host.address}:{pool.port}"
            if node.mute or node.report is None:
                continue
            for pool_name in pool.names:
                report = node.report.pools.get(pool_name)
                if report is not None and host.name in report.servers:
                    found[name, pool_name] = report.servers[host.name]
                elif report is not None and pool_name == pool.online and self._adds_up(name, pool):
                    found[name, pool_name] = plain_server(report, address)
                else:
                    found[name, pool_name] = _disabled(address)
        return found

    def _adds_up(self, node: str, pool: PoolSpec) -> bool:
        place = (node, pool.online)
        if place not in self._sums:
            report = self._world.nodes.get(node).report
            said = report.pools.get(pool.online) if report else None
            number = pool_number(self._spec, pool)
            self._sums[place] = said is not None and adds_up(said, self._spec, pool, number)
        return self._sums[place]


def _disabled(address: str) -> ServerReport:
    return ServerReport(read=_NEVER, admin="maint", by="config", up=False, routed=False, idle=True, address=address)
