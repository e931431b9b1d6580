"""The whole: the revision in force, the one that was refused, and the record of events."""

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from controller.views.common import list_meta
from controller.views.errors import NotReady
from controller.views.nodes import uses
from controller.views.resources import EventList, StateResource
from controller.views.targets import target_names
from crds.status import status_of
from reconcilers.conditions import headline

if TYPE_CHECKING:
    from controller.deciding import Deciding


def state(deciding: "Deciding", now: datetime) -> StateResource:
    """What is in force, and how the whole stands."""
    world = deciding.world
    names = target_names(world)
    headlines = Counter(headline(status_of(world.statuses, name)) for name in names)
    known = sorted(uses(world).keys() | world.nodes.nodes.keys())
    return StateResource(
        metadata=list_meta(deciding, now),
        term=deciding.term,
        revision=deciding.revisions.in_force,
        refused=deciding.revisions.refused,
        source_error=deciding.revisions.source_error,
        targets=dict(sorted(headlines.items())),
        nodes=len(known),
        silent_nodes=[name for name in known if world.nodes.get(name).silent],
    )


def revision_in_force(deciding: "Deciding") -> str:
    """The revision in force. Raises NotReady while none was ever read."""
    known = deciding.revisions
    if known.in_force is None:
        because = known.source_error or "; ".join(known.refused.problems[:3] if known.refused else [])
        raise NotReady("no revision is in force yet", because or "the repository is still being read")
    return known.in_force.id


def events(deciding: "Deciding", after: int | None, about: str | None, limit: int, now: datetime) -> EventList:
    """Events after a resource version, or without one the newest; oldest first.

    ``about``: an object; events of its hosts are among them. Whoever goes on after the list's resource version
    misses nothing.
    """
    meta = list_meta(deciding, now)
    if after is None:
        return EventList(metadata=meta, items=deciding.store.recent_events(limit, about))
    items = deciding.store.events(after, limit, about)
    if len(items) >= limit:
        meta = meta.model_copy(update={"resource_version": items[-1].resource_version})
    return EventList(metadata=meta, items=items)
