"""A bus without threads or sockets: nothing moves before the simulator says so.

The same suite as for the real transports holds it to the Bus port (tests/conformance/bus).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from bus.port import Received


@dataclass(frozen=True, eq=False)
class Parcel:
    """One message on its way."""

    kind: Literal["assignment", "report", "heartbeat"]
    node: str
    """Whom an assignment is for, or who sent a report."""
    envelope: bytes


@dataclass
class MemoryNetwork:
    """What lies between the two ends. Parcels wait in ``in_flight``, oldest first, until they are delivered or lost."""

    overtake: bool = False
    """True: older parcels stay in flight beside newer ones, to be delivered late; else the newest takes their place."""
    max_bytes: int = 1024 * 1024
    max_unsettled: int = 1_000_000
    in_flight: list[Parcel] = field(default_factory=list)
    unsettled: list[Received] = field(default_factory=list)
    """Delivered to the controller, which did not yet say that it has them."""
    nodes: dict[str, "MemoryNodeBus"] = field(default_factory=dict)
    """The nodes that are connected."""
    receive: Callable[[Received], None] | None = None
    """The controller's, while it is connected."""

    def post(self, parcel: Parcel) -> None:
        """Take a parcel on its way; one that is too large is lost."""
        if len(parcel.envelope) > self.max_bytes:
            return
        if not self.overtake:
            self.in_flight = [
                other for other in self.in_flight if (other.kind, other.node) != (parcel.kind, parcel.node)
            ]
        self.in_flight.append(parcel)

    def beat(self, node: str) -> None:
        """Have a connected node send its heartbeat now."""
        self.post(Parcel("heartbeat", node, self.nodes[node].heartbeat()))

    def can_deliver(self, parcel: Parcel) -> bool:
        """Whether whom it is for is connected, and ready to take it."""
        if parcel.kind == "assignment":
            return parcel.node in self.nodes
        return self.receive is not None and len(self.unsettled) < self.max_unsettled

    def deliver(self, parcel: Parcel, again: bool = False) -> None:
        """Hand a parcel over; ``again`` leaves it in flight, to arrive a second time."""
        if not again:
            self.lose(parcel)
        if parcel.kind == "assignment":
            self.nodes[parcel.node].receive(parcel.envelope)
        elif self.receive is not None:
            received = Received(parcel.node, parcel.envelope)
            self.unsettled.append(received)
            self.receive(received)

    def lose(self, parcel: Parcel) -> None:
        """Drop a parcel."""
        self.in_flight.remove(parcel)

    def deliver_all(self) -> None:
        """Deliver what can be, oldest first, also what is posted meanwhile."""
        while ready := [parcel for parcel in self.in_flight if self.can_deliver(parcel)]:
            self.deliver(ready[0])

    def redeliver(self) -> None:
        """What a broker does when a controller vanished: what it did not settle comes once more, before all else."""
        again = [Parcel("report", received.node, received.envelope) for received in self.unsettled]
        self.unsettled.clear()
        self.in_flight[:0] = again


class MemoryControllerBus:
    """The controller's end."""

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network
        self._receive: Callable[[Received], None] | None = None

    def start(self, receive: Callable[[Received], None]) -> None:
        self._receive = self._network.receive = receive

    def publish(self, node: str, envelope: bytes) -> None:
        self._network.post(Parcel("assignment", node, envelope))

    def settle(self, received: list[Received]) -> None:
        settled = {id(one) for one in received}
        self._network.unsettled = [one for one in self._network.unsettled if id(one) not in settled]

    def stop(self) -> None:
        if self._network.receive is self._receive:
            self._network.receive = None


class MemoryNodeBus:
    """A node's end."""

    receive: Callable[[bytes], None]
    heartbeat: Callable[[], bytes]

    def __init__(self, network: MemoryNetwork, node: str) -> None:
        self._network = network
        self._node = node

    def start(self, receive: Callable[[bytes], None], heartbeat: Callable[[], bytes]) -> None:
        self.receive, self.heartbeat = receive, heartbeat
        self._network.nodes[self._node] = self

    def send(self, envelope: bytes) -> None:
        self._network.post(Parcel("report", self._node, envelope))

    def stop(self) -> None:
        if self._network.nodes.get(self._node) is self:
            del self._network.nodes[self._node]
