"""Detours: balancer nodes that people exclude by command, and send no customers through meanwhile.

They send customers there again once the node is included and shows of every host what the others show.
"""

from typing import TYPE_CHECKING

from tests.simulation.desired import BALANCERS, host_names, pool

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulation

_AGAIN = 10.0
"""Seconds after which it is said again that a node is included, as long as it is not."""


class Detours:
    """Who is sent no customers."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self._apart: set[str] = set()
        self._away: set[str] = set()

    def begin(self) -> None:
        """Somebody sends customers around a node and excludes it, and includes it after a while."""
        simulation, dice = self._simulation, self._simulation.dice("balancer_excluded")
        node, lasts = dice.choice(BALANCERS), dice.uniform(5.0, 300.0)
        if not self._away:
            self._away.add(node)
            simulation.operators.say("exclude", node)
            simulation.at(lasts, lambda: self._include(node))

    def _include(self, node: str) -> None:
        if self.is_apart(node):
            self._simulation.operators.say("include", node)
            self._simulation.at(_AGAIN, lambda: self._include(node))

    def is_apart(self, node: str) -> bool:
        """Whether a balancer node is excluded, as the present controller has it, or the last one had."""
        deciding = self._simulation.controller.deciding
        if deciding is not None:
            self._apart = deciding.world.exclusions.keys() & set(BALANCERS)
        return node in self._apart

    def is_away(self, node: str) -> bool:
        """Whether customers are sent around a balancer node: whoever has it excluded answers for that."""
        for each in BALANCERS:
            if self.is_apart(each):
                self._away.add(each)
            elif each in self._away and self._shows_what_others_show(each):
                self._away.discard(each)
        return node in self._away

    def _shows_what_others_show(self, node: str) -> bool:
        others = [other for other in BALANCERS if other not in self._away]
        return all(self._shown(node) == self._shown(other) for other in others)

    def _shown(self, node: str) -> list[tuple[str, bool] | None]:
        simulation = self._simulation
        places = [
            (pool(service, "online"), host) for service in simulation.services for host in host_names(simulation.hosts)
        ]
        servers = [simulation.balancers[node].look(*place) for place in places]
        return [(server.admin, server.up) if server else None for server in servers]
