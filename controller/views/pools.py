"""Pools: each pool on each balancer node, with its servers as that node sees them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from controller.nodes import Node
from controller.views.common import list_meta, selected, target_labels
from controller.views.errors import NotFound
from controller.views.nodes import node_headline
from controller.views.resources import (
    Meta,
    PoolCounts,
    PoolList,
    PoolResource,
    PoolResourceSpec,
    PoolResourceStatus,
    ServerRow,
)
from controller.views.selector import Matches
from crds.messages import PoolReport, ServerReport
from reconcilers.target import PoolSpec, TargetSpec

if TYPE_CHECKING:
    from controller.deciding import Deciding
    from controller.world import World


@dataclass(frozen=True)
class Place:
    """One pool of a target on one balancer node."""

    node: str
    pool: str
    use: Literal["online", "maintenance"]
    target: TargetSpec
    spec: PoolSpec


def places(world: "World") -> dict[str, Place]:
    """Every pool that the revision in force names, as NODE/POOL."""
    found = {f"{place.node}/{place.pool}": place for spec in world.specs.values() for place in _places(spec)}
    return dict(sorted(found.items()))


def _places(target: TargetSpec) -> Iterator[Place]:
    for pool in target.pools:
        for node in pool.nodes:
            yield Place(node.name, pool.online, "online", target, pool)
            if pool.maintenance:
                yield Place(node.name, pool.maintenance, "maintenance", target, pool)


def pools(deciding: "Deciding", matches: Matches, now: datetime) -> PoolList:
    """All pools whose labels match, without their servers."""
    found = places(deciding.world)
    items = selected(found, lambda name: _resource(deciding.world, found[name], now), matches)
    return PoolList(metadata=list_meta(deciding, now), items=items)


def pool(deciding: "Deciding", name: str, now: datetime) -> PoolResource:
    """One pool, NODE/POOL, with its servers. Raises NotFound."""
    known = places(deciding.world)
    if name not in known:
        raise NotFound("pool", name, known)
    found = _resource(deciding.world, known[name], now)
    servers = _servers(deciding.world, known[name])
    return found.model_copy(update={"status": found.status.model_copy(update={"servers": servers})})


def _resource(world: "World", place: Place, now: datetime) -> PoolResource:
    target = place.target
    labels = target_labels(target.name, target.version) | {"balancer": place.spec.balancer, "use": place.use}
    return PoolResource(
        metadata=Meta(name=f"{place.node}/{place.pool}", labels=labels, observed_at=now),
        spec=PoolResourceSpec(
            node=place.node,
            pool=place.pool,
            balancer=place.spec.balancer,
            use=place.use,
            target=target.name,
            hosts=len(target.hosts),
            port=place.spec.port,
        ),
        status=_status(world.nodes.get(place.node), place),
    )


def _status(node: Node, place: Place) -> PoolResourceStatus:
    report = _believed(node, place.pool)
    headline, message = _headline(node, report)
    counts = _counts(report, place.use) if report else PoolCounts()
    return PoolResourceStatus(
        headline=headline, message=message, counts=counts, plain=report.plain_count if report else 0
    )


def _believed(node: Node, pool: str) -> PoolReport | None:
    """The node's newest word on the pool; what a silent node said last is history."""
    return node.report.pools.get(pool) if node.report and not node.silent else None


def _headline(node: Node, report: PoolReport | None) -> tuple[str, str]:
    headline, message = node_headline(node)
    if headline != "Ready":
        return headline, f"{node.name}: {message}"
    if report is None:
        return "NoAnswer", f"{node.name} does not report on it yet"
    if not report.known:
        return "Missing", report.message or f"the balancer on {node.name} has no such pool"
    return "Ready", report.message


def _counts(report: PoolReport, use: str) -> PoolCounts:
    admin = Counter(str(server.admin) for server in report.servers.values())
    up = sum(server.up for server in report.servers.values())
    online, plain = use == "online", report.plain_count
    return PoolCounts(
        ready=admin["ready"] + (plain if online else 0),
        drain=admin["drain"],
        maint=admin["maint"] + (0 if online else plain),
        up=up + (plain if online else 0),
        sessions=sum(server.sessions for server in report.servers.values()),
    )


def _servers(world: "World", place: Place) -> list[ServerRow]:
    """Of an online pool a row for each host of the target; and whatever else the node names."""
    report = _believed(world.nodes.get(place.node), place.pool)
    named = dict(report.servers) if report else {}
    rows = []
    if place.use == "online":
        for host in place.target.hosts.values():
            seen = world.facts(place.target.name, host.name).servers.get((place.node, place.pool))
            rows.append(_row(host.name, seen) if seen else _untold(host.name, f"{host.address}:{place.spec.port}"))
    shown = {row.name for row in rows}
    return rows + [_row(name, named[name]) for name in sorted(named.keys() - shown)]


def _row(name: str, server: ServerReport) -> ServerRow:
    return ServerRow(
        name=name,
        admin=server.admin,
        up=server.up,
        by=server.by if server.admin != "ready" else "",
        sessions=server.sessions,
        old_workers=server.old_workers,
        address=server.address,
        status=server.status,
    )


def _untold(name: str, address: str) -> ServerRow:
    return ServerRow(name=name, admin="unknown", up=None, by="", sessions=0, old_workers=0, address=address, status="")
