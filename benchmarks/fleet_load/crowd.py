"""All simulated nodes: processes of a few hundred each, which do as they are told."""

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from benchmarks.fleet_load.nodes import Company, Journey, serve
from controller.demo.processes import DemoError, cpu_seconds

PER_PROCESS = 250
PATIENCE = 600.0
"""Seconds for anything that all nodes are told to do."""


class Crowd:
    """Told together, they answer together."""

    def __init__(self, bus: str, interval: float, credentials: Sequence[Path]) -> None:
        """Start the processes; each connects its nodes, which takes a while."""
        context = multiprocessing.get_context("spawn")
        self._members: list[tuple[BaseProcess, Connection]] = []
        for first in range(0, len(credentials), PER_PROCESS):
            ours, theirs = context.Pipe()
            company = Company(bus, interval, credentials[first : first + PER_PROCESS])
            process = context.Process(target=serve, args=(company, theirs), name=f"nodes-{first}", daemon=True)
            process.start()
            theirs.close()
            self._members.append((process, ours))

    def connect(self) -> None:
        """Wait until every node has begun to connect. Raises DemoError."""
        self._answers()

    def prepare(self, count: int, full: bool) -> None:
        """Have each node seal so many reports."""
        self._tell("prepare", count, full)

    def push(self, count: int) -> int:
        """Have each node send them, as fast as they are taken; how many were left to be sent after heartbeats."""
        return sum(self._tell("push", count))

    def journeys(self, version: str) -> list[Journey]:
        """Of all nodes to that version."""
        return [journey for answer in self._tell("journeys", version) for journey in answer]

    def cpu_seconds(self) -> float:
        """That all of them have used."""
        return sum(cpu_seconds(process.pid) for process, _ in self._members if process.pid)

    def stop(self) -> None:
        """End the processes."""
        for process, orders in self._members:
            if process.is_alive():
                orders.send(("stop",))
        for process, _ in self._members:
            process.join(10.0)
            process.kill()

    def _tell(self, *order: object) -> list[Any]:
        for _, orders in self._members:
            orders.send(order)
        return self._answers()

    def _answers(self) -> list[Any]:
        answers = []
        for process, orders in self._members:
            try:
                if not orders.poll(PATIENCE):
                    raise DemoError(f"{process.name} did not answer for {PATIENCE:g} seconds")
                answers.append(orders.recv())
            except EOFError as error:
                raise DemoError(f"{process.name} ended; what it said is above") from error
        return answers


@contextmanager
def crowd(bus: str, interval: float, credentials: Sequence[Path]) -> Iterator[Crowd]:
    """Nodes that are ended whatever happens."""
    nodes = Crowd(bus, interval, credentials)
    try:
        yield nodes
    finally:
        nodes.stop()
