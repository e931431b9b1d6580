"""The deciding thread: drain the mailbox, plan the targets concerned, save in one transaction, publish.

Whatever happens between two steps, the next start reads the store and goes on; nothing is published that was not saved.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from random import Random

import structlog

from bus.clock import Clock
from bus.port import ControllerBus
from controller.disputes import Disputes, Ring
from controller.mailbox import Ask, Message, NodeJoined, ReportArrived, RevisionRead, RingChanged, SourceFailed
from controller.metrics import Metrics
from controller.queue import Queue
from controller.store import Fenced, Revision, Store, StoreError, Transaction
from controller.unwatched import LONGEST_WAIT, Unwatched
from controller.world import World
from crds.messages import Assignment, Report, Stamp
from crds.status import Event
from reconcilers.conditions import set_condition
from reconcilers.fragments import Entry, merge
from reconcilers.plan import plan
from reconcilers.target import TargetSpec, targets_of
from reconcilers.writes import (
    AddEvent,
    DropEntry,
    DropJourney,
    DropOperation,
    PutEntry,
    PutJourney,
    PutOperation,
    PutStatus,
    Write,
)

ACTOR = "drumbeat"
HIGHEST = Stamp(2**48, 2**48)
"""No controller was started, and no node asked, so often: who names such numbers must not drive ours to their end."""
VALIDITY = timedelta(hours=1)
"""How long a node may start installations and operations under an assignment."""
_MAX_PASSES = 8
"""Rounds of planning in one step: each may make the next possible; what is left waits for the next step."""
_RESYNC = timedelta(seconds=10)
"""While hosts are under way, all of them are looked at this often, as if everything had changed."""
_REPEAT_AFTER = timedelta(seconds=5)


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
        self.store, self.bus, self.metrics = store, bus, metrics
        self._seal, self._clock = seal, clock
        self._log = structlog.get_logger("controller.deciding")
        now = clock.now()
        self.term = store.take_over(now)
        loaded = store.load()
        self.world = World(loaded, node_timeout, watching_since=now)
        self._disputes = Disputes(ring, self.world)
        self.queue = Queue(random)
        self.revision: Revision | None = loaded.revision
        self.refused: Revision | None = loaded.refused
        self.source_error = ""
        self.resource_version = loaded.resource_version
        self._unwatched = Unwatched(clock)
        self._published: dict[str, datetime] = {}
        self._restamp: set[str] = self.world.in_flight()
        """At a start: a former leader must not reach them any more."""
        self._forgotten: set[str] = set()
        """Nodes that took an assignment which the store knows nothing of."""
        self._term_above = 0
        self._stamped: set[str] = set()
        self._repeated: set[str] = set()
        self._transaction: Transaction | None = None
        self._stack = ExitStack()
        self._silence_changed = True
        for status in loaded.statuses.values():
            metrics.show(status)
        self._log.info("controller.started", term=self.term, targets=len(loaded.statuses))

    # --- one step

    def step(self, messages: Iterable[Message]) -> datetime:
        """Take in the messages, decide, save, publish; says when the next step is due, whether messages come or not.

        Raises StoreError or Fenced: then nothing of this step happened, and this object must not be used any more.
        """
        now = self._look_at_clock()
        settled, questions = [], []
        self._stamped, self._repeated = set(), set()
        if self._term_above >= self.term:
            with self.store.transaction(self.term):
                """Raises Fenced if the higher term is another controller's: the store is not behind, we are."""
            self.term = self.store.take_over(now, self._term_above)
        with ExitStack() as self._stack:
            self._transaction = None
            for message in messages:
                match message:
                    case ReportArrived(report, received):
                        self._report(report, now)
                        settled.append(received)
                    case RevisionRead():
                        self._revision(message, now)
                    case SourceFailed(text):
                        self._source_failed(text)
                    case NodeJoined(name, joined):
                        self._joined(name, joined, now)
                    case RingChanged(nodes):
                        for node in nodes:
                            self._heed(node, now)
                    case Ask():
                        questions.append(message)
            for silent in self.world.expire(now):
                self._log.warning("node.silent", node=silent.name, last_seen=silent.seen)
                self._event("NodeSilent", silent.name, "NoReport", "has not reported in time", now)
                self._silence_changed = True
            self._restamp_nodes(now)
            self._plan_all(now)
        if self._transaction is not None:
            self.resource_version = self._transaction.resource_version
        self._publish(now)
        self._show_silent()
        self.bus.settle(settled)
        self._answer(questions)
        return self._next_step()

    def _look_at_clock(self) -> datetime:
        now = self._clock.now()
        if jump := self._unwatched.since_last_step(now):
            self.queue.shift(jump)
            self.world.jumped(jump, now)
        return now

    def _next_step(self) -> datetime:
        longest = self._clock.now() + (timedelta(0) if self._forgotten else LONGEST_WAIT)
        times = (self.queue.next(), self.world.nodes.next_expiry(), longest)
        return min(time for time in times if time is not None)

    def _tx(self) -> Transaction:
        """The step's transaction, begun when there is something to write."""
        if self._transaction is None:
            self._transaction = self._stack.enter_context(self._timed_transaction())
        return self._transaction

    @contextmanager
    def _timed_transaction(self) -> Iterator[Transaction]:
        with self.store.transaction(self.term) as transaction:
            yield transaction
            begun = self._clock.monotonic()
        self.metrics.commit_seconds.observe(self._clock.monotonic() - begun)

    def _event(self, verb: str, object_: str, reason: str, message: str, now: datetime, cause: str = "") -> None:
        self._tx().add_event(
            Event(at=now, actor=ACTOR, verb=verb, object=object_, reason=reason, message=message, cause=cause)
        )

    def _answer(self, questions: list[Ask]) -> None:
        for ask in questions:
            if not ask.answer.set_running_or_notify_cancel():
                continue  # nobody waits for the answer any more
            try:
                ask.answer.set_result(ask.question(self))
            except Exception as error:  # noqa: BLE001 - it is the asker's to handle, in the asker's thread
                ask.answer.set_exception(error)

    # --- observing

    def _show_silent(self) -> None:
        """Once a step: thousands of nodes may come back in one."""
        if self._silence_changed:
            self._silence_changed = False
            self.metrics.nodes_silent.set(sum(node.silent for node in self.world.nodes.nodes.values()))

    def _report(self, report: Report, now: datetime) -> None:
        if not self.world.nodes.get(report.node).trusted:
            self._heed(report.node, now)
        known = self.world.nodes.get(report.node)
        silent, trusted = known.silent, known.trusted
        news, operations, incomplete = self.world.fold(report, now)
        if trusted and self.world.nodes.get(report.node).disputed:
            self._dispute(report.node, now)
        if not news:
            self.metrics.reports_total.labels("stale").inc()
            return
        self.metrics.reports_total.labels("full" if report.full else "short").inc()
        if silent:
            self._silence_changed = True
            self._log.info("node.reports", node=report.node)
        if report.full:
            self._tx().put_report(report.node, report)
        for operation in operations:
            self._tx().put_operation(operation)
        node = report.node
        expired = any(service.state == "expired" for service in report.services.values())
        ours = self.world.serials.get(node, 0)
        # An agent with a problem may have lost what it took: it asks for it by saying so.
        if report.taken.serial < ours or (report.problem and report.taken.serial == ours > 0):
            self._repeat(node, now)
        elif (incomplete or expired) and self._may_repeat(node, now):
            self._restamp.add(node)
        believable = report.taken.term < HIGHEST.term and report.taken.serial < HIGHEST.serial
        if believable and report.taken > Stamp(self.term, max(ours, report.taken.serial - 1)):
            self._ask_again(node, report.taken)

    def _joined(self, node: str, message: str, now: datetime) -> None:
        """What was said with a former key is forgotten: whoever had it may have said the highest numbers there are."""
        self._event("NodeJoined", node, "Invited", message, now)
        self._disputes.renew(node)
        self._tx().delete_report(node)
        self._silence_changed = True
        self._heed(node, now)

    def _heed(self, node: str, now: datetime) -> None:
        """Follow what people have decided about a node."""
        for verb, message in self._disputes.heed(node):
            self._event(verb, node, "Decided", message, now)
            self._silence_changed = True

    def _dispute(self, node: str, now: datetime) -> None:
        """What it said last is forgotten: once a person has decided, the node begins anew, whatever its numbers are."""
        self._event("NodeDisputed", node, "Cloned", self._disputes.write_down(node), now)
        self._tx().delete_report(node)
        self._silence_changed = True

    def _ask_again(self, node: str, taken: Stamp) -> None:
        """The node took an assignment that this store knows nothing of: the store was lost, or restored.

        The term and the node's serial start above it, and everything is asked anew, since answers to the forgotten
        assignment would pass for answers to ours.
        """
        self._log.error("store.is_behind", node=node, taken=taken, term=self.term)
        self._term_above = max(self._term_above, taken.term)
        self.world.serials[node] = max(self.world.serials.get(node, 0), taken.serial)
        self._forgotten.add(node)

    def _may_repeat(self, node: str, now: datetime) -> bool:
        return abs(now - self._published.get(node, now - _REPEAT_AFTER)) >= _REPEAT_AFTER

    def _repeat(self, node: str, now: datetime) -> None:
        """The node has not taken its newest assignment; it may be on its way, so not too often."""
        if self._may_repeat(node, now):
            self._repeated.add(node)

    def _revision(self, read: RevisionRead, now: datetime) -> None:
        self.source_error = self.source_error if read.resumed else ""
        if read.state is None:
            if self.refused is None or (self.refused.id, self.refused.problems) != (read.revision, read.problems):
                self.refused = Revision(id=read.revision, state="refused", at=now, problems=read.problems)
                self._tx().put_revision(self.refused)
                self._event("RevisionRefused", "state", "BadInput", "; ".join(read.problems[:3]), now, read.revision)
                self._log.error("revision.refused", revision=read.revision, problems=read.problems)
            self.metrics.revision_refused.set(1)
            return
        if not read.resumed:
            self._accept(read, now)
        self._put_in_force(targets_of(read.state), now)

    def _accept(self, read: RevisionRead, now: datetime) -> None:
        if self.revision is None or self.revision.id != read.revision or self.refused is not None:
            self.revision = Revision(id=read.revision, state="accepted", at=now, problems=[])
            self._tx().put_revision(self.revision)
            who = f"{read.author}: {read.subject}" if read.author else read.subject
            who = f"signed by {read.signer}; {who}" if read.signer else who
            self._event("RevisionAccepted", "state", "Applied", who, now, read.revision)
            self._log.info("revision.accepted", revision=read.revision, subject=read.subject, signer=read.signer)
        self.refused = None
        self.metrics.revision_refused.set(0)

    def _put_in_force(self, specs: dict[str, TargetSpec], now: datetime) -> None:
        for target in sorted(self.world.specs.keys() - specs.keys() | self._orphans(specs)):
            self._orphan(target, now)
        self.world.set_specs(specs)

    def _orphans(self, specs: dict[str, TargetSpec]) -> set[str]:
        return {target for target in self.world.statuses if target not in specs}

    def _orphan(self, target: str, now: datetime) -> None:
        """Nothing declares the target any more: that removes nothing, and it says so."""
        self.queue.wake(target, None)
        before = self.world.statuses.get(target)
        if before is None:
            return
        message = "its version file is gone; bring it back, or write state: absent to remove the service"
        after = set_condition(before, "Stalled", "True", "Orphaned", message, now)
        if after != before:
            self._save(target, [PutStatus(after)], now)

    def _source_failed(self, message: str) -> None:
        self.metrics.source_errors_total.inc()
        if self.source_error != message:
            self._log.error("source.failed", error=message)
        self.source_error = message

    # --- planning and saving

    def _plan_all(self, now: datetime) -> None:
        """Plan until nothing is left to look at, so that what one target lets go is another's in the same step."""
        for target in self.queue.due(now):
            self.world.look_at_all(target)
        for _ in range(_MAX_PASSES):
            waiting = [target for target in sorted(self.world.dirty) if not self.queue.rests(target, now)]
            if not waiting:
                return
            for target in waiting:
                self.world.dirty.discard(target)
                if target in self.world.specs:
                    self._plan(target, now)
        for target in self.world.dirty:
            self.queue.wake(target, now)

    def _plan(self, target: str, now: datetime) -> None:
        try:
            with self.metrics.plan_seconds.time():
                decided = plan(self.world.specs[target], self.world.observed(target), now)
            self._save(target, decided.writes, now)
        except (StoreError, Fenced):
            raise  # no fault of the target's: nothing can be saved, so nothing may be published
        except Exception as error:  # noqa: BLE001 - a target that cannot be planned must not stop the others
            delay = self.queue.failed(target, now)
            self.world.look_at_all(target)
            self.metrics.failures_total.labels("plan").inc()
            self._log.exception("plan.failed", target=target, error=str(error), again_in=round(delay, 2))
            return
        self.queue.succeeded(target)
        times = [decided.wake_at, now + _RESYNC if self.world.journeys.get(target) else None]
        self.queue.wake(target, min((time for time in times if time is not None), default=None))

    def _save(self, target: str, writes: Sequence[Write], now: datetime) -> None:
        """Save a plan's writes, all or none, and carry them into the world."""
        if not writes:
            return
        with self._tx().savepoint():
            stamps = [self._write(target, write, now) for write in writes]
        for write, stamp in zip(writes, stamps, strict=True):
            self.world.apply(target, write, stamp)

    def _write(self, target: str, write: Write, now: datetime) -> Stamp:
        tx, stamp = self._tx(), Stamp(0, 0)
        match write:
            case PutStatus(status):
                tx.put_status(status)
                self.metrics.show(status)
            case PutJourney(journey):
                tx.put_journey(target, journey)
            case DropJourney(host):
                tx.delete_journey(target, host)
            case PutEntry(node, key, value):
                stamp = self._stamp(node)
                tx.put_entry(node, target, key, Entry(value, stamp))
            case DropEntry(node, key):
                stamp = self._stamp(node)
                tx.delete_entry(node, target, key)
            case PutOperation(operation):
                tx.put_operation(operation)
            case DropOperation(identity):
                tx.delete_operation(identity)
            case AddEvent(verb, object_, reason, message, cause):
                self._event(verb, object_, reason, message, now, cause)
                self.metrics.count(verb, reason)
                self._log.info("event", verb=verb, object=object_, reason=reason, text=message)
        return stamp

    def _stamp(self, node: str) -> Stamp:
        """The assignment that the node gets out of this step: one more serial, however many targets change it."""
        if node not in self._stamped:
            self._stamped.add(node)
            self.world.serials[node] = self.world.serials.get(node, 0) + 1
            self._tx().put_serial(node, self.world.serials[node])
        return Stamp(self.term, self.world.serials[node])

    def _restamp_nodes(self, now: datetime) -> None:
        """Give the same assignment under a new serial: it fences a former leader, and asks for a full report."""
        forgotten = self._forgotten if self._term_above < self.term else set()
        for node in sorted(self._restamp | forgotten):
            self._stamp(node)
        for node in sorted(forgotten):
            for target, fragment in self.world.entries.get(node, {}).items():
                asked = [PutEntry(node, key, entry.value) for key, entry in sorted(fragment.items())]
                self._save(target, asked, now)
        self._restamp, self._forgotten = set(), self._forgotten - forgotten

    # --- publishing

    def _publish(self, now: datetime) -> None:
        trusted = {node for node in self._stamped | self._repeated if self.world.nodes.get(node).trusted}
        for node in sorted(trusted):
            stamp = Stamp(self.term, self.world.serials.get(node, 0))
            fragments = self.world.entries.get(node, {})
            self.bus.publish(node, self._seal(merge(node, stamp, now + VALIDITY, fragments)))
            self._published[node] = now
            self.metrics.assignments_total.inc()
