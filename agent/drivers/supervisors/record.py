"""What the process supervisor writes down about each service, so that its process is found again after a crash."""

import contextlib
import shutil
from pathlib import Path

from pydantic import ValidationError

from agent.drivers.contracts import Retry, Terminal
from agent.files import replace_whole
from crds.base import WireModel
from crds.messages import ProcessIdentity


class Quiesce(WireModel):
    """What is run before the process is stopped, and how far that got."""

    command: list[str]
    folder: str
    environment: dict[str, str]
    secrets: list[str]
    """Variables that are no part of it: their values are in no file, and are taken from the process itself."""
    user: str | None = None
    timeout: float
    begun: bool = False
    """From here on the process may have been told to finish: it is not kept any more."""
    identity: ProcessIdentity | None = None
    over: bool = False


class Record(WireModel):
    """One start of one service. Written before the start (no identity yet), and again right after it."""

    target: str
    digest: str
    version: str
    token: str
    """In the process's environment: finds the process if the agent died before it could write the identity."""
    identity: ProcessIdentity | None = None
    adopted: bool = False
    """Not started by an agent, but taken over: the token is in nobody's environment."""
    stop_timeout: float = 10.0
    quiesce: Quiesce | None = None
    note: str = ""
    """What is to be said of how the process before it was stopped."""
    quick_ends: int = 0
    restarts: int = 0
    ended: str = ""
    """How the last process ended by itself, in words."""
    log_begin: int = 0
    """Bytes of the log that earlier processes wrote, perhaps with secrets that nobody knows any more."""


class Records:
    """One file a target, in a folder of this run of the machine.

    They outlive the agent, not the machine, as the processes do: so they need not wait for the disk, and a file that a
    loss of power left in pieces is never read.
    """

    def __init__(self, folder: Path, boot: str) -> None:
        self._folder = folder / boot
        self._known: dict[str, Record | None] = {}

    def read(self, target: str) -> Record | None:
        """The newest record. Raises Terminal if it is damaged: what runs must not be guessed."""
        if target not in self._known:
            self._known[target] = self._load(self._path(target))
        return self._known[target]

    def write(self, record: Record) -> None:
        """Keep it, whole at every moment, before returning. Raises Retry."""
        path = self._path(record.target)
        try:
            self._make_room()
            replace_whole(path, record.model_dump_json(by_alias=True).encode())
        except OSError as error:
            raise Retry(f"cannot write {path}: {error.strerror}; free some space or mend the disk") from error
        self._known[record.target] = record

    def of_others(self, target: str) -> list[ProcessIdentity]:
        """Processes that are other targets' already. Raises Terminal and Retry."""
        others = {path.stem for path in self._folder.glob("*.json")} - {target}
        found = [record for record in map(self.read, sorted(others)) if record is not None]
        return [record.identity for record in found if record.identity is not None]

    def forget(self, target: str) -> None:
        """The service has no process and is to have none. Raises Retry."""
        path = self._path(target)
        try:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        except OSError as error:
            raise Retry(f"cannot remove {path}: {error.strerror}") from error
        self._known[target] = None

    def _make_room(self) -> None:
        if not self._folder.is_dir():
            for former in self._folder.parent.glob("*/"):
                shutil.rmtree(former, ignore_errors=True)
            self._folder.mkdir(parents=True)

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
