"""Gates of a batch: asked once all of its hosts are tested in maintenance, before any of them goes online."""

from crds.status import Cause, Step, TaskRecord
from reconcilers.draft import Draft
from reconcilers.gates import MAX_ATTEMPTS, identity
from reconcilers.journey import elapsed_of, moved
from reconcilers.tasks import ENDED, drive, gate_jobs

_BEFORE = (Step.DRAINING, Step.LEAVING, Step.DEPLOYING)


def vouch(draft: Draft, free: bool) -> list[str]:
    """Take the batch's gates as far as they go; says which hosts may go online now.

    Hosts that wait for the budget are not waited for: they are taken out once these are back, and tested by themselves.
    """
    waiting = sorted(host for host, journey in draft.journeys.items() if journey.tested and not journey.vouched)
    waiting = [host for host in waiting if draft.journeys[host].step is Step.TESTING]
    if not waiting or any(_comes(draft, host) for host in draft.journeys):
        return []
    scope = identity([[host, draft.journeys[host].begun.isoformat()] for host in waiting])
    record = drive(draft, gate_jobs(draft.target, "batch", scope), free)
    for host in waiting:
        _tell(draft, host, record)
    return waiting if record is None else []


def _comes(draft: Draft, host: str) -> bool:
    """The host is under way to where its batch waits for it."""
    journey = draft.journeys[host]
    return journey.step in _BEFORE or (journey.step is Step.TESTING and not journey.tested)


def _tell(draft: Draft, host: str, record: TaskRecord | None) -> None:
    """Carry over to one host what the gate made of its batch."""
    journey = draft.journeys[host]
    if record is None:
        draft.put(host, journey.model_copy(update={"vouched": True, "reason": ""}))
    elif record.state in ENDED:
        ended = "failed" if record.state == "failed" else f"was inconclusive {MAX_ATTEMPTS} times"
        reason = f"gate {record.name} {ended}: {record.message}"
        elapsed = elapsed_of(journey, draft.now, draft.observed.watching_since)
        failed = moved(journey, Step.FAILED, draft.now, elapsed, reason)
        draft.put(host, failed.model_copy(update={"cause": Cause.GATE}))
        draft.event("HostMoved", f"{draft.target.name}/{host}", "Failed", reason)
    elif record.message:
        draft.put(host, journey.model_copy(update={"reason": f"the batch's gate {record.name} {record.message}"}))
