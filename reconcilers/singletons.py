"""Singletons: at most one process of the service on the whole fleet, whatever host it is that git names now.

On its host the agent sees to it: it starts nothing beside what is left of the process before. Between hosts it is
decided here: a host that is new begins only after each one that had the service has said, under an assignment that
takes it away, that it is gone there. Silence says nothing, however long: only a person can say that a machine is off.
"""

from datetime import datetime, timedelta

from reconcilers.draft import Draft
from reconcilers.words import listed

_AGAIN = timedelta(seconds=10)
"""A host that was asked nothing wakes nobody when it changes: it is looked at again."""


def runs_elsewhere(draft: Draft) -> tuple[str, datetime | None] | None:
    """In words, on which hosts that are none of the target's its process may still be, and when to look again.

    None if there are none.
    """
    if not draft.target.singleton or draft.target.is_observed:
        return None
    leavers = draft.observed.leavers - draft.forgotten
    strangers = sorted(set(draft.observed.elsewhere()) - leavers)
    if not leavers and not strangers:
        return None
    words = [f"{host} has not said that it is gone there" for host in sorted(leavers)]
    words += [f"{host} says that it runs there, and is no host of it" for host in strangers]
    remedy = "If such a machine is off for good, 'drumbeat nodes revoke NAME' says so"
    again = draft.now + _AGAIN if strangers else None
    return f"a singleton waits until no other host has it: {listed(words)}. {remedy}", again
