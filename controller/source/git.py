"""The git command: with a deadline, without prompts, hooks and transports that run programs."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, Timer
from types import MappingProxyType
from typing import IO

LOCAL_DEADLINE = 30.0
"""Seconds for what only reads or writes this machine's disk."""
REMOTE_DEADLINE = 120.0
"""Seconds for what talks to a server."""

_CONFIGURATION = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "gc.autoDetach": "false",
    "maintenance.autoDetach": "false",
    "protocol.allow": "never",
    "protocol.file.allow": "always",
    "protocol.http.allow": "always",
    "protocol.https.allow": "always",
    "protocol.ssh.allow": "always",
    "protocol.git.allow": "never",
    "submodule.recurse": "false",
}
_SAFE = [word for name, value in _CONFIGURATION.items() for word in ("-c", f"{name}={value}")]
_OF_ANOTHER_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
)
"""Set while git runs a hook: they would lead every command to the hook's repository."""
_SECRETS = re.compile(r"(?<=://)[^/\s]+(?=@)")


MOST = 128 * 1024 * 1024
"""Bytes that a command may print."""
_MESSAGE = 64 * 1024
"""Bytes of its complaints that are kept."""


class GitError(Exception):
    """What git could not do; the text says what to do. ``output`` is git's own, without secrets."""

    def __init__(self, message: str, output: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.output, self.status = output, status


class Git:
    """Runs git on one repository. Its hooks and those of the user's configuration do not run."""

    def __init__(
        self,
        repository: Path | None,
        environment: Mapping[str, str] = os.environ,
        objects: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``objects``: of ``pushed_objects``, where what a push brings is to be read as well."""
        self._where = [] if repository is None else ["-C", str(repository)]
        self._environment = _quiet(environment) | dict(objects)

    def text(self, *words: str, deadline: float = LOCAL_DEADLINE) -> str:
        """What the command prints, without the last line break. Raises GitError."""
        return self.run(words, deadline=deadline).decode("utf-8", "replace").rstrip("\n")

    def succeeds(self, *words: str) -> bool:
        """Whether the command ends with 0; raises GitError where it could not tell (any status but 0 and 1)."""
        try:
            self.run(words)
        except GitError as error:
            if error.status == 1:
                return False
            raise
        return True

    def run(
        self, words: Sequence[str], given: bytes = b"", deadline: float = LOCAL_DEADLINE, most: int = MOST
    ) -> bytes:
        """What the command prints. Raises GitError, also after ``deadline`` seconds or more than ``most`` bytes."""
        with TemporaryFile() as asked, TemporaryFile() as said:
            asked.write(given)
            asked.seek(0)
            process = self._start(words, asked, said)
            output = _read(process, deadline, most, words[0])
            if process.returncode:
                said.seek(0)
                message = without_secrets(said.read(_MESSAGE).decode("utf-8", "replace").strip())
                raise GitError(f"git {words[0]} failed: {_first_line(message)}", message, process.returncode)
            return output

    def _start(self, words: Sequence[str], asked: IO[bytes], said: IO[bytes]) -> "subprocess.Popen[bytes]":
        try:
            # In a session of its own: git asks no terminal, and its helpers end with it.
            return subprocess.Popen(
                ["git", *_SAFE, *self._where, *words],
                stdin=asked,
                stdout=subprocess.PIPE,
                stderr=said,
                env=self._environment,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise GitError("git is missing; install it, for example with apt-get install git") from error


def _read(process: "subprocess.Popen[bytes]", deadline: float, most: int, verb: str) -> bytes:
    """All that it prints; whatever happens, it has ended then. A few bytes of objects can stand for any number."""
    late = Event()

    def end() -> None:
        late.set()
        _kill(process)

    timer = Timer(deadline, end)
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout:
            output = process.stdout.read(most + 1)
        if len(output) <= most:
            process.wait()
    finally:
        timer.cancel()
        if process.returncode is None:
            _kill(process)
            process.wait()
    if late.is_set():
        raise GitError(f"git {verb} did not end within {deadline:g} seconds; it was ended")
    if len(output) > most:
        raise GitError(
            f"git {verb} printed more than {most // 2**20} MiB and was ended; what does not belong to the state "
            "directory should lie in another repository"
        )
    return output


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Also git's helpers, such as ssh: they hold the pipes that we wait for."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def pushed_objects(directory: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables with which git finds what a push brings, while a hook of that very repository decides about it.

    Until then git keeps the objects in a quarantine below the repository's own (git-receive-pack, "Quarantine
    Environment"). For any other repository the answer is empty.
    """
    quarantine, own = environment.get("GIT_QUARANTINE_PATH"), directory / "objects"
    if not quarantine or not Path(quarantine).resolve().is_relative_to(own.resolve()):
        return {}
    return {"GIT_OBJECT_DIRECTORY": quarantine, "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(own)}


def without_secrets(text: str) -> str:
    """The text with user and password of every URL left out."""
    return _SECRETS.sub("***", text)


def _first_line(message: str) -> str:
    """Git's complaint in one line: hints and progress left out."""
    lines = [line for line in message.splitlines() if line.startswith(("fatal: ", "error: ", "remote: ", "ssh: "))]
    first = (lines or message.splitlines() or ["it said nothing"])[0]
    return first.removeprefix("fatal: ").removeprefix("error: ")


def _quiet(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if name not in _OF_ANOTHER_REPOSITORY}
    kept.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
    return kept | {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GCM_INTERACTIVE": "never", "LC_ALL": "C"}
