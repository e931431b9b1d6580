"""Transaction: writes are collected in order, and reach the database together when the transaction ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, Table

from controller.store import tables
from controller.store.chain import Head, link
from controller.store.records import Revision
from controller.store.statements import Statements
from crds.messages import Report
from crds.release import canonical_json
from crds.status import Event, Journey, Mark, Operation, RolloutStatus
from reconcilers.fragments import Entry

Key = tuple[str, ...]
Row = dict[str, Any]


class Transaction:
    """One change of the store: all of it is kept or nothing.

    Of two writes of the same thing the later one counts. Raises only what pydantic raises for a value that is no JSON;
    the database speaks when the transaction ends.
    """

    def __init__(self, resource_version: int, head: Head) -> None:
        self.resource_version = resource_version
        """What the store has once this transaction is kept."""
        self._head = head
        self._writes: list[tuple[Table, Key, Row | None]] = []
        self._events: list[Event] = []

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part that an exception inside takes back alone; the exception goes on to the caller. May be nested."""
        writes, events = len(self._writes), len(self._events)
        try:
            yield
        except BaseException:
            del self._writes[writes:]
            del self._events[events:]
            raise

    def put_status(self, status: RolloutStatus) -> None:
        """Keep a target's status."""
        self._put(tables.target_status, (status.target,), status=_json(status))

    def put_journey(self, target: str, journey: Journey) -> None:
        """Keep where a host is on its way."""
        self._put(tables.journey, (target, journey.host), journey=_json(journey))

    def delete_journey(self, target: str, host: str) -> None:
        """Forget a host's way; nothing happens if there is none."""
        self._delete(tables.journey, (target, host))

    def put_entry(self, node: str, target: str, key: str, entry: Entry) -> None:
        """Keep one thing that a target asks of a node."""
        term, serial = entry.stamp
        self._put(tables.fragment_entry, (node, target, key), value=entry.value, term=term, serial=serial)

    def delete_entry(self, node: str, target: str, key: str) -> None:
        """Ask that no more; nothing happens if it was not asked."""
        self._delete(tables.fragment_entry, (node, target, key))

    def put_serial(self, node: str, serial: int) -> None:
        """Keep the newest serial of a node's assignments."""
        self._put(tables.assignment, (node,), serial=serial)

    def put_report(self, node: str, report: Report) -> None:
        """Keep a node's newest full report."""
        term, serial = report.taken
        self._put(
            tables.node,
            (node,),
            incarnation=report.incarnation,
            seq=report.seq,
            taken_term=term,
            taken_serial=serial,
            report=_json(report),
        )

    def delete_report(self, node: str) -> None:
        """Forget what a node said last; nothing happens if it never spoke."""
        self._delete(tables.node, (node,))

    def put_operation(self, operation: Operation) -> None:
        """Keep an operation, with its result if it has one."""
        self._put(tables.operation, (operation.id,), operation=_json(operation))

    def delete_operation(self, operation: str) -> None:
        """Forget an operation by its id; nothing happens if there is none."""
        self._delete(tables.operation, (operation,))

    def put_exclusion(self, node: str, mark: Mark) -> None:
        """Keep that people have excluded a node."""
        self._put(tables.exclusion, (node,), mark=_json(mark))

    def delete_exclusion(self, node: str) -> None:
        """It is included again; nothing happens if it was not excluded."""
        self._delete(tables.exclusion, (node,))

    def put_revision(self, revision: Revision) -> None:
        """Keep a revision: an accepted one is in force from now on, a refused one stands beside it until then."""
        problems = canonical_json(revision.problems).decode()
        at = revision.at.isoformat()
        self._put(tables.revision, (revision.state,), id=revision.id, at=at, problems=problems)
        if revision.state == "accepted":
            self._delete(tables.revision, ("refused",))

    def add_event(self, event: Event) -> Event:
        """Append to the record; gives back the event with its id and resource version."""
        numbers = {"id": self._head.id + len(self._events) + 1, "resource_version": self.resource_version}
        numbered = event.model_copy(update=numbers)
        self._events.append(numbered)
        return numbered

    def _put(self, table: Table, key: Key, **values: Any) -> None:
        self._writes.append((table, key, values))

    def _delete(self, table: Table, key: Key) -> None:
        self._writes.append((table, key, None))

    @property
    def empty(self) -> bool:
        """Nothing is left to write."""
        return not self._writes and not self._events

    def flush(self, connection: Connection, statements: Statements) -> Head:
        """Send everything to the database, one statement a table and kind; returns the new end of the event log."""
        for table, newest in self._newest().items():
            names = [column.name for column in table.primary_key]
            keyed = [(dict(zip(names, key, strict=True)), row) for key, row in newest.items()]
            if kept := [{**key, **row} for key, row in keyed if row is not None]:
                connection.execute(statements.upsert[table], kept)
            if gone := [{f"the_{name}": value for name, value in key.items()} for key, row in keyed if row is None]:
                connection.execute(statements.delete[table], gone)
        rows = self._linked()
        if rows:
            connection.execute(statements.add_event, rows)
        return Head(rows[-1]["id"], rows[-1]["hash"]) if rows else self._head

    def _newest(self) -> dict[Table, dict[Key, Row | None]]:
        found: dict[Table, dict[Key, Row | None]] = {}
        for table, key, row in self._writes:
            found.setdefault(table, {})[key] = row
        return found

    def _linked(self) -> list[Row]:
        rows: list[Row] = []
        head = self._head
        for event in self._events:
            rows.append(link(event, head))
            head = Head(event.id, rows[-1]["hash"])
        return rows


def _json(model: BaseModel) -> str:
    return model.model_dump_json(by_alias=True)
