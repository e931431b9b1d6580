"""What keeps hosts from being taken out: the one list, asked when a batch would begin and at each host's boundary.

Whoever is under way already is not held up by any of these: hosts are finished, not left half-way. An obstacle may end
by time alone (``until``), by an answer, or only by somebody's change (``stalls``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from reconcilers.draft import Draft
from reconcilers.stages import unprepared


@dataclass(frozen=True)
class Obstacle:
    """Why no host is taken out now."""

    reason: str
    """One word in CamelCase: the reason of the condition that shows it."""
    message: str
    """One sentence for people."""
    stalls: bool = False
    """Nothing moves until somebody changes something."""
    until: datetime | None = None
    """When time alone ends it; None if time does not."""


def obstacle(draft: Draft) -> Obstacle | None:
    """The first thing that is in the way; None: hosts may be taken out."""
    return next(obstacles(draft), None)


def obstacles(draft: Draft) -> Iterator[Obstacle]:
    """Everything that is in the way, in the order in which people should hear of it."""
    if draft.status.hold is not None:
        hold = draft.status.hold
        yield Obstacle(hold.reason, f"{hold.message}. It goes on with the next release", stalls=True)
    if draft.target.unsigned:
        yield Obstacle("Unsigned", draft.target.unsigned, stalls=True)
    if draft.observed.silent_balancers:
        yield Obstacle("BalancerSilent", "; ".join(draft.observed.silent_balancers))
    if because := unprepared(draft):
        yield Obstacle(*because)
