"""Pools: whose each one is on every balancer node, and whether what the node does not name is as expected."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from controller.nodes import Nodes
from crds.messages import ServerReport
from reconcilers.facts import online_places
from reconcilers.sightings import adds_up, plain_server, pool_number
from reconcilers.target import HostSpec, PoolSpec, TargetSpec

Place = tuple[str, str]
"""(balancer node, pool)."""


class Pools:
    """What balancer nodes' reports say of hosts, kept step by step."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self.owners: dict[Place, tuple[str, PoolSpec]] = {}
        self._on: dict[str, list[tuple[str, PoolSpec]]] = {}
        self._hosts: dict[str, TargetSpec] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._adds_up: dict[Place, bool] = {}

    def set_specs(self, specs: Mapping[str, TargetSpec]) -> None:
        """Other pools, or other hosts in them."""
        before, self._hosts = self._hosts, dict(specs)
        self.owners, self._on = {}, defaultdict(list)
        for target, spec in specs.items():
            same = target in before and before[target].fingerprint == spec.fingerprint
            for pool in spec.pools:
                if not same:
                    self._numbers[target, pool.online] = pool_number(spec, pool)
                for node in pool.nodes:
                    self._on[node.name].append((target, pool))
                    self.owners |= {(node.name, name): (target, pool) for name in pool.names}
        self._adds_up = {place: self._sums(place) for place in self.owners}

    def on(self, node: str) -> Sequence[tuple[str, PoolSpec]]:
        """The pools on a balancer node, each with the target that it is of."""
        return self._on.get(node, ())

    def changed(self, place: Place) -> bool:
        """After a report: whether the place adds up now and did not before, or the other way round."""
        before, now = self._adds_up.get(place), self._sums(place)
        self._adds_up[place] = now
        return before != now

    def _sums(self, place: Place) -> bool:
        target, pool = self.owners[place]
        node = self._nodes.get(place[0])
        report = node.report.pools.get(place[1]) if node.report else None
        if report is None or place[1] != pool.online:
            return False
        return adds_up(report, self._hosts[target], pool, self._numbers[target, pool.online])

    def servers(self, spec: TargetSpec, host: HostSpec) -> tuple[dict[Place, ServerReport], frozenset[Place]]:
        """What balancer nodes say of a host; and the places whose report does not add up."""
        seen: dict[Place, ServerReport] = {}
        unclear = set()
        for name, pool in online_places(spec):
            node = self._nodes.get(name)
            if node.mute or node.report is None:
                continue
            for pool_name in pool.names:
                report = node.report.pools.get(pool_name)
                if report is None:
                    continue
                if host.name in report.servers:
                    seen[name, pool_name] = report.servers[host.name]
                elif pool_name == pool.online and self._adds_up.get((name, pool_name)):
                    seen[name, pool_name] = plain_server(report, f"{host.address}:{pool.port}")
                if pool_name == pool.online and not self._adds_up.get((name, pool_name)):
                    unclear.add((name, pool_name))
        return seen, frozenset(unclear)
