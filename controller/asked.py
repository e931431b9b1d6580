"""Asked: every entry that is asked of a node, by node and by the host that it is about, kept step by step."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from crds.status import Operation
from reconcilers.fragments import SERVICE, Entry, host_of, operation_key, pool_key
from reconcilers.target import TargetSpec

Key = tuple[str, str]
"""(node, key of the entry)."""


class Asked:
    """What all targets ask of all nodes."""

    def __init__(self, loaded: Mapping[str, Mapping[str, Mapping[str, Entry]]]) -> None:
        """``loaded``: by node, target and key."""
        self.by_node: dict[str, dict[str, dict[str, Entry]]] = defaultdict(lambda: defaultdict(dict))
        self._by_host: dict[str, dict[str, dict[Key, Entry]]] = defaultdict(lambda: defaultdict(dict))
        """By target and host: the same entries; those of no host under an empty name."""
        self.leavers: dict[str, set[str]] = defaultdict(set)
        """By target: hosts that were given its service to run and are none of its hosts any more."""
        for node, fragments in loaded.items():
            for target, fragment in fragments.items():
                for key, entry in fragment.items():
                    self.put(target, node, key, entry)

    def set_specs(self, specs: Iterable[TargetSpec]) -> None:
        """Other hosts."""
        self.leavers.clear()
        for spec in specs:
            asked = self._by_host[spec.name].items()
            gone = {host for host, keys in asked if host and host not in spec.hosts and (host, SERVICE) in keys}
            self.leavers[spec.name] = gone

    def about(self, target: str, host: str) -> dict[Key, Entry]:
        """Entries about a host; about none, if ``host`` is empty."""
        return self._by_host[target][host]

    def put(self, target: str, node: str, key: str, entry: Entry) -> None:
        """Ask this from now on."""
        self.by_node[node][target][key] = entry
        self._by_host[target][host_of(node, key)][node, key] = entry

    def drop(self, target: str, node: str, key: str) -> None:
        """Ask it no more."""
        if key == SERVICE:
            self.leavers[target].discard(node)
        self.by_node[node][target].pop(key, None)
        self._by_host[target][host_of(node, key)].pop((node, key), None)

    def nodes_in_flight(self, moving: Collection[str]) -> set[str]:
        """These hosts, as far as they are asked anything, and nodes that are asked about a server or an operation."""
        kinds = ("server/", "operation/")
        return {
            node
            for node, fragments in self.by_node.items()
            if node in moving or any(key.startswith(kinds) for keys in fragments.values() for key in keys)
        }

    def stray(self, spec: TargetSpec, operations: Mapping[str, Operation]) -> list[Key]:
        """Entries that belong to no host, none that leaves, no pool of the target and none of its operations any more.

        An operation is written after its entry: a crash between the two leaves an entry that nobody waits for.
        """
        kept = spec.hosts.keys() | self.leavers[spec.name]
        gone = [key for host, asked in self._by_host[spec.name].items() if host and host not in kept for key in asked]
        known = {(node.name, pool_key(name)) for pool in spec.pools for node in pool.nodes for name in pool.names}
        known |= {(operation.node, operation_key(operation.id)) for operation in operations.values()}
        return sorted(gone + [key for key in self.about(spec.name, "") if key not in known])
