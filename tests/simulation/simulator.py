"""Simulation: one heap of events, seeded dice, one clock that jumps from event to event.

The controller's deciding step, world and store (real SQLite), the intake, the envelopes and the agents are production
code. Same seed, same trace.
"""

import hashlib
import heapq
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

from agent.drivers.contracts import Server
from bus.keyring import ALL_ROLES, KeyRing, NodeEntry
from bus.keys import SigningKey, generate_key, public_text
from crds.release import Release
from crds.status import RolloutStatus
from reconcilers.conditions import find
from tests.simulation.balancer import Line, SimBalancer
from tests.simulation.checkers import Checkers, PromiseBroken, Truth
from tests.simulation.checkers.freezes import left_out
from tests.simulation.clones import Clones
from tests.simulation.controller import SimController
from tests.simulation.desired import BALANCERS, RUNNERS, address, host_names, pool, port, service_names
from tests.simulation.detours import Detours
from tests.simulation.drivers import SimClock
from tests.simulation.faults import NONE, Faults
from tests.simulation.freezing import Freezing
from tests.simulation.memory_bus import MemoryNetwork
from tests.simulation.mortality import AgentDied
from tests.simulation.network import Post
from tests.simulation.nodes import INTERVAL, BalancerNode, HostNode, RunnerNode, SimNode, Witness
from tests.simulation.operators import Operators
from tests.simulation.people import Backups, Hands
from tests.simulation.releases import Releases
from tests.simulation.trouble import Trouble

_DROWSY = 600.0
"""Seconds between two steps of a node while the controller is away for hours: a day must not take minutes."""
_CAUGHT_UP = 60.0
"""Seconds after which the controller has heard of all that was mended when faults stopped."""
_SETTLED = 120.0
"""Seconds that everything stays converged after messages that are hours late have arrived."""


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


