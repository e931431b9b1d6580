"""The simulated controller: production deciding step, world, store and intake, killed wherever a step can be cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Literal

from prometheus_client import CollectorRegistry

from bus.envelope import seal_assignment
from bus.keyring import KeyRing
from controller.deciding import Deciding
from controller.intake import Intake, Refusals
from controller.mailbox import Commanded, Mailbox, RevisionRead
from controller.metrics import Metrics
from controller.store import Store, Transaction
from controller.world import World
from crds.status import RolloutStatus
from tests.simulation.desired import desired
from tests.simulation.memory_bus import MemoryControllerBus

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulation

NODE_TIMEOUT = 90.0
Cut = Literal["before", "unsaved", "unpublished", "half-published"]
CUTS: tuple[Cut, ...] = ("before", "unsaved", "unpublished", "half-published")


class ControllerDied(BaseException):
    """Killed where it stood."""


class _CutBus(MemoryControllerBus):
    """Ends the controller's life at a publication."""

    left: int | None = None
    """Publications until then."""

    def publish(self, node: str, envelope: bytes) -> None:
        if self.left is not None:
            if self.left == 0:
                raise ControllerDied
            self.left -= 1
        super().publish(node, envelope)


class _CutStore(Store):
    """Ends the controller's life before a transaction is on disk."""

    cut = False

    @contextmanager
    def transaction(self, term: int) -> Iterator[Transaction]:
        with super().transaction(term) as transaction:
            yield transaction
            if self.cut:
                raise ControllerDied


class SimController:
    """One life of the controller after another."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self.deciding: Deciding | None = None
        self.newest = ""
        self.since = 0.0
        """When the present life began."""
        self.good: dict[str, dict[str, str]] = {}
        """Versions by service of every good commit."""
        self._head: RevisionRead | None = None
        self._cut: Cut | None = None
        self._due: float | None = None

    @property
    def world(self) -> World:
        """What the present life knows."""
        assert self.deciding is not None
        return self.deciding.world

    def start(self) -> None:
        """Begin a life from what the store has."""
        simulation = self._simulation
        simulation.outcomes.controller_lives += 1
        self.since = simulation.clock.monotonic()
        self._store = _CutStore.open(simulation.folder / "drumbeat.db")
        self._bus = _CutBus(simulation.network)
        self._mailbox = Mailbox()
        metrics = Metrics(CollectorRegistry())
        ring = KeyRing(simulation.keys)
        intake = Intake(ring, self._bus, self._mailbox, Refusals(metrics, simulation.clock))
        self.deciding = Deciding(
            store=self._store,
            bus=self._bus,
            seal=lambda assignment: seal_assignment(assignment, simulation.controller_key),
            clock=simulation.clock,
            random=Random(simulation.random.getrandbits(64)),
            metrics=metrics,
            node_timeout=NODE_TIMEOUT,
            ring=ring,
        )
        self._bus.start(lambda received: (intake.receive(received), self.wake(0.002))[0])
        if self._head is not None:
            self._mailbox.put(self._head)
        self.wake(0.0)

    def commit(self, version: str) -> None:
        """The repository's head says this version of every service."""
        versions = dict.fromkeys(self._simulation.services, version)
        revision = f"revision-{version}"
        self.newest, self.good[revision] = version, versions
        self._read(RevisionRead(revision, desired(revision, self._simulation.hosts, versions), [], {}))

    def refuse(self, revision: str) -> None:
        """The repository's head cannot be applied."""
        self._read(RevisionRead(revision, None, ["versions/prod/api.yaml:1:1: error: planted"], {}))

    def command(self, message: Commanded) -> None:
        """Somebody asks; nobody hears it while the controller is away."""
        if self.deciding is not None:
            self._mailbox.put(message)
            self.wake(0.001)

    def _read(self, head: RevisionRead) -> None:
        self._head = head
        if self.deciding is not None:
            self._mailbox.put(head)
            self.wake(0.001)

    def crash_soon(self) -> None:
        """Die in the next step, somewhere."""
        self._cut = self._simulation.random.choice(CUTS)
        self.wake(0.001)

    def wake(self, delay: float) -> None:
        """Have the deciding thread step soon; an earlier appointment stands."""
        due = self._simulation.clock.monotonic() + delay
        if self._due is None or due < self._due:
            self._due = due
            self._simulation.at(delay, lambda: self._step(due))

    def _step(self, due: float) -> None:
        if self._due != due:
            return
        self._due = None
        if self.deciding is None:
            return
        simulation, cut = self._simulation, self._cut
        self._cut = None
        try:
            if cut == "before":
                raise ControllerDied
            self._store.cut = cut == "unsaved"
            self._bus.left = {"unpublished": 0, "half-published": 1}.get(cut or "")
            before = dict(self.world.statuses)
            wake = self.deciding.step(self._mailbox.drain(0))
        except ControllerDied:
            self._die(cut)
            return
        self._store.cut, self._bus.left = False, None
        self._check(before)
        if wake is not None:
            self.wake(max((wake - simulation.clock.now()).total_seconds(), 0.001))

    def _die(self, cut: Cut | None) -> None:
        simulation = self._simulation
        simulation.note(f"controller died: {cut}")
        self._bus.stop()
        self._store.close()
        self.deciding, self._due = None, None
        simulation.network.redeliver()
        simulation.at(simulation.random.uniform(0.1, simulation.faults.controller_away or 1.0), self.start)

    def _check(self, before: dict[str, RolloutStatus]) -> None:
        simulation = self._simulation
        simulation.checkers.excluded = set(self.world.exclusions)
        simulation.checkers.notice_complete()
        simulation.checkers.decided(self.world, self.good)
        simulation.quarantines.check(self.world)
        for target, status in self.world.statuses.items():
            was = before.get(target)
            if status.quarantine is not None and (was is None or was.quarantine is None):
                simulation.note(
                    f"{target} put {status.quarantine.version} into quarantine: {status.quarantine.message}"
                )
            if status.finished is not None and (was is None or was.finished is None):
                simulation.note(f"{target} succeeded with {status.version}")
                simulation.checkers.succeeded(target, status)
            for host, journey in self.world.journeys.get(target, {}).items():
                simulation.moved(target, host, str(journey.step))
