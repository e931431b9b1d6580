"""Stages: which tasks come before a target's hosts, which after them, and what each holds up.

gates before -> expand migrations -> batches of hosts -> gates after -> succeeded -> contract migrations
"""

from datetime import datetime

from crds.status import Approval, RolloutStatus, TaskRecord
from reconcilers.draft import Draft
from reconcilers.lost import lost_hosts
from reconcilers.tasks import ENDED, Job, drive, gate_jobs, migration_jobs, put_record, record_of

PREPARING = ("Migrating", "GateBefore")
"""Reasons of obstacles that are the preparation itself: they do not keep it from going on."""


def enlist(draft: Draft) -> None:
    """Note which migrations belong to the release: those that are declared before its first host is taken out.

    What is declared later is the next release's: it may have been pushed a while before the version that needs it.
    """
    status, target = draft.status, draft.target
    begun = status.batch or status.finished or status.succeeded_digest == target.digest
    if target.release is None or (begun and draft.observed.status.digest == target.digest):
        return
    jobs = migration_jobs(draft.target, "expand") + migration_jobs(draft.target, "contract")
    dropped = [each for each in draft.status.tasks if each.task in ("expand", "contract") and not each.operation]
    declared = {(job.task, job.name) for job in jobs}
    kept = [each for each in draft.status.tasks if each not in dropped or (each.task, each.name) in declared]
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
    if waited and record is None:
        draft.moved |= draft.journeys.keys()  # hosts that were out already have waited for this


def unprepared(draft: Draft) -> tuple[str, str] | None:
    """Reason and message of the first task before the hosts that has not passed; None: hosts may be taken out."""
    found = _first_open(draft, _before_hosts(draft))
    return ("Migrating" if found[0].lock else "GateBefore", found[1]) if found else None


def _first_open(draft: Draft, jobs: list[Job]) -> tuple[Job, str] | None:
    """The first job that has not passed, and how far it is, in words."""
    for job in jobs:
        record = record_of(draft, job)
        if record is None or record.state != "passed":
            return job, f"{job.words} {(record and record.message) or 'has not begun'}"
    return None


def _before_hosts(draft: Draft) -> list[Job]:
    if draft.target.release is None:
        return []
    gates = [] if draft.target.in_place_of else gate_jobs(draft.target, "before")
    return gates + _enlisted(draft, migration_jobs(draft.target, "expand"))


def _enlisted(draft: Draft, jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if record_of(draft, job) is not None]


def foreseen(draft: Draft) -> tuple[list[Job], list[Job]]:
    """What is still to be done before the first host is taken out, and once the last one has arrived, in order."""
    records = ((job, record_of(draft, job)) for job in _before_hosts(draft))
    before = [job for job, record in records if record is None or record.state != "passed"]
    return before, _after_hosts(draft) + _enlisted(draft, migration_jobs(draft.target, "contract"))


def verify(draft: Draft, free: bool) -> None:
    """Take gates after the last batch as far as they go, once all hosts have arrived."""
    if arrived(draft):
        drive(draft, _after_hosts(draft), free)


def arrived(draft: Draft) -> bool:
    """Every host but the excluded and the lost ones runs the release, healthy and online."""
    counts = draft.observed.index.counts()
    if draft.journeys or not counts.total:
        return False
    return counts.current + counts.excluded + len(lost_hosts(draft)) == counts.total


def unverified(draft: Draft) -> tuple[str, str] | None:
    """Reason and message of the first gate after the hosts that has not passed; None: the rollout has succeeded."""
    found = _first_open(draft, _after_hosts(draft))
    return ("GateAfter", found[1]) if found else None


def _after_hosts(draft: Draft) -> list[Job]:
    """Not for a rollout that has succeeded: a host that is mended later is tested by itself."""
    if draft.status.finished is not None or draft.target.release is None:
        return []
    return gate_jobs(draft.target, "after")


def troubled(draft: Draft) -> tuple[str, str, bool] | None:
    """Reason, message, and whether that speaks against the release: a task before or after the hosts has not passed.

    What was found before the first host was taken out disrupts nobody: there is nothing to take back.
    """
    for job in _before_hosts(draft) + _after_hosts(draft):
        record = record_of(draft, job)
        if record is not None and record.state in ENDED:
            return *_told(record), job.task == "after" and record.state == "failed"
    return None


def contract(draft: Draft, because: str) -> tuple[str, str, bool] | None:
    """Take migrations after the rollout as far as they go: reason, message, and whether only a person can go on.

    ``because``: in words, why nothing may be begun now. None: nothing is left to do. They never run where nothing was
    rolled out: then there was no release before.
    """
    if not draft.status.batch or draft.target.release is None or unprepared(draft) is not None:
        return None
    if apart := draft.observed.index.counts().excluded:
        because = because or f"{apart} of its hosts are excluded, and may run the release before"
    for job in _enlisted(draft, migration_jobs(draft.target, "contract")):
        record = record_of(draft, job)
        if record is not None and record.state == "waiting" and job.approval and not _approved(draft.status):
            return "ApprovalNeeded", f"contract migration {job.name} waits for a person's go", False
        record = drive(draft, [job], free=not because)
        if record is None:
            continue
        if record.state in ENDED:
            reason, message = _told(record)
            return reason, message, True
        waits = f"waits: {because}" if because and record.state == "waiting" else record.message or "has not begun"
        return "Migrating", f"{job.words} {waits}", False
    return None


def approved(status: RolloutStatus, by: str, reason: str, now: datetime) -> RolloutStatus:
    """The status with a person's go for the contract migrations of its release."""
    return status.model_copy(update={"approval": Approval(digest=status.digest, by=by, reason=reason, at=now)})


def begun_anew(status: RolloutStatus, digest: str) -> RolloutStatus:
    """The status at the start of a rollout to another release.

    What bars the way back from a release is over once that has succeeded: then it is what one goes back to.
    """
    succeeded = bool(status.digest) and status.succeeded_digest == status.digest
    barred = "" if succeeded else status.no_return
    return status.model_copy(update={"digest": digest, "tasks": [], "approval": None, "no_return": barred})


def _approved(status: RolloutStatus) -> bool:
    return status.approval is not None and status.approval.digest == status.digest


def _told(record: TaskRecord) -> tuple[str, str]:
    migrates, unclear = record.task in ("expand", "contract"), record.state == "inconclusive"
    what = f"{record.task} migration" if migrates else "gate"
    reason = ("MigrationUnclear" if unclear else "MigrationFailed") if migrates else "GateFailed"
    return reason, f"{what} {record.name} {'told nothing' if unclear else 'failed'}: {record.message}"
