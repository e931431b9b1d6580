"""One life of the controller: production deciding step, world, store and intake, killed wherever a step can be cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry

from bus.envelope import seal_assignment
from bus.keyring import KeyRing
from bus.port import Received
from controller.deciding import Deciding
from controller.intake import Intake, Refusals
from controller.mailbox import Mailbox, Message
from controller.metrics import Metrics
from controller.store import Fenced, Store, StoreError, Transaction
from crds.messages import Assignment
from tests.simulation.clocks import MachineClock
from tests.simulation.memory_bus import MemoryControllerBus

if TYPE_CHECKING:
    from tests.simulation.controller import SimController
    from tests.simulation.simulator import Simulation

NODE_TIMEOUT = 90.0
_REST = (0.002, 0.04)
"""Seconds from one step to the next, from and to: that a step takes, and that production rests after it."""
Cut = Literal["before", "unsaved", "unpublished", "half-published", "io-error"]
CUTS: tuple[Cut, ...] = ("before", "unsaved", "unpublished", "half-published")


class ControllerDied(BaseException):
    """Killed where it stood."""


class _LivesBus(MemoryControllerBus):
    """Ends the controller's life at a publication, or keeps what it publishes while it stands still."""

    left: int | None = None
    """Publications until its end."""
    held: list[tuple[str, bytes]] | None = None
    """None unless it stands still before it publishes."""

    def publish(self, node: str, envelope: bytes) -> None:
        if self.held is not None:
            self.held.append((node, envelope))
            return
        if self.left is not None:
            if self.left == 0:
                raise ControllerDied
            self.left -= 1
        super().publish(node, envelope)

    def release(self) -> None:
        """Publish what was kept."""
        held, self.held = self.held or [], None
        for node, envelope in held:
            self.publish(node, envelope)


class _LivesStore(Store):
    """Ends the controller's life before a transaction is on disk, or fails as disks do."""

    owner: "SimController"
    life: "Life | None" = None
    cut: Cut | None = None

    @contextmanager
    def transaction(self, term: int) -> Iterator[Transaction]:
        with super().transaction(term) as transaction:
            yield transaction
            if self.cut == "unsaved":
                raise ControllerDied
            if self.owner.full and not transaction.empty:
                raise StoreError("planted: no space is left")
        if self.life is not None and not transaction.empty:
            self.owner.saved_too_late(self.life)
        if self.cut == "io-error":
            raise StoreError("planted: the disk reports an error")


class Life:
    """From a start to the end of a process."""

    def __init__(self, owner: "SimController", simulation: "Simulation") -> None:
        """Raises StoreError."""
        self._owner, self._simulation = owner, simulation
        self.clock = MachineClock(simulation.clock)
        self.since = simulation.clock.monotonic()
        self.paused = False
        self._cut: Cut | None = None
        self._due: float | None = None
        self._rested = 0.0
        self._ended = False
        self._mailbox = Mailbox()
        self._bus = _LivesBus(simulation.network)
        # Two controllers at once, as where the store is a server; a file is held by one alone.
        self._store = _LivesStore.open(simulation.folder / "drumbeat.db", alone=False)
        self._store.owner = owner
        try:
            self.deciding = self._take_over()
        except StoreError:
            self._store.close()
            raise
        self._store.life = self
        self._bus.start(self._receive)

    @property
    def term(self) -> int:
        """By which the store and the agents tell lives apart."""
        return self.deciding.term

    def _take_over(self) -> Deciding:
        simulation = self._simulation
        if self._owner.full:
            raise StoreError("planted: no space is left")
        metrics, ring = Metrics(CollectorRegistry()), KeyRing(simulation.keys)
        self._intake = Intake(ring, self._bus, self._mailbox, Refusals(metrics, self.clock))
        return Deciding(
            store=self._store,
            bus=self._bus,
            seal=self._seal,
            clock=self.clock,
            random=Random(simulation.random.getrandbits(64)),
            metrics=metrics,
            node_timeout=NODE_TIMEOUT,
            ring=ring,
        )

    def _seal(self, assignment: Assignment) -> bytes:
        envelope = seal_assignment(assignment, self._simulation.controller_key)
        self._simulation.checkers.sealed(self.deciding, assignment, envelope)
        return envelope

    def _receive(self, received: Received) -> None:
        self._simulation.checkers.heard(received.node)
        self._intake.receive(received)
        self.wake(0.002)

    def put(self, message: Message) -> None:
        """Into its mailbox."""
        self._mailbox.put(message)
        self.wake(0.001)

    def wake(self, delay: float) -> None:
        """Have the deciding thread step soon, once it has rested; an earlier appointment stands."""
        now = self._simulation.clock.monotonic()
        due = max(now + delay, self._rested)
        if self._due is None or due < self._due:
            self._due = due
            self._simulation.at(due - now, lambda: self._step(due))

    def cut_short(self, cut: Cut) -> None:
        """End in the next step."""
        self._cut = cut
        self.wake(0.001)

    def pause(self, holding: bool) -> None:
        """Stand still; ``holding``: not before a last step has saved and not published."""
        if holding:
            self._bus.held = []
            self._step_now()
        self.paused = True
        self._owner.watched.stood_still(self.term)

    def resume(self) -> None:
        """Go on as if nothing had been."""
        if self.paused and not self._ended:
            self.paused = False
            self._bus.release()
            self._due = None
            self.wake(0.001)

    def end(self) -> None:
        """The process is gone."""
        self._ended = True
        self._bus.stop()
        self._store.close()

    def _step(self, due: float) -> None:
        if self._due == due and not self.paused:
            self._due = None
            self._step_now()

    def _step_now(self) -> None:
        if self._ended:
            return
        cut, self._cut = self._cut, None
        before = dict(self.deciding.world.statuses)
        try:
            if cut == "before":
                raise ControllerDied
            self._store.cut = cut
            self._bus.left = {"unpublished": 0, "half-published": 1}.get(cut or "")
            with self._owner.watched.step(self):
                wake = self.deciding.step(self._mailbox.drain(0))
        except ControllerDied:
            self._owner.die(self, cut or "killed")
            return
        except (StoreError, Fenced) as error:
            self._owner.die(self, f"{type(error).__name__}: {error}")
            return
        self._store.cut, self._bus.left = None, None
        self._owner.check(self, before)
        self._rested = self._simulation.clock.monotonic() + self._simulation.dice("rest").uniform(*_REST)
        if wake is not None:
            self.wake(max(self.clock.true_seconds((wake - self.clock.now()).total_seconds()), 0.001))
