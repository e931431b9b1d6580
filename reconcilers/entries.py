"""What is asked about one host: the entries that follow from where it is on its journey."""

from typing import Literal

from crds.messages import ServerState, ServiceAssignment
from crds.release import Release
from crds.status import Journey, Step
from reconcilers.facts import HostFacts, online_places
from reconcilers.fragments import SERVICE, server_key
from reconcilers.target import PoolSpec, TargetSpec
from reconcilers.values import server_of, server_value, service_value

_ONLINE: dict[Step, ServerState] = {
    Step.DRAINING: "drain",
    Step.LEAVING: "maint",
    Step.DEPLOYING: "maint",
    Step.TESTING: "maint",
    Step.ENABLING: "ready",
    Step.SOAKING: "ready",
}
_ON_THE_RELEASE = (Step.DEPLOYING, Step.TESTING, Step.ENABLING, Step.SOAKING)


def entries_for(target: TargetSpec, facts: HostFacts, fetch: bool = False) -> dict[tuple[str, str], str]:
    """Everything that should be asked about the host now: value by (node, key).

    ``fetch``: the host's turn comes soon; it may fetch the artifact already.
    """
    asked = _service_entry(target, facts, fetch)
    for node, pool in online_places(target):
        key = (node, server_key(pool.online, facts.host.name))
        state = _online_state(target, facts, node, pool)
        if state == "as it is":
            asked |= _kept(facts, node, pool)
        elif state is not None:
            close = state == "maint" and target.rollout.drain.on_timeout == "close"
            address = _address(facts, pool)
            asked[key] = server_value(state, address, close)
            if pool.maintenance and state != "watch":
                tested: ServerState = "ready" if facts.journey and facts.journey.step is Step.TESTING else "maint"
                asked[node, server_key(pool.maintenance, facts.host.name)] = server_value(tested, address, False)
    return asked


def _address(facts: HostFacts, pool: PoolSpec) -> str:
    return f"{facts.host.address}:{pool.port}"


def _kept(facts: HostFacts, node: str, pool: PoolSpec) -> dict[tuple[str, str], str]:
    keys = ((node, server_key(name, facts.host.name)) for name in pool.names)
    return {key: facts.entries[key].value for key in keys if key in facts.entries}


def _online_state(
    target: TargetSpec, facts: HostFacts, node: str, pool: PoolSpec
) -> ServerState | Literal["as it is"] | None:
    """What one node is asked about the host; None: the server is not named, hence left alone."""
    journey = facts.journey
    if journey is not None and journey.step is not Step.WAITING:
        return _journey_state(journey)
    return _resting_state(target, facts, node, pool)


def _resting_state(
    target: TargetSpec, facts: HostFacts, node: str, pool: PoolSpec
) -> ServerState | Literal["as it is"] | None:
    """The same for a host on no journey."""
    entry = facts.entries.get((node, server_key(pool.online, facts.host.name)))
    if entry and server_of(entry.value).state == "maint":
        return "as it is"  # it was taken out and not tested since: only another journey lets it in
    if not target.is_observed and _must_not_come_back(target, facts):
        return "maint"
    if (node, pool.online) in facts.unclear:
        return "watch"
    server = facts.servers.get((node, pool.online))
    if server is None:
        return "as it is"
    plain = server.admin == "ready" and server.up and server.address == _address(facts, pool)
    return "watch" if entry and not plain else None


def _must_not_come_back(target: TargetSpec, facts: HostFacts) -> bool:
    """A silent host that missed the release which all others run, and that every balancer node sees down.

    If it came back by itself, its agent would start the old release and the balancers would let it in before anybody
    could converge it. Down as it is, nobody is disrupted. One that is up is left alone: silence is not evidence.
    """
    service = facts.service
    if not (
        facts.silent and facts.proven and target.release and service and service.digest not in (None, target.digest)
    ):
        return False
    servers = [facts.servers.get((node, pool.online)) for node, pool in online_places(target)]
    return all(each is not None and each.admin == "ready" and not each.up and not each.routed for each in servers)


def _journey_state(journey: Journey) -> ServerState:
    if journey.step is Step.FAILED:
        return "maint" if journey.out else "watch"
    return _ONLINE[journey.step]


def _service_entry(target: TargetSpec, facts: HostFacts, fetch: bool) -> dict[tuple[str, str], str]:
    """The service's entry: a new release only on a host that is out; new probes on hosts that run the release.

    Probes may ask for what an older release does not have. Asked too soon, they would find every host unhealthy at
    once, and what is unavailable already is no longer kept from being taken out.
    """
    key = (facts.host.name, SERVICE)
    if target.is_observed and facts.journey is None:
        return {key: facts.entries[key].value} if key in facts.entries else {}
    release, known = _release(target, facts)
    if not known:
        return {}
    newer = release is not None and release.digest != target.digest
    following = target.release if fetch and newer and not target.unsigned else None
    before = facts.entries[key].value if key in facts.entries else None
    assigned = facts.assigned_service()
    older = newer or (release is not None and bool(target.unsigned))
    value = service_value(
        before,
        release=release,
        next=following,
        probes=assigned.probes if assigned and older else list(target.probes),
        address=facts.host.address,
        adopt=_adopted(target, release, assigned, facts),
        statement=_statement(target, release, assigned if older else None),
        next_statement=target.statement if following else None,
        trust=target.trust,
        restart=_restart(facts, assigned),
    )
    return {key: value}


def _adopted(
    target: TargetSpec, release: Release | None, assigned: ServiceAssignment | None, facts: HostFacts
) -> str | None:
    """How the host's agent knows the process that it keeps as the release; None once the release is installed."""
    if facts.journey is not None and facts.journey.step in _ON_THE_RELEASE:
        return None
    if assigned is None:
        return target.adopt
    same = release is not None and release.digest == target.digest
    return target.adopt if assigned.adopt is not None and target.adopt is not None and same else assigned.adopt


def _restart(facts: HostFacts, assigned: ServiceAssignment | None) -> int:
    """The number of the process: a higher one only while the host is out, and only what its journey began with."""
    journey = facts.journey
    known = assigned.restart if assigned else facts.service.restart if facts.service else 0
    return max(known, journey.restart) if journey and journey.step in _ON_THE_RELEASE else known


def _statement(target: TargetSpec, release: Release | None, kept: ServiceAssignment | None) -> str | None:
    """What was signed about the release that the host is asked to run: with an older one, what came with it."""
    if release is None:
        return None
    return kept.statement if kept else target.statement


def _release(target: TargetSpec, facts: HostFacts) -> tuple[Release | None, bool]:
    """The release that the host is to run now, and whether we have a say in it at all."""
    journey = facts.journey
    moved = journey is not None and journey.digest == target.digest
    if journey and moved and journey.step in _ON_THE_RELEASE and not target.unsigned:
        return target.release, True
    assigned = facts.assigned_service()
    if assigned is None and target.adopt is not None and not (facts.silent or facts.excluded or target.unsigned):
        return target.release, target.release is not None
    if assigned is None:
        runs_it = facts.service is not None and facts.service.digest == target.digest
        untouched = facts.silent or facts.excluded
        return target.release, runs_it and target.release is not None and not untouched
    return assigned.release, True
