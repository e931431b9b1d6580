"""Stages: which tasks come before a target's hosts, which after them, and what each holds up.

gates before -> expand migrations -> batches of hosts -> gates after -> succeeded -> contract migrations
"""

from datetime import datetime

from crds.status import Approval, Hold, RolloutStatus, TaskRecord
from reconcilers.draft import Draft
from reconcilers.tasks import ENDED, Job, again, drive, gate_jobs, migration_jobs, put_record, record_of

PREPARING = ("Migrating", "GateBefore")
"""Reasons of obstacles that are the preparation itself: they do not keep it from going on."""


def enlist(draft: Draft) -> None:
    """Note which migrations belong to the release: those that are declared before its first host is taken out.

    What is declared later is the next release's: it may have been pushed a while before the version that needs it.
    """
    if draft.status.batch or draft.status.finished or draft.target.release is None:
        return
    jobs = migration_jobs(draft.target, "expand") + migration_jobs(draft.target, "contract")
    declared = {(job.task, job.name) for job in jobs}
    kept = [each for each in draft.status.tasks if (each.task, each.name) in declared or each.operation]
    if kept != draft.status.tasks:
        draft.status = draft.status.model_copy(update={"tasks": kept})
    for job in jobs:
        if record_of(draft, job) is None:
            put_record(draft, TaskRecord(task=job.task, name=job.name, state="waiting", since=draft.now))


def prepare(draft: Draft, free: bool) -> None:
    """Take gates and migrations that come before the hosts as far as they go; what goes wrong holds the rollout.

    ``free``: nothing else keeps hosts from being taken out. Nothing is begun for a target that has nothing to do.
    """
    jobs = _before_hosts(draft)
    if not jobs:
        return
    waited = unprepared(draft) is not None
    needed = bool(draft.journeys or draft.observed.index.candidates)
    record = drive(draft, jobs, free and needed)
    if record is not None and record.state in ENDED:
        _hold(draft, record)
    if waited and record is None:
        draft.moved |= draft.journeys.keys()  # hosts that were out already have waited for this


def unprepared(draft: Draft) -> tuple[str, str] | None:
    """Reason and message of the first task before the hosts that has not passed; None: hosts may be taken out."""
    for job in _before_hosts(draft):
        record = record_of(draft, job)
        if record is None or record.state != "passed":
            reason = "Migrating" if job.lock else "GateBefore"
            return reason, f"{job.words} {record.message or 'has not begun' if record else 'has not begun'}"
    return None


def _before_hosts(draft: Draft) -> list[Job]:
    if draft.target.release is None:
        return []
    return gate_jobs(draft.target, "before") + _enlisted(draft, migration_jobs(draft.target, "expand"))


def _enlisted(draft: Draft, jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if record_of(draft, job) is not None]


def verify(draft: Draft, free: bool) -> tuple[str, str] | None:
    """Take gates after the last batch as far as they go; what is waited for, None if the rollout may end."""
    if draft.status.finished is not None or draft.target.release is None:
        return None
    jobs = gate_jobs(draft.target, "after")
    record = drive(draft, jobs, free)
    if record is not None and record.state in ENDED:
        _hold(draft, record)
    return ("GateAfter", f"gate {record.name} {record.message or 'has not begun'}") if record is not None else None


def contract(draft: Draft, free: bool) -> tuple[str, str, bool] | None:
    """Take migrations after the rollout as far as they go: reason, message, and whether only a person can go on.

    None: nothing is left to do. They never run where nothing was rolled out: then there was no release before.
    """
    if not draft.status.batch or draft.target.release is None or unprepared(draft) is not None:
        return None
    for job in _enlisted(draft, migration_jobs(draft.target, "contract")):
        record = record_of(draft, job)
        if record is not None and record.state == "waiting" and job.approval and not _approved(draft.status):
            return "ApprovalNeeded", f"contract migration {job.name} waits for a person's go", False
        record = drive(draft, [job], free)
        if record is None:
            continue
        if record.state in ENDED:
            reason, message = _told(record)
            return reason, message, True
        return "Migrating", f"{job.words} {record.message or 'has not begun'}", False
    return None


def approved(status: RolloutStatus, by: str, reason: str, now: datetime) -> RolloutStatus:
    """The status with a person's go for the contract migrations of its release."""
    return status.model_copy(update={"approval": Approval(digest=status.digest, by=by, reason=reason, at=now)})


def retried(status: RolloutStatus) -> RolloutStatus:
    """The status with each task that has failed to be tried again; whoever lifts its hold does that too."""
    tasks = [again(each) if each.state in ENDED else each for each in status.tasks]
    return status.model_copy(update={"tasks": tasks})


def begun_anew(status: RolloutStatus, digest: str) -> RolloutStatus:
    """The status at the start of a rollout to another release.

    What bars the way back from a release is over once that has succeeded: then it is what one goes back to.
    """
    succeeded = bool(status.digest) and status.succeeded_digest == status.digest
    barred = "" if succeeded else status.no_return
    return status.model_copy(update={"digest": digest, "tasks": [], "approval": None, "no_return": barred})


def _approved(status: RolloutStatus) -> bool:
    return status.approval is not None and status.approval.digest == status.digest


def _hold(draft: Draft, record: TaskRecord) -> None:
    """Hold the rollout because of a task, once for each attempt."""
    if record.held:
        return
    put_record(draft, record.model_copy(update={"held": True}))
    if draft.status.hold is None:
        reason, message = _told(record)
        hold = Hold(digest=draft.target.digest, reason=reason, message=message, since=draft.now)
        draft.status = draft.status.model_copy(update={"hold": hold})
        draft.event("RolloutHeld", draft.target.name, reason, message)


def _told(record: TaskRecord) -> tuple[str, str]:
    migrates, unclear = record.task in ("expand", "contract"), record.state == "inconclusive"
    what = f"{record.task} migration" if migrates else "gate"
    reason = ("MigrationUnclear" if unclear else "MigrationFailed") if migrates else "GateFailed"
    return reason, f"{what} {record.name} {'told nothing' if unclear else 'failed'}: {record.message}"
