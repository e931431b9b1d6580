"""How a target stands after a pass: its conditions, and whether its rollout has succeeded."""

from typing import Literal

from crds.status import Step
from reconcilers.batch import needs_downtime
from reconcilers.classify import Standing
from reconcilers.conditions import set_condition
from reconcilers.draft import Draft
from reconcilers.obstacles import obstacle, obstacles
from reconcilers.turns import take_turn

_NAMED = 5
"""Hosts that a message names before it says "and N more"."""


def conclude(draft: Draft) -> None:
    """Set counts and conditions, and end the rollout once every host but the excluded ones has arrived."""
    counts = draft.observed.index.counts()
    draft.status = draft.status.model_copy(update={"counts": counts})
    complete = not draft.journeys and counts.total > 0 and counts.current + counts.excluded == counts.total
    if complete:
        _finish(draft)
    take_turn(draft)
    stalled = _stalled(draft)
    _condition(draft, "Stalled", stalled)
    _condition(draft, "Reconciling", None if complete or stalled else _reconciling(draft))
    _ready(draft, complete)


def _finish(draft: Draft) -> None:
    draft.status = draft.status.model_copy(update={"hold": None})
    if draft.status.finished is None:
        draft.status = draft.status.model_copy(update={"finished": draft.now, "succeeded_digest": draft.target.digest})
        draft.event("RolloutSucceeded", draft.target.name, "Converged", f"version {draft.target.version or 'none'}")


def _condition(draft: Draft, kind: str, because: tuple[str, str] | None) -> None:
    value: Literal["True", "False"] = "True" if because else "False"
    reason, message = because or (f"Not{kind}", "")
    draft.status = set_condition(draft.status, kind, value, reason, message, draft.now)


def _ready(draft: Draft, complete: bool) -> None:
    counts, version = draft.status.counts, draft.target.version or "nothing"
    message = f"{counts.current} of {counts.total} hosts run {version}, healthy and online"
    if counts.excluded:
        message += f"; excluded: {_names(draft, Standing.EXCLUDED)}"
    reason = "Converged" if complete else "NotConverged"
    draft.status = set_condition(draft.status, "Ready", "True" if complete else "False", reason, message, draft.now)


def _stalled(draft: Draft) -> tuple[str, str] | None:
    """Why nothing will move until somebody changes something."""
    if not draft.target.hosts:
        return "NoHosts", "the service's selector matches no host of the fleet; change spec.hosts or a host's labels"
    for each in obstacles(draft):
        if each.stalls and draft.status.counts.current < draft.status.counts.total:
            return each.reason, each.message
    if not draft.journeys and needs_downtime(draft):
        return "NeedsDowntime", "the only host serves customers; write rollout.downtime: allowed, or add a host"
    return None


def _reconciling(draft: Draft) -> tuple[str, str]:
    """What the target waits for now."""
    if in_the_way := obstacle(draft):
        return in_the_way.reason, in_the_way.message
    waiting = [journey for journey in draft.journeys.values() if journey.step is Step.WAITING]
    if draft.journeys and len(waiting) == len(draft.journeys):
        return "Waiting", f"{waiting[0].host}: {waiting[0].reason}"
    if draft.journeys:
        moving = [f"{journey.host} {journey.step}" for journey in draft.journeys.values() if journey not in waiting]
        return "BatchUnderWay", f"batch {draft.status.batch}: {_listed(moving, len(moving))}"
    if draft.observed.index.candidates:
        return "NextBatch", "the next batch begins"
    for standing in (Standing.UNKNOWN, Standing.UNHEALTHY):
        if draft.observed.index.standings[standing]:
            return f"Hosts{standing.capitalize()}", _names(draft, standing)
    return "Settling", "the last answers are awaited"


def _names(draft: Draft, standing: Standing) -> str:
    index = draft.observed.index
    names = index.named.get(standing, [])
    return _listed([f"{name} ({index.hosts[name].why})" for name in names[:_NAMED]], len(names))


def _listed(words: list[str], total: int) -> str:
    rest = total - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
