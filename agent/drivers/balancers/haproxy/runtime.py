"""Asking HAProxy: commands go to a socket of the runtime API, answers come as text (management guide, section 9.3)."""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.drivers.contracts import Retry

Monotonic = Callable[[], float]

_CHUNK = 262_144
_LARGEST = 64 * 1024 * 1024
"""Bytes after which an answer is not one of ours: 20,000 servers would stay below."""


class Runtime:
    """One socket of the runtime API. Each call is a connection of its own, answered by one and the same process."""

    def __init__(self, path: Path, timeout: float, monotonic: Monotonic) -> None:
        self._path = path
        self._timeout = timeout
        self._monotonic = monotonic

    def ask(self, commands: Sequence[str]) -> list[str]:
        """Send commands and return an answer to each, without the empty line that ends it.

        Only for commands that answer with text and whose text has no empty line. Raises Retry.
        """
        whole = self.send(";".join(commands))
        answers = whole.split("\n\n")
        if len(answers) != len(commands) + 1 or answers.pop().strip():
            raise Retry(f"{self._path}: the answer to {commands[0]!r} is cut off or in a form that is not known")
        return [answer.removeprefix("\n") for answer in answers]

    def send(self, line: str) -> str:
        """Send one line and return everything that comes back. Raises Retry."""
        deadline = self._monotonic() + self._timeout
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                return self._exchange(connection, line, deadline)
        except TimeoutError as error:
            raise Retry(f"HAProxy does not answer on {self._path} within {self._timeout:g} s") from error
        except OSError as error:
            raise Retry(f"HAProxy cannot be asked on {self._path}: {error.strerror or error}") from error

    def _exchange(self, connection: socket.socket, line: str, deadline: float) -> str:
        connection.settimeout(self._timeout)
        connection.connect(str(self._path))
        connection.sendall(line.encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)  # the master's socket answers and waits for more without it
        parts: list[bytes] = []
        size = 0
        while part := connection.recv(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > _LARGEST:
                raise Retry(f"{self._path}: the answer to {line[:80]!r} does not end")
            connection.settimeout(max(0.001, deadline - self._monotonic()))
        return b"".join(parts).decode(errors="replace")
