"""Forgetting: an old copy of the store knows what people decided then, and nothing of what machines are asked now."""

from collections.abc import Iterator
from datetime import datetime

from controller.saving import Saving
from controller.world import World
from reconcilers.writes import AddEvent, DropEntry, DropJourney, DropOperation, PutStatus, Write

LOST_OR_RESTORED = "LostOrRestored"
"""Why, in events."""


def forget_machines(world: World, saving: Saving, because: str, now: datetime) -> None:
    """Go on as with an empty store, but for what people decided: what runs where, nodes say themselves.

    What an old copy asks would take every host back at once, and its journeys would take answers to forgotten
    assignments for answers to theirs. What nothing is asked about is left as it is. ``because``: how it shows.
    """
    words = f"{because}: what was asked of machines is forgotten"
    saving.event("StoreFoundBehind", "store", LOST_OR_RESTORED, words, now)
    targets = {target for fragments in world.entries.values() for target in fragments}
    for target in sorted(targets | world.journeys.keys() | world.statuses.keys()):
        saving.save(target, list(_forgotten(world, target)), now)
        world.look_at_all(target)


def _forgotten(world: World, target: str) -> Iterator[Write]:
    for node, fragments in sorted(world.entries.items()):
        yield from (DropEntry(node, key) for key in sorted(fragments.get(target, ())))
    for host in sorted(world.journeys.get(target, ())):
        yield DropJourney(host)
        yield _set_apart(target, host)
    yield from (DropOperation(identity) for identity in sorted(world.operations.of(target)))
    status = world.statuses.get(target)
    if status is not None and (status.leaving or status.leaving_waits):
        yield from (_set_apart(target, host) for host in sorted(status.leaving))
        yield PutStatus(status.model_copy(update={"leaving": {}, "leaving_waits": ""}))


def _set_apart(target: str, host: str) -> AddEvent:
    words = "its journey is one of an old copy of the store"
    return AddEvent("HostSetApart", f"{target}/{host}", LOST_OR_RESTORED, words)
