"""Tasks: what is done once for a release around its hosts: gates without a host, and migrations.

A task is an operation on a runner. Its record in the status says how far it is; the operation has the output. Nothing
here runs twice: an id is derived from what the operation is for, a migration stays with its runner until that runner
says how it ended, and on the runner the check decides before anything is run (agent/drivers/operations/migration.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from crds.messages import Migrating, OperationReport, OperationSpec
from crds.service import Contract, Expand, Migration
from crds.status import Operation, Task, TaskRecord
from reconcilers.draft import Draft
from reconcilers.fragments import operation_key
from reconcilers.gates import MAX_ATTEMPTS, gate_spec, gates_at, identity, runner_for
from reconcilers.target import TargetSpec
from reconcilers.values import written
from reconcilers.writes import DropEntry, PutEntry, PutOperation

ENDED = ("failed", "inconclusive")


@dataclass(frozen=True)
class Job:
    """One task of a target, as it would be requested."""

    task: Task
    name: str
    spec: OperationSpec
    scope: str = ""
    """What beside the release it is for: which hosts, for a batch's gates."""
    bars: str = ""
    """Why hosts cannot go back to the release before once it has begun."""
    approval: bool = False
    """A person must say go."""

    @property
    def lock(self) -> str:
        """What no other migration of the fleet may have meanwhile; empty for a gate."""
        return self.spec.migration.lock if self.spec.migration else ""

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"migration {self.name}" if self.lock else f"gate {self.name}"


def gate_jobs(target: TargetSpec, task: Literal["before", "batch", "after"], scope: str = "") -> list[Job]:
    """The gates of that time, none of which has a host."""
    return [Job(task, gate.name, gate_spec(target, gate), scope) for gate in gates_at(target, task)]


def migration_jobs(target: TargetSpec, task: Literal["expand", "contract"]) -> list[Job]:
    """The migrations of that phase."""
    declared: Sequence[Migration] = target.migrations.expand if task == "expand" else target.migrations.contract
    return [_migration(target, each) for each in declared]


def _migration(target: TargetSpec, said: Migration) -> Job:
    contract = isinstance(said, Contract)
    bars = f"{'contract' if contract else 'expand'} migration {said.name} of {target.version} has begun"
    if isinstance(said, Expand):
        bars = f"{bars}, and the release before does not work with it" if not said.compatible else ""
    return Job(
        task="contract" if contract else "expand",
        name=said.name,
        spec=OperationSpec(
            name=said.name,
            target=target.name,
            version=target.version,
            command=said.command,
            secrets=said.secrets,
            timeout=said.timeout,
            migration=Migrating(
                phase="contract" if contract else "expand",
                check=said.check,
                check_timeout=said.check_timeout,
                lock=said.lock or target.name.partition("@")[0],
            ),
            statement=target.statement,
            trust=target.trust,
        ),
        bars=bars,
        approval=isinstance(said, Contract) and said.approval == "required",
    )


def record_of(draft: Draft, job: Job) -> TaskRecord | None:
    """How far the task is; None if it was never looked at for this release."""
    found = (each for each in draft.status.tasks if (each.task, each.name) == (job.task, job.name))
    return next((each for each in found if each.scope == job.scope), None)


def drive(draft: Draft, jobs: Sequence[Job], free: bool) -> TaskRecord | None:
    """Take each job as far as it goes now, one after another; the first that has not passed, None if all have.

    ``free``: something new may be begun. What is under way is followed in any case.
    """
    for job in jobs:
        record = _follow(draft, job, free)
        if record.state != "passed":
            return record
    return None


def put_record(draft: Draft, record: TaskRecord) -> None:
    """Change what is known of a task."""
    key = (record.task, record.name)
    tasks = list(draft.status.tasks)
    places = [place for place, each in enumerate(tasks) if (each.task, each.name) == key]
    if places:
        tasks[places[0]] = record
    else:
        tasks.append(record)
    draft.status = draft.status.model_copy(update={"tasks": tasks})


def again(record: TaskRecord) -> TaskRecord:
    """The task's next attempt: an operation of its own."""
    return record.model_copy(update={"state": "waiting", "attempt": record.attempt + 1, "operation": ""})


def is_kept(draft: Draft, operation: Operation) -> bool:
    """Whether an operation without a host is still of use: its output is shown, or it may still be running.

    A migration that was begun is never called off: an older release's is waited for, for as long as its runner is one
    of the fleet's.
    """
    if any(record.operation == operation.id for record in draft.status.tasks):
        return True
    ended = operation.result is not None and operation.result.outcome is not None
    return operation.spec.migration is not None and not ended and operation.node in draft.target.runners


