"""Batches: who goes next, and when each of them may be taken out."""

from dataclasses import replace

from crds.base import format_duration
from crds.status import Journey, Step
from reconcilers.classify import classify
from reconcilers.draft import Draft
from reconcilers.facts import HostFacts, online_places
from reconcilers.index import is_candidate
from reconcilers.journey import FETCH_PATIENCE, moved, watched_from
from reconcilers.sizes import batch_size, budget


def start_batch(draft: Draft) -> None:
    """Choose the hosts of the next batch, once nobody of the last one is under way and nothing holds the rollout."""
    candidates = draft.observed.index.candidates
    # A journey that has ended in this very pass waits for the next one: the index does not know of it yet.
    if draft.observed.journeys or draft.status.hold or draft.observed.silent_balancers or not candidates:
        return
    if needs_downtime(draft) or draft.target.unsigned:
        return
    if draft.status.finished is not None:
        draft.event("RolloutStarted", draft.target.name, "Drift", "hosts are new, out, or run something else")
        draft.status = draft.status.model_copy(update={"batch": 0, "started": draft.now, "finished": None})
    number = draft.status.batch + 1
    size = batch_size(draft.target.rollout.batches, number, len(draft.target.hosts))
    hosts = draft.observed.index.next_hosts(size)
    draft.status = draft.status.model_copy(update={"batch": number})
    draft.event("BatchStarted", draft.target.name, "Batch", f"batch {number}: {', '.join(hosts)}")
    for host in hosts:
        draft.put(host, _chosen(draft, draft.facts(host), number))


def needs_downtime(draft: Draft) -> bool:
    """The only host serves customers, nobody would replace it, and downtime was not allowed."""
    rollout, candidates = draft.target.rollout, draft.observed.index.candidates
    alone = len(draft.target.hosts) == 1 and rollout.downtime != "allowed" and draft.target.release is not None
    return alone and bool(candidates) and candidates[0][0]


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
    )


def let_go(draft: Draft) -> None:
    """End the journeys of waiting hosts that no journey would help now: silent, taken out by a person, or mended.

    Likewise of those that only wait for the budget while another host serves nobody and could be mended at once.
    Otherwise one of them would keep all others from their turn. A batch that is left empty is chosen again under its
    number, so that a canary that fell silent is followed by another one, not by a larger batch.
    """
    if draft.observed.silent_balancers:
        return
    index = draft.observed.index
    mend_first = index.unavailable >= _allowed(draft) and any(not serves for serves, _ in index.candidates[:1])
    waiting = [host for host, journey in draft.journeys.items() if journey.step is Step.WAITING]
    for host in [host for host in waiting if mend_first or draft.concerns(host)]:
        now = classify(draft.target, replace(draft.facts(host), journey=None))
        if not is_candidate(now) or (mend_first and now.available):
            draft.put(host, None)
    if waiting and not draft.journeys:
        draft.status = draft.status.model_copy(update={"batch": max(draft.status.batch - 1, 0)})


def start_waiting(draft: Draft) -> list[str]:
    """Take out as many of the batch's waiting hosts as the budget allows; says which.

    Only taking out an available host spends budget. Whatever is unavailable already, for whatever cause, is counted
    against it and may always be mended, so that a broken fleet can receive its fix.
    """
    index, allowed = draft.observed.index, _allowed(draft)
    unavailable, started = index.unavailable, []
    for host in [host for host, journey in draft.journeys.items() if journey.step is Step.WAITING]:
        facts = draft.facts(host)
        available = index.hosts[host].available
        obstacle = _obstacle(draft, facts)
        if not obstacle and available and unavailable >= allowed:
            obstacle = f"{unavailable} of {len(index.hosts)} hosts are unavailable, and maxUnavailable allows {allowed}"
        if obstacle:
            draft.put(host, draft.journeys[host].model_copy(update={"reason": obstacle}))
            continue
        unavailable += available
        first = _first_step(draft, facts)
        draft.put(host, moved(draft.journeys[host], first, draft.now, 0.0))
        draft.event("HostMoved", f"{draft.target.name}/{host}", first.capitalize(), "")
        started.append(host)
    return started


def _allowed(draft: Draft) -> int:
    """Hosts that may be unavailable; a service that is to be removed need not be kept available."""
    rollout, total = draft.target.rollout, len(draft.target.hosts)
    if draft.target.release is None:
        return total
    return budget(rollout.max_unavailable, total, rollout.downtime == "allowed")


def _obstacle(draft: Draft, facts: HostFacts) -> str:
    """In words, why the host cannot be taken out now whatever the budget says; empty if it can."""
    if draft.target.unsigned:
        return draft.target.unsigned
    if draft.observed.silent_balancers:
        return draft.observed.silent_balancers[0]
    if facts.silent:
        return facts.silence()
    if facts.claimed_by:
        return f"{facts.claimed_by} has it on a journey"
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
