"""plan(): the one decision. From what a target should be and what is, to what to save and when to look again."""

from collections.abc import Iterable
from datetime import datetime

from crds.service import When
from crds.status import Journey, RolloutStatus, Step
from reconcilers.aside import stand_aside, stands_still
from reconcilers.batch import let_go, needs_downtime, start_batch, start_waiting
from reconcilers.batch_gates import vouch
from reconcilers.deadlines import deadline_at, keep_stopwatch
from reconcilers.draft import Draft, Observed
from reconcilers.entries import entries_for
from reconcilers.exclusions import set_apart
from reconcilers.facts import HostFacts
from reconcilers.failure import judge
from reconcilers.fragments import operation_key, pool_key
from reconcilers.gates import next_operation
from reconcilers.journey import Situation, advance, elapsed_of, wakes_at
from reconcilers.leaving import leaving_wakes_at, see_off
from reconcilers.lost import leave_lost_behind, lost_at
from reconcilers.marks import break_glass, lift_pause
from reconcilers.modes import heed_mode
from reconcilers.obstacles import may_prepare, obstacles
from reconcilers.rollback import settled
from reconcilers.sizes import batch_size
from reconcilers.stages import PREPARING, begun_anew, enlist, prepare, unprepared, verify
from reconcilers.supersede import retargeted, tried_again
from reconcilers.target import TargetSpec
from reconcilers.tasks import is_kept
from reconcilers.values import pool_value, written
from reconcilers.verdict import conclude
from reconcilers.writes import (
    DropEntry,
    DropJourney,
    DropOperation,
    Plan,
    PutEntry,
    PutJourney,
    PutOperation,
    PutStatus,
    Write,
)


def plan(target: TargetSpec, observed: Observed, now: datetime) -> Plan:
    """What to save now so that the target comes nearer to its release, and when time alone would change that.

    Level-triggered: the answer follows from the state alone, so that losing or repeating a call does no harm. Nothing
    here acts; a plan that was not committed never was.
    """
    draft = Draft(target, observed, now, observed.status, dict(observed.journeys))
    notice_spec(draft)
    heed_mode(draft)
    lift_pause(draft)
    break_glass(draft)
    status = draft.status
    prepare(draft, free=not needs_downtime(draft) and may_prepare(draft))
    stand_aside(draft)  # whoever waits no more is claimed before it moves on
    _keep_time(draft)
    _advance(draft, [host for host in draft.journeys if draft.concerns(host)])
    leave_lost_behind(draft)
    _advance(draft, vouch(draft, free=not target.unsigned))
    set_apart(draft)
    verify(draft, free=all(each.reason in PREPARING for each in obstacles(draft)))
    keep_stopwatch(draft)
    judge(draft)
    if draft.status.quarantine != status.quarantine:
        # What follows is planned for the release that takes the place of this one, in a pass of its own.
        return Plan(draft.writes + _changes(draft))
    let_go(draft)
    start_batch(draft)
    _advance(draft, start_waiting(draft))
    _ask(draft)
    conclude(draft)
    keep_stopwatch(draft)
    return Plan(draft.writes + _changes(draft), _wake_at(draft))


def notice_spec(draft: Draft) -> None:
    """A changed spec is a new generation; a changed release is a new rollout, and hosts under way turn to it."""
    target, status = draft.target, draft.status
    if status.fingerprint != target.fingerprint:
        status = status.model_copy(update={"fingerprint": target.fingerprint, "generation": status.generation + 1})
    if status.digest != target.digest:
        reason = "RollBack" if target.in_place_of else "NewRelease"
        if not target.is_observed:
            draft.event("RolloutStarted", target.name, reason, f"version {target.version or 'none'}")
        fresh = {"batch": 0, "go": 0, "started": draft.now, "finished": None, "hold": None, "stopwatch": None}
        revision = status.rollout_revision if target.in_place_of else target.revision
        status = begun_anew(status, target.digest).model_copy(update={"rollout_revision": revision, **fresh})
    draft.status = settled(status, target).model_copy(
        update={
            "target": target.name,
            "revision": target.revision,
            "version": target.version,
            "observed_generation": status.generation,
        }
    )
    for host, journey in list(draft.journeys.items()):
        if host not in target.hosts:
            draft.put(host, None)
        elif journey.digest != target.digest:
            draft.put(host, retargeted(journey, target, draft.facts(host), draft.now))
        elif _is_retried(journey, draft.status):
            draft.put(host, tried_again(journey, target, draft.facts(host), draft.now, draft.status.batch or 1))
    enlist(draft)
    if draft.journeys and not draft.status.batch:
        draft.status = draft.status.model_copy(update={"batch": 1})


