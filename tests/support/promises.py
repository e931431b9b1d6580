"""Checkers of what no plan may do, worked out from what was observed and written, not from the code that decides."""

import math
from collections.abc import Iterator
from fractions import Fraction

from crds.base import Amount
from crds.messages import ServerAssignment, ServiceAssignment
from crds.release import Release
from crds.status import Journey, Step
from reconcilers.draft import Observed
from reconcilers.facts import HostFacts
from reconcilers.fragments import SERVICE, server_key
from reconcilers.gates import operation_id
from reconcilers.target import TargetSpec
from reconcilers.writes import DropEntry, DropJourney, Plan, PutEntry, PutJourney, PutOperation, PutStatus

OUT = ("drain", "maint")


def places(spec: TargetSpec) -> list[tuple[str, str, int]]:
    """(balancer node, online pool, port)."""
    return [(node.name, pool.online, pool.port) for pool in spec.pools for node in pool.nodes]


def asked(facts: HostFacts, node: str, pool: str) -> str | None:
    """The state that a node is asked now."""
    entry = facts.entries.get((node, server_key(pool, facts.host.name)))
    return ServerAssignment.model_validate_json(entry.value).state if entry else None


def surely_serves(spec: TargetSpec, facts: HostFacts) -> bool:
    """Nothing that we know speaks against customers being served by it."""
    if facts.journey is not None and facts.journey.step not in (Step.WAITING, Step.SOAKING):
        return (
            False  # it is missing from when it was taken until it was given back, so that its place is not used twice
        )
    if facts.silent or (facts.service is not None and facts.service.healthy is False):
        return False
    for node, pool, port in places(spec):
        server = facts.servers.get((node, pool))
        if server is None or server.admin != "ready" or not server.up:
            return False
        if server.address != f"{facts.host.address}:{port}" or asked(facts, node, pool) in OUT:
            return False
    return bool(spec.pools) or (facts.service is not None and facts.service.healthy is True)


def is_missed(spec: TargetSpec, facts: HostFacts) -> bool:
    """The host is out as far as its fleet counts: on its way, or something that ran there serves nobody for certain."""
    if facts.journey is not None and facts.journey.step not in (Step.WAITING, Step.SOAKING):
        return True
    entry = facts.entries.get((facts.host.name, SERVICE))
    asked_to_run = entry is not None and ServiceAssignment.model_validate_json(entry.value).release is not None
    runs = facts.service is not None and facts.service.state != "absent"
    return (asked_to_run or runs) and not surely_serves(spec, facts)


def newly_asked(spec: TargetSpec, observed: Observed, plan: Plan) -> Iterator[tuple[HostFacts, str, str, str]]:
    """(host, balancer node, online pool, state) where a plan asks another state of a server than before."""
    online = {(node, pool) for node, pool, _ in places(spec)}
    for write in plan.writes:
        if isinstance(write, PutEntry) and write.key.startswith("server/"):
            _, pool, host = write.key.split("/", 2)
            state = ServerAssignment.model_validate_json(write.value).state
            if (write.node, pool) in online and host in spec.hosts:
                facts = observed.facts(host)
                if asked(facts, write.node, pool) != state:
                    yield facts, write.node, pool, state


def begun(observed: Observed, plan: Plan) -> Iterator[Journey]:
    """Journeys that leave their waiting in this plan."""
    for write in plan.writes:
        if isinstance(write, PutJourney) and write.journey.step not in (Step.WAITING, Step.FAILED):
            before = observed.journeys.get(write.journey.host)
            if before is None or before.step is Step.WAITING:
                yield write.journey


def allowed(spec: TargetSpec) -> int:
    """Hosts that may be missing; worked out anew."""
    total, must_stay = len(spec.hosts), spec.rollout.min_available
    if spec.release is None:
        return total
    most = total if must_stay is None else total - math.ceil(_part(must_stay, total))
    amounts = [spec.rollout.max_unavailable, *(pool.max_unavailable for pool in spec.pools if pool.max_unavailable)]
    if total == 1:
        return min(most, int(spec.rollout.downtime == "allowed"))
    return max(min(most, *(max(math.floor(_part(amount, total)), 1) for amount in amounts)), 0)


