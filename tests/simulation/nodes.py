"""Simulated nodes: the production agent over drivers without disk or processes."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import ParamSpec, Protocol, TypeVar

from agent.core import Agent
from agent.drivers.contracts import BalancerDriver, Change, Outcome, Running, Snapshot
from agent.journal import Journal
from agent.probes import Asked
from agent.reporting import Reporter, Speaker
from agent.role import Role, Wake
from agent.roles.balancer import BalancerRole, Pace
from agent.roles.host import HostPorts, HostRole
from agent.roles.runner import RunnerPorts, RunnerRole
from agent.trust import NodeTrust
from bus.envelope import open_assignment, seal_report
from bus.keys import PublicKey, SigningKey
from crds.messages import OperationSpec
from crds.probe import Probe
from crds.release import Release
from tests.simulation.balancer import SimBalancer
from tests.simulation.clocks import MachineClock
from tests.simulation.drivers import ProcessFaults, SimClock, SimExecutor, SimServiceDriver, SimSupervisor
from tests.simulation.memory_bus import MemoryNetwork, MemoryNodeBus
from tests.simulation.mortality import Artifacts, Fuse, MortalJournal, MortalServices
from tests.support.roles import without_secrets

P = ParamSpec("P")
T = TypeVar("T")
INTERVAL = 30.0
_PACE = Pace(moving=0.25, watching=1.0, idle=2.0, silent=0.25)
"""Fewer looks than usual: they are most of what a run takes time for."""
CRASHES = "-crash"
"""Ends the version of a release whose processes end soon after they start."""


class Witness(Protocol):
    """Whoever watches that promises are kept, at the moment something happens."""

    def taken_out(self, node: str, pool: str, server: str) -> None: ...
    def let_in(self, node: str, pool: str, server: str) -> None: ...
    def replaced(self, host: str, target: str) -> None: ...
    def deployed(self, host: str, target: str, version: str) -> None: ...


class WatchedBalancer:
    """A balancer whose every change is witnessed, and may be the last thing that its agent does."""

    def __init__(self, node: str, driver: BalancerDriver, witness: Witness, fuse: Fuse) -> None:
        self._node, self.driver, self._witness, self._fuse = node, driver, witness, fuse

    def observe(self, pools: set[str]) -> Snapshot:
        return self.driver.observe(pools)

    def apply(self, changes: Sequence[Change]) -> dict[tuple[str, str], str]:
        refused = {}
        for change in changes:  # one by one, so that each is judged by what the one before it left
            with self._fuse.effect():
                if change.state != "ready":
                    self._witness.taken_out(self._node, change.pool, change.server)
                else:
                    self._witness.let_in(self._node, change.pool, change.server)
                refused |= self.driver.apply([change])
        return refused

    def save(self) -> None:
        with self._fuse.effect():
            self.driver.save()


class WatchedSupervisor:
    """A supervisor whose every replacement of a process is witnessed, and may be its agent's last deed."""

    def __init__(self, host: str, supervisor: SimSupervisor, witness: Witness, fuse: Fuse) -> None:
        self._host, self.supervisor, self._witness, self._fuse = host, supervisor, witness, fuse
        self.doomed: dict[str, float] = {}
        """Targets whose processes end by themselves after that many seconds."""

    def ensure(
        self, target: str, release: Release, folder: Path, values: dict[str, str], secrets: Mapping[str, str] | None
    ) -> Running:
        if self.supervisor.running(target).digest == release.digest:
            self._decide_end(target, release)
            return self.supervisor.ensure(target, release, folder, values, secrets)
        with self._fuse.effect():
            self._witness.replaced(self._host, target)
            self._witness.deployed(self._host, target, release.version)
            self._decide_end(target, release)
            return self.supervisor.ensure(target, release, folder, values, secrets)

    def _decide_end(self, target: str, release: Release) -> None:
        lasts = self.doomed.get(target, 1.0 if release.version.endswith(CRASHES) else None)
        if lasts is None:
            self.supervisor.faults.lasts.pop(release.digest, None)
        else:
            self.supervisor.faults.lasts[release.digest] = lasts

    def adopt(self, target: str, release: Release, pattern: str) -> Running:
        return self.supervisor.adopt(target, release, pattern)

    def given(self, target: str) -> dict[str, str]:
        return self.supervisor.given(target)

    def stop(self, target: str, timeout: float) -> Running:
        with self._fuse.effect():
            self._witness.replaced(self._host, target)
            return self.supervisor.stop(target, timeout)

    def running(self, target: str) -> Running:
        return self.supervisor.running(target)


