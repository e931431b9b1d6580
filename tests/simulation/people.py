"""People: they take servers out by hand and bring them back, and decide after a machine or the store was restored."""

import shutil
import sqlite3
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.drivers.contracts import Server
from crds.messages import AdminState
from crds.status import Step
from tests.simulation.checkers import PromiseBroken
from tests.simulation.desired import BALANCERS, host_names, pool
from tests.simulation.nodes import BalancerNode, HostNode

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulation

_SEEN = 3.0
"""Seconds in which a balancer's agent that runs notices what people set."""
_HARMLESS = (None, Step.TESTING, Step.FAILED)
"""Where a host is when people make it ready again: not where that would send customers into a deployment."""
Place = tuple[str, str, str]
"""A balancer node, a pool, a host."""


@dataclass
class Mark:
    """What somebody set by hand."""

    state: AdminState
    firm: bool = False
    """Its agent could see it, and that it was no deed of ours."""


class Hands:
    """Servers that people took out of a pool, and promise 13 about them."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self.marks: dict[Place, Mark] = {}

    def take_out(self) -> None:
        """Somebody sets a server to MAINT or DRAIN, and means to lift that after a while."""
        simulation, dice = self._simulation, self._simulation.dice("manual")
        node, service = dice.choice(BALANCERS), dice.choice(simulation.services)
        host = dice.choice(host_names(simulation.hosts))
        state: AdminState = dice.choice(["maint", "drain"])
        self.mark((node, pool(service, "online"), host), state, dice.uniform(5.0, 300.0))

    def mark(self, place: Place, state: AdminState, lasts: float) -> None:
        """Somebody sets a server that is ready to that state, and means to lift it after so many seconds."""
        simulation, (node, pool_name, host), server = self._simulation, place, self._server(place)
        if place in self.marks or server is None or server.admin != "ready":
            return
        self.marks[place] = Mark(state)
        simulation.note(f"somebody sets {host} in {pool_name} on {node} to {state}")
        worker, ours = simulation.balancers[node].worker, self._intended(place)
        simulation.balancers[node].by_person(pool_name, host, state)
        if ours in (None, "ready"):
            simulation.at(_SEEN, lambda: self._was_seen(place, worker))
        simulation.at(lasts, lambda: self._lift(place))

    def let_in(self, node: str, pool_name: str, server: str) -> None:
        """Promise 13: hosts that people took out are never put online by us."""
        mark = self.marks.get((node, pool_name, server))
        if mark is not None and mark.firm:
            raise PromiseBroken(13, f"{node} lets {server} into {pool_name}, where somebody set {mark.state}")

    def has_out(self, service: str, host: str) -> bool:
        """Whether somebody keeps the host out of the service's online pool, on any node."""
        return any((node, pool(service, "online"), host) in self.marks for node in BALANCERS)

    def lift_all(self) -> None:
        """Everybody lifts what he set."""
        for place in list(self.marks):
            self._lift(place)

    def _was_seen(self, place: Place, worker: int) -> None:
        mark, balancer = self.marks.get(place), self._simulation.balancers[place[0]]
        looks = place[0] in self._simulation.network.nodes and not balancer.silent
        if mark is not None and looks and balancer.worker == worker and self._is_persons(place):
            mark.firm = True

    def _lift(self, place: Place) -> None:
        simulation, mark = self._simulation, self.marks.get(place)
        node, pool_name, host = place
        if mark is None:
            return
        server = self._server(place)
        agent_runs = node in simulation.network.nodes and not simulation.balancers[node].silent
        if not agent_runs or self._step(place) not in _HARMLESS:
            simulation.at(5.0, lambda: self._lift(place))
            return
        if server is None or not self._may_be_in_the_way(place, mark, server):
            del self.marks[place]
            return
        simulation.at(5.0, lambda: self._lift(place))  # who looks again finds what a reload has brought back
        if server.admin == "ready":
            return
        simulation.note(f"somebody makes {host} in {pool_name} on {node} ready again")
        mark.firm = False
        simulation.balancers[node].by_person(pool_name, host, "ready")

    def _may_be_in_the_way(self, place: Place, mark: Mark, server: Server) -> bool:
        """Its agent takes it for a person's; or so it may yet, since nobody else asked for what was set.

        It may not have looked since, or a reload may bring back what was saved. Nobody goes away before.
        """
        node, pool_name, host = place
        states = (server.admin, self._simulation.balancers[node].saved(pool_name, host))
        return self._is_persons(place) or (mark.state in states and self._intended(place) in (None, "ready"))

    def _server(self, place: Place) -> Server | None:
        node, pool_name, host = place
        return self._simulation.balancers[node].look(pool_name, host)

    def _intended(self, place: Place) -> AdminState | None:
        node, pool_name, host = place
        return self._balancer(node).marks.intended((pool_name, host))

    def _is_persons(self, place: Place) -> bool:
        node, pool_name, host = place
        return self._balancer(node).marks.is_persons((pool_name, host))

    def _balancer(self, node: str) -> BalancerNode:
        found = self._simulation.nodes[node]
        assert isinstance(found, BalancerNode)
        return found

    def _step(self, place: Place) -> Step | None:
        deciding = self._simulation.controller.deciding
        if deciding is None:
            return Step.DEPLOYING  # nobody can tell
        journeys = deciding.world.journeys.get(f"{place[1].partition('_')[0]}@prod", {})
        return journeys[place[2]].step if place[2] in journeys else None


class Backups:
    """Copies that people keep of machines and of the store, and go back to."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self._machines: dict[str, tuple[Path, tuple[object, ...]]] = {}
        self._stores: list[Path] = []
        self.went_back: set[str] = set()
        """Hosts that were restored at any time."""

    def copy_machine(self) -> None:
        """Keep a copy of some host."""
        simulation = self._simulation
        name = simulation.dice("restored").choice(host_names(simulation.hosts))
        node = simulation.nodes[name]
        assert isinstance(node, HostNode)
        folder = simulation.folder / f"{name}-copy"
        shutil.copytree(node.folder, folder, dirs_exist_ok=True)
        self._machines[name] = folder, deepcopy(node.state())

    def restore_machine(self) -> None:
        """Some host goes back to its copy: its disk, what is installed there; and it starts anew."""
        simulation = self._simulation
        if not self._machines:
            return
        name = simulation.dice("restored").choice(sorted(self._machines))
        folder, state = self._machines.pop(name)
        node = simulation.nodes[name]
        assert isinstance(node, HostNode)
        simulation.note(f"{name} is restored from a copy")
        node.lose_power()
        shutil.copytree(folder, node.folder, dirs_exist_ok=True)
        node.put_back(deepcopy(state))
        self.went_back.add(name)
        simulation.checkers.forget(name)
        simulation.start_agent_in(name, simulation.dice("restored").uniform(1.0, 20.0))

    def copy_store(self) -> None:
        """Keep a copy of the store, as a backup of a live database is made."""
        path = self._simulation.folder / f"copy-{len(self._stores)}.db"
        source, copy = sqlite3.connect(self._simulation.folder / "drumbeat.db"), sqlite3.connect(path)
        source.backup(copy)
        source.close()
        copy.close()
        self._stores.append(path)

    def restore_store(self) -> None:
        """The controller goes on from an older store."""
        simulation = self._simulation
        controller = simulation.controller
        if not self._stores or controller.life is None or controller.former:
            return
        path = simulation.dice("store_restored").choice(self._stores[-5:])
        simulation.note(f"the store is restored from {path.name}")
        controller.die(controller.life, "to have its store restored")
        shutil.copyfile(path, simulation.folder / "drumbeat.db")
        simulation.checkers.store_restored()
