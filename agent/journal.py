"""The agent's memory: one file, two checksummed copies, that says what the node has taken and how far its roles got.

The newest (term, serial) in it fences former leaders, so it is on disk before anything is done by it. A journal that
cannot be read is never replaced: whoever lost its memory must not act on what a former leader may have said.
"""

import base64
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from threading import RLock
from typing import Any, Literal

from agent.copies import Copies
from bus.clock import Clock
from bus.listing import is_absent
from crds.messages import Stamp

_MAGIC = "drumbeat-journal"
_RESERVED = 1_000_000
"""Report numbers that are taken from the journal at once, so that not every report costs a write."""

Taken = Literal["taken", "same", "older"]


class JournalProblem(Exception):
    """The journal cannot be read or written; the text says what to do."""


@dataclass(frozen=True)
class _Content:
    incarnation: str
    stamp: Stamp
    envelope: bytes = b""
    numbered: int = 0
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)


class Journal:
    """What one node remembers."""

    def __init__(self, path: Path, copies: Copies, content: _Content) -> None:
        self._path = path
        self._copies = copies
        self._content = content
        self._next_number = content.numbered
        self._lock = RLock()  # reports are numbered by the bus's thread too

    @classmethod
    def open(cls, path: Path, clock: Clock, random: Random) -> "Journal":
        """Read the journal, or begin a new incarnation where there is none.

        Raises JournalProblem if it is there and cannot be understood, or cannot be written.
        """
        copies = Copies(path, _MAGIC)
        content = _read(path, copies)
        if content is None:
            began = f"{clock.now():%Y%m%dT%H%M%S%f}"
            content = _Content(f"{began}-{random.getrandbits(32):08x}", Stamp(0, 0))
        journal = cls(path, copies, content)
        journal._write(replace(content, numbered=content.numbered + _RESERVED))
        return journal

    @property
    def incarnation(self) -> str:
        """One life of this journal; later ones sort behind earlier ones."""
        return self._content.incarnation

    @property
    def stamp(self) -> Stamp:
        """The newest assignment that was taken."""
        return self._content.stamp

    @property
    def envelope(self) -> bytes:
        """That assignment as it arrived, to be verified again after a restart; empty before the first."""
        return self._content.envelope

    def compare(self, stamp: Stamp) -> Taken:
        """Whether an assignment with this stamp would be taken."""
        if stamp > self.stamp:
            return "taken"
        return "same" if stamp == self.stamp else "older"

    def take(self, stamp: Stamp, envelope: bytes) -> Taken:
        """Remember an assignment if it is newer than every earlier one; it may be acted on once this returns "taken".

        Raises JournalProblem if it could not be written.
        """
        with self._lock:
            verdict = self.compare(stamp)
            if verdict == "taken":
                self._write(replace(self._content, stamp=stamp, envelope=envelope))
            return verdict

    def next_number(self) -> int:
        """The next report's number: greater than all before, also those before a crash."""
        with self._lock:
            if self._next_number >= self._content.numbered:
                self._write(replace(self._content, numbered=self._content.numbered + _RESERVED))
            self._next_number += 1
            return self._next_number

    def steps(self, role: str) -> "RoleSteps":
        """The part of the journal that belongs to a role."""
        return RoleSteps(self, role)

    def load_steps(self, role: str) -> dict[str, Any]:
        """A copy of what the role saved last; empty if it never did."""
        steps: dict[str, Any] = json.loads(json.dumps(self._content.steps.get(role, {})))
        return steps

    def save_steps(self, role: str, steps: dict[str, Any]) -> None:
        """Put a role's steps on disk. Raises JournalProblem."""
        with self._lock:
            if self._content.steps.get(role, {}) != steps:
                own = json.loads(json.dumps(steps))
                self._write(replace(self._content, steps={**self._content.steps, role: own}))

    def _write(self, content: _Content) -> None:
        try:
            self._copies.write(_encode(content))
        except OSError as error:
            raise JournalProblem(
                f"cannot write the journal {self._path}: {error.strerror}; nothing new is taken on until it can be"
            ) from error
        self._content = content


class RoleSteps:
    """One role's view of the journal (see agent.role.Steps)."""

    def __init__(self, journal: Journal, role: str) -> None:
        self._journal = journal
        self._role = role

    def load(self) -> dict[str, Any]:
        return self._journal.load_steps(self._role)

    def save(self, steps: dict[str, Any]) -> None:
        self._journal.save_steps(self._role, steps)


def _encode(content: _Content) -> bytes:
    return json.dumps(
        {
            "incarnation": content.incarnation,
            "term": content.stamp.term,
            "serial": content.stamp.serial,
            "envelope": base64.b64encode(content.envelope).decode(),
            "numbered": content.numbered,
            "steps": content.steps,
        }
    ).encode()


def _read(path: Path, copies: Copies) -> _Content | None:
    try:
        return _decode(copies.read())
    except FileNotFoundError as error:
        if is_absent(path):
            return None
        raise JournalProblem(f"the journal {path} is a link that leads nowhere; bring back what it leads to") from error
    except OSError as error:
        raise JournalProblem(f"cannot read the journal {path}: {error.strerror}; make it readable, restart") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise JournalProblem(
            f"the journal {path} is damaged ({error}); nothing is done on this node. Restore the file, or move it away "
            "once no former controller can still reach the node; then restart the agent"
        ) from error


def _decode(raw: bytes) -> _Content:
    said = json.loads(raw)
    return _Content(
        incarnation=str(said["incarnation"]),
        stamp=Stamp(int(said["term"]), int(said["serial"])),
        envelope=base64.b64decode(said["envelope"], validate=True),
        numbered=int(said["numbered"]),
        steps=dict(said["steps"]),
    )
