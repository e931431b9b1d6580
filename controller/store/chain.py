"""The hash chain over the events: each one's hash covers its content and the hash before it."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from crds.release import canonical_json
from crds.status import Event

FIRST = ""
"""What the first event has as its previous hash."""


class Head(NamedTuple):
    """The newest event, as the lease row remembers it."""

    id: int
    hash: str


def link(event: Event, head: Head) -> dict[str, Any]:
    """The event as a row that continues the chain after ``head``."""
    row = {**event.model_dump(exclude={"at"}), "at": event.at.isoformat(), "previous_hash": head.hash}
    return {**row, "hash": hash_of(row)}


def hash_of(row: Mapping[str, Any]) -> str:
    """SHA-256 over the previous hash and the rest of the row as canonical JSON."""
    said = {column: value for column, value in row.items() if column not in ("previous_hash", "hash")}
    return hashlib.sha256(str(row["previous_hash"]).encode() + canonical_json(said)).hexdigest()


def find_break(rows: Iterable[Mapping[str, Any]], head: Head) -> str | None:
    """Where the log was tampered with, in words; None if it is whole up to ``head``. Rows come by ascending id."""
    last = Head(0, FIRST)
    for row in rows:
        if row["id"] != last.id + 1:
            return f"events {last.id + 1} to {row['id'] - 1} are missing"
        if row["previous_hash"] != last.hash or row["hash"] != hash_of(row):
            return f"event {row['id']} was changed"
        last = Head(row["id"], row["hash"])
    if last == head:
        return None
    return f"the log ends with event {last.id}, but the lease row remembers event {head.id} with hash {head.hash!r}"
