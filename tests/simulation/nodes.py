"""Simulated nodes: the production agent over drivers without disk or processes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Protocol

from agent.core import Agent
from agent.drivers.contracts import BalancerDriver, Change, Outcome, Running, Snapshot
from agent.journal import Journal
from agent.probes import Asked
from agent.reporting import Reporter, Speaker
from agent.role import Role, Wake
from agent.roles.balancer import BalancerRole
from agent.roles.host import HostPorts, HostRole
from agent.roles.runner import RunnerPorts, RunnerRole
from agent.trust import NodeTrust
from bus.clock import Clock
from bus.envelope import open_assignment, seal_report
from bus.keys import PublicKey, SigningKey
from crds.messages import OperationSpec
from crds.probe import Probe
from crds.release import Release
from tests.simulation.drivers import SimExecutor, SimServiceDriver, SimSupervisor
from tests.simulation.memory_bus import MemoryNetwork, MemoryNodeBus
from tests.support.roles import without_secrets

INTERVAL = 30.0


class Witness(Protocol):
    """Whoever watches that promises are kept, at the moment something happens."""

    def taken_out(self, node: str, pool: str, server: str) -> None: ...
    def let_in(self, node: str, pool: str, server: str) -> None: ...
    def replaced(self, host: str, target: str) -> None: ...
    def deployed(self, host: str, target: str, version: str) -> None: ...


class WatchedBalancer:
    """A balancer whose every change is witnessed."""

    def __init__(self, node: str, driver: BalancerDriver, witness: Witness) -> None:
        self._node, self.driver, self._witness = node, driver, witness

    def observe(self, pools: set[str]) -> Snapshot:
        return self.driver.observe(pools)

    def apply(self, changes: Sequence[Change]) -> dict[tuple[str, str], str]:
        refused = {}
        for change in changes:  # one by one, so that each is judged by what the one before it left
            if change.state != "ready":
                self._witness.taken_out(self._node, change.pool, change.server)
            else:
                self._witness.let_in(self._node, change.pool, change.server)
            refused |= self.driver.apply([change])
        return refused

    def save(self) -> None:
        self.driver.save()


class WatchedSupervisor:
    """A supervisor whose every replacement of a process is witnessed."""

    def __init__(self, host: str, supervisor: SimSupervisor, witness: Witness) -> None:
        self._host, self.supervisor, self._witness = host, supervisor, witness

    def ensure(
        self, target: str, release: Release, folder: Path, values: dict[str, str], secrets: Mapping[str, str] | None
    ) -> Running:
        if self.supervisor.running(target).digest != release.digest:
            self._witness.replaced(self._host, target)
            self._witness.deployed(self._host, target, release.version)
        return self.supervisor.ensure(target, release, folder, values, secrets)

    def adopt(self, target: str, release: Release, pattern: str) -> Running:
        return self.supervisor.adopt(target, release, pattern)

    def given(self, target: str) -> dict[str, str]:
        return self.supervisor.given(target)

    def stop(self, target: str, timeout: float) -> Running:
        self._witness.replaced(self._host, target)
        return self.supervisor.stop(target, timeout)

    def running(self, target: str) -> Running:
        return self.supervisor.running(target)


class SimNode:
    """A machine: what outlives its agent, and the agent's present life."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        random: Random,
        network: MemoryNetwork,
        folder: Path,
        key: SigningKey,
        pinned: list[PublicKey],
        wake: Wake,
    ) -> None:
        self.name, self.clock, self.random, self.network = name, clock, random, network
        self._folder, self._key, self._pinned, self._wake = folder, key, pinned, wake
        self.install_delay: Callable[[], float] = lambda: 0.2
        self.agent: Agent
        self._executors: list[SimExecutor] = []
        self.bus_kind: type[MemoryNodeBus] = MemoryNodeBus
        self._bus = MemoryNodeBus(network, name)
        folder.mkdir(parents=True, exist_ok=True)

    def roles(self, journal: Journal) -> list[Role]:
        """What the node does; each kind of node has its own."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin a life of the agent, from the journal that the last one left."""
        self._executors = []
        self.journal = Journal.open(self._folder / "journal", self.clock, self.random)
        self._bus = self.bus_kind(self.network, self.name)
        reporter = Reporter(
            Speaker(self.name, "sim", "linux", [], f"{self.random.getrandbits(64):016x}"),
            self.journal,
            partial(seal_report, signer=self._key),
            self._bus.send,
            timedelta(seconds=INTERVAL),
        )
        verify = partial(open_assignment, controller_keys=self._pinned, node=self.name)
        self.agent = Agent(self.journal, self.roles(self.journal), verify, reporter, self._wake, INTERVAL)
        self._bus.start(self.agent.receive, self.agent.heartbeat)

    def crash(self) -> None:
        """The agent is gone at once; services run on."""
        self._bus.stop()

    def executor(self, delay: Callable[[], float]) -> SimExecutor:
        """An executor that ends with this life of the agent."""
        made = SimExecutor(self.clock, delay)
        self._executors.append(made)
        return made

    def step(self) -> float:
        """One step of the agent; seconds until it wants the next."""
        for executor in self._executors:
            executor.run_due()
        wait = self.agent.step(self.clock.now())
        now = self.clock.monotonic()
        due = [at - now for executor in self._executors if (at := executor.next_due()) is not None]
        return max(min([wait, *due]), 0.001)


