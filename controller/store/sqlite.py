"""SQLite as a store: one connection, durable commits, no more than one writer."""

import sqlite3
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import StaticPool

LOCK_TIMEOUT = 5.0
"""Seconds to wait for another process that has the file locked."""

_FIRST_SOUND_WAL = (3, 51, 3)
_KEPT_JOURNAL = 4 * 2**20
"""Bytes of a journal that are kept on disk between two transactions."""


def journal_mode(version: tuple[int, ...], alone: bool) -> str:
    """WAL only where it is sound: SQLite 3.7.0 to 3.51.2 can corrupt a database that has two connections in that mode.

    It costs one wait for the disk for each transaction; a rollback journal that is kept costs five.
    Source: https://sqlite.org/wal.html, the section on the WAL-reset bug.
    """
    return "WAL" if alone or version >= _FIRST_SOUND_WAL else "PERSIST"


def sqlite_engine(url: URL, lock_timeout: float = LOCK_TIMEOUT, alone: bool = True) -> Engine:
    """An engine whose one connection belongs to the thread that opens it.

    ``alone``: while it is open, nobody else can open the file.
    """
    arguments = {"check_same_thread": True, "timeout": lock_timeout}
    engine = create_engine(url, poolclass=StaticPool, connect_args=arguments)
    event.listen(engine, "connect", partial(_prepare, alone))
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(alone: bool, connection: sqlite3.Connection, _record: Any) -> None:
    # The module's own transactions begin late and know no read locks; _begin does it instead.
    connection.isolation_level = None
    if alone:
        # Before anything is read: then the index of the WAL is this connection's own, in its memory.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute(f"PRAGMA journal_mode = {journal_mode(sqlite3.sqlite_version_info, alone)}")
    connection.execute(f"PRAGMA journal_size_limit = {_KEPT_JOURNAL}")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    # IMMEDIATE: a transaction that will write must not find out in its middle that another writer was faster.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
