"""A host and a runner that pin roots: the real roles over simulated drivers, and what they were brought to run."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from agent.drivers.contracts import Outcome
from agent.journal import Journal
from agent.probes import Asked
from agent.roles.host import HostPorts, HostRole
from agent.roles.runner import RunnerPorts, RunnerRole
from agent.trust import NodeTrust
from bus.trust import Roots
from crds.messages import Assignment, OperationReport, OperationSpec, ServiceAssignment, ServiceReport
from crds.probe import Probe
from crds.release import Release
from tests.simulation.drivers import SimClock, SimExecutor, SimServiceDriver, SimSupervisor
from tests.support.roles import without_secrets
from tests.support.signing import TARGET


@dataclass
class SignedHost:
    """A machine with an agent's host role; ``restart`` begins a new life of the agent from the same journal."""

    folder: Path
    roots: Roots | None
    clock: SimClock = field(default_factory=SimClock)
    services: SimServiceDriver = field(default_factory=SimServiceDriver)
    asked: list[Probe] = field(default_factory=list)
    """Probes that were run."""

    def __post_init__(self) -> None:
        self.supervisor = SimSupervisor(self.clock)
        self.serial = 0
        self.assignment = self._assignment({})
        self.restart()

    def restart(self) -> None:
        """The agent was stopped and started again."""
        journal = self.journal = Journal.open(self.folder / "journal", self.clock, Random(1))
        self.installing, self.probing = SimExecutor(self.clock), SimExecutor(self.clock)
        self.trust = NodeTrust(self.roots, journal.steps("trust"), self.clock)
        ports = HostPorts(
            node="vm1",
            services={"archive": self.services},
            supervisors={"process": self.supervisor},
            ask=self._ask,
            environment={},
            secrets=without_secrets(),
            clock=self.clock,
            random=Random(1),
            steps=journal.steps("host"),
            wake=lambda: None,
            installing=self.installing,
            probing=self.probing,
            trust=self.trust,
        )
        self.role = HostRole(ports)

    def _ask(self, probe: Probe, asked: Asked) -> str:
        self.asked.append(probe)
        return ""

    def _assignment(self, services: dict[str, ServiceAssignment]) -> Assignment:
        self.serial += 1
        expires = self.clock.now() + timedelta(hours=1)
        return Assignment(node="vm1", term=1, serial=self.serial, expires=expires, services=services)

    def give(
        self, release: Release | None, statement: str | None, trust: str | None, target: str = TARGET, **said: Any
    ) -> ServiceReport:
        """Assign a release, and let the agent do all that it would do within a minute."""
        asked = ServiceAssignment(release=release, statement=statement, trust=trust, **said)
        self.assignment = self._assignment({target: asked})
        return self.pass_time(60.0)

    def pass_time(self, seconds: float) -> ServiceReport:
        """Let the agent go on with what is assigned."""
        until, [target] = self.clock.monotonic() + seconds, self.assignment.services
        while self.clock.monotonic() < until:
            report = self.role.converge(self.assignment, self.clock.now()).services[target]
            self.clock.advance(1.0)
            self.installing.run_due()
            self.probing.run_due()
        return report

    def runs(self, release: Release, target: str = TARGET) -> bool:
        """Whether a process of that release runs."""
        running = self.supervisor.running(target)
        return running.identity is not None and running.digest == release.digest

    def touched(self, release: Release, target: str = TARGET) -> bool:
        """Whether anything of the release was ever fetched, installed or started."""
        fetched = release.digest in self.services.fetched.get(target, set())
        return fetched or (target, release.digest) in self.supervisor.starts


@dataclass
class SignedRunner:
    """A runner's role; ``ran`` has the commands that were run."""

    trust: NodeTrust
    clock: SimClock
    steps: Any
    ran: list[list[str] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.executor = SimExecutor(self.clock)
        ports = RunnerPorts(
            dict.fromkeys(("exec", "http", "prometheus", "migration"), self),
            self.executor,
            8,
            self.steps,
            self.clock,
            lambda: None,
            self.trust,
            run=lambda driver, spec: driver.run(spec, {}),
        )
        self.role = RunnerRole(ports)

    def run(self, spec: OperationSpec, values: dict[str, str]) -> Outcome:
        """As an operation driver."""
        self.ran.append(spec.command)
        return Outcome("passed")

    def give(self, spec: OperationSpec) -> OperationReport:
        """Have an operation run; its result."""
        expires = self.clock.now() + timedelta(hours=1)
        asked = Assignment(node="runner1", term=1, serial=1, expires=expires, operations={"one": spec})
        for _ in range(3):
            report = self.role.converge(asked, self.clock.now()).operations["one"]
            self.executor.run_due()
        return report
