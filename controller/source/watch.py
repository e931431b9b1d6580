"""SourceWatcher: follows the state repository and hands over what each new commit says."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import structlog

from controller.mailbox import RevisionRead, SourceFailed
from controller.source.commit_rule import CommitRule, NotAdmitted
from controller.source.mirror import Fetched, Mirror, SourceError
from controller.source.problems import Problem, errors
from controller.source.reader import read_state
from controller.source.removals import unacknowledged
from controller.watching import Hints, hints
from crds.desired import DesiredState

HandOver = Callable[[RevisionRead | SourceFailed], None]

FIRST_RETRY = 1.0
"""Seconds; doubled with each failure in a row, up to the poll interval."""
_DEBOUNCE_MS, _STEP_MS = 30, 20
_CHANGES_A_BRANCH = ("HEAD", "packed-refs")


class SourceWatcher:
    """Driven by steps, from one thread."""

    def __init__(
        self,
        mirror: Mirror,
        poll_interval: float,
        hand_over: HandOver,
        random: Random,
        in_force: Callable[[], str | None],
        rule: CommitRule,
    ) -> None:
        """``poll_interval`` in seconds; ``hand_over`` gets each new revision once, and every failure.

        ``in_force`` names the revision that was in force before this start; None where there was none. It raises
        SourceError as long as nobody knows.
        """
        self._mirror, self._interval, self._hand_over, self._random = mirror, poll_interval, hand_over, random
        self._in_force, self._rule = in_force, rule
        self._good: str | None = None
        """The newest revision that was handed over and can be in force."""
        self._good_state: DesiredState | None = None
        self._read: RevisionRead | None = None
        self._failures = 0
        self._hints: Hints | None = None
        self._log = structlog.get_logger("controller.source")

    def step(self) -> float:
        """Look once; seconds to wait before the next look. Never raises for what git, network or files do."""
        self._rule.look()
        try:
            last = self._read.revision if self._read else None
            fetched = self._mirror.fetch(last)
            if fetched.revision != last:
                self._take(self._revision(fetched))
            elif self._read:
                self._look_again(self._read)
        except SourceError as error:
            return self._failed(error)
        self._failures = 0
        return self._interval * self._random.uniform(0.9, 1.1)

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Wait for that long, until ``stop`` is set, or until the repository may have changed."""
        git_directory = self._mirror.local
        if git_directory is None or self._failures:
            stop.wait(seconds)
            return
        deadline = time.monotonic() + seconds
        try:
            if self._hints is None:
                # What happened before the watch began is seen by a look right after.
                self._hints = _hints(git_directory, stop)
                next(self._hints, None)
                return
            while not stop.is_set() and time.monotonic() < deadline and not next(self._hints, None):
                pass
        except (OSError, RuntimeError) as error:
            self._log.warning("source.not_watched", error=str(error), poll_interval=self._interval)
            self._hints = None
            stop.wait(deadline - time.monotonic())

    def _take(self, read: RevisionRead) -> None:
        if read.state is None:
            self._resume()
        else:
            self._good, self._good_state = read.revision, read.state
        self._read = read
        self._hand_over(read)

    def _look_again(self, before: RevisionRead) -> None:
        """The branch has not moved; but what the rule has refused it may admit now."""
        read = before if before.admitted else self._revision(Fetched(before.revision, before.forced))
        if read != before:
            self._take(read)
        elif self._failures:
            # Says that the source can be read again.
            self._hand_over(before)

    def _failed(self, error: SourceError) -> float:
        self._failures += 1
        try:
            self._resume()
        except SourceError as another:
            self._log.warning("source.not_resumed", error=str(another))
        self._hand_over(SourceFailed(str(error)))
        return self._retry_in()

    def _resume(self) -> None:
        """After a start: what was in force stays so while the newest is refused or cannot be had.

        Raises SourceError as long as nobody knows what was in force.
        """
        before = None if self._good else self._in_force()
        if before is None:
            return
        try:
            read = self._read_revision(Fetched(before))
        except SourceError as error:
            self._log.warning("source.not_resumed", revision=before, error=str(error))
            return
        if read.state is not None:
            self._good, self._good_state = before, read.state
            self._hand_over(replace(read, resumed=True))

    def _retry_in(self) -> float:
        longest = max(self._interval, FIRST_RETRY)
        whole = min(longest, FIRST_RETRY * 2.0 ** min(self._failures - 1, 32))
        return whole * self._random.uniform(0.5, 1.0)

    def _revision(self, fetched: Fetched) -> RevisionRead:
        try:
            signer = self._rule.admit(self._mirror, fetched.revision, lambda: self._good or self._in_force())
        except NotAdmitted as refusal:
            return RevisionRead(
                fetched.revision, None, [str(refusal)], targets_warned={}, admitted=False, forced=fetched.forced
            )
        return self._unless_it_removes(replace(self._read_revision(fetched), signer=signer))

    def _unless_it_removes(self, read: RevisionRead) -> RevisionRead:
        """Refuse what would take too much away without saying so in the commit."""
        before = self._state_in_force() if read.state is not None else None
        if before is None or read.state is None or before.revision == read.revision:
            return read
        problems = unacknowledged(before, read.state, self._mirror.acknowledged(before.revision, read.revision))
        if not problems:
            return read
        said = [f"commit {read.revision[:12]} is refused: {problem}" for problem in problems]
        return replace(read, state=None, problems=said, targets_warned={})

    def _state_in_force(self) -> DesiredState | None:
        """What was in force until now; None where nothing was, or it is to be had nowhere any more.

        Raises SourceError as long as nobody knows.
        """
        revision = None if self._good_state else self._in_force()
        if revision is not None:
            try:
                self._good_state = read_state(self._mirror.read(revision), revision).state
            except SourceError as error:
                self._log.warning("source.not_compared", revision=revision, error=str(error))
        return self._good_state

    def _read_revision(self, fetched: Fetched) -> RevisionRead:
        result = read_state(self._mirror.read(fetched.revision), fetched.revision)
        commit = self._mirror.commit(fetched.revision)
        if fetched.forced:
            self._log.warning("source.forced", revision=fetched.revision)
        return RevisionRead(
            revision=fetched.revision,
            state=result.state,
            problems=_general(result.problems),
            targets_warned=_by_target(result.problems),
            author=commit.author,
            subject=commit.subject,
            forced=fetched.forced,
        )


def _general(problems: list[Problem]) -> list[str]:
    """Why the commit is refused; of one that is not, the warnings that concern no target."""
    return [str(problem) for problem in errors(problems) or problems if not problem.target]


def _by_target(problems: list[Problem]) -> dict[str, str]:
    said: dict[str, list[str]] = {}
    for problem in problems:
        if problem.target:
            said.setdefault(problem.target, []).append(str(problem))
    return {target: "\n".join(lines) for target, lines in said.items()}


def _hints(git_directory: Path, stop: threading.Event) -> Hints:
    heads = git_directory / "refs" / "heads"

    def concerns_branches(path: Path) -> bool:
        return path.suffix != ".lock" and (path.name in _CHANGES_A_BRANCH or heads in path.parents)

    folders = [git_directory, *(folder for folder in [heads, *heads.rglob("*")] if folder.is_dir())]
    return hints(folders, concerns_branches, stop, debounce_ms=_DEBOUNCE_MS, step_ms=_STEP_MS)
