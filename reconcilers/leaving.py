"""Hosts that are none of the target's any more: out of the pools first, then the service is stopped, then forgotten.

Such a host makes the journey of a removed service, alone: it is drained on every balancer node, set to MAINT, and only
then told to remove the service. It is counted nowhere; but as long as it serves, it goes only while the hosts that
stay are as available as the budget asks, so that hosts can be replaced in one commit.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from crds.status import Cause, Journey, Step
from reconcilers.draft import Draft
from reconcilers.entries import entries_for
from reconcilers.facts import HostFacts
from reconcilers.fragments import server_key
from reconcilers.journey import Situation, advance, moved, wakes_at
from reconcilers.obstacles import obstacles
from reconcilers.room import allowed
from reconcilers.sizes import batch_size
from reconcilers.target import PoolSpec, TargetSpec
from reconcilers.words import listed
from reconcilers.writes import DropEntry, PutEntry

_BARS = {"Observed", "Unclaimed", "Undecided", "Paused", "BalancerSilent", "Frozen"}
"""Obstacles that keep hosts from leaving, too; a release that failed, or waits, does not."""


def see_off(draft: Draft) -> None:
    """Bring every host that leaves a step further, and let the next ones begin."""
    leavers = {host: draft.observed.leaver(host) for host in sorted(draft.observed.leavers)}
    under_way = {host: journey for host, journey in draft.status.leaving.items() if host in leavers}
    waits = _waits_for(draft) if leavers else ""
    if not waits:
        _begin(draft, leavers, under_way)
    for host, journey in list(under_way.items()):
        following = _advance(draft, journey, leavers[host])
        if following is None:
            del under_way[host]
            _forget(draft, leavers[host])
        else:
            under_way[host] = following
            _ask(draft, replace(leavers[host], journey=following))
    rest = leavers.keys() - under_way.keys() - draft.forgotten
    waits = (waits or "its turn comes") if rest else ""
    if (under_way, waits) != (draft.status.leaving, draft.status.leaving_waits):
        draft.status = draft.status.model_copy(update={"leaving": under_way, "leaving_waits": waits})


def does(journey: Journey) -> str:
    """What becomes of a host that leaves, in a word: nothing is deployed there, although it is that step."""
    return "removing" if journey.step is Step.DEPLOYING else journey.step.value


def leaving_words(draft: Draft) -> str:
    """In words, who leaves and what each waits for; empty if nobody does."""
    if draft.target.is_observed:
        return ""
    under_way = [f"{host} {does(each)} ({each.reason or 'goes on'})" for host, each in draft.status.leaving.items()]
    rest = sorted(draft.observed.leavers - draft.status.leaving.keys() - draft.forgotten)
    return listed(under_way + [f"{host} (waits: {draft.status.leaving_waits})" for host in rest])


def leaving_wakes_at(draft: Draft) -> list[datetime]:
    """When time alone would move hosts that leave; a singleton that has left one begins elsewhere at once."""
    found: list[datetime | None] = [draft.now] if draft.target.singleton and draft.forgotten else []
    for host, journey in draft.status.leaving.items():
        facts = draft.observed.leaver(host)
        spec, lost_after = _parting(draft.target, facts), draft.target.rollout.lost_after
        found.append(wakes_at(journey, spec, draft.now, draft.observed.watching_since))
        if facts.silent_since is not None and lost_after is not None and journey.step is Step.DEPLOYING:
            lost = facts.silent_since + timedelta(seconds=lost_after)
            found.append(lost if lost > draft.now else None)
    return [at for at in found if at is not None]


def _begin(draft: Draft, leavers: dict[str, HostFacts], under_way: dict[str, Journey]) -> None:
    rollout, total = draft.target.rollout, len(draft.target.hosts)
    free = max(batch_size(rollout.batches, len(rollout.batches), total), 1) - len(under_way)
    may = [host for host, facts in leavers.items() if not facts.claimed_by and not facts.excluded]
    for host in [host for host in may if host not in under_way][: max(free, 0)]:
        waiting = Journey(
            host=host,
            digest="absent",
            batch=1,
            step=Step.WAITING,
            begun=draft.now,
            since=draft.now,
            accounted=draft.now,
        )
        under_way[host] = moved(waiting, Step.DRAINING, draft.now, 0.0)
        draft.event("HostLeaves", f"{draft.target.name}/{host}", "Removed", "it is none of the target's any more")


def _waits_for(draft: Draft) -> str:
    """In words, why nobody begins to leave now; empty if they may."""
    barred = next((each.message for each in obstacles(draft) if each.reason in _BARS), "")
    missing, most = draft.observed.index.unavailable, allowed(draft.target)
    if not barred and missing > most.hosts and not draft.target.singleton:
        stay = len(draft.target.hosts)
        return f"{missing} of {stay} hosts that stay are unavailable, and {most.by} allows {most.hosts}"
    return barred


def _advance(draft: Draft, journey: Journey, facts: HostFacts) -> Journey | None:
    """The journey from here; None once the service is gone from the host, or nobody is left to say so."""
    spec, known = _with_lines(_parting(draft.target, facts), facts)
    at = Situation(spec, replace(known, journey=journey), {}, (), draft.now, draft.observed.watching_since)
    following = advance(journey, at)
    if following is None or _is_lost(draft, following, facts):
        return None
    if following.step is not Step.FAILED:
        return following
    if following.out and following.cause is Cause.SILENCE and not draft.target.singleton:
        return None
    # Nothing of it may be left half-way: it begins anew, and says why it did not get there.
    again = moved(following, Step.DRAINING, draft.now, 0.0, following.reason)
    return again.model_copy(update={"begun": draft.now})


def _is_lost(draft: Draft, journey: Journey, facts: HostFacts) -> bool:
    """Out of every pool, and its agent silent for longer than anybody waits; for a singleton a person must say so."""
    if draft.target.singleton:
        return journey.step is Step.DEPLOYING and facts.revoked
    return journey.step is Step.DEPLOYING and facts.lost(draft.target.rollout.lost_after, draft.now)


def _parting(target: TargetSpec, facts: HostFacts) -> TargetSpec:
    """What the host is to be: without the service."""
    return replace(target, release=None, hosts={facts.host.name: facts.host})


def _with_lines(parting: TargetSpec, facts: HostFacts) -> tuple[TargetSpec, HostFacts]:
    """The same, as far as balancers have a line for the host: where it is gone already, nobody need let it go.

    It is asked about all the same, since only a node that was asked by name can say that there is none.
    """
    pools = list[PoolSpec]()
    for pool in parting.pools:
        for node in pool.nodes:
            tests = None if (node.name, pool.maintenance) in facts.lineless else pool.maintenance
            if (node.name, pool.online) not in facts.lineless:
                pools.append(replace(pool, nodes=(node,), maintenance=tests))
    lines = {(node.name, server_key(n, facts.host.name)) for pool in pools for node in pool.nodes for n in pool.names}
    kept = {key: entry for key, entry in facts.entries.items() if key in lines or not key[1].startswith("server/")}
    return replace(parting, pools=tuple(pools)), replace(facts, entries=kept)


def _ask(draft: Draft, facts: HostFacts) -> None:
    wanted = entries_for(_parting(draft.target, facts), facts)
    for (node, key), value in wanted.items():
        entry = facts.entries.get((node, key))
        if entry is None or entry.value != value:
            draft.writes.append(PutEntry(node, key, value))
    draft.writes += [DropEntry(node, key) for node, key in facts.entries if (node, key) not in wanted]


def _forget(draft: Draft, facts: HostFacts) -> None:
    name = facts.host.name
    draft.forgotten.add(name)
    draft.writes += [DropEntry(node, key) for node, key in sorted(facts.entries)]
    confirmed = "its service is stopped and removed" if not facts.silent else f"{facts.silence()}; it left every pool"
    draft.event("HostForgotten", f"{draft.target.name}/{name}", "Removed", confirmed)