def _is_retried(journey: Journey, status: RolloutStatus) -> bool:
    return journey.step is Step.FAILED and status.retried is not None and journey.since <= status.retried


def _keep_time(draft: Draft) -> None:
    """Note how long hosts have been on their way.

    No host's time runs while a balancer or every runner is lost, which must stop a rollout and not fail it, nor while
    another target has the host, or a host that is out waits for migrations. Otherwise it is enough to note it when all
    hosts are looked at.
    """
    observed, waits = draft.observed, unprepared(draft) is not None
    for host, journey in list(draft.journeys.items()):
        lost = bool(observed.silent_balancers) or (journey.step is Step.TESTING and not observed.runners)
        lost = lost or stands_still(draft, journey) or (waits and journey.step is Step.LEAVING)
        if journey.step in (Step.WAITING, Step.FAILED) or not (lost or observed.changed is None):
            continue
        elapsed = journey.elapsed if lost else elapsed_of(journey, draft.now, observed.watching_since)
        draft.put(host, journey.model_copy(update={"elapsed": elapsed, "accounted": draft.now}))


def _advance(draft: Draft, hosts: Iterable[str]) -> None:
    observed, (_, waits) = draft.observed, unprepared(draft) or ("", "")
    for host in hosts:
        journey, facts = draft.journeys[host], draft.facts(host)
        if stands_still(draft, journey):
            draft.put(host, journey.model_copy(update={"reason": f"{facts.claimed_by} has it on a journey"}))
            continue
        operations, runners = observed.operations, observed.runners
        at = Situation(draft.target, facts, operations, runners, draft.now, observed.watching_since, waits)
        following = advance(journey, at)
        if following is None:
            draft.event(
                "HostConverged", f"{draft.target.name}/{host}", "Arrived", f"runs {draft.target.version or 'nothing'}"
            )
        elif following.step is not journey.step:
            draft.event("HostMoved", f"{draft.target.name}/{host}", following.step.capitalize(), following.reason)
        elif following.tries != journey.tries:
            draft.event("HostRetried", f"{draft.target.name}/{host}", "Deployment", following.failure)
        draft.put(host, following)


def _ask(draft: Draft) -> None:
    """Bring what is asked of nodes in line with where each host is now."""
    _ask_pools(draft)
    soon = _soon(draft)
    for host in sorted(_to_ask_about(draft, soon)):
        _ask_about(draft, draft.facts(host), _may_fetch(draft, host, soon))
    _request_operations(draft)
    see_off(draft)
    wanted = {(write.node, write.key) for write in draft.writes if isinstance(write, PutEntry)}
    draft.writes += [DropEntry(node, key) for node, key in draft.observed.stray if (node, key) not in wanted]


def _may_fetch(draft: Draft, host: str, soon: set[str]) -> bool:
    """Whether the host may fetch the release now; one that has begun goes on."""
    journey = draft.journeys.get(host)
    if journey is not None:
        return journey.step in (Step.WAITING, Step.DRAINING, Step.LEAVING)
    return host in soon or (draft.status.hold is None and _fetches(draft, host))


def _soon(draft: Draft) -> set[str]:
    """Hosts of the batch after this one: they fetch their artifact already, once this batch is out.

    Before that they would take the network from hosts on which customers' requests wait to end.
    """
    leaving = any(_leaves(journey) for journey in draft.journeys.values())
    if not draft.status.batch or draft.status.hold or leaving or draft.target.is_observed:
        return set()
    size = batch_size(draft.target.rollout.batches, draft.status.batch + 1, len(draft.target.hosts))
    following = draft.observed.index.next_hosts(size + len(draft.journeys))
    return set([host for host in following if host not in draft.journeys][:size])


def _leaves(journey: Journey | None) -> bool:
    """Whether customers' requests to it may still have to end."""
    return journey is not None and journey.step in (Step.DRAINING, Step.LEAVING)


