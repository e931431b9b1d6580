"""Simulation: one heap of events, one seeded Random, one clock that jumps from event to event.

The controller's deciding step, world and store (real SQLite), the intake, the envelopes and the agents are production
code. Same seed, same trace.
"""

import hashlib
import heapq
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from agent.drivers.contracts import Outcome, Server
from bus.keyring import ALL_ROLES, KeyRing, NodeEntry
from bus.keys import SigningKey, generate_key, public_text
from crds.messages import OperationSpec
from crds.status import RolloutStatus
from reconcilers.conditions import find
from tests.simulation.balancer import Line, SimBalancer
from tests.simulation.checkers import Checkers, PromiseBroken, Truth
from tests.simulation.clones import Clones
from tests.simulation.controller import SimController
from tests.simulation.desired import BALANCERS, PORTS, RUNNERS, address, host_names, pool
from tests.simulation.drivers import SimClock
from tests.simulation.faults import NONE, Faults
from tests.simulation.memory_bus import MemoryNetwork
from tests.simulation.migrations import AgentDied, Database
from tests.simulation.network import Post
from tests.simulation.nodes import INTERVAL, BalancerNode, HostNode, RunnerNode, SimNode, Witness
from tests.simulation.operators import Operators
from tests.simulation.quarantine import Quarantines

NODE_TIMEOUT = 90.0
BAD = "-bad"
"""Ends the version of a release whose gates fail."""


@dataclass
class Outcomes:
    """What a run came to."""

    seconds: float = 0.0
    events: int = 0
    commits: int = 0
    journeys: int = 0
    controller_lives: int = 0
    trace: list[str] = field(default_factory=list)
    digest: str = ""


