"""Turns: whether a target's rollout is under way, and what it waits for among the limits of its fleet."""

from datetime import timedelta

from crds.status import Step, Turn
from reconcilers.batch import needs_downtime
from reconcilers.draft import Draft
from reconcilers.limits import ROLLOUTS
from reconcilers.obstacles import ROLLOUTS_LIMITED, obstacles
from reconcilers.stages import PREPARING


def take_turn(draft: Draft) -> None:
    """Note both in the status, where other targets' planning finds it."""
    draft.status = draft.status.model_copy(update={"under_way": _under_way(draft)})
    draft.status = draft.status.model_copy(update={"turn": _turn(draft)})


def _under_way(draft: Draft) -> bool:
    """A rollout is under way from its first batch to its end, but for times in which it could not move anyway.

    One that is held, or of which everybody waits for something else, must not keep others from moving.
    """
    if any(journey.step not in (Step.WAITING, Step.FAILED) for journey in draft.journeys.values()):
        return True
    goes_on = draft.status.under_way and draft.status.finished is None and draft.has_hosts_to_take()
    return goes_on and not draft.stuck and not needs_downtime(draft) and not any(obstacles(draft))


def _turn(draft: Draft) -> Turn | None:
    """It keeps its turn until it has taken out a host, or wants none any more."""
    limits = set(draft.lacking)
    in_the_way = {each.reason for each in obstacles(draft)}
    # What is prepared once for the rollout waits for the same place, and keeps nobody from his turn.
    if ROLLOUTS_LIMITED in in_the_way and in_the_way <= {ROLLOUTS_LIMITED, *PREPARING} and not needs_downtime(draft):
        limits.add(ROLLOUTS)
    if not limits:
        return None
    before = draft.status.turn
    since = before.since if before else draft.now
    # Right behind everybody who waits by now.
    return Turn(limits=sorted(limits), since=draft.now + timedelta(microseconds=1) if draft.started else since)
