"""What an operator's command does: from the command and what is known, to what to save, or a refusal in words.

Each command says what should be so, hence asking twice does no harm: what is so already writes nothing. Whoever must be
mistaken about what is so is refused. That goes for a second ``retry``, ``undo`` or ``skip`` as well: after the first
nothing is left to try again, to go back to or to skip.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from crds.base import parse_duration
from crds.command import OperatorCommand, RolloutVerb
from crds.status import Hold, Mark, Step
from reconcilers.draft import Observed
from reconcilers.manual import awaits_go
from reconcilers.marks import is_over, marked
from reconcilers.order import halted
from reconcilers.rollback import retried, undone, way_back
from reconcilers.stages import approved
from reconcilers.target import TargetSpec
from reconcilers.tasks import ENDED
from reconcilers.writes import AddEvent, PutJourney, PutStatus, Write


class Refused(Exception):
    """The command makes no sense; the text says why, and what to do instead."""


@dataclass(frozen=True)
class Decision:
    """What a command comes to."""

    message: str
    """One sentence for whoever asked."""
    writes: list[Write] = field(default_factory=list)
    """Empty: it was so already."""


@dataclass(frozen=True)
class Case:
    """A command about a target, with everything that it looks at."""

    command: OperatorCommand
    target: TargetSpec
    observed: Observed
    now: datetime

    def event(self, verb: str, message: str) -> AddEvent:
        """What the record says of it: the person, and the revision in force meanwhile."""
        cause = self.target.revision[:12]
        return AddEvent(verb, self.target.name, "Operator", message, cause=cause, actor=self.command.by)


def decide(verb: RolloutVerb, case: Case) -> Decision:
    """What the command does to the target's rollout. Raises Refused."""
    if verb in _NEEDS_REASON:
        needs_reason(verb, case.command)
    if verb != "pause" and case.command.until:
        raise Refused(f"{verb} takes no --until; pause and exclude do")
    return _VERBS[verb](case)


def needs_reason(verb: str, command: OperatorCommand) -> None:
    """What disrupts or silences something is not done without saying why. Raises Refused."""
    if not command.reason.strip():
        raise Refused(f"{verb} needs a reason; add --reason 'WHY'")


def mark_of(command: OperatorCommand, now: datetime) -> Mark:
    """The command as a mark. Raises Refused for a time that cannot be."""
    return Mark(by=command.by, reason=command.reason, since=now, until=until_of(command.until, now))


def until_of(text: str, now: datetime) -> datetime | None:
    """The time that a duration from now or a time in ISO 8601 means; None for an empty text. Raises Refused."""
    if not text:
        return None
    until = _time(text) or _after(text, now)
    if until <= now:
        raise Refused(f"--until {text} is over already: it is {now:%Y-%m-%dT%H:%MZ}")
    return until


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        raise Refused(f"--until {text} has no time zone; write {text}Z for UTC, or 2h for two hours from now")
    return time.astimezone(UTC)


def _after(text: str, now: datetime) -> datetime:
    try:
        return now + timedelta(seconds=parse_duration(text))
    except ValueError as error:
        raise Refused(
            f"--until {text} is neither a duration nor a time; write 90m or 2h, or a time such as 2026-12-01T08:00Z"
        ) from error


def _pause(case: Case) -> Decision:
    name, status, command = case.target.name, case.observed.status, case.command
    mark, before = mark_of(command, case.now), status.pause
    if before is not None and not is_over(before, case.now):
        if (before.by, before.reason) != (mark.by, mark.reason):
            raise Refused(f"{name} is paused already {marked(before)}; resume it first if yours is to stand instead")
        mark = mark.model_copy(update={"since": before.since})
    message = f"{name} is paused {marked(mark)}; hosts under way finish"
    if mark == before:
        return Decision(message)
    event = case.event("RolloutPaused", _said(mark))
    return Decision(message, [PutStatus(status.model_copy(update={"pause": mark})), event])


def _said(mark: Mark) -> str:
    return mark.reason + (f" (until {mark.until:%Y-%m-%d %H:%M} UTC)" if mark.until else "")


def _resume(case: Case) -> Decision:
    name, status = case.target.name, case.observed.status
    if status.pause is None:
        return _go(case) or Decision(f"{name} is not paused")
    told = case.command.reason or f"it was paused {marked(status.pause)}"
    after = PutStatus(status.model_copy(update={"pause": None}))
    return Decision(f"{name} goes on", [after, case.event("RolloutResumed", told)])


def _go(case: Case) -> Decision | None:
    """Say go after a batch that waits for it; None if none does."""
    name, status = case.target.name, case.observed.status
    if not awaits_go(case.target, status, case.observed.journeys):
        return None
    told = f"go after batch {status.batch}" + (f": {case.command.reason}" if case.command.reason else "")
    after = PutStatus(status.model_copy(update={"go": status.batch}))
    return Decision(f"{name} goes on after batch {status.batch}", [after, case.event("RolloutResumed", told)])


