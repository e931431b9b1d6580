"""World: everything the deciding thread knows, in memory, kept step by step.

Only the deciding thread touches it. Each change marks hosts and targets that it may matter to; planning looks at these.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from controller.asked import Asked
from controller.claims import Claims
from controller.fleets import Fleets
from controller.leavers import leaver_facts, running_elsewhere
from controller.nodes import Node, Nodes
from controller.operations import Operations, waits_in
from controller.pools import Pools
from controller.relations import Relations
from controller.store import Loaded
from controller.watched import Watched
from crds.messages import PoolReport, Report, Stamp
from crds.status import Journey, Operation, RolloutStatus, status_of
from reconcilers.classify import classify
from reconcilers.draft import Observed
from reconcilers.exclusions import without
from reconcilers.facts import HostFacts
from reconcilers.fragments import Entry, host_of
from reconcilers.index import TargetIndex, rebuilt
from reconcilers.journey import only_aged
from reconcilers.marks import marked
from reconcilers.modes import resolved, turning
from reconcilers.order import Other
from reconcilers.rollback import effective
from reconcilers.sightings import changed_servers
from reconcilers.target import PoolSpec, TargetSpec
from reconcilers.writes import (
    DropEntry,
    DropExclusion,
    DropJourney,
    DropOperation,
    PutEntry,
    PutExclusion,
    PutJourney,
    PutOperation,
    PutStatus,
    Write,
)


class World:
    """Specs, statuses, journeys, entries, reports, and the index of each target."""

    def __init__(self, loaded: Loaded, node_timeout: float, watching_since: datetime) -> None:
        self.watched = Watched(watching_since)
        self.declared: dict[str, TargetSpec] = {}
        """As git says."""
        self.exclusions = dict(loaded.exclusions)
        """Hosts and balancer nodes that people excluded by command."""
        self.specs: dict[str, TargetSpec] = {}
        """What is planned for: as git says, with the last good release in place of one in quarantine, and without the
        balancer nodes that are excluded."""
        self.statuses = dict(loaded.statuses)
        self.journeys = {target: dict(journeys) for target, journeys in loaded.journeys.items()}
        self.operations = Operations()
        self._asked = Asked(loaded.entries)
        self.entries, self.leavers = self._asked.by_node, self._asked.leavers
        """By node, target and key; by target, hosts that were given its service and are none of its hosts any more."""
        self.serials = dict(loaded.serials)
        self.nodes = Nodes(node_timeout)
        self.dirty: set[str] = set()
        self.indexes: dict[str, TargetIndex] = {}
        self._relations = Relations(self.statuses)
        self.claims = Claims(self.journeys)
        self.fleets = Fleets()
        self._touched: dict[str, set[str]] = defaultdict(set)
        """Hosts that the target's next plan looks at."""
        self._stale: dict[str, set[str]] = defaultdict(set)
        """Hosts whose classification in the index may not hold any more."""
        self._whole: set[str] = set()
        self._targets_on: dict[str, set[str]] = {}
        self._pools = Pools(self.nodes)
        for operation in loaded.operations.values():
            self.operations.put(operation)
        for report in loaded.reports.values():
            self.nodes.load(report)

    # --- what should be

    def set_specs(self, declared: Mapping[str, TargetSpec], now: datetime) -> None:
        """Put a revision in force. Targets that it no longer declares keep what they have and are planned no more."""
        self.watched.declare(declared.keys(), now)
        self.declared = dict(declared)
        specs = {target: self._planned(spec) for target, spec in declared.items()}
        for target in self.specs.keys() | specs.keys():
            before, after = self.specs.get(target), specs.get(target)
            if before is None or after is None or before.fingerprint != after.fingerprint:
                self._forget_index(target)
        self.specs = specs
        self.fleets.set_specs(self.specs, self.indexes, self.statuses)
        self.dirty = set(specs)
        self._targets_on = defaultdict(set)
        self._pools.set_specs(specs)
        self._relations.set_specs(specs)
        self._asked.set_specs(specs.values())
        for target, spec in specs.items():
            for name in (*spec.hosts, *self._asked.leavers[target], *spec.balancer_nodes, *spec.runners):
                self._targets_on[name].add(target)

    def _planned(self, declared: TargetSpec) -> TargetSpec:
        status = status_of(self.statuses, declared.name)
        return without(effective(resolved(declared, status), status), self.exclusions.keys())

    def _turn(self, target: str) -> None:
        """Plan for another spec from now on: a release was put into quarantine or let out, or the mode was found."""
        if target in self.declared:
            self._begin_anew(target)
            self.specs[target] = self._planned(self.declared[target])
            self.dirty.add(target)

    def _begin_anew(self, target: str) -> None:
        """Every host of the target stands differently now; its rollout and its turn are what they were."""
        self._forget_index(target)
        self.fleets.fell_behind(target)
        self.fleets.put_status(status_of(self.statuses, target))

    def _forget_index(self, target: str) -> None:
        """Have it built anew, and the next plan look at every host: other targets of the fleet may ask for it first."""
        self._whole.add(target)
        self.indexes.pop(target, None)
        self._touched.pop(target, None)
        self._stale.pop(target, None)
        if target in self.specs:
            self.fleets.forget(self.specs[target])

    # --- what is

    def fold(self, report: Report, now: datetime) -> tuple[bool, list[Operation], bool]:
        """Take in a report: is it news, which operations have a new result, must a full report be asked for."""
        heard = self.nodes.hear(report, now)
        if heard.disputed:
            self.touch_node(report.node)
        if not heard.news:
            return False, [], False
        if heard.woke:
            self.touch_node(report.node)
        if not report.full:
            return True, [], heard.incomplete
        before = heard.before
        for target in report.services.keys() | (before.services.keys() if before else set()):
            if before is None or before.services.get(target) != report.services.get(target):
                self.touch(target, report.node)
        for pool, seen in report.pools.items():
            self._fold_pool(report.node, pool, before.pools.get(pool) if before else None, seen)
        for pool in before.pools.keys() - report.pools.keys() if before else ():
            self._touch_all(self._pools.owners.get((report.node, pool)))
        if (before.problem if before else "") != report.problem:
            self.touch_node(report.node)
        if before is None or before.balancer != report.balancer:
            self.dirty |= self._targets_on.get(report.node, set())
        return True, list(self._fold_operations(report)), False

    def _fold_pool(self, node: str, pool: str, before: PoolReport | None, after: PoolReport) -> None:
        owner = self._pools.owners.get((node, pool))
        if owner is None:
            return
        if self._pools.changed((node, pool)) or before is None:
            self._touch_all(owner)
        if self._asked.leavers.get(owner[0]) and (before is None or before.read != after.read):
            self.dirty.add(owner[0])  # that a host has no server there any more is no change of any server
        for server in changed_servers(before, after):
            self.touch(owner[0], server)

    def _fold_operations(self, report: Report) -> Iterable[Operation]:
        for operation in self.operations.fold(report):
            self._lock_freed(operation.target, self.operations.put(operation))
            self.touch(operation.target, operation.host)
            yield operation

    def _lock_freed(self, target: str, freed: bool) -> None:
        """Have whoever waits for a lock of the fleet planned."""
        fleet = target.rpartition("@")[2]
        if freed:
            self.dirty |= {name for name, status in self.statuses.items() if waits_in(status, fleet)}

    def jumped(self, jump: timedelta, now: datetime) -> None:
        """The time of day has moved on by so much, or back, while nobody watched: what is past keeps its distance."""
        self.watched.begin_anew(now)
        self.nodes.jumped(jump)
        for target in self.specs:
            self.look_at_all(target)

    def expire(self, now: datetime) -> list[Node]:
        """Notice nodes that have fallen silent."""
        silent = list(self.nodes.expire(now))
        for node in silent:
            self.touch_node(node.name)
        return silent

    # --- what changed

    def touch(self, target: str, host: str) -> None:
        """Something about the host changed that this target should look at; empty: something about no host."""
        if self._mark(target, host) or not host or host in self._asked.leavers.get(target, ()):
            self.dirty.add(target)

    def _mark(self, target: str, host: str) -> bool:
        """Classify the host anew before the next plan; False if it is none of the target's."""
        spec = self.specs.get(target)
        if spec is None or host not in spec.hosts:
            return False
        self._mark_all(target, (host,))
        return True

    def _mark_all(self, target: str, hosts: Iterable[str]) -> None:
        self._touched[target].update(hosts)
        self._stale[target].update(hosts)
        self.fleets.fell_behind(target)

    def _touch_all(self, owner: tuple[str, PoolSpec] | None) -> None:
        if owner is not None:
            self._mark_all(owner[0], self.specs[owner[0]].hosts)
            self.dirty.add(owner[0])

    def touch_node(self, name: str) -> None:
        """Whether a node counts has changed, or how: everything that is asked of it is looked at anew."""
        for target in self._targets_on.get(name, set()):
            self.dirty.add(target)
            self.touch(target, name)
            if name in self.specs[target].runners:
                self._mark_all(target, self.journeys.get(target, {}).keys() & self.specs[target].hosts.keys())
        for owner in self._pools.on(name):
            self._touch_all(owner)

    # --- what a plan looks at

    def look_at_all(self, target: str) -> None:
        """Have the next plan look at every host, whether anything is known to have changed or not."""
        self._whole.add(target)
        self.dirty.add(target)

    def observed(self, target: str) -> Observed:
        """Everything about the target, with its index brought up to date; what is new about hosts counts as seen."""
        spec = self.specs[target]
        whole = target in self._whole
        status, fleet = status_of(self.statuses, target), self.fleets.of(target)
        if fleet is not None:
            fleet.put_status(status)
            self._catch_up(fleet.limits.fleet)
        index = self.index(target)
        changed = None if whole else frozenset(self._touched[target])
        self._touched[target].clear()
        self._whole.discard(target)
        return Observed(
            status=status,
            index=index,
            facts=lambda host: self.facts(target, host),
            journeys=self.journeys.get(target, {}),
            operations=self.operations.of(target),
            locks=self.operations.locks(target),
            stray=self._asked.stray(spec, self.operations.of(target)) if whole else (),
            leavers=frozenset(self._asked.leavers[target]),
            leaver=lambda host: self.leaver(target, host),
            elsewhere=lambda: running_elsewhere(spec, self.nodes),
            pool_entries={key: entry.value for key, entry in self._asked.about(target, "").items()},
            silent_balancers=[words for node in spec.balancer_nodes if (words := self.nodes.obstacle(node))],
            runners=[runner for runner in spec.runners if not self.nodes.get(runner).mute],
            watching_since=self.watched.of(target),
            changed=changed,
            others=self._other,
            failed=self._relations.failed,
            fleet=fleet,
        )

    def _other(self, name: str) -> Other | None:
        spec = self.declared.get(name)
        return Other(spec, status_of(self.statuses, name), self.watched.of(name)) if spec else None

    def index(self, target: str) -> TargetIndex:
        """The target's index, brought up to date."""
        spec, index = self.specs[target], self.indexes.get(target)
        stale: Iterable[str] = spec.hosts if index is None else self._stale.get(target, ())
        found = {host: classify(spec, self.facts(target, host)) for host in stale}
        if index is None:
            index = self.indexes[target] = rebuilt(spec.hosts, found)
        else:
            for host, now in found.items():
                index.put(spec.hosts[host], now)
        self._stale.pop(target, None)
        self.fleets.put_hosts(spec, index, found)
        self.fleets.caught_up(target)
        return index

    def catch_up(self) -> None:
        """Count anew in every fleet that sets limits, and have those planned for which a place became free."""
        for name in self.fleets.indexes:
            self._catch_up(name)

    def _catch_up(self, fleet: str) -> None:
        for target in self.fleets.behind(fleet):
            try:
                self.index(target)
            except Exception:  # noqa: BLE001 - it is raised again where the target itself is planned, and told there
                self.dirty.add(target)
                self.fleets.caught_up(target)
        self.dirty |= self.fleets.indexes[fleet].next_in_turn()

    def facts(self, target: str, name: str) -> HostFacts:
        """What is known of one host of the target."""
        spec = self.specs[target]
        node, host = self.nodes.get(name), spec.hosts[name]
        servers, unclear = self._pools.servers(spec, host)
        return HostFacts(
            host=host,
            silent=node.mute,
            silent_since=node.silent_since(self.watched.since),
            distrust=node.distrust,
            service=node.report.services.get(target) if node.report else None,
            servers=servers,
            unclear=unclear,
            entries=self._asked.about(target, name),
            journey=self.journeys.get(target, {}).get(name),
            claimed_by=self.claims.of_another(target, name),
            restart=status_of(self.statuses, target).restart,
            excluded=f"excluded {marked(self.exclusions[name])}" if name in self.exclusions else "",
            proven=status_of(self.statuses, target).succeeded_digest == spec.digest,
        )

    def leaver(self, target: str, name: str) -> HostFacts:
        """What is known of a host that is none of the target's any more."""
        facts = leaver_facts(self.specs[target], name, self._asked.about(target, name), self.nodes, self.watched.since)
        excluded = f"excluded {marked(self.exclusions[name])}" if name in self.exclusions else ""
        return replace(facts, claimed_by=self.claims.of_another(target, name), excluded=excluded)

    # --- what was decided

    def is_moving(self, target: str) -> bool:
        """Hosts of the target are on a journey, or on their way out of it."""
        return bool(self.journeys.get(target)) or bool(status_of(self.statuses, target).leaving)

    def in_flight(self) -> set[str]:
        """Nodes that are asked something about a host under way."""
        moving = {host for hosts in self.journeys.values() for host in hosts}
        moving |= {host for status in self.statuses.values() for host in status.leaving}
        return self._asked.nodes_in_flight(moving)

    def apply(self, target: str, write: Write, stamp: Stamp) -> None:
        """Carry out a write of the target's plan; entries get the stamp of the assignment that will carry them."""
        match write:
            case PutStatus(status):
                self._put_status(target, status)
            case PutJourney(journey):
                before = self.journeys.setdefault(target, {}).get(journey.host)
                self.journeys[target][journey.host] = journey
                if not only_aged(before, journey):
                    self._claim(target, journey.host, journey)
            case DropJourney(host):
                self.journeys[target].pop(host, None)
                self._claim(target, host, None)
                self.dirty.add(target)
            case PutEntry(node, key, value):
                self._asked.put(target, node, key, Entry(value, stamp))
                self._mark(target, host_of(node, key))
            case DropEntry(node, key):
                self._asked.drop(target, node, key)
                self.touch(target, host_of(node, key))  # whoever never took it will say nothing new of the host
            case PutOperation(operation):
                self.operations.put(operation)
                self._mark(target, operation.host)
            case DropOperation(identity):
                self._lock_freed(target, self.operations.drop(identity))
            case PutExclusion(node, mark):
                self.exclusions[node] = mark
                self._heed_exclusion(node)
            case DropExclusion(node):
                self.exclusions.pop(node, None)
                self._heed_exclusion(node)

    def _put_status(self, target: str, status: RolloutStatus) -> None:
        before, self.statuses[target] = self.statuses.get(target), status
        self.dirty |= self._relations.changed(target, before, status)
        if target not in self.specs:
            return  # what nothing declares takes no place of its fleet
        self.fleets.put_status(status)
        if before is not None and before.restart != status.restart:
            self._begin_anew(target)
        if turning(status) != turning(before or RolloutStatus(target=target)):
            self._turn(target)

    def _heed_exclusion(self, node: str) -> None:
        if any(node in spec.balancer_nodes for spec in self.declared.values()):
            self.set_specs(self.declared, self.watched.since)  # none of them is new
        self.touch_node(node)

    def _claim(self, target: str, host: str, journey: Journey | None) -> None:
        self.touch(target, host)
        if self.claims.put(target, host, journey):
            for other in self._targets_on.get(host, set()) - {target}:
                self.touch(other, host)
