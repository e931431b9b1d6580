"""Store: open a database, take the lease, read what is there, and write in fenced transactions."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, Row, Select, and_, make_url, or_, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from controller.store import tables
from controller.store.chain import Head, find_break
from controller.store.errors import Fenced, StoreError, explained
from controller.store.load import load
from controller.store.migrate import migrate
from controller.store.records import Loaded
from controller.store.sqlite import LOCK_TIMEOUT, sqlite_engine
from controller.store.statements import Statements
from controller.store.transaction import Transaction
from crds.status import Event


class Store:
    """The database, through one connection that belongs to the thread that opened it.

    Every method raises StoreError where the database cannot do what is asked.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._where = str(engine.url.database or engine.url)
        self._statements = Statements(engine.dialect.name)
        with explained(self._where):
            self._connection: Connection = engine.connect()

    @classmethod
    def open(cls, url_or_path: str | Path, lock_timeout: float = LOCK_TIMEOUT, alone: bool = True) -> Self:
        """Open a database and bring its tables up to date. A file that is not there is made, its folder is not.

        ``lock_timeout``: seconds to wait for another process that holds the file locked. ``alone``: keep it locked for
        this store, which is safer and faster; otherwise several stores may meet in it, and fence each other.
        """
        _check_writable(str(url_or_path))
        store = cls(sqlite_engine(_sqlite_url(str(url_or_path)), lock_timeout, alone))
        with explained(store._where), store._connection.begin():
            migrate(store._connection)
        return store

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()
        self._engine.dispose()

    def take_over(self, now: datetime, above: int = 0) -> int:
        """Raise the term by one, so that whoever held it before is fenced; it is on disk when this returns.

        ``above``: a term that some agent has seen, where the store was lost or restored; the new one is higher.
        """
        with explained(self._where), self._connection.begin():
            row = self._connection.execute(self._statements.take_over, {"now": now.isoformat(), "above": above}).one()
        return int(row.term)

    def load(self) -> Loaded:
        """Everything that a controller starts from, as of one moment."""
        with self._reading() as connection:
            return load(connection)

    @contextmanager
    def transaction(self, term: int) -> Iterator[Transaction]:
        """One change of the store, on disk when the block has ended; an exception inside keeps nothing of it.

        A transaction that wrote nothing leaves no trace. Raises Fenced, before the block, if another term is in force.
        """
        with explained(self._where), self._connection.begin() as database:
            lease = self._fence(term)
            transaction = Transaction(lease.resource_version, Head(lease.event_id, lease.event_hash))
            yield transaction
            if transaction.empty:
                database.rollback()
                return
            head = transaction.flush(self._connection, self._statements)
            if head.id != lease.event_id:
                self._connection.execute(self._statements.set_head, {"head_id": head.id, "head_hash": head.hash})

    def events(self, after_rv: int = 0, limit: int = 1000, object: str | None = None) -> list[Event]:
        """Events after a resource version, oldest first; ``object``: those about it and about what is below it.

        ``limit`` is exceeded rather than cutting a resource version in two: whoever goes on after the last one's
        resource version misses nothing.
        """
        query = _about(object).where(tables.event.c.resource_version > after_rv).order_by(tables.event.c.id)
        with self._reading() as connection:
            rows = list(connection.execute(query.limit(limit)))
            if len(rows) == limit:
                rows += connection.execute(_rest(query, rows[-1]))
        return [_event(row) for row in rows]

    def recent_events(self, limit: int, object: str | None = None) -> list[Event]:
        """The newest events, oldest first; ``object`` as in ``events``."""
        query = _about(object).order_by(tables.event.c.id.desc()).limit(limit)
        with self._reading() as connection:
            rows = list(connection.execute(query))
        return [_event(row) for row in reversed(rows)]

    def check_events(self) -> str | None:
        """Say where the record of events was edited or cut, None if it is whole. Reads all of it."""
        with self._reading() as connection:
            lease = connection.execute(select(tables.lease)).one()
            rows = connection.execute(select(tables.event).order_by(tables.event.c.id))
            return find_break((dict(row._mapping) for row in rows), Head(lease.event_id, lease.event_hash))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with explained(self._where), self._connection.begin():
            yield self._connection

    def _fence(self, term: int) -> Row[Any]:
        row = self._connection.execute(self._statements.fence, {"ours": term}).one_or_none()
        if row is None:
            raise Fenced(term, self._connection.execute(select(tables.lease.c.term)).scalar_one())
        return row


def _check_writable(path: str) -> None:
    """Of a file that it cannot write SQLite says that the disk is in error, once it is in write-ahead mode."""
    for place in (Path(path), Path(path).parent):
        if place.exists() and not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise StoreError(f"store {path}: it cannot be written; let the controller's account write {place}")


def _sqlite_url(text: str) -> URL:
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise StoreError(
            f"store {text!r} is no URL; write a path, or sqlite:////var/lib/drumbeat/drumbeat.db"
        ) from error
    if url.get_backend_name() != "sqlite":
        raise StoreError(
            f"store {url.render_as_string(hide_password=True)!r}: only SQLite is supported; write a path, "
            "or sqlite:////var/lib/drumbeat/drumbeat.db"
        )
    return url


def _about(object: str | None) -> Select[Any]:
    """Of an object and of what is below it: trading-api@prod/vm1 lies below trading-api@prod."""
    query, column = select(tables.event), tables.event.c.object
    if object is None:
        return query
    # "0" is what follows "/": as a range this is found by the index, as a pattern it would not be.
    return query.where(or_(column == object, and_(column > f"{object}/", column < f"{object}0")))


def _rest(query: Select[Any], last: Row[Any]) -> Select[Any]:
    same = tables.event.c.resource_version == last.resource_version
    return query.where(same, tables.event.c.id > last.id)


def _event(row: Row[Any]) -> Event:
    return Event.model_validate({**row._mapping, "at": datetime.fromisoformat(row.at)})
