"""Lost hosts: silent for so long (``rollout.lostAfter``) that nobody waits for them any more.

They stay unavailable, are listed, and are never acted on; they only keep nothing from succeeding. Whoever comes back is
converged like any other host before it is let in.
"""

from datetime import datetime, timedelta

from crds.base import format_duration
from crds.status import Step
from reconcilers.classify import Standing
from reconcilers.draft import Draft


def leave_lost_behind(draft: Draft) -> None:
    """End the journeys of hosts that are lost. Where they were taken out of pools, they stay out."""
    after = draft.target.rollout.lost_after
    if after is None:
        return
    for host, journey in list(draft.journeys.items()):
        if journey.step is not Step.WAITING and draft.facts(host).lost(after, draft.now):
            draft.put(host, None)
            goes_on = f"the rollout goes on without it; it was {journey.step}"
            words = f"{_not_heard(draft, host)}, and lostAfter is {format_duration(after)}: {goes_on}"
            draft.event("HostLost", f"{draft.target.name}/{host}", "Silent", words)


def _not_heard(draft: Draft, host: str) -> str:
    """In words, since when: longer than ``lostAfter`` where that is shorter than it takes to count as silent."""
    since = draft.facts(host).silent_since or draft.now
    return f"not heard from for {format_duration(int((draft.now - since).total_seconds()))}"


def lost_hosts(draft: Draft) -> list[str]:
    """Hosts that are lost, once nobody else is missing: before that, others are waited for in any case."""
    after = draft.target.rollout.lost_after
    return [host for host in _missing(draft) if draft.facts(host).lost(after, draft.now)]


def lost_at(draft: Draft) -> list[datetime]:
    """When silent hosts will be lost that are waited for now."""
    after = draft.target.rollout.lost_after
    if after is None:
        return []
    waited_for = {*_missing(draft), *(host for host, each in draft.journeys.items() if each.step is not Step.WAITING)}
    since = [facts.silent_since for facts in map(draft.facts, sorted(waited_for)) if facts.silent_since is not None]
    times = [began + timedelta(seconds=after, microseconds=1) for began in since]
    return [at for at in times if at > draft.now]


def _missing(draft: Draft) -> list[str]:
    """Unknown hosts, if all others have arrived."""
    index = draft.observed.index
    of, total = index.standings, len(draft.target.hosts)
    arrived = of[Standing.CURRENT] + of[Standing.EXCLUDED]
    others = arrived + of[Standing.UNKNOWN] == total and of[Standing.CURRENT] > 0
    if draft.target.rollout.lost_after is None or not others or not of[Standing.UNKNOWN]:
        return []
    return sorted(host for host, each in index.hosts.items() if each.standing is Standing.UNKNOWN)
