"""Read everything that a controller starts from."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from controller.store import tables
from controller.store.records import Loaded, Revision
from crds.messages import Report, Stamp
from crds.status import Journey, Mark, Operation, RolloutStatus
from reconcilers.fragments import Entry


def load(connection: Connection) -> Loaded:
    """Read all tables but the events. Raises pydantic's ValidationError for a row that no version of ours wrote."""
    revisions = _revisions(connection)
    return Loaded(
        statuses={
            row.target: RolloutStatus.model_validate_json(row.status) for row in _rows(connection, "target_status")
        },
        journeys=_journeys(connection),
        entries=_entries(connection),
        serials={row.node: row.serial for row in _rows(connection, "assignment")},
        reports={row.node: Report.model_validate_json(row.report) for row in _rows(connection, "node")},
        operations={row.id: Operation.model_validate_json(row.operation) for row in _rows(connection, "operation")},
        exclusions={row.node: Mark.model_validate_json(row.mark) for row in _rows(connection, "exclusion")},
        resource_version=next(_rows(connection, "lease")).resource_version,
        revision=revisions.get("accepted"),
        refused=revisions.get("refused"),
    )


def _rows(connection: Connection, name: str) -> Iterator[Row[Any]]:
    table: Table = tables.metadata.tables[name]
    return iter(connection.execute(select(table).order_by(*table.primary_key)))


def _journeys(connection: Connection) -> dict[str, dict[str, Journey]]:
    found: dict[str, dict[str, Journey]] = {}
    for row in _rows(connection, "journey"):
        found.setdefault(row.target, {})[row.host] = Journey.model_validate_json(row.journey)
    return found


def _entries(connection: Connection) -> dict[str, dict[str, dict[str, Entry]]]:
    found: dict[str, dict[str, dict[str, Entry]]] = {}
    for row in _rows(connection, "fragment_entry"):
        entry = Entry(row.value, Stamp(row.term, row.serial))
        found.setdefault(row.node, {}).setdefault(row.target, {})[row.key] = entry
    return found


def _revisions(connection: Connection) -> dict[str, Revision]:
    return {
        row.state: Revision(
            id=row.id, state=row.state, at=datetime.fromisoformat(row.at), problems=json.loads(row.problems)
        )
        for row in _rows(connection, "revision")
    }
