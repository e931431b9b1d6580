"""World: everything the deciding thread knows, in memory, kept step by step.

Only the deciding thread touches it. Each change marks the hosts and targets that it may matter to; planning looks at
those alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from controller.host_facts import leaver_facts, leavers_of, servers_of
from controller.nodes import Node, Nodes
from controller.relations import Relations
from controller.store import Loaded
from crds.messages import PoolReport, Report, Stamp
from crds.status import Journey, Operation, RolloutStatus, Step
from reconcilers.classify import classify
from reconcilers.draft import Observed
from reconcilers.facts import HostFacts
from reconcilers.fragments import SERVICE, Entry
from reconcilers.index import TargetIndex, rebuilt
from reconcilers.modes import resolved, turning
from reconcilers.order import Other
from reconcilers.rollback import effective
from reconcilers.sightings import adds_up, changed_servers, pool_number
from reconcilers.target import PoolSpec, TargetSpec
from reconcilers.writes import (
    DropEntry,
    DropJourney,
    DropOperation,
    PutEntry,
    PutJourney,
    PutOperation,
    PutStatus,
    Write,
)

Place = tuple[str, str]
"""(balancer node, pool)."""


def is_claim(journey: Journey) -> bool:
    """The journey keeps the host from other targets; a failed host is left to whoever can mend it."""
    return journey.step not in (Step.WAITING, Step.FAILED)


class World:
    """Specs, statuses, journeys, entries, reports, and the index of each target."""

    def __init__(self, loaded: Loaded, node_timeout: float, watching_since: datetime) -> None:
        self.watching_since = watching_since
        self.declared: dict[str, TargetSpec] = {}
        """As git says."""
        self.specs: dict[str, TargetSpec] = {}
        """What is planned for: as git says, with the last good release in place of one in quarantine."""
        self.statuses = dict(loaded.statuses)
        self.journeys = {target: dict(journeys) for target, journeys in loaded.journeys.items()}
        self.operations: dict[str, dict[str, Operation]] = defaultdict(dict)
        self.entries: dict[str, dict[str, dict[str, Entry]]] = defaultdict(lambda: defaultdict(dict))
        """By node, target and key."""
        self.serials = dict(loaded.serials)
        self.nodes = Nodes(node_timeout)
        self.dirty: set[str] = set()
        self.indexes: dict[str, TargetIndex] = {}
        self._asked: dict[str, dict[str, dict[tuple[str, str], Entry]]] = defaultdict(lambda: defaultdict(dict))
        """By target and host: the same entries, for the facts; those of no host under an empty name."""
        self._claims: dict[str, str] = {}
        self._relations = Relations(self.statuses)
        self._touched: dict[str, set[str]] = defaultdict(set)
        self._whole: set[str] = set()
        self._targets_on: dict[str, set[str]] = {}
        self._leavers: dict[str, set[str]] = {}
        self._pools: dict[Place, tuple[str, PoolSpec]] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._adds_up: dict[Place, bool] = {}
        self._load(loaded)

    def _load(self, loaded: Loaded) -> None:
        for operation in loaded.operations.values():
            self.operations[operation.target][operation.id] = operation
        for node, fragments in loaded.entries.items():
            for target, fragment in fragments.items():
                for key, entry in fragment.items():
                    self._put_entry(target, node, key, entry)
        for target, journeys in self.journeys.items():
            for journey in journeys.values():
                self._claim(target, journey)
        for report in loaded.reports.values():
            self.nodes.load(report)

    # --- what should be

    def set_specs(self, declared: Mapping[str, TargetSpec]) -> None:
        """Put a revision in force. Targets that it no longer declares keep what they have and are planned no more."""
        self.declared = dict(declared)
        specs = {target: self._effective(target) for target in declared}
        for target in self.specs.keys() | specs.keys():
            before, after = self.specs.get(target), specs.get(target)
            if before is None or after is None or before.fingerprint != after.fingerprint:
                self.indexes.pop(target, None)
                self._touched.pop(target, None)
        self.specs = specs
        self.dirty = set(specs)
        self._targets_on = defaultdict(set)
        self._pools = {}
        self._relations.set_specs(specs)
        self._leavers = {target: leavers_of(spec, self._asked.get(target, {})) for target, spec in specs.items()}
        for target, spec in specs.items():
            for name in (*spec.hosts, *self._leavers[target], *spec.balancer_nodes, *spec.runners):
                self._targets_on[name].add(target)
            for pool in spec.pools:
                self._numbers[target, pool.online] = pool_number(spec, pool)
                self._pools |= {(node.name, name): (target, pool) for node in pool.nodes for name in pool.names}
        self._adds_up = {place: self._sums(place) for place in self._pools}

    def _effective(self, target: str) -> TargetSpec:
        status = self._status(target)
        return effective(resolved(self.declared[target], status), status)

    def _status(self, target: str) -> RolloutStatus:
        return self.statuses.get(target) or RolloutStatus(target=target)

    def _turn(self, target: str) -> None:
        """Plan for another spec from now on: a release was put into quarantine or let out, or the mode was found."""
        if target in self.declared:
            self.specs[target] = self._effective(target)
            self.indexes.pop(target, None)
            self.dirty.add(target)

    def _sums(self, place: Place) -> bool:
        target, pool = self._pools[place]
        node = self.nodes.get(place[0])
        report = node.report.pools.get(place[1]) if node.report else None
        if report is None or place[1] != pool.online:
            return False
        return adds_up(report, self.specs[target], pool, self._numbers[target, pool.online])

    # --- what is

    def fold(self, report: Report, now: datetime) -> tuple[bool, list[Operation], bool]:
        """Take in a report: is it news, which operations have a new result, must a full report be asked for."""
        heard = self.nodes.hear(report, now)
        if heard.disputed:
            self._touch_node(report.node)
        if not heard.news:
            return False, [], False
        if heard.woke:
            self._touch_node(report.node)
        if not report.full:
            return True, [], heard.incomplete
        before = heard.before
        for target in report.services.keys() | (before.services.keys() if before else set()):
            if before is None or before.services.get(target) != report.services.get(target):
                self.touch(target, report.node)
        for pool, seen in report.pools.items():
            self._fold_pool(report.node, pool, before.pools.get(pool) if before else None, seen)
        for pool in before.pools.keys() - report.pools.keys() if before else ():
            self._touch_all(self._pools.get((report.node, pool)))
        if (before.problem if before else "") != report.problem:
            self._touch_node(report.node)
        if before is None or before.balancer != report.balancer:
            self.dirty |= self._targets_on.get(report.node, set())
        return True, list(self._fold_operations(report)), False

    def _fold_pool(self, node: str, pool: str, before: PoolReport | None, after: PoolReport) -> None:
        owner = self._pools.get((node, pool))
        if owner is None:
            return
        summed, sums = self._adds_up.get((node, pool)), self._sums((node, pool))
        self._adds_up[node, pool] = sums
        if summed != sums or before is None:
            self._touch_all(owner)
        if self._leavers.get(owner[0]) and (before is None or before.read != after.read):
            self.dirty.add(owner[0])  # that a host has no server there any more is no change of any server
        for server in changed_servers(before, after):
            self.touch(owner[0], server)

    def _fold_operations(self, report: Report) -> Iterable[Operation]:
        for target in sorted(self._targets_on.get(report.node, set())):
            for identity, operation in list(self.operations[target].items()):
                result = report.operations.get(identity)
                if result is None or operation.node != report.node or operation.result == result:
                    continue
                if operation.result is None or operation.result.outcome is None:
                    self.operations[target][identity] = operation.model_copy(update={"result": result})
                    self.touch(target, operation.host)
                    yield self.operations[target][identity]

    def dispute(self, name: str, why: str) -> None:
        """Count a node as silent, whatever is said in its name."""
        self.nodes.dispute(name, why)
        self._touch_node(name)

    def settle(self, name: str) -> None:
        """A person has decided which machine the node is: what it said before is forgotten, its next report counts."""
        self.nodes.settle(name)
        self._touch_node(name)

    def revoke(self, name: str) -> None:
        """Count a node as silent, whatever is said in its name, since a person says so."""
        self.nodes.revoke(name)
        self._touch_node(name)

    def restore(self, name: str) -> None:
        """Take a revocation back: the node's next report counts."""
        self.nodes.restore(name)
        self._touch_node(name)

    def expire(self, now: datetime) -> list[Node]:
        """Notice nodes that have fallen silent."""
        silent = list(self.nodes.expire(now))
        for node in silent:
            self._touch_node(node.name)
        return silent

    # --- what changed

    def touch(self, target: str, host: str) -> None:
        """Something about the host changed that this target should look at."""
        if self._mark(target, host) or host in self._leavers.get(target, ()):
            self.dirty.add(target)

    def _mark(self, target: str, host: str) -> bool:
        """Classify the host anew before the next plan; False if it is none of the target's."""
        spec = self.specs.get(target)
        if spec is None or host not in spec.hosts:
            return False
        self._touched[target].add(host)
        return True

    def _touch_all(self, owner: tuple[str, PoolSpec] | None) -> None:
        if owner is not None:
            self._touched[owner[0]] |= self.specs[owner[0]].hosts.keys()
            self.dirty.add(owner[0])

    def _touch_node(self, name: str) -> None:
        for target in self._targets_on.get(name, set()):
            self.dirty.add(target)
            self.touch(target, name)
            if name in self.specs[target].runners:
                self._touched[target] |= self.journeys.get(target, {}).keys() & self.specs[target].hosts.keys()
        for (node, _), owner in self._pools.items():
            if node == name:
                self._touch_all(owner)

    # --- what a plan looks at

    def look_at_all(self, target: str) -> None:
        """Have the next plan look at every host, whether anything is known to have changed or not."""
        self._whole.add(target)
        self.dirty.add(target)

    def observed(self, target: str) -> Observed:
        """Everything about the target, with its index brought up to date; what is new about hosts counts as seen."""
        spec = self.specs[target]
        whole = target in self._whole or target not in self.indexes
        changed = None if whole else frozenset(self._touched[target])
        index = self._index(target)
        self._whole.discard(target)
        return Observed(
            status=self._status(target),
            index=index,
            facts=lambda host: self.facts(target, host),
            journeys=self.journeys.get(target, {}),
            operations=self.operations[target],
            stray=self._stray(target) if whole else (),
            leavers=frozenset(self._leavers.get(target, ())),
            leaver=lambda host: self._leaver(target, host),
            pool_entries={key: entry.value for key, entry in self._asked[target][""].items()},
            silent_balancers=[words for node in spec.balancer_nodes if (words := self.nodes.obstacle(node))],
            runners=[runner for runner in spec.runners if not self.nodes.get(runner).mute],
            watching_since=self.watching_since,
            changed=changed,
            others=self._other,
            failed=self._relations.failed,
        )

    def _other(self, name: str) -> Other | None:
        spec = self.declared.get(name)
        return Other(spec, self.statuses.get(name) or RolloutStatus(target=name)) if spec else None

    def _index(self, target: str) -> TargetIndex:
        spec, index = self.specs[target], self.indexes.get(target)
        if index is None:
            found = {host: classify(spec, self.facts(target, host)) for host in spec.hosts}
            index = self.indexes[target] = rebuilt(spec.hosts, found)
        else:
            for host in self._touched[target]:
                index.put(spec.hosts[host], classify(spec, self.facts(target, host)))
        self._touched[target].clear()
        return index

    def facts(self, target: str, name: str) -> HostFacts:
        """What is known of one host of the target."""
        spec = self.specs[target]
        node, host = self.nodes.get(name), spec.hosts[name]
        claim = self._claims.get(name)
        servers, unclear = servers_of(spec, host, self.nodes, self._adds_up)
        return HostFacts(
            host=host,
            silent=node.mute,
            silent_since=node.silent_since(self.watching_since),
            distrust=node.distrust,
            service=node.report.services.get(target) if node.report else None,
            servers=servers,
            unclear=unclear,
            entries=self._asked[target][name],
            journey=self.journeys.get(target, {}).get(name),
            claimed_by=claim if claim != target else None,
            proven=self._status(target).succeeded_digest == spec.digest,
        )

    def _leaver(self, target: str, name: str) -> HostFacts:
        claim, asked = self._claims.get(name), self._asked[target][name]
        facts = leaver_facts(self.specs[target], name, asked, self.nodes, self.watching_since)
        return facts if claim in (None, target) else replace(facts, claimed_by=claim)

    def _stray(self, target: str) -> list[tuple[str, str]]:
        spec = self.specs[target]
        kept = spec.hosts.keys() | self._leavers.get(target, set())
        gone = [key for host, asked in self._asked[target].items() if host and host not in kept for key in asked]
        places = {(node, f"pool/{pool}") for (node, pool), (owner, _) in self._pools.items() if owner == target}
        pools = [key for key in self._asked[target][""] if key[1].startswith("pool/") and key not in places]
        return sorted(gone + pools)

    # --- what was decided

    def is_moving(self, target: str) -> bool:
        """Hosts of the target are on a journey, or on their way out of it."""
        return bool(self.journeys.get(target)) or bool(self._status(target).leaving)

    def in_flight(self) -> set[str]:
        """Nodes that are asked something about a host under way."""
        moving = {host for hosts in self.journeys.values() for host in hosts}
        moving |= {host for status in self.statuses.values() for host in status.leaving}
        return {
            node
            for node, fragments in self.entries.items()
            if node in moving
            or any(key.startswith(("server/", "operation/")) for keys in fragments.values() for key in keys)
        }

    def apply(self, target: str, write: Write, stamp: Stamp) -> None:
        """Carry out a write of the target's plan; entries get the stamp of the assignment that will carry them."""
        match write:
            case PutStatus(status):
                before, self.statuses[target] = self.statuses.get(target), status
                self.dirty |= self._relations.changed(target, before, status)
                if turning(status) != turning(before or RolloutStatus(target=target)):
                    self._turn(target)
            case PutJourney(journey):
                self.journeys.setdefault(target, {})[journey.host] = journey
                self._claim(target, journey)
                self.touch(target, journey.host)
            case DropJourney(host):
                self.journeys[target].pop(host, None)
                self._release_claim(target, host)
                self._mark(target, host)
                self.dirty.add(target)
            case PutEntry(node, key, value):
                self._put_entry(target, node, key, Entry(value, stamp))
                self._mark(target, host_of(node, key))
            case DropEntry(node, key):
                if key == SERVICE:
                    self._leavers.get(target, set()).discard(node)
                self.entries[node][target].pop(key, None)
                self._asked[target][host_of(node, key)].pop((node, key), None)
                self._mark(target, host_of(node, key))
            case PutOperation(operation):
                self.operations[target][operation.id] = operation
                self._mark(target, operation.host)
            case DropOperation(identity):
                self.operations[target].pop(identity, None)

    def _put_entry(self, target: str, node: str, key: str, entry: Entry) -> None:
        self.entries[node][target][key] = entry
        self._asked[target][host_of(node, key)][node, key] = entry

    def _claim(self, target: str, journey: Journey) -> None:
        if is_claim(journey):
            self._claims[journey.host] = target
        else:
            self._release_claim(target, journey.host)

    def _release_claim(self, target: str, host: str) -> None:
        if self._claims.get(host) == target:
            del self._claims[host]
            for other in self._targets_on.get(host, set()) - {target}:
                self.touch(other, host)


def host_of(node: str, key: str) -> str:
    """Which host of a target an entry is about; empty for pools and operations."""
    if key == SERVICE:
        return node
    return key.split("/", 2)[2] if key.startswith("server/") else ""
