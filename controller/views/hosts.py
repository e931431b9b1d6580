"""The hosts of a target, a row each."""

from typing import TYPE_CHECKING

from controller.views.resources import HostRow, Seat
from reconcilers.classify import Classification
from reconcilers.facts import HostFacts, online_places
from reconcilers.target import HostSpec, TargetSpec

if TYPE_CHECKING:
    from controller.world import World


def host_rows(world: "World", target: str) -> list[HostRow]:
    """How every host of the target stands, in the fleet's order; none if no revision in force declares it."""
    spec = world.specs.get(target)
    if spec is None:
        return []
    index = world.index(target)
    return [_row(world, spec, host, index.hosts[host.name]) for host in spec.hosts.values()]


def _row(world: "World", spec: TargetSpec, host: HostSpec, found: Classification) -> HostRow:
    facts, node = world.facts(spec.name, host.name), world.nodes.get(host.name)
    service, journey = facts.service, facts.journey
    return HostRow(
        name=host.name,
        zone=host.zone,
        address=host.address,
        standing=str(found.standing),
        why=found.why,
        version=service.version if service else None,
        digest=service.digest if service else None,
        state=service.state if service else "unknown",
        healthy=service.healthy if service else None,
        seats=_seats(spec, facts),
        step=journey.step if journey else None,
        since=journey.since if journey else None,
        reason=journey.reason if journey else "",
        log_tail=journey.log_tail if journey else [],
        claimed_by=facts.claimed_by,
        silent=node.silent,
        last_seen=node.seen,
    )


def _seats(spec: TargetSpec, facts: HostFacts) -> list[Seat]:
    return [_seat(facts, node, pool.online) for node, pool in online_places(spec)]


def _seat(facts: HostFacts, node: str, pool: str) -> Seat:
    server = facts.servers.get((node, pool))
    if server is None:
        return Seat(node=node, pool=pool, admin="unknown", up=None)
    by = server.by if server.admin != "ready" else ""
    return Seat(node=node, pool=pool, admin=server.admin, up=server.up, by=by, sessions=server.sessions)
