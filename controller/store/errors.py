"""What can go wrong with the store, in words that say what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

_ADVICE = {
    "SQLITE_BUSY": "another process holds it locked; stop the other controller, backup or sqlite3 shell that uses it",
    "SQLITE_LOCKED": "another connection holds it locked; stop the other controller that uses it",
    "SQLITE_FULL": "no space is left for it; free some space on its file system",
    "SQLITE_READONLY": "it cannot be written; let the controller's account write the file and its folder",
    "SQLITE_CANTOPEN": "it cannot be opened; create its folder, and let the controller's account write there",
    "SQLITE_PERM": "it cannot be opened; let the controller's account read and write it",
    "SQLITE_NOTADB": "this is not an SQLite database; name another file",
    "SQLITE_CORRUPT": "it is damaged; stop the controller and restore it from a backup",
    "SQLITE_IOERR": "the disk reports an error; look into the system's log",
}


class StoreError(Exception):
    """The store cannot be read or written. Nothing of the transaction was kept."""


class Fenced(Exception):
    """Another controller has taken over: this one may not write any more, and has to stop acting."""

    def __init__(self, ours: int, theirs: int) -> None:
        super().__init__(
            f"this controller holds term {ours}, but term {theirs} is in force: another controller has taken over; "
            "stop this one"
        )
        self.ours = ours
        self.theirs = theirs


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn the database's errors into a StoreError that names the database and says what to do."""
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"store {where}: {_explanation(error.orig)}") from error


def _explanation(error: BaseException | None) -> str:
    name = error.sqlite_errorname if isinstance(error, sqlite3.Error) and hasattr(error, "sqlite_errorname") else ""
    for known, advice in _ADVICE.items():
        if name == known or name.startswith(f"{known}_"):
            return f"{advice} ({error})"
    return str(error)
