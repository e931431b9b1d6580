"""Cloned machines: a host is copied with its agent's journal and its key, and both run."""

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.lives import LATEST
from tests.simulation.checkers import PromiseBroken
from tests.simulation.memory_bus import MemoryNodeBus, Parcel
from tests.simulation.nodes import INTERVAL, HostNode

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulation

NOTICED = LATEST.total_seconds() + 10 * INTERVAL
"""Seconds within which a clone is noticed, though messages are lost, agents crash and controllers start anew."""


class SecondBus(MemoryNodeBus):
    """Of a clone: what it says is heard, and assignments go to the machine that was there first."""

    def start(self, receive: object, heartbeat: object) -> None:
        self.receive, self.heartbeat = receive, heartbeat  # type: ignore[assignment]

    def stop(self) -> None: ...


class Blind:
    """A clone's machine is in no pool: what happens there harms nobody."""

    def taken_out(self, node: str, pool: str, server: str) -> None: ...
    def let_in(self, node: str, pool: str, server: str) -> None: ...
    def replaced(self, host: str, target: str) -> None: ...
    def deployed(self, host: str, target: str, version: str) -> None: ...


@dataclass
class Clone:
    """One of them."""

    node: HostNode
    since: float
    dead: bool = False


class Clones:
    """All clones of a run, and what must be said of them."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self.alive: dict[str, Clone] = {}
        self.ever: set[str] = set()

    def begin(self, name: str) -> None:
        """Copy a host on which nothing is under way, and start the copy.

        Until it is noticed, the clone passes for the host's agent after a restart. It has no new assignment, so it can
        vouch for nothing new; but of what was asked before it was made, it might say that it is done.
        """
        simulation = self._simulation
        controller = simulation.controller
        moving = controller.deciding is None or any(name in hosts for hosts in controller.world.journeys.values())
        if moving or name in self.alive:
            return
        simulation.note(f"{name} is cloned")
        folder = simulation.folder / f"{name}-clone-{len(self.ever)}-{simulation.clock.monotonic():.0f}"
        shutil.copytree(simulation.folder / name, folder)
        node = simulation.make_node(name, folder, Blind())
        assert isinstance(node, HostNode)
        node.bus_kind = SecondBus
        node.start()
        self.alive[name], _ = Clone(node, simulation.clock.monotonic()), self.ever.add(name)
        self._step(self.alive[name])
        simulation.at(1.0, lambda: self._beat(self.alive[name]))

    def _step(self, clone: Clone) -> None:
        if not clone.dead:
            self._simulation.at(min(clone.node.step(), 1.0), lambda: self._step(clone))

    def _beat(self, clone: Clone) -> None:
        if not clone.dead:
            name = clone.node.name
            self._simulation.network.post(Parcel("heartbeat", name, clone.node.agent.heartbeat()))
            self._simulation.at(INTERVAL, lambda: self._beat(clone))

    def check(self) -> None:
        """Promise 18: clones are noticed, and nothing else looks like one."""
        disputed = self._simulation.ring.disputed().keys()
        if strange := disputed - self.ever - self._simulation.backups.went_back:
            raise PromiseBroken(18, f"{sorted(strange)} are disputed, and were neither cloned nor restored")
        for name, clone in self.alive.items():
            since = max(clone.since, self._simulation.controller.since)
            if name not in disputed and self._simulation.clock.monotonic() - since > NOTICED:
                raise PromiseBroken(18, f"{name} was cloned {NOTICED:g} s ago and is not disputed")

    def end(self) -> None:
        """A person switches the clones off, and says which machines are to be trusted."""
        self.check()
        for name, clone in self.alive.items():
            clone.dead = True
            self._simulation.note(f"the clone of {name} is switched off")
        self.alive = {}
        self._simulation.at(70.0, self._trust)

    def _trust(self) -> None:
        """Also hosts that are disputed only now: of a clone that was off so soon, just the numbers tell."""
        self.check()
        for name in self._simulation.ring.disputed():
            self._simulation.note(f"{name} is trusted again")
            self._simulation.ring.trust(name)
        self._simulation.at(70.0, self._trust)