def _to_ask_about(draft: Draft, soon: set[str]) -> set[str]:
    """Hosts of which what is asked may have to change."""
    observed = draft.observed
    if observed.changed is None:
        return (observed.index.unsettled | draft.journeys.keys() | draft.moved | soon) & draft.target.hosts.keys()
    left = any(_leaves(observed.journeys.get(host)) for host in draft.moved)
    next_ones = {host for host in soon if not _fetches(draft, host)} if left else set()
    return (observed.changed & draft.target.hosts.keys()) | (draft.moved & draft.target.hosts.keys()) | next_ones


def _fetches(draft: Draft, host: str) -> bool:
    """Whether the host was asked to fetch the release already, or runs it."""
    asked = draft.observed.facts(host).assigned_service()
    if asked is None or draft.target.release is None:
        return asked is not None
    return any(release is not None and release.digest == draft.target.digest for release in (asked.release, asked.next))


def _ask_pools(draft: Draft) -> None:
    wanted = {
        (node.name, pool_key(name)): pool_value(pool.driver, "ready" if name == pool.online else "maint")
        for pool in draft.target.pools
        for node in pool.nodes
        for name in pool.names
    }
    for (node, key), value in wanted.items():
        if draft.observed.pool_entries.get((node, key)) != value:
            draft.writes.append(PutEntry(node, key, value))


def _ask_about(draft: Draft, facts: HostFacts, fetch: bool) -> None:
    wanted = entries_for(draft.target, facts, fetch)
    for (node, key), value in wanted.items():
        entry = facts.entries.get((node, key))
        if entry is None or entry.value != value:
            draft.writes.append(PutEntry(node, key, value))
    for node, key in facts.entries:
        if (node, key) not in wanted:
            draft.writes.append(DropEntry(node, key))


def _request_operations(draft: Draft) -> None:
    """Request the gate that is due for each host, and forget operations that nobody waits for.

    An operation is written last: it says that its runner was asked, or still is, and nobody looks there again.
    """
    observed, needed = draft.observed, set()
    asked_no_more = {write for write in draft.writes if isinstance(write, DropEntry)}
    for host, journey in sorted(draft.journeys.items()):
        due = journey.step in _GATED and journey.reason.startswith("gate ") and not draft.target.unsigned
        if due and draft.concerns(host):
            _request(draft, host, _GATED[journey.step])
        if journey.step in _GATED or journey.step is Step.FAILED:
            needed.add(host)
    for operation in observed.operations.values():
        if operation.host not in needed if operation.host else not is_kept(draft, operation):
            entry = DropEntry(operation.node, operation_key(operation.id))
            if entry not in asked_no_more:
                draft.writes.append(entry)
            draft.writes.append(DropOperation(operation.id))


_GATED: dict[Step, When] = {Step.TESTING: "maintenance", Step.SOAKING: "online"}


def _request(draft: Draft, host: str, when: When) -> None:
    target, observed, facts = draft.target, draft.observed, draft.facts(host)
    operation = next_operation(target, facts, draft.journeys[host], observed.operations, observed.runners, when)
    if operation is not None:
        key, value = operation_key(operation.id), written(operation.spec)
        draft.writes.append(PutEntry(operation.node, key, value))
        draft.writes.append(PutOperation(operation))


def _changes(draft: Draft) -> list[Write]:
    """Journeys and status that differ from what is stored."""
    before, writes = draft.observed.journeys, list[Write]()
    for host, journey in sorted(draft.journeys.items()):
        if before.get(host) is not journey and before.get(host) != journey:
            writes.append(PutJourney(journey))
    writes += [DropJourney(host) for host in sorted(before.keys() - draft.journeys.keys())]
    if draft.status != draft.observed.status:
        writes.append(PutStatus(draft.status))
    return writes


def _wake_at(draft: Draft) -> datetime | None:
    times = [
        wakes_at(journey, draft.target, draft.now, draft.observed.watching_since) for journey in draft.journeys.values()
    ]
    times += [each.until for each in obstacles(draft)]
    times.append(deadline_at(draft))
    times += [*leaving_wakes_at(draft), *lost_at(draft)]
    return min((time for time in times if time is not None), default=None)
