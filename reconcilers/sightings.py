"""What a balancer node's report says about a target's hosts, whether it names them or not."""

from collections.abc import Iterable, Mapping

from crds.messages import PoolReport, ServerReport, server_number
from reconcilers.target import PoolSpec, TargetSpec


def pool_number(target: TargetSpec, pool: PoolSpec) -> int:
    """The digest, as a number, of a pool in which every host of the target is plainly online."""
    return sum(server_number(host.name, f"{host.address}:{pool.port}") for host in target.hosts.values()) % 2**64


def adds_up(report: PoolReport, target: TargetSpec, pool: PoolSpec, number: int) -> bool:
    """The servers that the report does not name are exactly the target's hosts that it does not name.

    ``number`` is ``pool_number(target, pool)``; the cost is that of the named servers.
    """
    named = [target.hosts[name] for name in report.servers if name in target.hosts]
    rest = number - sum(server_number(host.name, f"{host.address}:{pool.port}") for host in named)
    count = len(target.hosts) - len(named)
    return report.plain_count == count and report.plain_digest == format(rest % 2**64, "016x")


def plain_server(report: PoolReport, address: str) -> ServerReport:
    """What an unnamed server of a pool that adds up is."""
    return ServerReport(read=report.read, admin="ready", up=True, routed=True, idle=False, address=address, status="UP")


def changed_servers(before: PoolReport | None, after: PoolReport) -> Iterable[str]:
    """Servers about which the newer report says something else than the older one."""
    old: Mapping[str, ServerReport] = before.servers if before else {}
    return [name for name in old.keys() | after.servers.keys() if old.get(name) != after.servers.get(name)]