class Watchers:
    """Everybody who looks on when an agent changes something."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation

    def taken_out(self, node: str, pool: str, server: str) -> None:
        self._simulation.checkers.taken_out(node, pool, server)

    def let_in(self, node: str, pool: str, server: str) -> None:
        self._simulation.checkers.let_in(node, pool, server)

    def replaced(self, host: str, target: str) -> None:
        self._simulation.checkers.replaced(host, target)

    def deployed(self, host: str, target: str, version: str) -> None:
        self._simulation.checkers.deployed(host, target, version)


class Simulation:
    """A fleet, its controller, and what goes wrong."""

    def __init__(self, seed: int, hosts: int, folder: Path, faults: Faults, services: int = 2) -> None:
        self.random = Random(seed)
        self._seed = seed
        self._dice: dict[str, Random] = {}
        self.hosts, self.folder, self.faults = hosts, folder, faults
        self.services = service_names(services)
        self.clock = SimClock()
        self.outcomes = Outcomes()
        self.faulty_left = 0.0
        """Seconds for which faults go on."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._hash = hashlib.sha256()
        self._steps: dict[str, float] = {}
        self._moves: dict[tuple[str, str], str] = {}
        self.network = MemoryNetwork(overtake=True)
        self.post = Post(self)
        self._make_keys(generate_key())
        self._places = {
            address(host, service): (host, f"{service}@prod") for host in host_names(hosts) for service in self.services
        }
        self.controller = SimController(self)
        self.hands, self.backups, self.clones = Hands(self), Backups(self), Clones(self)
        self.releases, self.trouble = Releases(self), Trouble(self)
        self.operators, self.detours, self.freezing = Operators(self), Detours(self), Freezing(self)
        self.checkers = Checkers(self._truth())
        self.balancers = {name: self._balancer() for name in BALANCERS}
        names = (*host_names(hosts), *BALANCERS, *RUNNERS)
        self.nodes = {name: self.make_node(name, folder / name, Watchers(self)) for name in names}

    def dice(self, kind: str) -> Random:
        """The dice of one kind of fault: what one kind does, must not change when others happen."""
        if kind not in self._dice:
            self._dice[kind] = Random(f"{self._seed} {kind}")
        return self._dice[kind]

    def _make_keys(self, controller_key: SigningKey) -> None:
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
        return SimBalancer(self.clock, servers, self._is_up, interval=1.0)

    def _is_up(self, place: str) -> bool:
        host, target = self._places[place]
        node = self.nodes[host]
        assert isinstance(node, HostNode)
        return node.answers(target)

    def make_node(self, name: str, folder: Path, witness: Witness) -> SimNode:
        """A machine of that name, whose agent keeps its journal in that folder."""
        kind = BalancerNode if name in BALANCERS else RunnerNode if name in RUNNERS else HostNode
        random = Random(self.random.getrandbits(64))
        pinned = [self.controller_key.public_key]
        key, wake = self.node_keys[name], lambda: self.wake(name)
        made = kind(name, self.clock, random, self.network, folder, key, pinned, wake)
        if isinstance(made, BalancerNode):
            made.prepare(witness, self.balancers[name])
        elif isinstance(made, RunnerNode):
            hangs = self.dice("hanging")
            made.prepare(
                self.releases.gate,
                lambda: random.uniform(0.1, 3.0),
                lambda: hangs.random() < self.faults.hanging,
            )
        elif isinstance(made, HostNode):
            ports = {port(service): f"{service}@prod" for service in self.services}
            made.prepare(witness, ports, self.releases.artifacts)
            made.install_delay = self._install_seconds
        return made

    def _install_seconds(self) -> float:
        slow = self.dice("slow_install")
        return slow.uniform(5, 120) if slow.random() < self.faults.slow_install else slow.uniform(0.1, 2)

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
        if name not in self.network.nodes:
            return
        try:
            wait = node.step()
        except AgentDied:
            self._agent_died(name)
            return
        self.checkers.took(name)
        if isinstance(node, BalancerNode):
            self.balancers[name].was_seen()
        self.wake(name, max(wait, _DROWSY) if self.controller.absent else wait)

    def _agent_died(self, name: str) -> None:
        dice = self.dice("agent_cut")
        powerless = dice.random() < 0.3
        self.note(f"{name} loses power in the midst of a deed" if powerless else f"agent of {name} dies at a deed")
        if powerless:
            self.nodes[name].lose_power()
        else:
            self.nodes[name].crash()
        self.start_agent_in(name, dice.uniform(0.1, 20.0))

    def _heartbeat(self, name: str) -> None:
        if name in self.network.nodes:
            self.network.beat(name)
        self.at(_DROWSY if self.controller.absent else INTERVAL, lambda: self._heartbeat(name))

    def start_agent_in(self, name: str, delay: float) -> None:
        """Have the agent of a node started then, unless it runs."""
        self.at(delay, lambda: self._start_agent(name))

    def _start_agent(self, name: str) -> None:
        if name not in self.network.nodes:
            self.nodes[name].start()
            self.wake(name)

    # --- the truth

    def _truth(self) -> Truth:
        return Truth(
            hosts=self.hosts,
            services=self.services,
            balancers=BALANCERS,
            server=self._server,
            digest=self.digest,
            version=self._version,
            journal=lambda node: self.nodes[node].journal,
            apart=self.detours.is_apart,
            away=self.detours.is_away,
            marked=lambda node, *place: place in self.balancers[node].people,
            excluded=lambda service, host: self.hands.has_out(service, host) or self.operators.has_out(host),
            frozen=self._frozen,
            time=self.clock.monotonic,
        )

    def _server(self, node: str, pool_name: str, host: str) -> Server | None:
        return self.balancers[node].look(pool_name, host)

    def digest(self, host: str, target: str) -> str | None:
        """What runs there of a target; None if no process does."""
        release = self._release(host, target)
        return release.digest if release else None

    def _version(self, host: str, target: str) -> str | None:
        release = self._release(host, target)
        return release.version if release else None

    def _release(self, host: str, target: str) -> Release | None:
        node = self.nodes[host]
        assert isinstance(node, HostNode)
        return node.supervisor.runs(target)

    def _frozen(self, revision: str, service: str, when: datetime, rolling_back: bool) -> bool:
        planted = (self.freezing.planted[name] for name in self.controller.frozen.get(revision, ()))
        return any(each.forbids(service, when, rolling_back) for each in planted)

    # --- a run

    def run(self, faulty: float, calm: float) -> Outcomes:
        """``faulty`` seconds with faults, then at most ``calm`` seconds without: everything must have converged.

        Hours in which nobody starts the controller are not counted. Raises PromiseBroken.
        """
        self.begin()
        self.faulty_left = faulty
        while self.faulty_left > 0:
            before, absent = self.clock.monotonic(), self.controller.absent
            self.advance()
            self.faulty_left -= 0.0 if absent else self.clock.monotonic() - before
        self._calm_down()
        self._end_freezes(calm)
        self._converge(calm)
        # The last answers too: then nothing that was asked is left.
        self._go_on(_SETTLED if self.post.deliver_stragglers() else INTERVAL)
        self._converge(calm)
        self._check_end()
        self.outcomes.seconds = self.clock.monotonic()
        self.outcomes.digest = self._hash.hexdigest()
        return self.outcomes

    def _converge(self, calm: float) -> None:
        end = self.clock.monotonic() + calm
        while not self._converged():
            if self.clock.monotonic() > end:
                raise PromiseBroken(17, f"nothing converged within {calm:g} s after the faults: {self._words()}")
            self.advance()

    def _end_freezes(self, calm: float) -> None:
        """While something is still frozen, hosts that are out return; then everything is let go."""
        if self.freezing.holding():
            end, out = self.clock.monotonic() + calm, list[str]()
            self._go_on(_CAUGHT_UP)
            while self.controller.deciding is None or (out := left_out(self.controller.world)):
                if self.clock.monotonic() > end:
                    raise PromiseBroken(12, f"{out} stay out while it is frozen: {self._words()}")
                self.advance()
        self.freezing.lift_all()

    def _go_on(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.advance()

    def begin(self) -> None:
        """Start every node and the controller, and declare the first version."""
        for name, node in self.nodes.items():
            node.start()
            self.wake(name, self.random.uniform(0.0, 1.0))
            self.at(self.random.uniform(0.0, INTERVAL), lambda name=name: self._heartbeat(name))  # type: ignore[misc]
        self.controller.start()
        self.releases.commit()
        self.trouble.begin()

    def _calm_down(self) -> None:
        self.note("faults stop")
        self.faults = NONE
        self.clones.end()
        self.trouble.stop()
        self.releases.commit()

    # --- the end

    def _statuses(self) -> list[RolloutStatus]:
        deciding = self.controller.deciding
        return [deciding.world.statuses[f"{name}@prod"] for name in self.services] if deciding else []

    def _converged(self) -> bool:
        """All targets say Ready, for the newest commit, and nothing is left to be migrated."""
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

    def _check_end(self) -> None:
        self.clones.check()
        if away := [name for name in BALANCERS if self.detours.is_away(name)]:
            raise PromiseBroken(17, f"{away} cannot be given customers again: other nodes have other hosts in")
        assert self.controller.deciding is not None
        self.checkers.ended(self.controller.deciding)

    def _words(self) -> str:
        return "; ".join(
            f"{status.target}: " + ", ".join(f"{c.type}={c.status} {c.reason}: {c.message}" for c in status.conditions)
            for status in self._statuses_or_none()
        )
