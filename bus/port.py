"""The Bus port: what each transport offers to the controller and to a node.

Messages are opaque bytes here (signed envelopes, see bus/envelope.py). The bus may lose, repeat, delay and reorder
them; whoever uses it is right all the same, because the newest assignment wins and every report names the assignment
that its node has taken. A short report and a full one travel apart and may overtake each other. A transport must pass
tests/conformance/bus.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Received:
    """An envelope that arrived from a node, with what the transport needs to settle it."""

    node: str
    """The sender as the transport authenticated it; the envelope's signature must agree."""
    envelope: bytes
    tag: object = None
    """The transport's own."""


class ControllerBus(Protocol):
    """The controller's end. No method blocks on the network."""

    def start(self, receive: Callable[[Received], None]) -> None:
        """Begin to deliver reports to ``receive``, from threads of the bus; ``receive`` is quick and thread-safe."""

    def publish(self, node: str, envelope: bytes) -> None:
        """Replace what the node is to get by this assignment, now or when it next connects.

        It need not arrive: the caller notices and publishes again, which delivers again. Nothing published is kept
        beyond this object's life.
        """

    def settle(self, received: list[Received]) -> None:
        """Say that these need not come again: folded, saved where that is due, or refused.

        Everything received is settled once, in any order and from any thread; a transport holds back what is to come
        while too much is not settled. What was not settled may come again after a restart.
        """

    def stop(self) -> None:
        """End all threads and connections; nothing is delivered afterwards."""


class NodeBus(Protocol):
    """A node's end. Connects outwards only; finds its way back by itself, with jittered back-off."""

    def start(self, receive: Callable[[bytes], None], heartbeat: Callable[[], bytes]) -> None:
        """Begin to deliver assignments to ``receive``, from a thread of the bus.

        Once ``receive`` returned, the transport may forget the assignment; if it raises, the assignment comes again.
        ``heartbeat`` makes a short report; the bus calls it whenever one is due (each ``interval`` of the transport)
        or when a request carries one anyway.
        """

    def send(self, envelope: bytes) -> None:
        """Send a full report soon. A newer one takes the place of one that is still waiting. Never blocks."""

    def stop(self) -> None:
        """End all threads and connections."""
