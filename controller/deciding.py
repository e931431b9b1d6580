"""The deciding thread: drain the mailbox, plan the targets concerned, save in one transaction, publish.

Whatever happens between two steps, the next start reads the store and goes on; nothing is published that was not saved.
What comes in is folded by hearing.py (nodes), revisions.py (commits) and operating.py (commands); saving.py writes
and publishes.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from random import Random

import structlog

from bus.clock import Clock
from bus.port import ControllerBus, Received
from controller.disputes import Ring
from controller.hearing import Hearing
from controller.mailbox import (
    Ask,
    Commanded,
    Message,
    NodeJoined,
    ReportArrived,
    RevisionRead,
    RingChanged,
    SourceFailed,
)
from controller.metrics import Metrics
from controller.operating import Operating
from controller.queue import Queue
from controller.revisions import Revisions
from controller.saving import Saving
from controller.store import Fenced, Store, StoreError
from controller.unwatched import LONGEST_WAIT, Unwatched
from controller.world import World
from crds.messages import Assignment
from crds.status import Counts, RolloutStatus
from reconcilers.plan import plan
from reconcilers.writes import DropJourney, PutStatus, Write

_MAX_PASSES = 8
"""Rounds of planning in one step: each may make the next possible; what is left waits for the next step."""
_AFTERTHOUGHT = timedelta(milliseconds=50)
"""Until a target is looked at again of which only hosts moved on: more has been reported by then as a rule."""
_RESYNC = timedelta(seconds=10)
"""While hosts are under way, all of them are looked at this often, as if everything had changed."""


class Deciding:
    """All decisions, one step at a time. Not a thread itself, so that a simulator can drive it."""

    def __init__(
        self,
        store: Store,
        bus: ControllerBus,
        seal: Callable[[Assignment], bytes],
        clock: Clock,
        random: Random,
        metrics: Metrics,
        node_timeout: float,
        ring: Ring,
    ) -> None:
        """Take over the store. ``seal`` signs an assignment. Raises StoreError."""
        self.store, self.bus, self.metrics, self._clock = store, bus, metrics, clock
        self._log = structlog.get_logger("controller.deciding")
        now = clock.now()
        term = store.take_over(now)
        loaded = store.load()
        self.world = World(loaded, node_timeout, watching_since=now)
        self.queue = Queue(random)
        self._unwatched = Unwatched(clock)
        self._again: datetime | None = None
        """When to look at what this step left for later."""
        self._saving = Saving(store, bus, seal, clock, metrics, self.world, term)
        self._saving.resource_version = loaded.resource_version
        self._hearing = Hearing(self.world, self._saving, ring, metrics)
        self.revisions = Revisions(self.world, self._saving, self.queue, metrics, loaded.revision, loaded.refused)
        self._operating = Operating(self.world, self._saving, metrics)
        for status in loaded.statuses.values():
            metrics.show(status)
        self._log.info("controller.started", term=self.term, targets=len(loaded.statuses))

    @property
    def term(self) -> int:
        """Fences every write, and every assignment; grows with each takeover."""
        return self._saving.term

    @property
    def resource_version(self) -> int:
        """Of the newest transaction."""
        return self._saving.resource_version

    # --- one step

    def step(self, messages: Iterable[Message]) -> datetime:
        """Take in the messages, decide, save, publish; says when the next step is due, whether messages come or not.

        Raises StoreError or Fenced: then nothing of this step happened, and this object must not be used any more.
        """
        now = self._look_at_clock()
        self._hearing.rise(now)
        with self._saving.step():
            settled, questions = self._take_in(messages, now)
            self._hearing.expire(now)
            self._operating.lift(now)
            self._hearing.restamp_nodes(now)
            if not self._hearing.owes_answers:
                self._plan_all(now)
        if not self._hearing.owes_answers:
            self._saving.publish(now)
        self._hearing.show_silent()
        self.metrics.show_fleets(self.world.fleets.indexes.values())
        self.bus.settle(settled)
        self._operating.answer()
        self._answer(questions)
        return self._next_step()

    def _take_in(self, messages: Iterable[Message], now: datetime) -> tuple[list[Received], list[Ask]]:
        settled, questions = [], []
        for message in messages:
            match message:
                case ReportArrived(report, received):
                    self._hearing.report(report, now)
                    settled.append(received)
                case RevisionRead():
                    self.revisions.read(message, now)
                case SourceFailed(text):
                    self.revisions.source_failed(text)
                case NodeJoined(name, joined):
                    self._hearing.joined(name, joined, now)
                case RingChanged(nodes):
                    for node in nodes:
                        self._hearing.heed(node, now)
                case Commanded():
                    self._operating.obey(message, now)
                case Ask():
                    questions.append(message)
        return settled, questions

    def _look_at_clock(self) -> datetime:
        """Nothing fails for time in which nobody looked, and nothing waits until a clock is where it was."""
        now = self._clock.now()
        if jump := self._unwatched.since_last_step(now):
            self.queue.shift(jump)
            self.world.jumped(jump, now)
        return now

    def _next_step(self) -> datetime:
        longest = self._clock.now() + (timedelta(0) if self._hearing.owes_answers else LONGEST_WAIT)
        times = (self.queue.next(), self.world.nodes.next_expiry(), self._operating.next_end(), self._again, longest)
        return min(time for time in times if time is not None)

    def _answer(self, questions: list[Ask]) -> None:
        for ask in questions:
            if not ask.answer.set_running_or_notify_cancel():
                continue  # nobody waits for the answer any more
            try:
                ask.answer.set_result(ask.question(self))
            except Exception as error:  # noqa: BLE001 - it is the asker's to handle, in the asker's thread
                ask.answer.set_exception(error)

    # --- planning

    def _plan_all(self, now: datetime) -> None:
        """Plan until nothing is left to look at, so that what one target lets go is another's in the same step."""
        for target in self.queue.due(now):
            self.world.look_at_all(target)
        later = set[str]()
        for _ in range(_MAX_PASSES):
            self.world.catch_up()
            waiting = [each for each in sorted(self.world.dirty - later) if not self.queue.rests(each, now)]
            if not waiting:
                break
            for target in waiting:
                self.world.dirty.discard(target)
                if target in self.world.specs and self._plan(target, now):
                    later.add(target)
        left = any(not self.queue.rests(target, now) for target in self.world.dirty)
        self._again = now + _AFTERTHOUGHT if left else None

    def _plan(self, target: str, now: datetime) -> bool:
        """Whether hosts moved on and nothing else changed: what follows from that has time."""
        try:
            with self.metrics.plan_seconds.time():
                decided = plan(self.world.specs[target], self.world.observed(target), now)
            before = self.world.statuses.get(target)
            self._saving.save(target, decided.writes, now)
        except (StoreError, Fenced):
            raise  # no fault of the target's: nothing can be saved, so nothing may be published
        except Exception as error:  # noqa: BLE001 - a target that cannot be planned must not stop the others
            delay = self.queue.failed(target, now)
            self.world.look_at_all(target)
            self.world.fleets.leave(target)
            self.metrics.failures_total.labels("plan").inc()
            self._log.exception("plan.failed", target=target, error=str(error), again_in=round(delay, 2))
            return False
        self.queue.succeeded(target)
        times = [decided.wake_at, now + _RESYNC if self.world.is_moving(target) else None]
        self.queue.wake(target, min((time for time in times if time is not None), default=None))
        return _only_moved(before, decided.writes)


def _only_moved(before: RolloutStatus | None, writes: Iterable[Write]) -> bool:
    """Whether hosts are a step further, or nothing changed: no host arrived, and the rollout stands where it stood."""
    told = {"conditions": [], "counts": Counts()}
    was = before.model_copy(update=told) if before else None
    changes = (write for write in writes if isinstance(write, PutStatus | DropJourney))
    return all(isinstance(write, PutStatus) and write.status.model_copy(update=told) == was for write in changes)
