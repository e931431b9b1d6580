"""Hearing: what nodes report, and whose word counts, folded into the world; and who has to be asked anew."""

from datetime import datetime

import structlog

from controller.disputes import Disputes, Ring
from controller.forgetting import forget_machines
from controller.metrics import Metrics
from controller.saving import Saving
from controller.world import World
from crds.messages import Report, Stamp
from reconcilers.fragments import SERVICE, Entry
from reconcilers.values import service_of
from reconcilers.writes import DropEntry, PutEntry

HIGHEST = Stamp(2**48, 2**48)
"""No controller was started, and no node asked, so often: who names such numbers must not drive ours to their end."""


class Hearing:
    """The deciding thread's ear. Raises StoreError and Fenced wherever it writes."""

    def __init__(self, world: World, saving: Saving, ring: Ring, metrics: Metrics) -> None:
        """Raises BadKey if the ring cannot be read."""
        self._world, self._saving, self._metrics = world, saving, metrics
        self._disputes = Disputes(ring, world)
        self._log = structlog.get_logger("controller.deciding")
        self.restamp: set[str] = world.in_flight()
        """Nodes to be assigned anew in this step; at a start: a former leader must not reach them any more."""
        self._forgotten: dict[str, Stamp] = {}
        """Nodes that took an assignment which the store knows nothing of, and which."""
        self._term_above, self._begun_anew = 0, False
        self._silence_changed = True

    @property
    def owes_answers(self) -> bool:
        """Nodes wait to be asked anew in the next step, under a higher term; until then nothing may be concluded."""
        return bool(self._forgotten)

    def report(self, report: Report, now: datetime) -> None:
        """Fold a node's word."""
        node, nodes = report.node, self._world.nodes
        if not nodes.get(node).trusted:
            self.heed(node, now)
        known = nodes.get(node)
        silent, trusted = known.silent, known.trusted
        news, operations, incomplete = self._world.fold(report, now)
        if trusted and nodes.get(node).disputed:
            self._dispute(node, now)
        if not news:
            self._metrics.reports_total.labels("stale").inc()
            return
        self._metrics.reports_total.labels("full" if report.full else "short").inc()
        if silent:
            self._silence_changed = True
            self._log.info("node.reports", node=node)
        if report.full:
            self._saving.tx().put_report(node, report)
        for operation in operations:
            self._saving.tx().put_operation(operation)
        self._ask_where_needed(report, incomplete, now)

    def _ask_where_needed(self, report: Report, incomplete: bool, now: datetime) -> None:
        node = report.node
        ours, known = self._world.serials.get(node, 0), self._saving.newest_known(node)
        self._saving.met.add(node)
        # An agent with a problem may have lost what it took: it asks for it by saying so.
        if report.taken.serial < ours or (report.problem and report.taken.serial == ours > 0):
            self._saving.repeat(node, now)
        elif (incomplete or self._is_late(node)) and self._saving.may_repeat(node, now):
            self.restamp.add(node)
        believable = report.taken.term < HIGHEST.term and report.taken.serial < HIGHEST.serial
        # By the serial alone, too: a backup that was made meanwhile takes over with a term that no node knows yet.
        if believable and (report.taken.term > self._saving.term or report.taken.serial > known):
            self._ask_again(node, report.taken)

    def _is_late(self, node: str) -> bool:
        """The node got what it was asked after that had expired; its short reports say so by saying nothing new."""
        newest = self._world.nodes.get(node).report
        if newest is None:
            return False
        services = (each.state == "expired" for each in newest.services.values())
        return any(services) or any(each.state == "expired" for each in newest.operations.values())

    def joined(self, node: str, message: str, now: datetime) -> None:
        """What was said with a former key is forgotten: whoever had it may have said the highest numbers there are."""
        self._saving.event("NodeJoined", node, "Invited", message, now)
        self._disputes.renew(node)
        self._saving.tx().delete_report(node)
        self._silence_changed = True
        self.heed(node, now)

    def heed(self, node: str, now: datetime) -> None:
        """Follow what people have decided about a node."""
        for verb, message in self._disputes.heed(node, now):
            self._saving.event(verb, node, "Decided", message, now)
            self._silence_changed = True

    def _dispute(self, node: str, now: datetime) -> None:
        """What it said last is forgotten: once a person has decided, the node begins anew, whatever its numbers are."""
        self._saving.event("NodeDisputed", node, "Cloned", self._disputes.write_down(node, now), now)
        self._saving.tx().delete_report(node)
        self._silence_changed = True

    def expire(self, now: datetime) -> None:
        """Notice nodes that have fallen silent."""
        for silent in self._world.expire(now):
            self._log.warning("node.silent", node=silent.name, last_seen=silent.seen)
            self._saving.event("NodeSilent", silent.name, "NoReport", "has not reported in time", now)
            self._silence_changed = True

    def show_silent(self) -> None:
        """Once a step: thousands of nodes may come back in one."""
        if self._silence_changed:
            self._silence_changed = False
            self._metrics.nodes_silent.set(sum(node.silent for node in self._world.nodes.nodes.values()))

    # --- asking anew

    def _ask_again(self, node: str, taken: Stamp) -> None:
        """The node took an assignment that this store knows nothing of: the store was lost, or restored.

        The term and the node's serial start above it, and everything is asked anew, since answers to the forgotten
        assignment would pass for answers to ours.
        """
        self._log.error("store.is_behind", node=node, taken=taken, term=self._saving.term)
        self._metrics.store_behind_total.inc()
        self._term_above = max(self._term_above, taken.term)
        known = self._forgotten.get(node, taken)
        self._forgotten[node] = Stamp(max(known.term, taken.term), max(known.serial, taken.serial))

    def rise(self, now: datetime) -> None:
        """Take the store over anew where a node knows a higher term than ours.

        Raises Fenced if that is another controller's: the store is not behind then, we are.
        """
        saving = self._saving
        if self._term_above < saving.term:
            return
        with saving.store.transaction(saving.term):
            pass  # raises Fenced
        saving.term = saving.store.take_over(now, self._term_above)

    def restamp_nodes(self, now: datetime) -> None:
        """Give the same assignment under a new serial: it fences a former leader, and asks for a full report."""
        if self.owes_answers and self._term_above >= self._saving.term:
            return
        for node, taken in self._forgotten.items():
            self._world.serials[node] = max(self._world.serials.get(node, 0), taken.serial)
        if self._forgotten and not self._begun_anew:
            self._begun_anew = True
            first, taken = next(iter(self._forgotten.items()))
            words = f"{first} has taken assignment {taken.serial} of term {taken.term}"
            forget_machines(self._world, self._saving, f"{words}, which is not in the store", now)
        for node in sorted(self.restamp | self._forgotten.keys()):
            self._saving.stamp(node)
        for node in sorted(self._forgotten):
            for target, fragment in list(self._world.entries.get(node, {}).items()):
                asked = [self._once_more(node, target, key, entry) for key, entry in sorted(fragment.items())]
                self._saving.save(target, asked, now)
        self.restamp, self._forgotten = set(), {}

    def _once_more(self, node: str, target: str, key: str, entry: Entry) -> PutEntry | DropEntry:
        """The same, unless the host has moved on to another release: the forgotten assignment has brought it there.

        Every host of the target would go back at once, while it serves, if the old entry counted. Without one, what
        runs there is left alone; a journey takes it to the release that is declared.
        """
        if key != SERVICE:
            return PutEntry(node, key, entry.value)
        report, asked = self._world.nodes.get(node).report, service_of(entry.value).release
        runs = report.services.get(target) if report else None
        same = runs is not None and runs.digest == (asked.digest if asked else None)
        return PutEntry(node, key, entry.value) if same else DropEntry(node, key)
