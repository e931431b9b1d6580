"""Batches: who goes next, and when each of them may be taken out."""

from collections.abc import Mapping
from dataclasses import replace

from crds.base import format_duration
from crds.status import Journey, Step
from reconcilers.classify import classify, drift_of
from reconcilers.draft import Draft
from reconcilers.facts import HostFacts, online_places
from reconcilers.index import CandidateKey, Need, is_candidate
from reconcilers.journey import FETCH_PATIENCE, moved
from reconcilers.obstacles import obstacle
from reconcilers.room import Room
from reconcilers.sizes import batch_size
from reconcilers.watched import watched_from


def start_batch(draft: Draft) -> None:
    """Choose the hosts of the next batch, once nobody of the last one is under way and nothing holds the rollout."""
    candidates = draft.observed.index.candidates
    under_way = _has_ended(draft) or is_under_way(draft.observed.journeys) or is_under_way(draft.journeys)
    if under_way or not candidates or needs_downtime(draft) or obstacle(draft, serving=_serves(candidates[0])):
        return
    if draft.status.finished is not None:
        draft.event("RolloutStarted", draft.target.name, "Drift", "hosts are new, out, or run something else")
        draft.status = draft.status.model_copy(update={"batch": 0, "started": draft.now, "finished": None})
    number, hosts = next_batch(draft)
    if obstacle(draft) is not None:
        # Only mending is possible now: hosts that serve are left for later.
        hosts = [host for host in hosts if not draft.observed.index.hosts[host].available]
    draft.status = draft.status.model_copy(update={"batch": number, "under_way": True})
    draft.event("BatchStarted", draft.target.name, "Batch", f"batch {number}: {', '.join(hosts)}")
    for host in hosts:
        _note_drift(draft, host)
        draft.put(host, _chosen(draft, draft.facts(host), number))


def _note_drift(draft: Draft, host: str) -> None:
    """Put on record what the host runs that nobody brought it to, before its journey mends that."""
    if drift := drift_of(draft.target, draft.facts(host)):
        draft.status = draft.status.model_copy(update={"drifted": {**draft.status.drifted, host: drift}})
        draft.event("HostDrifted", f"{draft.target.name}/{host}", "Repaired", drift)


def _has_ended(draft: Draft) -> bool:
    """A journey has ended in this very pass; what follows waits for the next one: the index does not know of it yet."""
    return bool(draft.observed.journeys.keys() - draft.journeys.keys())


def next_batch(draft: Draft) -> tuple[int, list[str]]:
    """Number and hosts, in order, of the batch that comes next once nobody is under way and nothing is in the way.

    A zone that is short of hosts already gives none that it would miss, as long as another one has any to give.
    """
    index = draft.observed.index
    number = 1 if draft.status.finished is not None else draft.status.batch + 1
    size = batch_size(draft.target.rollout.batches, number, len(draft.target.hosts))
    return number, index.next_hosts(size, Room(draft).barred()) or index.next_hosts(size)


def is_under_way(journeys: Mapping[str, Journey]) -> bool:
    """A batch has not ended: some host has neither arrived nor failed."""
    return any(journey.step is not Step.FAILED for journey in journeys.values())


def needs_downtime(draft: Draft) -> bool:
    """The only host serves customers, nobody would replace it, and downtime was not allowed."""
    rollout, candidates = draft.target.rollout, draft.observed.index.candidates
    alone = len(draft.target.hosts) == 1 and rollout.downtime != "allowed" and draft.target.release is not None
    return alone and bool(candidates) and _serves(candidates[0])


def _serves(candidate: CandidateKey) -> bool:
    return candidate[0] is Need.BUDGET


def _chosen(draft: Draft, facts: HostFacts, number: int) -> Journey:
    service = facts.service
    return Journey(
        host=facts.host.name,
        digest=draft.target.digest,
        batch=number,
        step=Step.WAITING,
        begun=draft.now,
        since=draft.now,
        accounted=draft.now,
        before=service.identity if service else None,
        before_digest=service.digest if service else None,
        restart=facts.restart,
    )


