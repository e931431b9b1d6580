"""The history of a key ring: who did what to which node, one line of JSON each, never changed."""

import os
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from crds.base import FileModel


class Deed(FileModel):
    """One line of ``history.jsonl``."""

    at: AwareDatetime
    by: str
    did: str
    node: str
    detail: str = ""


class History:
    """Lines are only ever added. Several processes may write: each line is one write, and on disk after it."""

    def __init__(self, keys_directory: Path, by: str) -> None:
        """``by``: who does what this object writes down."""
        self._path, self._by = keys_directory / "history.jsonl", by

    def write(self, did: str, node: str, detail: str, now: datetime) -> None:
        """Add a line. Raises OSError."""
        deed = Deed(at=now, by=self._by, did=did, node=node, detail=detail)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, deed.model_dump_json(by_alias=True).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def of(self, node: str) -> list[Deed]:
        """What was done to a node, oldest first; a damaged line is left out."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [deed for line in lines if (deed := _read(line)) and deed.node == node]


def _read(line: bytes) -> Deed | None:
    try:
        return Deed.model_validate_json(line)
    except ValidationError:
        return None