class SimNode:
    """A machine: what outlives its agent, and the agent's present life."""

    def __init__(
        self,
        name: str,
        true: SimClock,
        random: Random,
        network: MemoryNetwork,
        folder: Path,
        key: SigningKey,
        pinned: list[PublicKey],
        wake: Wake,
    ) -> None:
        self.name, self.true, self.random, self.network = name, true, random, network
        self.clock = MachineClock(true)
        self.fuse = Fuse()
        self.folder, self._key, self._pinned, self._wake = folder, key, pinned, wake
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
        self.fuse.put_out()
        self.journal = MortalJournal.open(self.folder / "journal", self.clock, self.random)
        self.journal.fuse = self.fuse
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
        """The agent is gone at once, with what was under way in it; services run on."""
        self._bus.stop()
        self._executors = []

    def lose_power(self) -> None:
        """The machine is off."""
        self.crash()

    def executor(self, delay: Callable[[], float]) -> SimExecutor:
        """An executor that ends with this life of the agent."""
        made = SimExecutor(self.true, delay)
        self._executors.append(made)
        return made

    def step(self) -> float:
        """One step of the agent; true seconds until it wants the next. Raises AgentDied."""
        for executor in self._executors:
            executor.run_due()
        wait = self.clock.true_seconds(self.agent.step(self.clock.now()))
        now = self.true.monotonic()
        due = [at - now for executor in self._executors if (at := executor.next_due()) is not None]
        return max(min([wait, *due]), 0.001)


class HostNode(SimNode):
    """Runs services."""

    def prepare(self, witness: Witness, ports: dict[int, str], artifacts: Artifacts) -> None:
        """Give the machine what outlives its agents. ``ports``: which target answers at a port."""
        self.services = SimServiceDriver()
        self.supervisor = SimSupervisor(self.true, self._wake, ProcessFaults(quiesce_seconds=2.0))
        self.watched = WatchedSupervisor(self.name, self.supervisor, witness, self.fuse)
        self.orphans: set[str] = set()
        """Targets whose port is held by a process that no supervisor knows of."""
        self._ports, self._artifacts = ports, artifacts

    def lose_power(self) -> None:
        super().lose_power()
        self.orphans.clear()
        self.supervisor.reboot()

    def roles(self, journal: Journal) -> list[Role]:
        return [
            HostRole(
                HostPorts(
                    node=self.name,
                    services={"archive": MortalServices(self.services, self._artifacts, self.fuse)},
                    supervisors={"process": self.watched},
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
        return "" if self.answers(self._ports[probe.tcp.port]) else "connection refused"

    def state(self) -> tuple[object, ...]:
        """What lies on the machine's disk beside the journal."""
        return (self.services.fetched, self.services.folders)

    def put_back(self, state: tuple[object, ...]) -> None:
        """The disk is as it was when ``state`` was taken."""
        self.services.fetched, self.services.folders = state  # type: ignore[assignment]

    def answers(self, target: str) -> bool:
        """Whether anything takes connections at the target's port."""
        return target in self.orphans or self.supervisor.runs(target) is not None


class BalancerNode(SimNode):
    """Balances."""

    def prepare(self, witness: Witness, driver: SimBalancer) -> None:
        """Give the machine its balancer."""
        self.driver = driver
        self._watched = WatchedBalancer(self.name, driver, witness, self.fuse)

    def start(self) -> None:
        super().start()
        self.driver.has_new_agent()

    def lose_power(self) -> None:
        super().lose_power()
        self.driver.restart()

    def roles(self, journal: Journal) -> list[Role]:
        role = BalancerRole("haproxy", self._watched, journal.steps("balancer"), self.clock, _PACE)
        self.marks = role._marks
        return [role]


class _NoDriver:
    def run(self, spec: OperationSpec, values: dict[str, str]) -> Outcome:
        raise AssertionError("a simulated runner runs nothing real")


class _Hangs(SimExecutor):
    """Some of what it runs gives no answer until its timeout."""

    hangs: Callable[[], bool]
    seconds = 60.0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if not self.hangs():
            return super().submit(fn, *args, **kwargs)
        usual, self._delay = self._delay, lambda: self.seconds
        answer = super().submit(lambda: Outcome("inconclusive", "planted: no answer"))
        self._delay = usual
        return answer  # type: ignore[return-value]


class RunnerNode(SimNode):
    """Runs gates."""

    def prepare(
        self, run: Callable[[OperationSpec], Outcome], delay: Callable[[], float], hangs: Callable[[], bool]
    ) -> None:
        """``run`` is what every operation comes to, ``delay`` how long it takes, ``hangs`` whether one is hanging."""
        self._run, self._delay, self._hangs = run, delay, hangs

    def roles(self, journal: Journal) -> list[Role]:
        executor = _Hangs(self.true, self._delay)
        executor.hangs = self._hangs
        self._executors.append(executor)
        ports = RunnerPorts(
            drivers=dict.fromkeys(("exec", "migration"), _NoDriver()),
            executor=executor,
            concurrency=8,
            steps=journal.steps("runner"),
            clock=self.clock,
            wake=self._wake,
            trust=NodeTrust(None, journal.steps("trust"), self.clock),
            run=lambda _kind, spec: self._run(spec),
        )
        return [RunnerRole(ports)]