def let_go(draft: Draft) -> None:
    """End the journeys of waiting hosts that no journey would help now: silent, taken out by a person, or mended.

    Likewise of those that cannot be taken out while nobody else is under way, if another host could be: one that is out
    already, or is in a zone that is not short of hosts. Otherwise one of them would keep all others from their turn. A
    batch that is left empty is chosen again under its number, so that a canary that fell silent is followed by another
    one, not by a larger batch.
    """
    if draft.observed.silent_balancers:
        return
    waiting = _waiting(draft)
    blocked = _others_could_go(draft, waiting)
    for host in waiting if blocked else [host for host in waiting if draft.concerns(host)]:
        now = classify(draft.target, replace(draft.facts(host), journey=None))
        if blocked or not is_candidate(now):
            draft.put(host, None)
    if waiting and not is_under_way(draft.journeys):
        draft.status = draft.status.model_copy(update={"batch": max(draft.status.batch - 1, 0)})


def _others_could_go(draft: Draft, waiting: list[str]) -> bool:
    """Nobody who is under way can be taken out now, and somebody else can."""
    under_way = sum(journey.step is not Step.FAILED for journey in draft.journeys.values())
    if not waiting or len(waiting) < under_way or _has_ended(draft):
        return False
    room, index = Room(draft), draft.observed.index
    in_the_way = {serving: bool(obstacle(draft, serving)) for serving in (True, False)}

    def can_go(host: str) -> bool:
        return not in_the_way[index.hosts[host].available] and not room.lacks(host)

    return not any(map(can_go, waiting)) and any(map(can_go, index.next_hosts(1, room.barred())))


def start_waiting(draft: Draft) -> list[str]:
    """Take out as many of the batch's waiting hosts as the budget allows; says which.

    Only taking out an available host spends budget. Whatever is unavailable already, for whatever cause, is counted
    against it and may always be mended, so that a broken fleet can receive its fix.
    """
    started, room, fetches = list[str](), Room(draft), False
    in_the_way = {serving: obstacle(draft, serving) for serving in (True, False)}
    for host in _waiting(draft):
        facts = draft.facts(host)
        general = in_the_way[draft.observed.index.hosts[host].available]
        because = general.message if general else _waits_for(facts)
        first = "" if because else _fetches_first(draft, facts)
        because, fetches = because or first or room.lacks(host), fetches or bool(first)
        if because:
            draft.put(host, draft.journeys[host].model_copy(update={"reason": because}))
            continue
        room.take(host)
        step = _first_step(draft, facts)
        draft.put(host, moved(draft.journeys[host], step, draft.now, 0.0))
        draft.event("HostMoved", f"{draft.target.name}/{host}", step.capitalize(), "")
        started.append(host)
    draft.lacking, draft.started = room.lacking, bool(started)
    draft.stuck = bool(draft.journeys) and not fetches and all(not _moves(each) for each in draft.journeys.values())
    return started


def _moves(journey: Journey) -> bool:
    return journey.step not in (Step.WAITING, Step.FAILED)


def _waiting(draft: Draft) -> list[str]:
    """Waiting hosts, in the order of their turns."""
    waiting = [host for host, journey in draft.journeys.items() if journey.step is Step.WAITING]
    return sorted(waiting, key=lambda host: draft.target.hosts[host].rank)


def _waits_for(facts: HostFacts) -> str:
    """In words, why this very host cannot be taken out now whatever the budget says; empty if it can."""
    if facts.silent:
        return facts.silence()
    return f"{facts.claimed_by} has it on a journey" if facts.claimed_by else ""


def _fetches_first(draft: Draft, facts: HostFacts) -> str:
    """In words, that a host of a later batch still fetches the release; empty once it has, or time is up."""
    journey, service = draft.journeys[facts.host.name], facts.service
    waited = (draft.now - watched_from(journey.begun, draft.now, draft.observed.watching_since)).total_seconds()
    assigned = facts.assigned_service()
    nothing_runs = assigned is None or assigned.release is None or draft.target.release is None
    needless = nothing_runs or service is None or service.digest == draft.target.digest
    if journey.batch == 1 or needless or waited >= FETCH_PATIENCE:
        return ""
    fetched = service is not None and service.fetched == draft.target.digest
    return "" if fetched else f"fetches the artifact first, for at most {format_duration(FETCH_PATIENCE)}"


def _first_step(draft: Draft, facts: HostFacts) -> Step:
    """A host that no balancer sends customers to is not drained: there is nothing to wait for."""
    servers = [facts.servers.get((node, pool.online)) for node, pool in online_places(draft.target)]
    out = bool(servers) and all(server is not None and server.admin == "maint" for server in servers)
    return Step.LEAVING if out else Step.DRAINING
