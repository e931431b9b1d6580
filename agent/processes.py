"""The operating system's processes as a port: agent/posix.py implements it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.drivers.contracts import Terminal
from agent.role import Wake
from crds.messages import ProcessIdentity


@dataclass(frozen=True)
class Start:
    """A process to be started."""

    command: Sequence[str]
    folder: Path
    environment: dict[str, str]
    user: str | None = None
    """None: the agent's own account."""


class Processes(Protocol):
    """What the agent asks of an operating system: by identity, as a bare process id may be another's by now."""

    boot: str
    """Names this run of the machine; no process outlives it."""

    def start(self, start: Start, log: Path) -> ProcessIdentity:
        """Start it in a session of its own, its output appended to ``log``; it outlives the agent.

        Raises Terminal if it cannot be started as asked, Retry if the system is short of something.
        """

    def alive(self, identity: ProcessIdentity) -> bool:
        """Whether this very process runs; one that ended and waits for its parent does not."""

    def ending(self, identity: ProcessIdentity) -> str:
        """How it ended, in words; empty if that cannot be known."""

    def find(self, name: str, value: str) -> list[ProcessIdentity]:
        """The sessions' leaders whose environment at their start had ``name=value``, oldest first."""

    def matching(self, pattern: str, without: str) -> list[ProcessIdentity]:
        """Processes with that regular expression in their command line, but for those whose parent has it too.

        Nor this very process, and none that had the variable ``without`` in its environment when it started.
        """

    def may_signal(self, identity: ProcessIdentity) -> bool:
        """Whether this account could stop it."""

    def stop(self, identity: ProcessIdentity, force: bool) -> None:
        """Ask it and the group that it leads, if any, to end; ``force`` leaves them no choice.

        Nothing happens if it is gone.
        """

    def sweep(self, name: str, value: str) -> bool:
        """End by force whatever had ``name=value`` in its environment when it started, in whatever group or session.

        Whether there was anything: it may take a moment to be gone.
        """

    def watch(self, identity: ProcessIdentity, wake: Wake) -> bool:
        """Call ``wake`` when it ends. False if this system cannot, and the caller has to look by itself."""

    def run(self, start: Start, timeout: float) -> tuple[int | None, str]:
        """Run it to its end: exit status and the last of its output; None if it had to be killed after ``timeout``."""

    def ask(self, command: Sequence[str], environment: Mapping[str, str], timeout: float, most: int) -> bytes:
        """What a command writes to its standard output, at most ``most`` bytes of it; kept in memory alone.

        Raises Retry, in words that follow "its command", if it cannot be started or does not exit with 0 within
        ``timeout`` seconds. What it says on standard error is dropped.
        """

    def environment(self, identity: ProcessIdentity) -> dict[str, str]:
        """What it was given as its environment when it started; empty if that cannot be read."""

    def close(self) -> None:
        """Stop watching. Processes run on."""


def system_processes() -> Processes:
    """The implementation for this machine. Raises Terminal if there is none."""
    if os.name != "posix":
        raise Terminal("services cannot be run on this system yet: supervisor 'process' needs Linux")
    from agent.posix import PosixProcesses  # noqa: PLC0415  imports what only POSIX has

    return PosixProcesses()
