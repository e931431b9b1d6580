"""What all services of a host share: drivers, clock, workers, trust."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from agent.drivers.contracts import ServiceDriver, Supervisor, Terminal
from agent.probes import Asked
from agent.secrets import Secrets
from agent.trust import NodeTrust
from agent.work import Jobs
from bus.clock import Clock
from crds.messages import ServiceAssignment
from crds.probe import Probe

D = TypeVar("D")


@dataclass(frozen=True)
class Means:
    """What all services of a host share."""

    node: str
    services: dict[str, ServiceDriver]
    supervisors: dict[str, Supervisor]
    ask: Callable[[Probe, Asked], str]
    environment: dict[str, str]
    secrets: Secrets
    clock: Clock
    random: Random
    installing: Jobs[object]
    probing: Jobs[object]
    keep: Callable[[str, ServiceAssignment | None], None]
    trust: NodeTrust


def driver_named(drivers: dict[str, D], name: str, kind: str) -> D:
    """The driver of that name. Raises Terminal if this agent has none."""
    driver = drivers.get(name)
    if driver is None:
        known = ", ".join(sorted(drivers)) or "none"
        raise Terminal(
            f"this agent has no {kind} driver {name!r}; it has: {known}. Update the agent or mend the service"
        )
    return driver
