"""What is known of nodes: their newest reports, and which of them have fallen silent."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controller.lives import Lives
from crds.messages import Report, Stamp

DECIDE = (
    "nothing it says counts until you leave only one agent running and say 'drumbeat nodes trust {node}', or, if you "
    "do not know where copies of its key are, 'drumbeat nodes rekey {node}'"
)
"""What a person can do about a disputed node."""
TAKE_BACK = (
    "nothing it says counts until you say 'drumbeat nodes restore {node}', or 'drumbeat nodes rekey {node}' and have "
    "its machine join again"
)
"""What a person can do about a revoked node."""
_FORMER = 16
"""Incarnations of a node that are remembered beside the present one."""


@dataclass
class Node:
    """One node, as it told of itself."""

    name: str
    report: Report | None = None
    """The newest full one; of a silent node it is history."""
    seen: datetime | None = None
    """When this controller last heard how it is."""
    silent: bool = True
    incarnation: str = ""
    seq: int = 0
    taken: Stamp = field(default=Stamp(0, 0))
    former: dict[str, int] = field(default_factory=dict)
    """The last number that was heard of former incarnations."""
    lives: Lives = field(default_factory=Lives)
    disputed: str = ""
    """Why it is not known which machine it is; nothing that is said in its name counts until a person has decided."""

    revoked: bool = False
    """A person has said that nothing counts that is said in its name."""

    @property
    def trusted(self) -> bool:
        """Whether anything counts that is said in its name."""
        return not self.revoked and not self.disputed

    @property
    def problem(self) -> str:
        """Why its agent does nothing, in its own words; what it says beside that may be old."""
        return self.report.problem if self.report else ""

    @property
    def distrust(self) -> str:
        """In words, why what it says does not count, where that is not for silence alone."""
        if self.revoked:
            return f"it is revoked: {TAKE_BACK.format(node=self.name)}"
        if self.disputed:
            return f"it is disputed: {self.disputed}; {DECIDE.format(node=self.name)}"
        return f"its agent cannot work: {self.problem}" if self.problem else ""

    @property
    def mute(self) -> bool:
        """Nothing that it said last may be believed: it is silent, or its agent says that it does nothing."""
        return self.silent or bool(self.problem)

    def silent_since(self, watching_since: datetime) -> datetime | None:
        """When it was heard last, of what this controller has watched; None while what it says counts."""
        return max(self.seen or watching_since, watching_since) if self.mute else None


@dataclass(frozen=True)
class Heard:
    """What hearing a report meant."""

    news: bool = False
    """It is newer than everything heard of the node before."""
    woke: bool = False
    """The node was silent until now."""
    before: Report | None = None
    """The full report that this one replaces."""
    disputed: bool = False
    """From now on it is not known which machine the node is."""
    incomplete: bool = False
    """It is a short one, and the full one that it names never arrived."""


@dataclass
class Nodes:
    """All nodes that ever reported, by name."""

    timeout: float
    """Seconds without a report after which a node is silent."""
    nodes: dict[str, Node] = field(default_factory=dict)
    _expiries: list[tuple[datetime, str]] = field(default_factory=list)

    def get(self, name: str) -> Node:
        """The node; one that never reported is silent."""
        return self.nodes.get(name) or Node(name)

    def obstacle(self, name: str) -> str:
        """In words, why nothing may be disrupted on a balancer node; empty if it may."""
        node = self.get(name)
        if not node.trusted:
            return f"balancer node {name} does not count: {node.distrust}"
        if node.silent:
            since = f"since {node.seen:%H:%M:%S} UTC" if node.seen else "yet"
            return f"balancer node {name} has not reported {since}"
        if node.problem:
            return f"the agent of balancer node {name} cannot work: {node.problem}"
        balancer = node.report.balancer if node.report else None
        if balancer is not None and not balancer.reachable:
            return f"the balancer on {name} does not answer its agent: {balancer.message}"
        if balancer is not None and not balancer.reload_safe:
            return f"a reload of the balancer on {name} would forget what was set (ReloadUnsafe): {balancer.message}"
        return ""

    def is_overdue(self, node: Node, now: datetime) -> bool:
        """At least one report of it is missing, and it counts still: it may be late, or gone."""
        return not node.silent and node.seen is not None and (now - node.seen).total_seconds() > self.timeout / 2

    def load(self, report: Report) -> None:
        """Remember a stored report; the node is silent until it speaks."""
        node = self.nodes[report.node] = Node(
            report.node, report, incarnation=report.incarnation, seq=report.seq, taken=report.taken
        )
        node.lives.load(report)

    def dispute(self, name: str, why: str) -> None:
        """Count a node as silent, whatever is said in its name, until ``settle``."""
        node = self.nodes.setdefault(name, Node(name))
        node.disputed, node.silent = why, True
        self._expects_nothing_of(name)

    def settle(self, name: str) -> None:
        """A person has decided which machine the node is: it begins anew, whatever its numbers were."""
        if name in self.nodes:
            self.nodes[name] = Node(name, revoked=self.nodes[name].revoked)
            self._expects_nothing_of(name)

    def revoke(self, name: str) -> None:
        """Count a node as silent, whatever is said in its name, until ``restore``."""
        node = self.nodes.setdefault(name, Node(name))
        node.revoked = node.silent = True
        self._expects_nothing_of(name)

    def restore(self, name: str) -> None:
        """Take a revocation back: the node goes on from the numbers that it had."""
        self.get(name).revoked = False

    def _expects_nothing_of(self, name: str) -> None:
        self._expiries = [each for each in self._expiries if each[1] != name]
        heapq.heapify(self._expiries)

    def hear(self, report: Report, now: datetime) -> Heard:
        """Take in a report; one that is not newer than the last of its incarnation is dropped.

        A short report says that nothing has changed since the full one that it names. Where that one never arrived, it
        proves only that the node lives: what we have is older, and must not count as fresh. A short report may overtake
        the full one before it, so each kind is compared with its own.
        """
        node = self.nodes.setdefault(report.node, Node(report.node))
        woke, before = node.silent, node.report
        if not node.trusted:
            return Heard()
        if why := node.lives.hear(report, now):
            self.dispute(report.node, why)
            return Heard(disputed=True)
        if report.incarnation != node.incarnation:
            if report.seq <= node.former.get(report.incarnation, 0):
                return Heard()
            _begin_incarnation(node, report)
        elif report.seq <= (_seq_of(before, node.incarnation) if report.full else node.seq):
            return Heard()
        node.seq, node.taken = max(node.seq, report.seq), max(node.taken, report.taken)
        if not report.full and (
            before is None or (before.incarnation, before.seq) != (report.incarnation, report.full_seq)
        ):
            return Heard(news=True, before=before, incomplete=True)
        node.seen, node.silent = now, False
        if woke:
            heapq.heappush(self._expiries, (now + timedelta(seconds=self.timeout), node.name))
        if report.full:
            node.report = report
        return Heard(news=True, woke=woke, before=before)

    def jumped(self, jump: timedelta) -> None:
        """The time of day has moved by ``jump`` while nobody watched.

        Only what was heard less long ago than it seems keeps its distance: a node that may have fallen silent meanwhile
        is silent until it speaks.
        """
        for node in self.nodes.values():
            node.lives.jumped(jump)
            if jump < timedelta(0) and node.seen is not None:
                node.seen += jump
        if jump < timedelta(0):
            self._expiries = [(at + jump, name) for at, name in self._expiries]

    def expire(self, now: datetime) -> Iterator[Node]:
        """Nodes whose time is up and that are silent from now on."""
        while self._expiries and self._expiries[0][0] <= now:
            _, name = heapq.heappop(self._expiries)
            node = self.nodes[name]
            due = (node.seen or now) + timedelta(seconds=self.timeout)
            if due > now:
                heapq.heappush(self._expiries, (due, name))
            else:
                node.silent = True
                yield node

    def next_expiry(self) -> datetime | None:
        """When to look again for nodes that fell silent."""
        return self._expiries[0][0] if self._expiries else None


def _begin_incarnation(node: Node, report: Report) -> None:
    """Of a former life nothing counts again that was heard before: a journal that was mended goes on behind it."""
    node.former[node.incarnation] = node.seq
    for oldest in list(node.former)[:-_FORMER]:
        del node.former[oldest]
    node.incarnation, node.seq, node.taken = report.incarnation, node.former.pop(report.incarnation, 0), report.taken


def _seq_of(report: Report | None, incarnation: str) -> int:
    return report.seq if report is not None and report.incarnation == incarnation else 0
