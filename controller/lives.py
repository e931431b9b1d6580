"""Lives of a node's agent: whether two machines speak as one node.

Each start of an agent is a life with a random name. A restart goes from one life to the next and never back: what
still comes of the former one was sent before, and can only be as late as messages can. So the times in which two lives
are heard overlap by no more than that, unless both go on: a cloned machine.

A life whose numbers lie behind those of another life of the same incarnation began from an older copy of the journal.
That is known at once to be no plain restart, or else to be a late message; whether the other life still speaks or not
(a machine that was restored), the node is disputed once it lasts.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from crds.messages import Report

LATEST = timedelta(minutes=2)
"""How long two lives may be heard side by side: twice as long as a message can be late."""
_KEPT = 16
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass
class _Life:
    incarnation: str
    first: datetime
    last: datetime
    """When it said something that was newer than all it had said."""
    seq: int


@dataclass
class Lives:
    """The lives of one node that were heard last."""

    lives: dict[str, _Life] = field(default_factory=dict)

    def load(self, report: Report) -> None:
        """A life that was heard before this controller started."""
        self.lives[report.life] = _Life(report.incarnation, _LONG_AGO, _LONG_AGO, report.seq)

    def jumped(self, jump: timedelta) -> None:
        """The time of day has moved by ``jump`` while nobody listened: nobody was heard in that time."""
        for life in self.lives.values():
            life.first, life.last = _moved(life.first, jump), _moved(life.last, jump)

    def hear(self, report: Report, now: datetime) -> str:
        """Take in a report that is signed well; why the node is disputed, empty if it is not."""
        own = self.lives.pop(report.life, None) or _Life(report.incarnation, now, now, 0)
        self.lives[report.life] = own  # at the end: the oldest to be heard is forgotten first
        for oldest in list(self.lives)[:-_KEPT]:
            del self.lives[oldest]
        if report.incarnation == own.incarnation and report.seq <= own.seq:
            return ""
        own.incarnation, own.seq, own.last = report.incarnation, report.seq, now
        return next((why for other in self.lives.values() if other is not own and (why := _clash(own, other, now))), "")


def _moved(moment: datetime, jump: timedelta) -> datetime:
    return moment if moment == _LONG_AGO else moment + jump


def _clash(own: _Life, other: _Life, now: datetime) -> str:
    ahead = other.incarnation == own.incarnation and other.seq > own.seq
    together = (now if ahead else other.last) - max(own.first, other.first)
    if together <= LATEST:
        return ""
    if now - other.last <= LATEST:
        return (
            f"two agents have spoken as this node since {max(own.first, other.first):%Y-%m-%d %H:%M:%S} UTC: its "
            "machine was cloned, or a second agent was started"
        )
    return (
        "its agent goes on from an older copy of its journal: its machine was restored, or is a clone of an old image"
    )
