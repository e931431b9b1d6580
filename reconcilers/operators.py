"""What an operator's command does: from the command and what is known, to what to save, or a refusal in words.

Each command says what should be so, hence asking twice does no harm: what is so already writes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from crds.base import parse_duration
from crds.command import OperatorCommand, RolloutVerb
from crds.status import Mark
from reconcilers.draft import Observed
from reconcilers.marks import is_over, marked
from reconcilers.target import TargetSpec
from reconcilers.writes import AddEvent, PutStatus, Write


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
    if verb in _NEEDS_REASON and not case.command.reason.strip():
        raise Refused(f"{verb} needs a reason; add --reason 'WHY'")
    if verb != "pause" and case.command.until:
        raise Refused(f"{verb} takes no --until; pause and exclude do")
    return _VERBS[verb](case)


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
        return Decision(f"{name} is not paused")
    told = case.command.reason or f"it was paused {marked(status.pause)}"
    after = PutStatus(status.model_copy(update={"pause": None}))
    return Decision(f"{name} goes on", [after, case.event("RolloutResumed", told)])


_NEEDS_REASON = ("pause", "abort", "skip", "restart")
"""What disrupts or silences something is not done without saying why."""
_VERBS: dict[RolloutVerb, Callable[[Case], Decision]] = {"pause": _pause, "resume": _resume}
