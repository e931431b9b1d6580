"""Post: messages on their way, with delays, losses, repetitions and forgeries."""

from typing import TYPE_CHECKING

from bus.envelope import Refused, open_assignment, seal_assignment
from tests.simulation.memory_bus import Parcel

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulation

_USUAL = (0.001, 0.02)
"""Seconds that a message takes, from and to."""


class Post:
    """Takes every parcel that is posted on the simulated network, and delivers it in its time."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self.cut: set[str] = set()
        """Nodes that nothing reaches and nothing leaves."""
        self.stragglers: list[Parcel] = []
        """Assignments that are hours late, and may have arrived meanwhile."""
        network = simulation.network
        post = network.post

        def take(parcel: Parcel) -> None:
            post(parcel)
            if parcel in network.in_flight:
                self._dispatch(parcel)

        network.post = take  # type: ignore[method-assign]

    def _dispatch(self, parcel: Parcel) -> None:
        simulation, faults = self._simulation, self._simulation.faults
        if self._happens("lost", faults.lost):
            simulation.network.lose(parcel)
            return
        delay = self._delay(parcel)
        if self._happens("twice", faults.twice):
            again = delay + simulation.dice("twice").uniform(0.0, 5.0)
            simulation.at(again, lambda: self._deliver(parcel, False))
            simulation.at(delay, lambda: self._deliver(parcel, True))
        else:
            simulation.at(delay, lambda: self._deliver(parcel, False))
        if parcel.kind == "assignment" and self._happens("forged", faults.forged):
            self._forge(parcel)

    def _delay(self, parcel: Parcel) -> float:
        simulation, faults = self._simulation, self._simulation.faults
        if parcel.kind == "assignment" and self._happens("hours_late", faults.hours_late):
            self.stragglers.append(parcel)
            return simulation.dice("hours_late").uniform(60.0, 5 * 3600.0)
        if self._happens("late", faults.late):
            return simulation.dice("late").uniform(1.0, 60.0)
        return simulation.random.uniform(*_USUAL)

    def _happens(self, kind: str, probability: float) -> bool:
        return probability > 0 and self._simulation.dice(kind).random() < probability

    def deliver_stragglers(self) -> bool:
        """Whatever is hours late arrives now; says whether anything did."""
        late = [parcel for parcel in self.stragglers if parcel in self._simulation.network.in_flight]
        for parcel in late:
            self._deliver(parcel, False)
        self.stragglers.clear()
        return bool(late)

    def _deliver(self, parcel: Parcel, again: bool) -> None:
        simulation, network = self._simulation, self._simulation.network
        if parcel not in network.in_flight:
            return
        if parcel.node in self.cut or not network.can_deliver(parcel):
            network.lose(parcel)
            return
        network.deliver(parcel, again)
        if parcel.kind == "assignment":
            simulation.wake(parcel.node)

    def _forge(self, parcel: Parcel) -> None:
        """The same with a higher serial and a foreign key; and a real one for another node."""
        simulation = self._simulation
        assignment = open_assignment(parcel.envelope, [simulation.controller_key.public_key], parcel.node)
        higher = assignment.model_copy(update={"serial": assignment.serial + 1000})
        forged = seal_assignment(higher, simulation.foreign_key)
        other = simulation.dice("forged").choice(sorted(simulation.nodes))
        for node, envelope in ((parcel.node, forged), (other, parcel.envelope)):
            if node in simulation.network.nodes and not self._is_genuine(envelope, node):
                simulation.network.nodes[node].receive(envelope)

    def _is_genuine(self, envelope: bytes, node: str) -> bool:
        try:
            open_assignment(envelope, [self._simulation.controller_key.public_key], node)
        except Refused:
            return False
        return True
