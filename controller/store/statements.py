"""The writing statements, made once for a dialect, so that SQLAlchemy compiles each of them once."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Delete, Insert, Integer, Table, Update, bindparam, case, delete, insert, update
from sqlalchemy.dialects import postgresql, sqlite

from controller.store import tables

_INSERT: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

KEPT = (
    tables.target_status,
    tables.journey,
    tables.node,
    tables.assignment,
    tables.fragment_entry,
    tables.operation,
    tables.exclusion,
    tables.revision,
)
"""Tables whose rows are replaced and deleted by primary key."""


class Statements:
    """What a transaction sends. Deletions take their keys as ``the_COLUMN``."""

    def __init__(self, dialect: str) -> None:
        self.upsert: dict[Table, Insert] = {table: _upsert(table, _INSERT[dialect]) for table in KEPT}
        self.delete: dict[Table, Delete] = {table: _delete(table) for table in KEPT}
        self.add_event: Insert = insert(tables.event)
        self.take_over: Update = _take_over()
        self.fence: Update = _raise("resource_version").where(tables.lease.c.term == bindparam("ours"))
        self.set_head: Update = update(tables.lease).values(
            event_id=bindparam("head_id"), event_hash=bindparam("head_hash")
        )


def _upsert(table: Table, make: Callable[[Table], Any]) -> Insert:
    statement = make(table)
    key = {column.name for column in table.primary_key}
    replaced = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in key}
    made: Insert = statement.on_conflict_do_update(index_elements=sorted(key), set_=replaced)
    return made


def _delete(table: Table) -> Delete:
    return delete(table).where(*(column == bindparam(f"the_{column.name}") for column in table.primary_key))


def _take_over() -> Update:
    term, above = tables.lease.c.term, bindparam("above", type_=Integer)
    highest = case((term > above, term), else_=above)
    return update(tables.lease).values(term=highest + 1, taken_at=bindparam("now")).returning(*tables.lease.columns)


def _raise(column: str) -> Update:
    number = tables.lease.c[column]
    return update(tables.lease).values({column: number + 1}).returning(*tables.lease.columns)
