"""Orders: what the controllers have asked of nodes, and what the nodes took."""

import hashlib
from dataclasses import dataclass, field

from controller.world import World
from crds.messages import Assignment, Stamp
from crds.status import Step
from tests.simulation.checkers.truth import PromiseBroken, Truth

_KEPT = 64
"""Orders of a node that are remembered."""
NOTHING = Stamp(0, 0)
Way = tuple[str, str]
"""A target, and a host that is on its way there."""


@dataclass
class Order:
    """One assignment, as often as it was sealed."""

    envelopes: set[bytes] = field(default_factory=set)
    """Their digests."""
    moving: frozenset[Way] = frozenset()
    """Which hosts were on their way when it was sealed: nothing else may be disrupted by it."""


class Orders:
    """Promises 5 and 10: agents take what a controller asked of them, each newer than the last."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._orders: dict[str, dict[Stamp, Order]] = {}
        self._taken: dict[str, Stamp] = {}
        self._moving: tuple[tuple[float, int], frozenset[Way]] = ((-1.0, 0), frozenset())

    def sealed(self, world: World, assignment: Assignment, envelope: bytes) -> None:
        """A controller has signed it; from now on it may arrive.

        Promise 10: no controller asks for anything under a lower term than a node that it heard has taken, or under a
        lower serial than that node has. So a restored store, which cannot know who led since it was copied, fences too.
        """
        self._outbids(world, assignment)
        orders = self._orders.setdefault(assignment.node, {})
        order = orders.setdefault(assignment.stamp, Order())
        order.envelopes.add(hashlib.sha256(envelope).digest())
        order.moving |= self._on_their_way(world)
        for oldest in list(orders)[:-_KEPT]:
            del orders[oldest]

    def _outbids(self, world: World, assignment: Assignment) -> None:
        stamp = assignment.stamp
        for name, node in world.nodes.nodes.items():
            newer = node.taken.term > stamp.term or (name == assignment.node and node.taken > stamp)
            if newer and node.trusted:
                raise PromiseBroken(10, f"{assignment.node} is asked under {stamp}, and {name} has taken {node.taken}")

    def _on_their_way(self, world: World) -> frozenset[Way]:
        """Worked out once a step."""
        now = (self._truth.time(), id(world))
        if self._moving[0] != now:
            moving = {
                (target, host)
                for target, journeys in world.journeys.items()
                for host, journey in journeys.items()
                if journey.step is not Step.WAITING
            }
            self._moving = now, frozenset(moving)
        return self._moving[1]

    def took(self, node: str) -> None:
        """The node's agent made a step: what it took is newer than what it had, and was asked of it."""
        journal = self._truth.journal(node)
        stamp, before = journal.stamp, self._taken.get(node, NOTHING)
        if stamp == before:
            return
        if stamp < before:
            raise PromiseBroken(10 if stamp.term < before.term else 5, f"{node} took {stamp} after {before}")
        self._taken[node] = stamp
        order = self._orders.get(node, {}).get(stamp)
        if order is None or hashlib.sha256(journal.envelope).digest() not in order.envelopes:
            raise PromiseBroken(5, f"{node} took {stamp}, which no controller asked of it in these words")

    def forget(self, node: str) -> None:
        """The node's journal was brought back from an older copy, or is lost: what it took since is unknown to it."""
        self._taken.pop(node, None)

    def asks_for(self, node: str, target: str, host: str) -> bool:
        """What the node has taken was asked while the host was on its way."""
        order = self._orders.get(node, {}).get(self._truth.journal(node).stamp)
        return order is not None and (target, host) in order.moving