def _part(amount: Amount, total: int) -> Fraction:
    return Fraction(amount) if isinstance(amount, int) else Fraction(int(amount[:-1]) * total, 100)


def share(spec: TargetSpec, zone: str, places: int) -> int:
    """What falls to a zone; worked out anew."""
    of_zone = sum(host.zone == zone for host in spec.hosts.values())
    return math.ceil(Fraction(places * of_zone, len(spec.hosts)))


def keeps_the_budget(spec: TargetSpec, observed: Observed, plan: Plan) -> None:
    """Promise 1: a plan takes out no host that serves, beyond what may be missing."""
    serving = {host for host in spec.hosts if surely_serves(spec, observed.facts(host))}
    out = {facts.host.name for facts, _, _, state in newly_asked(spec, observed, plan) if state in OUT}
    out |= {journey.host for journey in begun(observed, plan)}
    missing = len(spec.hosts) - len(serving)
    assert not out & serving or missing + len(out & serving) <= allowed(spec), (out, serving)


def spreads_over_zones(spec: TargetSpec, observed: Observed, plan: Plan) -> None:
    """Promise 1, in each zone: none loses more than its share of the budget, nor of the batch that is chosen."""
    serving = {host for host in spec.hosts if surely_serves(spec, observed.facts(host))}
    out = {journey.host for journey in begun(observed, plan)} & serving
    chosen = {
        write.journey.host: write.journey
        for write in plan.writes
        if isinstance(write, PutJourney) and write.journey.host not in observed.journeys
    }
    for zone in {spec.hosts[host].zone for host in out | chosen.keys()}:
        hosts = {name for name, host in spec.hosts.items() if host.zone == zone}
        assert not out & hosts or len(hosts - serving) + len(out & hosts) <= share(spec, zone, allowed(spec))
        batches, going = spec.rollout.batches, chosen.keys() & hosts & serving
        for number in {chosen[host].batch for host in going}:
            size = max(math.floor(_part(batches[min(number, len(batches)) - 1], len(spec.hosts))), 1)
            assert len(going) <= share(spec, zone, min(size, len(spec.hosts))), (zone, going, size)


def acts_on_no_unknown_or_claimed_host(spec: TargetSpec, observed: Observed, plan: Plan) -> None:
    """Promises 2 and 13, and "unknown ones never": who may begin a journey."""
    for journey in begun(observed, plan):
        facts = observed.facts(journey.host)
        assert not facts.silent
        assert not facts.excluded
        assert facts.claimed_by is None
        for node, pool, port in places(spec):
            server = facts.servers.get((node, pool))
            assert server is not None
            assert server.address == f"{facts.host.address}:{port}"
            assert server.admin == "ready" or server.by != "person"
    assert not list(begun(observed, plan)) or not observed.silent_balancers


def leaves_hosts_of_others_alone(spec: TargetSpec, observed: Observed, plan: Plan) -> None:
    """Promise 2: while another target has a host, ours goes no step there, and does not claim it."""
    for write in plan.writes:
        if not isinstance(write, PutJourney) or observed.facts(write.journey.host).claimed_by is None:
            continue
        before, after = observed.journeys.get(write.journey.host), write.journey
        same = before is not None and (before.step is after.step or before.digest != after.digest)
        assert after.step is Step.WAITING or same, (before, after)
        assert after.yields or after.step in (Step.WAITING, Step.FAILED), after


