"""Saving: what a step writes, in one transaction fenced by the term; then publishing what it asked of nodes.

Nothing is published that was not saved; what was saved and not published is published again when the node's report
names an older assignment.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta

import structlog

from bus.clock import Clock
from bus.port import ControllerBus
from controller.metrics import Metrics
from controller.store import Store, Transaction
from controller.world import World
from crds.messages import Assignment, Stamp
from crds.status import Event
from reconcilers.fragments import Entry, merge
from reconcilers.writes import (
    AddEvent,
    DropEntry,
    DropExclusion,
    DropJourney,
    DropOperation,
    PutEntry,
    PutExclusion,
    PutJourney,
    PutOperation,
    PutStatus,
    Write,
)

ACTOR = "drumbeat"
VALIDITY = timedelta(hours=1)
"""How long a node may start installations and operations under an assignment."""
_REPEAT_AFTER = timedelta(seconds=5)


class Saving:
    """The store, and what one step changes in it. Raises StoreError and Fenced wherever it writes."""

    def __init__(
        self,
        store: Store,
        bus: ControllerBus,
        seal: Callable[[Assignment], bytes],
        clock: Clock,
        metrics: Metrics,
        world: World,
        term: int,
    ) -> None:
        self.store, self.term, self.resource_version = store, term, 0
        self._bus, self._seal, self._clock, self._metrics, self._world = bus, seal, clock, metrics, world
        self._log = structlog.get_logger("controller.deciding")
        self._transaction: Transaction | None = None
        self._stack = ExitStack()
        self._stamped: set[str] = set()
        self._repeated: set[str] = set()
        self._published: dict[str, datetime] = {}
        self.met: set[str] = set()
        """Nodes that have said what they took. Others are told nothing yet: the store may be an old copy."""
        self._before: dict[str, int] = {}
        """Serials as this start found them."""

    # --- the step's transaction

    @contextmanager
    def step(self) -> Iterator[None]:
        """All that is written inside is on disk when the block has ended; an exception keeps nothing of it."""
        self._stamped, self._repeated, self._transaction = set(), set(), None
        with ExitStack() as self._stack:
            yield
        if self._transaction is not None:
            self.resource_version = self._transaction.resource_version

    def tx(self) -> Transaction:
        """The step's transaction, begun when there is something to write."""
        if self._transaction is None:
            self._transaction = self._stack.enter_context(self._timed_transaction())
        return self._transaction

    @contextmanager
    def _timed_transaction(self) -> Iterator[Transaction]:
        with self.store.transaction(self.term) as transaction:
            yield transaction
            begun = self._clock.monotonic()
        self._metrics.commit_seconds.observe(self._clock.monotonic() - begun)

    def event(
        self, verb: str, object_: str, reason: str, message: str, now: datetime, cause: str = "", actor: str = ""
    ) -> None:
        """Put something on record; without an actor it was Drumbeat itself."""
        who = actor or ACTOR
        self.tx().add_event(
            Event(at=now, actor=who, verb=verb, object=object_, reason=reason, message=message, cause=cause)
        )

    # --- a plan's writes

    def save(self, target: str, writes: Sequence[Write], now: datetime) -> None:
        """Save a plan's writes, all or none, and carry them into the world."""
        if not writes:
            return
        with self.tx().savepoint():
            stamps = [self._write(target, write, now) for write in writes]
        for write, stamp in zip(writes, stamps, strict=True):
            self._world.apply(target, write, stamp)

    def _write(self, target: str, write: Write, now: datetime) -> Stamp:
        tx, stamp = self.tx(), Stamp(0, 0)
        match write:
            case PutStatus(status):
                tx.put_status(status)
                self._metrics.show(status)
            case PutJourney(journey):
                tx.put_journey(target, journey)
            case DropJourney(host):
                tx.delete_journey(target, host)
            case PutEntry(node, key, value):
                stamp = self.stamp(node)
                tx.put_entry(node, target, key, Entry(value, stamp))
            case DropEntry(node, key):
                stamp = self.stamp(node)
                tx.delete_entry(node, target, key)
            case PutOperation(operation):
                tx.put_operation(operation)
            case DropOperation(identity):
                tx.delete_operation(identity)
            case PutExclusion(node, mark):
                tx.put_exclusion(node, mark)
            case DropExclusion(node):
                tx.delete_exclusion(node)
            case AddEvent(verb, object_, reason, message, cause, actor):
                self.event(verb, object_, reason, message, now, cause, actor)
                self._metrics.count(verb, reason)
                self._log.info("event", verb=verb, object=object_, reason=reason, text=message, by=actor or ACTOR)
        return stamp

    def stamp(self, node: str) -> Stamp:
        """The assignment that the node gets out of this step: one more serial, however many targets change it."""
        serials = self._world.serials
        if node not in self._stamped:
            self._stamped.add(node)
            self._before.setdefault(node, serials.get(node, 0))
            serials[node] = serials.get(node, 0) + 1
            self.tx().put_serial(node, serials[node])
        return Stamp(self.term, serials[node])

    def newest_known(self, node: str) -> int:
        """The highest serial that the node can have taken, unless it was given one that the store knows nothing of."""
        ours = self._world.serials.get(node, 0)
        return ours if node in self.met else self._before.get(node, ours)

    # --- publishing

    def may_repeat(self, node: str, now: datetime) -> bool:
        """Whether the node's last assignment went out long enough ago to have been lost."""
        return abs(now - self._published.get(node, now - _REPEAT_AFTER)) >= _REPEAT_AFTER

    def repeat(self, node: str, now: datetime) -> None:
        """The node has not taken its newest assignment; it may be on its way, so not too often."""
        if self.may_repeat(node, now):
            self._repeated.add(node)

    def publish(self, now: datetime) -> None:
        """Give each node that was asked something new in this step its assignment.

        Of one that was not met yet the first report names an older serial: that has it published again.
        """
        told = (self._stamped | self._repeated) & self.met
        for node in sorted(node for node in told if self._world.nodes.get(node).trusted):
            stamp = Stamp(self.term, self._world.serials.get(node, 0))
            fragments = self._world.entries.get(node, {})
            self._bus.publish(node, self._seal(merge(node, stamp, now + VALIDITY, fragments)))
            self._published[node] = now
            self._metrics.assignments_total.inc()
