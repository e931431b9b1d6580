"""The simulated controller: one life after another, and sometimes two at once."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from controller.deciding import Deciding
from controller.mailbox import Message, RevisionRead
from controller.store import StoreError
from controller.world import World
from crds.freeze import Freeze
from crds.status import RolloutStatus
from tests.simulation.absence import Watched
from tests.simulation.checkers import PromiseBroken
from tests.simulation.desired import desired
from tests.simulation.life import CUTS, Cut, Life

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulation


class SimController:
    """All lives of the controller, what the state repository says, and what goes wrong with either."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self.life: Life | None = None
        """The one that was started last, while it lives."""
        self.former: list[Life] = []
        """Those that stood still when another one was started, and live on."""
        self.newest = ""
        """The version that the head of the repository says."""
        self.good: dict[str, dict[str, str]] = {}
        """Versions by service of every good commit."""
        self.frozen: dict[str, tuple[str, ...]] = {}
        """Names of the freezes of every good commit."""
        self.freezes: dict[str, Freeze] = {}
        """Those that the head of the repository has."""
        self.heads: list[RevisionRead] = []
        """Good commits, oldest first."""
        self.watched = Watched()
        self.full = False
        """Whether the disk that the store is on has space left."""
        self.absent = False
        """Whether nobody starts it again for long."""
        self._head: RevisionRead | None = None

    @property
    def deciding(self) -> Deciding | None:
        """The newest life's; None while there is none."""
        return self.life.deciding if self.life else None

    @property
    def world(self) -> World:
        """What the newest life knows."""
        assert self.life is not None
        return self.life.deciding.world

    @property
    def since(self) -> float:
        """When the present life began."""
        return self.life.since if self.life else self._simulation.clock.monotonic()

    def start(self) -> None:
        """Begin a life from what the store has; while the disk refuses, whatever starts services tries again."""
        simulation = self._simulation
        if self.life is not None:
            return
        simulation.outcomes.controller_lives += 1
        simulation.network.redeliver()
        try:
            self.life = Life(self, simulation)
        except StoreError as error:
            simulation.note(f"controller cannot start: {error}")
            simulation.at(simulation.random.uniform(1.0, 5.0), self.start)
            return
        self.absent = False
        simulation.checkers.began(self.life.deciding)
        if self._head is not None:
            self.life.put(self._head)
        self.life.wake(0.0)

    def die(self, life: Life, why: str) -> None:
        """A life ends; if it was the newest, another one begins soon."""
        simulation = self._simulation
        simulation.note(f"controller of term {life.term} died: {why}")
        life.end()
        if life in self.former:
            self.former.remove(life)
        if life is self.life:
            self.life = None
            simulation.at(simulation.random.uniform(0.1, simulation.faults.controller_away or 1.0), self._start_again)

    def _start_again(self) -> None:
        if not self.absent:
            self.start()

    # --- what the repository says

    def commit(self, version: str) -> None:
        """The repository's head says this version of every service."""
        versions = dict.fromkeys(self._simulation.services, version)
        revision = f"revision-{len(self.heads)}-{version}"
        self.newest, self.good[revision] = version, versions
        state = desired(revision, self._simulation.hosts, versions, self.freezes)
        self.frozen[revision] = tuple(self.freezes)
        self.heads.append(RevisionRead(revision, state, [], {}))
        self._read(self.heads[-1])

    def freeze(self, freezes: Mapping[str, Freeze]) -> None:
        """The repository's head has these freezes."""
        self.freezes = dict(freezes)
        self.commit(self.newest)

    def force(self, head: RevisionRead) -> None:
        """The branch is put back to an earlier commit."""
        assert head.state is not None
        self.newest, self.freezes = next(iter(self.good[head.revision].values())), dict(head.state.freezes)
        self._read(RevisionRead(head.revision, head.state, [], {}, forced=True))

    def refuse(self, revision: str) -> None:
        """The repository's head cannot be applied."""
        self._read(RevisionRead(revision, None, ["versions/prod/api.yaml:1:1: error: planted"], {}))

    def _read(self, head: RevisionRead) -> None:
        self._head = head
        self.tell(head)

    def tell(self, message: Message) -> None:
        """Every life watches the repository."""
        for life in self.lives:
            life.put(message)

    @property
    def lives(self) -> list[Life]:
        """All that live, the oldest first."""
        return [*self.former, *([self.life] if self.life else [])]

    # --- what goes wrong

    def crash_soon(self) -> None:
        """Die in the next step, somewhere."""
        self._cut_short(self._simulation.random.choice(CUTS))

    def fail_soon(self) -> None:
        """The next commit ends in an error, and may be on disk or not."""
        self._cut_short("io-error")

    def _cut_short(self, cut: Cut) -> None:
        if self.life is not None:
            self.life.cut_short(cut)

    def pause(self, seconds: float, successor_in: float | None, holding: bool) -> None:
        """The newest life stands still for so long; ``holding``: right after a commit, so that it publishes late.

        ``successor_in``: another one is started after so many seconds. None: nobody notices.
        """
        life, simulation = self.life, self._simulation
        if life is None or life.paused:
            return
        simulation.note(f"controller of term {life.term} stands still for {seconds:.1f} s")
        life.pause(holding)
        simulation.at(seconds, lambda: self._resume(life))
        if successor_in is not None and successor_in < seconds:
            simulation.at(successor_in, lambda: self._succeed(life))

    def _resume(self, life: Life) -> None:
        if life in self.lives:
            self._simulation.note(f"controller of term {life.term} goes on")
            life.resume()

    def _succeed(self, life: Life) -> None:
        if self.life is life:
            self.former.append(life)
            self.life = None
            self.start()

    def leave(self, seconds: float) -> None:
        """It is gone, and nobody starts it for so long."""
        if self.life is None or self.absent:
            return
        self.absent = True
        self.die(self.life, f"and nobody starts it for {seconds:.0f} s")
        self._simulation.at(seconds, self._come_back)

    def _come_back(self) -> None:
        if self.absent:
            self.start()

    def finish_faults(self) -> None:
        """Whatever was wrong is put right: one controller runs, in real time, on a disk with space."""
        self.full = False
        for life in list(self.former):
            life.resume()
        if self.life is not None:
            self.life.resume()
            self.life.clock.set_right()
            self.life.wake(0.001)
        elif self.absent:
            self.start()

    # --- what must hold

    def check(self, life: Life, before: dict[str, RolloutStatus]) -> None:
        """After a step of a life."""
        simulation = self._simulation
        if life is not self.life:
            return
        simulation.checkers.decided(life.deciding, self.good, life.clock.now())
        for target, status in self.world.statuses.items():
            was = before.get(target) or RolloutStatus(target=target)
            if status.quarantine is not None and was.quarantine is None:
                bad = status.quarantine
                simulation.note(f"{target} put {bad.version} into quarantine: {bad.message}")
            if status.finished is not None and was.finished is None:
                simulation.note(f"{target} succeeded with {status.version}")
            for host, journey in self.world.journeys.get(target, {}).items():
                simulation.moved(target, host, str(journey.step))

    def saved_too_late(self, life: Life) -> None:
        """Promise 10: whoever was succeeded writes nothing any more."""
        if life is not self.life and self.life is not None and self.life.term > life.term:
            raise PromiseBroken(10, f"the controller of term {life.term} wrote after term {self.life.term} began")