def deploys_only_to_hosts_that_are_out(spec: TargetSpec, observed: Observed, plan: Plan) -> None:
    """Promise 3: another release only where every node has confirmed MAINT, idle, under the assignment that asked."""
    for write in plan.writes:
        if not isinstance(write, PutEntry) or write.key != SERVICE or write.node not in spec.hosts:
            continue
        facts = observed.facts(write.node)
        asks = ServiceAssignment.model_validate_json(write.value)
        before = facts.entries.get((write.node, SERVICE))
        replaces = before and ServiceAssignment.model_validate_json(before.value).restart < asks.restart
        if not replaces and not _is_another(asks.release, facts):
            continue
        for node, pool, port in places(spec):
            entry = facts.entries.get((node, server_key(pool, write.node)))
            server = facts.servers.get((node, pool))
            assert entry is not None
            assert server is not None
            assert asked(facts, node, pool) == "maint"
            assert server.read >= entry.stamp
            assert (server.admin, server.idle, server.old_workers) == ("maint", True, 0)
            assert server.address == f"{facts.host.address}:{port}"


def _is_another(release: Release | None, facts: HostFacts) -> bool:
    before = facts.entries.get((facts.host.name, SERVICE))
    if before is not None:
        return ServiceAssignment.model_validate_json(before.value).release != release
    running = facts.service.digest if facts.service else None
    return release is None or release.digest != running


def enables_only_tested_hosts(spec: TargetSpec, observed: Observed, plan: Plan) -> None:
    """Promises 4 and 13: "ready" only after every gate has passed in this journey, and over nobody's head.

    Of a host that was enabled already, what is asked may have to be asked again, and its operations are forgotten;
    gates that were declared since then are not its gates.
    """
    journeys = dict(observed.journeys)
    journeys |= {write.journey.host: write.journey for write in plan.writes if isinstance(write, PutJourney)}
    for facts, _, _, state in newly_asked(spec, observed, plan):
        if state != "ready":
            continue
        host = facts.host.name
        journey = journeys[host]
        was = observed.journeys.get(host)
        assert not facts.excluded or (was is not None and was.step in (Step.ENABLING, Step.SOAKING))
        dropped = DropJourney(host) in plan.writes
        assert journey.digest == spec.digest or dropped
        if not _was_enabled(observed.journeys.get(host), journey):
            assert journey.vouched or dropped or not [gate for gate in spec.gates if gate.when == "batch"]
            _has_passed(spec, observed, journey)
        for node, pool, _ in places(spec):
            server = facts.servers.get((node, pool))
            assert server is None or server.admin == "ready" or server.by != "person"
    for write in plan.writes:
        if isinstance(write, PutJourney) and write.journey.step in _ENABLED:
            before = observed.journeys.get(write.journey.host)
            if before is None or not _was_enabled(before, write.journey):
                _has_passed(spec, observed, write.journey)


_ENABLED = (Step.ENABLING, Step.SOAKING)


def _was_enabled(before: Journey | None, journey: Journey) -> bool:
    same = before is not None and (before.digest, before.begun) == (journey.digest, journey.begun)
    return before is not None and same and before.step in _ENABLED


def _has_passed(spec: TargetSpec, observed: Observed, journey: Journey) -> None:
    for gate in [gate for gate in spec.gates if gate.when == "maintenance"]:
        operation = observed.operations.get(operation_id(spec, journey, gate))
        assert operation is not None
        assert operation.result is not None
        assert operation.result.outcome == "passed"


def contradicts_itself_nowhere(spec: TargetSpec, observed: Observed, plan: Plan) -> None:
    """No entry is both put and dropped, and nothing is written that is there already."""
    put = {(write.node, write.key) for write in plan.writes if isinstance(write, PutEntry)}
    dropped = [(write.node, write.key) for write in plan.writes if isinstance(write, DropEntry)]
    assert not put & set(dropped)
    assert len(dropped) == len(set(dropped))


def begins_no_quarantined_release(spec: TargetSpec, observed: Observed, plan: Plan) -> None:
    """Promise 19: a release in quarantine begins on no further host, neither its journey nor its installation."""
    bad = observed.status.quarantine
    for write in plan.writes:
        if isinstance(write, PutStatus):
            bad = write.status.quarantine
    for journey in begun(observed, plan):
        assert bad is None or journey.digest != bad.digest, f"{journey.host} begins with what is in quarantine"
    for write in plan.writes:
        if bad is not None and isinstance(write, PutEntry) and write.key == SERVICE and write.node in spec.hosts:
            asked_now = ServiceAssignment.model_validate_json(write.value).release
            before = observed.facts(write.node).assigned_service()
            had_it = before is not None and before.release is not None and before.release.digest == bad.digest
            assert had_it or asked_now is None or asked_now.digest != bad.digest, f"{write.node} is given {bad.version}"


