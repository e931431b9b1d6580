"""Processes of a supervisor whose agent was killed: the next agent's, and what is left of them on the machine."""

import os
from pathlib import Path
from random import Random

from agent.drivers.supervisors import process
from agent.posix import PosixProcesses
from bus.clock import SystemClock


def next_agent(tmp_path: Path) -> process.Driver:
    """The supervisor of an agent that comes after the killed one, with the same state."""
    base, random = {"PATH": os.environ["PATH"]}, Random(f"next {tmp_path}")
    return process.Driver(
        process.Config(), tmp_path / "state", PosixProcesses(), SystemClock(), random, lambda: None, base
    )


def marked(tmp_path: Path) -> list[int]:
    """Processes that have MARK=tmp_path in their environment, a service's and its commands', known or not."""
    mark, found = f"MARK={tmp_path}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                alive = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
                if alive and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
