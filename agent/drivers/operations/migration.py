"""Operation driver ``migration``: a change that is made once, however often it is asked for and whoever dies meanwhile.

    what is left of a former run ends -> check -> command -> check

The check alone says whether the change is made. It is asked first: whoever comes back after a crash, with or without a
journal, thereby finds out how far the last one came.
"""

from collections.abc import Callable
from dataclasses import replace

from agent.drivers.contracts import Outcome
from agent.drivers.operations.exec import Commands, Ended
from crds.base import FileModel
from crds.messages import Migrating, OperationSpec

_LOOK_AGAIN = 0.2
"""Seconds between two looks at a process that was left behind."""
_DONE, _NOT_DONE = 0, 1


class Config(FileModel):
    """There is nothing to configure: migrations run where commands of gates run."""


class Driver:
    """Implements agent.drivers.contracts.OperationDriver."""

    def __init__(self, commands: Commands, sleep: Callable[[float], None]) -> None:
        self._commands, self._sleep = commands, sleep

    def run(self, spec: OperationSpec, values: dict[str, str]) -> Outcome:
        asked = spec.migration
        if asked is None or not spec.command:
            return Outcome("failed", "there is no command to run; write one in the service's migrations")
        self._outlast(spec, asked)
        before = self._check(spec, asked, values)
        if before is None:
            ended = self._commands.execute(spec, spec.command, spec.timeout, values)
            return self._judge(spec, asked, values, ended)
        if before.outcome != "passed":
            return before
        return replace(before, message="its check says that it is done already; nothing was run")

    def _judge(self, spec: OperationSpec, asked: Migrating, values: dict[str, str], ended: Ended | Outcome) -> Outcome:
        """What came of the command. Where it did not end by itself, or ended well, the check has the last word."""
        if isinstance(ended, Outcome):
            return ended
        if ended.status is not None and ended.status > 0:
            return Outcome("failed", ended.words, ended.lines)
        after = self._check(spec, asked, values)
        if after is None:
            return Outcome("failed", f"{ended.words}; its check says that it is not done", ended.lines)
        if after.outcome != "passed":
            return replace(after, message=f"{ended.words}; {after.message}", log_tail=ended.lines + after.log_tail)
        return Outcome("passed", f"{ended.words}; its check says that it is done", ended.lines)

    def _check(self, spec: OperationSpec, asked: Migrating, values: dict[str, str]) -> Outcome | None:
        """Passed: it is done; None: it is not; inconclusive: nobody knows."""
        ended = self._commands.execute(spec, asked.check, asked.check_timeout, values)
        if isinstance(ended, Outcome):
            return ended
        if ended.status == _NOT_DONE:
            return None
        if ended.status == _DONE:
            return Outcome("passed", log_tail=ended.lines)
        words = f"its check tells nothing ({ended.words}): 0 means done, 1 not done"
        return Outcome("inconclusive", words, ended.lines)

    def _outlast(self, spec: OperationSpec, asked: Migrating) -> None:
        """Wait for a command under the same lock that a former life of the agent left behind, and end it in time."""
        left = spec.timeout
        while self._commands.left_behind(asked.lock, spec.target) and left > 0:
            self._sleep(_LOOK_AGAIN)
            left -= _LOOK_AGAIN
        self._commands.end(asked.lock, spec.target)
