"""The hosts of a target, a row each."""

from typing import TYPE_CHECKING

from controller.views.resources import HostRow, LeavingRow, Seat
from crds.status import RolloutStatus, status_of
from reconcilers.classify import Classification
from reconcilers.facts import HostFacts, online_places
from reconcilers.leaving import does
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


def leaving_rows(world: "World", target: str) -> list[LeavingRow]:
    """Hosts that are none of the target's any more, and how far on their way out each is."""
    status = status_of(world.statuses, target)
    return [
        _leaving_row(world, status, host) for host in sorted(world.leavers.get(target, set()) | status.leaving.keys())
    ]


def _leaving_row(world: "World", status: RolloutStatus, host: str) -> LeavingRow:
    journey = status.leaving.get(host)
    if journey is not None:
        return LeavingRow(name=host, step=does(journey), since=journey.since, reason=journey.reason or "goes on")
    facts = world.leaver(status.target, host)
    own = facts.excluded or (f"{facts.claimed_by} has it on a journey" if facts.claimed_by else "")
    return LeavingRow(name=host, step="waiting", since=None, reason=own or status.leaving_waits)


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
