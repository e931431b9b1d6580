"""Nodes that do at once what they are asked, and answer: their answers cost what they name, not what there is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crds.messages import PoolReport, ProcessIdentity, Report, ServerReport, ServiceReport, Stamp, server_number
from reconcilers.fragments import SERVICE, Entry
from reconcilers.target import TargetSpec
from reconcilers.values import server_of, service_of

Fragments = Mapping[str, Mapping[str, Entry]]


@dataclass
class _Pool:
    """One pool on one balancer node; servers that are not named are where the pool normally has them."""

    plain: str
    addresses: Mapping[str, str]
    number: int
    """The digest of all servers, as a number."""
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Servers that are not plainly where they should be, with their state."""


class Fleet:
    """Every node of a state, as it would report."""

    def __init__(self, specs: Mapping[str, TargetSpec]) -> None:
        self._seq: dict[str, int] = {}
        self._runs: dict[tuple[str, str], tuple[str, int]] = {}
        self._pools: dict[str, dict[str, _Pool]] = {}
        self.hosts = sorted({host for spec in specs.values() for host in spec.hosts})
        for name, spec in specs.items():
            for host in spec.hosts:
                self._runs[host, name] = (spec.digest, 1)
            for pool in spec.pools:
                addresses = {host.name: f"{host.address}:{pool.port}" for host in spec.hosts.values()}
                number = sum(server_number(server, address) for server, address in addresses.items())
                for node in pool.nodes:
                    on_it = self._pools.setdefault(node.name, {})
                    on_it[pool.online] = _Pool("ready", addresses, number)
                    if pool.maintenance:
                        on_it[pool.maintenance] = _Pool("maint", addresses, number)
        self.balancers = sorted(self._pools)
        self._targets: dict[str, list[str]] = {}
        for host, target in self._runs:
            self._targets.setdefault(host, []).append(target)

    def answer(self, node: str, fragments: Fragments, stamp: Stamp) -> Report:
        """Do all that is asked of the node by the assignment of that stamp, and say how everything is."""
        seq = self._seq[node] = self._seq.get(node, 0) + 1
        pools = {name: self._pool(name, pool, fragments, stamp) for name, pool in self._pools.get(node, {}).items()}
        services = {target: self._service(node, target, fragments, stamp) for target in self._targets.get(node, [])}
        return Report(
            node=node, incarnation="life", seq=seq, full=True, full_seq=seq, taken=stamp, services=services, pools=pools
        )

    def _service(self, node: str, target: str, fragments: Fragments, stamp: Stamp) -> ServiceReport:
        entry = fragments.get(target, {}).get(SERVICE)
        asked = service_of(entry.value) if entry else None
        digest, pid = self._runs[node, target]
        if asked and asked.release and asked.release.digest != digest:
            digest, pid = self._runs[node, target] = (asked.release.digest, pid + 1)
        fetched = asked.next.digest if asked and asked.next else None
        process = ProcessIdentity(boot="b", pid=pid, started=str(pid), executable="/opt/common")
        return ServiceReport(
            read=stamp, state="running", digest=digest, healthy=True, identity=process, fetched=fetched
        )

    def _pool(self, name: str, pool: _Pool, fragments: Fragments, stamp: Stamp) -> PoolReport:
        prefix, named = f"server/{name}/", list[str]()
        for fragment in fragments.values():
            for key, entry in fragment.items():
                if key.startswith(prefix):
                    self._ask(pool, key[len(prefix) :], server_of(entry.value).state)
                    named.append(key[len(prefix) :])
        servers = {server: _seen(pool, server, stamp) for server in (*named, *pool.elsewhere)}
        rest = pool.number - sum(server_number(server, pool.addresses[server]) for server in servers)
        count = len(pool.addresses) - len(servers)
        return PoolReport(read=stamp, servers=servers, plain_count=count, plain_digest=format(rest % 2**64, "016x"))

    def _ask(self, pool: _Pool, server: str, state: str) -> None:
        if state == pool.plain:
            pool.elsewhere.pop(server, None)
        elif state != "watch":
            pool.elsewhere[server] = state


def _seen(pool: _Pool, server: str, stamp: Stamp) -> ServerReport:
    admin = pool.elsewhere.get(server, pool.plain)
    ready = admin == "ready"
    said = {
        "admin": admin,
        "by": "us",
        "up": ready,
        "routed": ready,
        "idle": not ready,
        "address": pool.addresses[server],
    }
    return ServerReport.model_validate({"read": stamp, **said})
