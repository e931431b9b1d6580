"""The record: what the store says of changes and of the events that tell of them, read row by row."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from controller.store import Store, chain
from controller.store.chain import Head
from controller.world import World
from crds.status import Operation
from tests.simulation.checkers.truth import PromiseBroken

_FEW = 5000
"""Events up to which it is tried whether tampering with them shows."""


class Record:
    """Promise 15: a change and its event commit together, and the log shows edits, deletions and truncation."""

    def __init__(self) -> None:
        self._last, self._hash = 0, ""
        self._told: dict[str, dict[str, str]] = {}
        """By target and host: the step that the last event tells of; empty once it has arrived or is set apart.

        A host of which nothing was told since a new release began is not in it.
        """
        self._succeeded: dict[str, bool] = {}

    def check(self, store: Store) -> None:
        """Read what is new of the log, and compare it with the journeys and statuses that are stored."""
        if not self._goes_on(store):
            raise PromiseBroken(15, f"the log does not go on from event {self._last}, as it was read before")
        for row in _rows(store, "SELECT * FROM event WHERE id > ? ORDER BY id", self._last):
            self._link(row)
        head = tuple(_rows(store, "SELECT event_id, event_hash FROM lease")[0].values())
        if head != (self._last, self._hash):
            raise PromiseBroken(15, f"the log ends with event {self._last}, and the lease row says {head}")
        self._compare(store)

    def _goes_on(self, store: Store) -> bool:
        rows = _rows(store, "SELECT hash FROM event WHERE id = ?", self._last)
        return self._last == 0 or [row["hash"] for row in rows] == [self._hash]

    def _link(self, row: dict[str, Any]) -> None:
        previous, own = row.pop("previous_hash"), row.pop("hash")
        said = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if row["id"] != self._last + 1 or previous != self._hash or own != _sha256(previous + said):
            raise PromiseBroken(15, f"event {row['id']} does not follow from event {self._last}")
        self._last, self._hash = row["id"], own
        self._hear(row["verb"], row["object"], row["reason"])

    def _hear(self, verb: str, about: str, reason: str) -> None:
        target, _, host = about.partition("/")
        if verb == "RolloutStarted":
            self._told[target], self._succeeded[target] = {}, False
        elif verb == "RestartAsked":
            self._succeeded[target] = False
        elif verb in ("RolloutSucceeded", "RolledBack"):
            self._succeeded[target] = True
        elif verb in ("HostMoved", "HostConverged", "HostSetApart"):
            self._told.setdefault(target, {})[host] = reason.lower() if verb == "HostMoved" else ""

    def _compare(self, store: Store) -> None:
        stored = dict(_stored_steps(store))
        for (target, host), step in stored.items():
            told = self._told.get(target, {}).get(host)
            if step != "waiting" and told is not None and told != step:
                raise PromiseBroken(15, f"{host} of {target} is {step}, and the last event told of {told or 'arrival'}")
        for target, hosts in self._told.items():
            for host, told in hosts.items():
                if told and stored.get((target, host), "") != told:
                    raise PromiseBroken(15, f"an event tells that {host} of {target} is {told}, and nothing else does")
        for row in _rows(store, "SELECT target, status FROM target_status"):
            finished = json.loads(row["status"]).get("finished") is not None
            if finished != self._succeeded.get(row["target"], False):
                raise PromiseBroken(15, f"{row['target']} is {'not ' * (not finished)}finished: the events differ")

    def tamper(self, store: Store) -> None:
        """What an edited, a cut and a shortened log would look like: each shows in production's own check."""
        rows = _rows(store, "SELECT * FROM event ORDER BY id")
        if not 3 < len(rows) <= _FEW:
            return
        middle, head = len(rows) // 2, Head(self._last, self._hash)
        for column in sorted(rows[middle].keys() - {"id"}):
            edited = [*rows[:middle], {**rows[middle], column: "tampered"}, *rows[middle + 1 :]]
            if chain.find_break(edited, head) is None:
                raise PromiseBroken(15, f"an edited {column} of an event does not show")
        if (
            chain.find_break(rows[:middle] + rows[middle + 1 :], head) is None
            or chain.find_break(rows[:-1], head) is None
        ):
            raise PromiseBroken(15, "an event that was taken away does not show")
        if (words := chain.find_break(rows, head)) is not None:
            raise PromiseBroken(15, f"nobody tampered with the log, and yet: {words}")


def same_as_stored(store: Store, world: World) -> None:
    """Promise 7: whoever starts from the store now knows what the present controller knows."""
    loaded = store.load()
    entries = {
        node: {target: dict(asked) for target, asked in targets.items() if asked}
        for node, targets in world.entries.items()
    }
    known = {
        "statuses": (world.statuses, loaded.statuses),
        "journeys": ({t: j for t, j in world.journeys.items() if j}, loaded.journeys),
        "entries": ({node: targets for node, targets in entries.items() if targets}, loaded.entries),
        "serials": (world.serials, loaded.serials),
        "operations": ({k: each for kept in _operations(world) for k, each in kept.items()}, loaded.operations),
        "exclusions": (world.exclusions, loaded.exclusions),
    }
    for what, (here, there) in known.items():
        if here != there:
            raise PromiseBroken(7, f"{what} differ from what is stored: {here} and {there}")


def _operations(world: World) -> Iterable[dict[str, Operation]]:
    return world.operations.by_target.values()


def _stored_steps(store: Store) -> Iterator[tuple[tuple[str, str], str]]:
    for row in _rows(store, "SELECT target, host, journey FROM journey"):
        yield (row["target"], row["host"]), json.loads(row["journey"])["step"]


def _rows(store: Store, query: str, *values: object) -> list[dict[str, Any]]:
    """Through the store's own connection, which locks the file."""
    with store._connection.begin():
        return [dict(row._mapping) for row in store._connection.exec_driver_sql(query, values)]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