def _follow(draft: Draft, job: Job, free: bool) -> TaskRecord:
    before = record_of(draft, job)
    record = before or TaskRecord(task=job.task, name=job.name, scope=job.scope, state="waiting", since=draft.now)
    if record.state == "running":
        record = _heard(draft, job, record)
    if record.state in ENDED and _goes_again(draft, job, record):
        record = again(record)
    if record.state == "waiting" and free:
        record = _request(draft, job, record)
    if record != before and (before or record.state != "waiting" or free):
        since = record.since if before and before.state == record.state else draft.now
        put_record(draft, record := record.model_copy(update={"since": since}))
    return record


def _goes_again(draft: Draft, job: Job, record: TaskRecord) -> bool:
    """A gate that told nothing is asked a few times; anything is tried once more when somebody says so."""
    if record.state == "inconclusive" and not job.lock and (record.attempt + 1) % MAX_ATTEMPTS:
        return True
    return draft.status.retried is not None and record.since <= draft.status.retried


def _heard(draft: Draft, job: Job, record: TaskRecord) -> TaskRecord:
    operation = draft.observed.operations.get(record.operation)
    if operation is None:
        return record.model_copy(update={"state": "waiting"})
    result = operation.result
    if result is None or result.outcome is None:
        return _under_way(draft, job, record, operation)
    draft.writes.append(DropEntry(operation.node, operation_key(operation.id)))
    reason = f"{job.task.capitalize()}{result.outcome.capitalize()}"
    message = said_by(result)
    words = f"{job.words}, for {draft.target.digest[:12]}" + (f": {message}" if message else "")
    draft.event("TaskEnded", draft.target.name, reason, words)
    return record.model_copy(update={"state": result.outcome, "message": message})


def said_by(result: OperationReport) -> str:
    """The outcome in words; the end of what the command wrote often is the only reason why."""
    last = result.log_tail[-1] if result.log_tail else ""
    if result.message and last:
        return f"{result.message}; its output ends: {last}"
    return result.message or last or ("" if result.outcome == "passed" else "no reason given")


def _under_way(draft: Draft, job: Job, record: TaskRecord, operation: Operation) -> TaskRecord:
    """A gate goes to another runner when its own falls silent. A migration does not: it may still be running there.

    It does once the runner is none of the fleet's any more: that is how people say that it will not come back.
    """
    node, reports = operation.node, operation.node in draft.observed.runners
    if job.lock and node not in draft.target.runners:
        return record.model_copy(update={"state": "waiting"})
    if not reports and not job.lock and draft.observed.runners:
        return again(record)
    words = f"runs on {node}" if reports else f"runs on {node}, which does not report: how far it is nobody knows"
    return record.model_copy(update={"message": words})


def _identity(draft: Draft, job: Job, record: TaskRecord) -> str:
    """Names the rollout too: what was found for the same release in an earlier one may still arrive late."""
    started = draft.status.started.isoformat() if draft.status.started else ""
    what = [job.task, job.name, job.scope, record.attempt]
    return identity([draft.target.name, draft.target.digest, started, *what])


def _request(draft: Draft, job: Job, record: TaskRecord) -> TaskRecord:
    target, observed = draft.target, draft.observed
    found = record.operation or _identity(draft, job, record)
    holder = observed.locks.get(job.lock) if job.lock else None
    if holder is not None and holder.id != found:
        held = f"migration {holder.spec.name} of {holder.target} has it on {holder.node}"
        return record.model_copy(update={"message": f"waits for the lock {job.lock}: {held}"})
    if not observed.runners:
        return record.model_copy(update={"message": "waits for a runner: none reports"})
    node, before = runner_for(found, observed.runners), observed.operations.get(found)
    if before is not None and before.node != node:
        draft.writes.append(DropEntry(before.node, operation_key(found)))
    operation = Operation(id=found, target=target.name, host="", node=node, digest=target.digest, spec=job.spec)
    draft.writes.append(PutEntry(node, operation_key(found), written(job.spec)))
    draft.writes.append(PutOperation(operation))
    draft.event("TaskStarted", target.name, job.task.capitalize(), f"{job.words} on {node}")
    if job.bars:
        draft.status = draft.status.model_copy(update={"no_return": job.bars})
    return record.model_copy(update={"state": "running", "operation": found, "message": f"runs on {node}"})
