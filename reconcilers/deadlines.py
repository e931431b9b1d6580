"""Deadlines of a batch and of a rollout. Only watched time counts, and only while somebody could move.

The stopwatch is kept in the status, so that it survives the controller; what passes while no controller watches does
not count. It stands while anything keeps hosts from being taken out (a hold, a pause, a freeze, a lost balancer node:
see obstacles.py), and while each host under way is silent, or waits for a runner that is lost.
"""

from datetime import datetime, timedelta

from crds.base import format_duration
from crds.service import Rollout
from crds.status import Step, Stopwatch
from reconcilers.batch import needs_downtime
from reconcilers.draft import Draft
from reconcilers.obstacles import obstacle
from reconcilers.watched import watched_from


def keep_stopwatch(draft: Draft) -> None:
    """Note what has passed since the last look, and whether time counts from now on.

    What is noted without need would be written again and again: it is enough when all hosts are looked at, or when the
    answer to one of the questions changes.
    """
    before = draft.status.stopwatch
    if not _limits(draft.target.rollout) or draft.status.finished is not None:
        if before is not None:
            draft.status = draft.status.model_copy(update={"stopwatch": None})
        return
    if before is None:
        before = Stopwatch(accounted=draft.now)
    elapsed, runs, moved = elapsed_of(before, draft.now, draft.observed.watching_since), _runs(draft), _moved(draft)
    if not moved and runs == before.running and draft.observed.changed is not None and draft.status.stopwatch:
        return
    progressed = elapsed if moved else before.progressed
    noted = Stopwatch(elapsed=elapsed, progressed=progressed, accounted=draft.now, running=runs)
    draft.status = draft.status.model_copy(update={"stopwatch": noted})


def elapsed_of(stopwatch: Stopwatch, now: datetime, watching_since: datetime) -> float:
    """Seconds of the rollout that counted until now."""
    if not stopwatch.running:
        return stopwatch.elapsed
    return stopwatch.elapsed + (now - watched_from(stopwatch.accounted, now, watching_since)).total_seconds()


def overdue(draft: Draft) -> tuple[str, str] | None:
    """The deadline that has passed: its reason in one word, and in a sentence. The batch's comes first."""
    stopwatch, rollout = draft.status.stopwatch, draft.target.rollout
    if stopwatch is None:
        return None
    elapsed = elapsed_of(stopwatch, draft.now, draft.observed.watching_since)
    if rollout.progress_deadline is not None and elapsed - stopwatch.progressed >= rollout.progress_deadline:
        said = format_duration(rollout.progress_deadline)
        return "ProgressDeadlineExceeded", f"batch {draft.status.batch} made no progress within {said}: {_still(draft)}"
    if rollout.rollout_deadline is not None and elapsed >= rollout.rollout_deadline:
        said = format_duration(rollout.rollout_deadline)
        return "RolloutDeadlineExceeded", f"the rollout is not done within {said}: {_still(draft)}"
    return None


def deadline_at(draft: Draft) -> datetime | None:
    """When time alone would make the rollout overdue; None if it would not."""
    stopwatch, rollout = draft.status.stopwatch, draft.target.rollout
    if stopwatch is None or not stopwatch.running:
        return None
    elapsed = elapsed_of(stopwatch, draft.now, draft.observed.watching_since)
    ends = [rollout.rollout_deadline]
    if rollout.progress_deadline is not None:
        ends.append(stopwatch.progressed + rollout.progress_deadline)
    left = [end - elapsed for end in ends if end is not None and end > elapsed]
    return draft.now + timedelta(seconds=min(left), microseconds=1) if left else None


def _limits(rollout: Rollout) -> bool:
    return rollout.progress_deadline is not None or rollout.rollout_deadline is not None


def _moved(draft: Draft) -> bool:
    """A host has begun its journey, reached another step, or arrived."""
    before = draft.observed.journeys
    for host in draft.moved:
        then, now = before.get(host), draft.journeys.get(host)
        if (then and then.step) is not (now and now.step):
            return True
    return False


def _runs(draft: Draft) -> bool:
    """Whether time counts: nothing is in the way, and somebody could move whom we hear."""
    if obstacle(draft) is not None:
        return False
    moving = [host for host, journey in draft.journeys.items() if journey.step is not Step.FAILED]
    if not moving:
        return bool(draft.observed.index.candidates) and not needs_downtime(draft)
    return any(_could_move(draft, host) for host in moving)


def _could_move(draft: Draft, host: str) -> bool:
    waits_for_runner = draft.journeys[host].step is Step.TESTING and not draft.observed.runners
    return not waits_for_runner and not draft.facts(host).silent


def _still(draft: Draft) -> str:
    moving = [journey for journey in draft.journeys.values() if journey.step is not Step.FAILED]
    if not moving:
        counts = draft.observed.index.counts()
        return f"{counts.current} of {counts.total} hosts run {draft.target.version or 'nothing'}"
    first = min(moving, key=lambda journey: (journey.since, journey.host))
    more = f" and {len(moving) - 1} more" if len(moving) > 1 else ""
    return f"{first.host} is {first.step} ({first.reason or 'no answer'}){more}"