def migrates_in_order(spec: TargetSpec, observed: Observed, plan: Plan) -> None:
    """Promise 20: expand before the first host, contract after the last one, no two of them under one lock.

    A record of what is declared no more vouches for nothing and holds nobody up.
    """
    statuses = [write.status for write in plan.writes if isinstance(write, PutStatus)]
    status = statuses[-1] if statuses else observed.status
    declared = {("before", gate.name) for gate in spec.gates if gate.when == "before"}
    declared |= {("expand", migration.name) for migration in spec.migrations.expand}
    first = [record for record in status.tasks if (record.task, record.name) in declared]
    if any(record.state != "passed" for record in first):
        assert not list(begun(observed, plan)), first
        assert not [write for write in plan.writes if isinstance(write, PutEntry) and _deploys(spec, observed, write)]
    for write in plan.writes:
        if isinstance(write, PutOperation) and write.operation.spec.migration:
            said, counts = write.operation.spec.migration, observed.index.counts()
            holder = observed.locks.get(said.lock)
            assert holder is None or holder.id == write.operation.id
            assert said.phase == "expand" or (
                not observed.journeys and counts.current + counts.excluded == counts.total
            )


def _deploys(spec: TargetSpec, observed: Observed, write: PutEntry) -> bool:
    """The host is asked to run the release, and neither runs it nor was asked before."""
    if write.key != SERVICE or write.node not in spec.hosts:
        return False
    facts, asked = observed.facts(write.node), ServiceAssignment.model_validate_json(write.value).release
    before = facts.assigned_service()
    known = {before.release.digest if before and before.release else "", facts.service.digest if facts.service else ""}
    return asked is not None and asked.digest == spec.digest and asked.digest not in known


def stops_leavers_only_when_they_are_out(spec: TargetSpec, observed: Observed, plan: Plan) -> None:
    """Promise 3, for hosts that leave: the service is removed only where every node that has a line confirmed MAINT."""
    for write in plan.writes:
        if not isinstance(write, PutEntry) or write.key != SERVICE or write.node not in observed.leavers:
            continue
        facts = observed.leaver(write.node)
        before = facts.assigned_service()
        if release := ServiceAssignment.model_validate_json(write.value).release:
            assert before is not None
            assert before.release == release
            continue
        for node, pool, _ in places(spec):
            entry, server = facts.entries.get((node, server_key(pool, write.node))), facts.servers.get((node, pool))
            if server is None:
                assert (node, pool) in facts.lineless
                continue
            assert entry is not None
            assert asked(facts, node, pool) == "maint"
            assert server.read >= entry.stamp
            assert (server.admin, server.idle, server.old_workers) == ("maint", True, 0)


def touches_nothing_that_is_observed(spec: TargetSpec, observed: Observed, plan: Plan) -> None:
    """Mode observe: nobody begins, nothing else is asked of a host, and no server changes, but for those under way."""
    if not spec.is_observed:
        return
    assert not list(begun(observed, plan))
    under_way = observed.journeys.keys() | observed.status.leaving.keys()
    changed = {facts.host.name for facts, _, _, state in newly_asked(spec, observed, plan) if state != "watch"}
    changed |= {write.node for write in plan.writes if isinstance(write, PutEntry) and write.key == SERVICE}
    assert changed <= under_way, changed


PROMISES = (
    stops_leavers_only_when_they_are_out,
    touches_nothing_that_is_observed,
    migrates_in_order,
    begins_no_quarantined_release,
    keeps_the_budget,
    spreads_over_zones,
    acts_on_no_unknown_or_claimed_host,
    leaves_hosts_of_others_alone,
    deploys_only_to_hosts_that_are_out,
    enables_only_tested_hosts,
    contradicts_itself_nowhere,
)
