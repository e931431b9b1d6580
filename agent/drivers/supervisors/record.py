"""What the process supervisor writes down about each service, so that its process is found again after a crash."""

import contextlib
from pathlib import Path

from pydantic import ValidationError

from agent.drivers.contracts import Retry, Terminal
from agent.files import sync_folder, write_durably
from crds.base import WireModel
from crds.messages import ProcessIdentity


class Record(WireModel):
    """One start of one service. Written before the start (no identity yet), and again right after it."""

    target: str
    digest: str
    version: str
    token: str
    """In the process's environment: finds the process if the agent died before it could write the identity."""
    identity: ProcessIdentity | None = None
    stop_timeout: float = 10.0
    quick_ends: int = 0
    restarts: int = 0
    ended: str = ""
    """How the last process ended by itself, in words."""


class Records:
    """One file a target, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Record | None] = {}

    def read(self, target: str) -> Record | None:
        """The newest record. Raises Terminal if it is damaged: what runs must not be guessed."""
        if target not in self._known:
            self._known[target] = self._load(self._path(target))
        return self._known[target]

    def write(self, record: Record) -> None:
        """Keep it on disk before returning. Raises Retry."""
        path = self._path(record.target)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, record.model_dump_json(by_alias=True).encode())
        except OSError as error:
            raise Retry(f"cannot write {path}: {error.strerror}; free some space or mend the disk") from error
        self._known[record.target] = record

    def forget(self, target: str) -> None:
        """The service has no process and is to have none. Raises Retry."""
        path = self._path(target)
        try:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                sync_folder(path.parent)
        except OSError as error:
            raise Retry(f"cannot remove {path}: {error.strerror}") from error
        self._known[target] = None

    def _path(self, target: str) -> Path:
        return self._folder / f"{target}.json"

    def _load(self, path: Path) -> Record | None:
        try:
            return Record.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Retry(f"cannot read {path}: {error.strerror}") from error
        except ValidationError as error:
            raise Terminal(
                f"{path} is damaged: which process is this service's is not known. Stop it, then delete the file"
            ) from error