class HostNode(SimNode):
    """Runs services."""

    def prepare(self, witness: Witness, ports: dict[int, str]) -> None:
        """Give the machine what outlives its agents. ``ports``: which target answers at a port."""
        self.services = SimServiceDriver()
        self.supervisor = SimSupervisor(self.clock, self._wake)
        self._witness, self._ports = witness, ports

    def roles(self, journal: Journal) -> list[Role]:
        return [
            HostRole(
                HostPorts(
                    node=self.name,
                    services={"archive": self.services},
                    supervisors={"process": WatchedSupervisor(self.name, self.supervisor, self._witness)},
                    ask=self._ask,
                    environment={},
                    secrets=without_secrets(),
                    clock=self.clock,
                    random=self.random,
                    steps=journal.steps("host"),
                    wake=self._wake,
                    installing=self.executor(self.install_delay),
                    probing=self.executor(lambda: 0.005),
                    trust=NodeTrust(None, journal.steps("trust"), self.clock),
                )
            )
        ]

    def _ask(self, probe: Probe, asked: Asked) -> str:
        assert probe.tcp is not None
        running = self.supervisor.running(self._ports[probe.tcp.port])
        return "" if running.identity is not None else "connection refused"


class BalancerNode(SimNode):
    """Balances."""

    def prepare(self, witness: Witness, driver: BalancerDriver) -> None:
        """Give the machine its balancer."""
        self.driver = driver
        self._watched = WatchedBalancer(self.name, driver, witness)

    def roles(self, journal: Journal) -> list[Role]:
        return [BalancerRole("haproxy", self._watched, journal.steps("balancer"), self.clock)]


class _NoDriver:
    def run(self, spec: OperationSpec, values: dict[str, str]) -> Outcome:
        raise AssertionError("a simulated runner runs nothing real")


class RunnerNode(SimNode):
    """Runs gates."""

    def prepare(self, run: Callable[[OperationSpec], Outcome], delay: Callable[[], float]) -> None:
        """``run`` is what every operation comes to, ``delay`` how long it takes."""
        self._run, self._delay = run, delay

    def roles(self, journal: Journal) -> list[Role]:
        ports = RunnerPorts(
            drivers=dict.fromkeys(("exec", "migration"), _NoDriver()),
            executor=self.executor(self._delay),
            concurrency=8,
            steps=journal.steps("runner"),
            clock=self.clock,
            wake=self._wake,
            trust=NodeTrust(None, journal.steps("trust"), self.clock),
            run=lambda _kind, spec: self._run(spec),
        )
        return [RunnerRole(ports)]
