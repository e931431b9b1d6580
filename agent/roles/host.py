"""The host role: the services that a node runs."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from random import Random

from agent.drivers.contracts import ServiceDriver, Supervisor
from agent.expiry import expired
from agent.probes import Asked
from agent.role import Observed, Steps, Wake
from agent.roles.means import Means
from agent.roles.service import HostedService
from agent.secrets import Secrets
from agent.trust import NodeTrust
from agent.work import Jobs
from bus.clock import Clock
from crds.messages import Assignment, ServiceAssignment, ServiceReport, Stamp
from crds.probe import Probe


@dataclass(frozen=True)
class HostPorts:
    """What the role works with."""

    node: str
    services: dict[str, ServiceDriver]
    supervisors: dict[str, Supervisor]
    ask: Callable[[Probe, Asked], str]
    environment: dict[str, str]
    """The clean base of what services and probes are given."""
    secrets: Secrets
    clock: Clock
    random: Random
    steps: Steps
    wake: Wake
    installing: Executor
    """For what takes minutes: downloads, unpacking, deleting."""
    probing: Executor
    """For what takes seconds at most."""
    trust: NodeTrust


class HostRole:
    """Installs, runs and probes each assigned service, and reports on it. A service that is not assigned is kept."""

    name = "host"

    def __init__(self, ports: HostPorts) -> None:
        self._ports = ports
        self._installing: Jobs[object] = Jobs(ports.installing, ports.wake)
        self._probing: Jobs[object] = Jobs(ports.probing, ports.wake)
        self._services: dict[str, HostedService] = {}
        self._stamp: Stamp | None = None

    def converge(self, assignment: Assignment, now: datetime) -> Observed:
        self._meet(assignment)
        self._collect()
        self._ports.trust.take(said.trust for said in assignment.services.values())
        allowed = not expired(assignment, now)
        reports: dict[str, ServiceReport] = {}
        waits: list[float] = []
        for target, service in sorted(self._services.items()):
            wanted = assignment.services.get(target)
            if wanted is None and not service.kept:
                continue
            reports[target], wait = service.converge(wanted, assignment.stamp, allowed)
            waits.extend([] if wait is None else [wait])
        return Observed(services=reports, again_in=min(waits, default=None))

    def close(self) -> None:
        """Nothing is held here; executors and drivers are closed by whoever made them."""

    def _meet(self, assignment: Assignment) -> None:
        """Make room for services that are new, and for those that an earlier life of this agent started."""
        if self._stamp is None:
            for target, kept in self._ports.steps.load().items():
                self._services[target] = self._service(target, ServiceAssignment.model_validate_json(kept))
        for target in assignment.services:
            if target not in self._services:
                self._services[target] = self._service(target, None)
        if self._stamp != assignment.stamp:
            self._stamp = assignment.stamp
            for service in self._services.values():
                service.renew()

    def _service(self, target: str, kept: ServiceAssignment | None) -> HostedService:
        ports = self._ports
        means = Means(
            node=ports.node,
            services=ports.services,
            supervisors=ports.supervisors,
            ask=ports.ask,
            environment=ports.environment,
            secrets=ports.secrets,
            clock=ports.clock,
            random=ports.random,
            installing=self._installing,
            probing=self._probing,
            keep=self._keep,
            trust=ports.trust,
        )
        return HostedService(target, kept, means)

    def _keep(self, target: str, kept: ServiceAssignment | None) -> None:
        """Remember by what a service runs, so that it is kept running whatever is assigned later."""
        steps = self._ports.steps.load()
        steps.pop(target, None)
        if kept is not None:
            steps[target] = kept.model_dump_json(by_alias=True)
        self._ports.steps.save(steps)

    def _collect(self) -> None:
        for key, future in [*self._installing.take(), *self._probing.take()]:
            what, target = key.split(" ")[:2]
            if target in self._services:
                self._services[target].finish(what, future)