class Simulation:
    """A fleet, its controller, and what goes wrong."""

    def __init__(self, seed: int, hosts: int, folder: Path, faults: Faults, services: int = 2) -> None:
        self.random = Random(seed)
        self.hosts, self.folder, self.faults = hosts, folder, faults
        self.services = sorted(PORTS)[:services]
        self.clock = SimClock()
        self.outcomes = Outcomes()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._hash = hashlib.sha256()
        self._steps: dict[str, float] = {}
        self.network = MemoryNetwork(overtake=True)
        self.post = Post(self)
        self._install(generate_key())
        self._places = {
            address(host, service): (host, f"{service}@prod") for host in host_names(hosts) for service in self.services
        }
        truth = Truth(hosts, self._server, BALANCERS, self._digest, self._version)
        self.checkers = Checkers(truth)
        self.database = Database(self.random, self.checkers)
        self.quarantines = Quarantines()
        self.balancers = {name: self._balancer() for name in BALANCERS}
        names = (*host_names(hosts), *BALANCERS, *RUNNERS)
        self.nodes = {name: self.make_node(name, folder / name, self.checkers) for name in names}
        self.clones = Clones(self)
        self.operators = Operators(self)
        self.controller = SimController(self)
        self._bad: set[str] = set()
        self._moves: dict[tuple[str, str], str] = {}

    def _install(self, controller_key: SigningKey) -> None:
        self.controller_key = controller_key
        self.foreign_key = generate_key()
        names = (*host_names(self.hosts), *BALANCERS, *RUNNERS)
        self.node_keys = {name: generate_key() for name in names}
        self.keys = self.folder / "keys"
        self.ring = KeyRing(self.keys)
        for name, key in self.node_keys.items():
            public = public_text(key.public_key)
            self.ring.register(name, NodeEntry(public_key=public, token_hash="A" * 48, roles=list(ALL_ROLES)))

    def _balancer(self) -> SimBalancer:
        servers = {
            pool(service, kind): {host: Line(address(host, service), disabled=True) for host in host_names(self.hosts)}
            for service in self.services
            for kind in ("online", "tests")
        }
        return SimBalancer(self.clock, servers, self._is_up)

    def _is_up(self, place: str) -> bool:
        host, target = self._places[place]
        return self._digest(host, target) is not None

    def make_node(self, name: str, folder: Path, witness: Witness) -> SimNode:
        """A machine of that name, whose agent keeps its journal in that folder."""
        kind = BalancerNode if name in BALANCERS else RunnerNode if name in RUNNERS else HostNode
        random = Random(self.random.getrandbits(64))
        made = kind(
            name,
            self.clock,
            random,
            self.network,
            folder,
            self.node_keys[name],
            [self.controller_key.public_key],
            lambda: self.wake(name),
        )
        if isinstance(made, BalancerNode):
            made.prepare(witness, self.balancers[name])
        elif isinstance(made, RunnerNode):
            made.prepare(self._gate, lambda: random.uniform(0.1, 3.0))
        elif isinstance(made, HostNode):
            made.prepare(witness, {PORTS[service]: f"{service}@prod" for service in self.services})
            slow = self.faults.slow_install
            made.install_delay = lambda: random.uniform(5, 120) if random.random() < slow else random.uniform(0.1, 2)
        return made

    # --- time

    def at(self, delay: float, action: Callable[[], None]) -> None:
        """Do it after that many seconds."""
        self._count += 1
        heapq.heappush(self._heap, (self.clock.monotonic() + delay, self._count, action))

    def note(self, what: str) -> None:
        """Put a line into the trace."""
        line = f"{self.clock.monotonic():10.3f} {what}"
        self._hash.update(line.encode() + b"\n")
        self.outcomes.trace.append(line)

    def advance(self) -> None:
        """Let the next thing happen."""
        when, _, action = heapq.heappop(self._heap)
        self.clock.advance(max(when - self.clock.monotonic(), 0.0))
        self.outcomes.events += 1
        action()

    # --- nodes

    def wake(self, name: str, delay: float = 0.001) -> None:
        """Have the node's agent step soon; an earlier appointment stands."""
        due = self.clock.monotonic() + delay
        if due < self._steps.get(name, float("inf")):
            self._steps[name] = due
            self.at(delay, lambda: self._step(name, due))

    def _step(self, name: str, due: float) -> None:
        if self._steps.get(name) != due:
            return
        del self._steps[name]
        node = self.nodes[name]
        if name in self.network.nodes:
            try:
                wait = node.step()
            except AgentDied:
                self._kill_agent(name)
                return
            self.checkers.took(name, node.journal.stamp)
            self.wake(name, wait)

    def _heartbeat(self, name: str) -> None:
        if name in self.network.nodes:
            self.network.beat(name)
        self.at(INTERVAL, lambda: self._heartbeat(name))

    def _gate(self, spec: OperationSpec) -> Outcome:
        if spec.migration is not None:
            return self.database.migrate(spec, self.faults)
        if self.random.random() < self.faults.inconclusive:
            return Outcome("inconclusive", "planted: no proof")
        host, digest = spec.host or "", self._digest(spec.host or "", spec.target)
        if spec.version in self._bad or digest is None:
            return Outcome("failed", f"planted: version {spec.version} is bad")
        self.checkers.passed.add((spec.target, host, digest))
        return Outcome("passed")

    # --- the truth

    def _server(self, node: str, pool_name: str, host: str) -> Server | None:
        return self.balancers[node].look(pool_name, host)

    def _digest(self, host: str, target: str) -> str | None:
        node = self.nodes[host]
        assert isinstance(node, HostNode)
        running = node.supervisor.running(target)
        return running.digest if running.identity is not None else None

    def _version(self, host: str, target: str) -> str | None:
        node = self.nodes[host]
        assert isinstance(node, HostNode)
        return node.supervisor.running(target).version

    # --- a run

    def run(self, faulty: float, calm: float) -> Outcomes:
        """``faulty`` seconds with faults, then at most ``calm`` seconds without: everything must have converged.

        Raises PromiseBroken.
        """
        self.begin()
        while self.clock.monotonic() < faulty:
            self.advance()
        self._calm_down()
        end = self.clock.monotonic() + calm
        while not self._converged():
            if self.clock.monotonic() > end:
                raise PromiseBroken(17, f"nothing converged within {calm:g} s after the faults: {self._words()}")
            self.advance()
        self._check_end()
        self.outcomes.seconds = self.clock.monotonic()
        self.outcomes.digest = self._hash.hexdigest()
        return self.outcomes

    def begin(self) -> None:
        """Start every node and the controller, and declare the first version."""
        for name, node in self.nodes.items():
            node.start()
            self.wake(name, self.random.uniform(0.0, 1.0))
            self.at(self.random.uniform(0.0, INTERVAL), lambda name=name: self._heartbeat(name))  # type: ignore[misc]
        self.controller.start()
        self.commit("1")
        self._schedule_faults()

    def _schedule_faults(self) -> None:
        faults = self.faults
        for mean, act in (
            (faults.commit, self._random_commit),
            (faults.controller_crash, self._crash_controller),
            (faults.silence, self._silence),
            (faults.agent_crash, self._crash_agent),
            (faults.reload, self._reload),
            (faults.busy, self._busy),
            (faults.cloned, self._clone),
            (faults.operators, self.operators.act),
        ):
            if mean:
                self._again(mean, act)

    def _again(self, mean: float, act: Callable[[], None]) -> None:
        def happen() -> None:
            if self.faults is not NONE:
                act()
                self._again(mean, act)

        self.at(self.random.expovariate(1 / mean), happen)

    def commit(self, version: str, good: bool = True) -> None:
        """Put a version of every service into the state repository."""
        if not good:
            self._bad.add(version)
        self.outcomes.commits += 1
        self.note(f"commit version {version}")
        self.controller.commit(version)

    def _random_commit(self) -> None:
        if self.random.random() < self.faults.bad_commit:
            self.controller.refuse(f"refused-{self.outcomes.commits}")
            return
        good = self.random.random() >= self.faults.bad_release
        self.commit(f"{self.outcomes.commits + 1}{'' if good else BAD}", good)

    def _crash_controller(self) -> None:
        self.note("controller crashes")
        self.controller.crash_soon()

    def _silence(self) -> None:
        name = self.random.choice(sorted(self.nodes))
        until = self.random.uniform(1.0, self.faults.silent_for)
        self.note(f"{name} is cut off for {until:.1f} s")
        self.post.cut.add(name)
        self.at(until, lambda: self.post.cut.discard(name))

    def _crash_agent(self) -> None:
        self._kill_agent(self.random.choice(sorted(self.nodes)))

    def _kill_agent(self, name: str) -> None:
        self.note(f"agent of {name} crashes")
        self.nodes[name].crash()
        self.at(self.random.uniform(0.1, 20.0), lambda: self._start_agent(name))

    def _start_agent(self, name: str) -> None:
        if name not in self.network.nodes:
            self.nodes[name].start()
            self.wake(name)

    def _clone(self) -> None:
        self.clones.begin(self.random.choice(host_names(self.hosts)))

    def _reload(self) -> None:
        name = self.random.choice(BALANCERS)
        self.note(f"balancer on {name} is reloaded")
        self.balancers[name].reload()

    def _calm_down(self) -> None:
        self.note("faults stop")
        self.faults = NONE
        self.clones.end()
        self.operators.take_back()
        self.post.cut.clear()
        for name in self.nodes:
            self._start_agent(name)
        self.commit(f"{self.outcomes.commits + 1}")

    # --- the end

    def _statuses(self) -> list[RolloutStatus]:
        deciding = self.controller.deciding
        return [deciding.world.statuses[f"{name}@prod"] for name in self.services] if deciding else []

    def _converged(self) -> bool:
        """Both targets say Ready, for the newest commit, and nothing is left to be migrated."""
        newest = self.controller.newest
        return bool(statuses := self._statuses_or_none()) and all(
            status.version == newest
            and (ready := find(status.conditions, "Ready"))
            and ready.status == "True"
            and all(task.state == "passed" for task in status.tasks)
            for status in statuses
        )

    def _statuses_or_none(self) -> list[RolloutStatus]:
        with suppress(KeyError):
            return self._statuses()
        return []

    def moved(self, target: str, host: str, step: str) -> None:
        """A host is at a step of its journey; count and note each once."""
        if self._moves.get((target, host)) != step:
            self._moves[target, host] = step
            self.outcomes.journeys += step == "soaking"
            self.note(f"{target}/{host} {step}")

    def _busy(self) -> None:
        """Sessions that last begin on a server that admits them."""
        node, service = self.random.choice(BALANCERS), self.random.choice(self.services)
        host = self.random.choice(host_names(self.hosts))
        if self.balancers[node].serves(pool(service, "online"), host):
            self.balancers[node].hold(pool(service, "online"), host, self.random.uniform(1.0, 100.0))

    def _check_end(self) -> None:
        self.clones.check()
        for status in self._statuses():
            self.checkers.succeeded(status.target, status)
            left = self.controller.world.journeys.get(status.target)
            if left:
                raise PromiseBroken(7, f"{status.target} is ready, but {sorted(left)} are still on their way")

    def _words(self) -> str:
        return "; ".join(
            f"{status.target}: " + ", ".join(f"{c.type}={c.status} {c.reason}: {c.message}" for c in status.conditions)
            for status in self._statuses_or_none()
        )
