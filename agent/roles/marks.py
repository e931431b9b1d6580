"""Who set an admin state: we, the balancer's configuration, or a person. Kept in the journal across restarts."""

from collections.abc import Mapping
from typing import Literal

from agent.drivers.contracts import Server, Snapshot
from agent.role import Steps
from crds.messages import AdminState

By = Literal["us", "config", "person"]
Place = tuple[str, str]
"""A pool and a server."""


class Marks:
    """What we intended for each server, and what people set.

    Only a change within one worker's life that matches no journaled intent is a person's: a reload may bring back an
    older state, or none. A person's mark is remembered until the server is seen ready, or is asked to be.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        said = steps.load()
        self._intents = {_place(key): state for key, state in said.get("intents", {}).items()}
        self._people = {_place(key) for key in said.get("people", [])}
        self._worker = ""
        self._seen: dict[Place, AdminState] = {}
        """The admin states last seen in this worker's life."""

    def intend(self, wanted: Mapping[Place, AdminState]) -> None:
        """Remember what is to be set before it is set. Raises what the journal raises."""
        fresh = {place: state for place, state in wanted.items() if self._intents.get(place) != state}
        if fresh:
            self._intents |= fresh
            self._people -= {place for place, state in fresh.items() if state == "ready"}
            self._save()

    def intended(self, place: Place) -> AdminState | None:
        """What we last asked of the server; None if nothing, or if that is history."""
        return self._intents.get(place)

    def see(self, snapshot: Snapshot, named: set[Place]) -> None:
        """Take in what a balancer shows, with the servers that the assignment names."""
        if snapshot.worker != self._worker:
            self._worker, self._seen = snapshot.worker, {}
        before = (dict(self._intents), set(self._people))
        for pool, servers in snapshot.pools.items():
            for name, server in servers.items():
                self._see((pool, name), server, (pool, name) in named)
        if before != (self._intents, self._people):
            self._save()

    def by(self, place: Place, server: Server) -> By:
        """Who set the admin state that was seen."""
        if place in self._people:
            return "person"
        ours = place in self._intents or server.admin == "ready" or not server.by_config
        return "us" if ours else "config"

    def is_persons(self, place: Place) -> bool:
        """Whether a person set it since we last asked for something else."""
        return place in self._people

    def _see(self, place: Place, server: Server, named: bool) -> None:
        if server.admin == "ready":
            self._people.discard(place)
            if not named:
                self._intents.pop(place, None)
        elif place not in self._people and self._by_person(place, server):
            self._people.add(place)
        self._seen[place] = server.admin

    def _by_person(self, place: Place, server: Server) -> bool:
        seen, intended = self._seen.get(place), self._intents.get(place)
        changed_here = seen is not None and seen != server.admin
        if intended in ("maint", server.admin):
            return False
        if intended == "ready" and seen != "ready":
            return False  # on its way from MAINT through DRAIN
        if intended is not None:
            return changed_here
        return changed_here or not server.by_config

    def _save(self) -> None:
        self._steps.save(
            {
                "intents": {_key(place): state for place, state in sorted(self._intents.items())},
                "people": sorted(_key(place) for place in self._people),
            }
        )


def _key(place: Place) -> str:
    return " ".join(place)


def _place(key: str) -> Place:
    pool, _, server = key.partition(" ")
    return pool, server