def _abort(case: Case) -> Decision:
    name, status, command = case.target.name, case.observed.status, case.command
    if status.hold is not None:
        return Decision(f"{name} is held already ({status.hold.reason}): {status.hold.message}")
    if status.finished is not None and not case.observed.journeys:
        raise Refused(
            f"{name} has no rollout under way; 'drumbeat rollout pause {name}' keeps the next one from beginning"
        )
    message = f"aborted by {command.by}: {command.reason}"
    hold = Hold(digest=case.target.digest, reason="Aborted", message=message, since=case.now)
    after = PutStatus(status.model_copy(update={"hold": hold}))
    said = f"{name} is held; hosts under way finish, no other is taken out until a new release or a retry"
    return Decision(said, [after, case.event("RolloutAborted", command.reason)])


def _retry(case: Case) -> Decision:
    """What it is held for, or in quarantine for, is forgiven; failed hosts begin anew, with a new process."""
    name, status, journeys = case.target.name, case.observed.status, case.observed.journeys
    failed = sorted(journey.host for journey in journeys.values() if journey.step is Step.FAILED)
    stuck = [task.name for task in status.tasks if task.state in ENDED]
    if status.hold is None and status.quarantine is None and not failed and not stuck:
        raise Refused(f"{name} {_nothing_to_retry(case)}")
    again = f"failed hosts begin anew: {', '.join(failed)}" if failed else ""
    told = "; ".join(filter(None, (case.command.reason, again)))
    after = PutStatus(retried(status, case.now))
    return Decision(f"{name} is tried again", [after, case.event("RolloutRetried", told)])


def _nothing_to_retry(case: Case) -> str:
    """In words, why not: who sees it stalled must hear whom he should try again instead."""
    status, digest = case.observed.status, case.target.digest
    stopped = halted(case.target, case.observed.failed(status.rollout_revision))
    if stopped and status.succeeded_digest != digest:
        return f"has not failed itself: {stopped}"
    return "is neither held nor has it failed hosts: there is nothing to try again"


def _undo(case: Case) -> Decision:
    """Go back to the good release before the present one, which git declares still: so it is put into quarantine."""
    name, status, command = case.target.name, case.observed.status, case.command
    message = f"undone by {command.by}: {command.reason}"
    try:
        after = undone(status, command.by, message, case.now)
    except ValueError as error:
        raise Refused(f"{name} cannot go back: {error}") from error
    back = way_back(status, status.digest)
    version = back.release.version if back else ""
    event = case.event("RolloutUndone", f"back to version {version}: {command.reason}")
    said = f"{name} goes back to version {version}; {status.version} is not tried again before a new release or a retry"
    return Decision(said, [PutStatus(after), event])


def _next_number(case: Case) -> int:
    """Higher than any number that was given before, whatever the clock does."""
    given = [journey.restart for journey in case.observed.journeys.values()]
    return max(int(case.now.timestamp()), case.observed.status.restart + 1, *(number + 1 for number in given))


def _skip(case: Case) -> Decision:
    """End a wait that a person may end: for the soak of the hosts that soak now, or for the word after a batch."""
    soaking = [each for each in case.observed.journeys.values() if each.step is Step.SOAKING and not each.skip]
    if soaking:
        hosts = ", ".join(journey.host for journey in soaking)
        writes = [PutJourney(journey.model_copy(update={"skip": True})) for journey in soaking]
        event = case.event("WaitSkipped", f"the soak of {hosts}: {case.command.reason}")
        return Decision(f"the soak of {hosts} ends as soon as they are healthy and online", [*writes, event])
    if go := _go(case):
        return go
    raise Refused(
        f"{case.target.name} waits for nothing that may be skipped: no host soaks, and no batch waits for a go"
    )


def _approve(case: Case) -> Decision:
    """A person's go for the contract migrations of the release that every host runs now."""
    name, status = case.target.name, case.observed.status
    waiting = [task.name for task in status.tasks if task.task == "contract" and task.state == "waiting"]
    if not waiting or status.finished is None:
        raise Refused(f"no contract migration of {name} waits for a go")
    said = f"contract migrations of {name} {status.version} may run: {', '.join(waiting)}"
    if status.approval is not None and status.approval.digest == status.digest:
        return Decision(said)
    after = PutStatus(approved(status, case.command.by, case.command.reason, case.now))
    return Decision(said, [after, case.event("ContractApproved", f"{', '.join(waiting)}: {case.command.reason}")])


def _restart(case: Case) -> Decision:
    name, status = case.target.name, case.observed.status
    if case.target.release is None:
        raise Refused(f"{name} is to be removed; there is nothing to restart")
    if status.hold is not None:
        raise Refused(f"{name} is held ({status.hold.reason}); 'drumbeat rollout retry {name}' or release first")
    number = _next_number(case)
    changed = {"restart": number, "batch": 0, "go": 0, "started": case.now, "finished": None}
    after = PutStatus(status.model_copy(update=changed if not case.observed.journeys else {"restart": number}))
    said = f"every host of {name} is restarted, batch by batch, with the release that is in force"
    return Decision(said, [after, case.event("RestartAsked", case.command.reason)])


_NEEDS_REASON = ("pause", "abort", "undo", "skip", "restart", "approve")
_VERBS: dict[RolloutVerb, Callable[[Case], Decision]] = {
    "pause": _pause,
    "resume": _resume,
    "abort": _abort,
    "retry": _retry,
    "undo": _undo,
    "skip": _skip,
    "restart": _restart,
    "approve": _approve,
}
