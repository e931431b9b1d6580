"""The contract between the agent's core and its roles (host, balancer, runner)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from crds.messages import Assignment, BalancerReport, OperationReport, PoolReport, ServiceReport


@dataclass(frozen=True)
class Observed:
    """What a role saw in one pass: its part of the node's report."""

    services: dict[str, ServiceReport] = field(default_factory=dict)
    pools: dict[str, PoolReport] = field(default_factory=dict)
    operations: dict[str, OperationReport] = field(default_factory=dict)
    balancer: BalancerReport | None = None
    again_in: float | None = None
    """Seconds after which the role wants its next pass; None: only when woken."""


class Role(Protocol):
    """One thing that a node can be. Only the core's thread calls it."""

    name: str

    def converge(self, assignment: Assignment, now: datetime) -> Observed:
        """Move towards the assignment by what can be done now, and say what is.

        Called again and again with the same assignment, after a new one, and when something woke the core: it must
        do nothing where nothing is left to do. It never blocks for longer than a local call takes: downloads,
        commands and probes run on the executor that the role was given, and wake the core when they end. Each entry is
        stamped with the assignment under which it was read. A role never raises for what the world does: it says so
        in a ``message``.
        """

    def close(self) -> None:
        """Let go of threads and sockets. Services that run go on running."""


class Steps(Protocol):
    """A role's own part of the journal: small, on disk before ``save`` returns, there again after a crash."""

    def load(self) -> dict[str, Any]: ...

    def save(self, steps: dict[str, Any]) -> None: ...


Wake = Callable[[], None]
"""Ask for a pass of all roles soon; from any thread."""
