"""Asking HAProxy: commands go to a socket of the runtime API, answers come as text (management guide, section 9.3)."""

import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agent.drivers.contracts import Retry

Monotonic = Callable[[], float]

_CHUNK = 262_144
_LINE = 8192
"""Bytes of a line of commands; HAProxy takes as many as its buffer has, 16 KiB unless configured otherwise."""
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

    def tell(self, commands: Sequence[str]) -> list[str]:
        """Send commands that answer with nothing or with one paragraph of objection; an answer to each.

        Raises Retry.
        """
        answers: list[str] = []
        for some in _lines(commands):
            said, paragraph = list[str](), list[str]()
            for line in self.send(";".join(some)).split("\n")[:-1]:
                if line:
                    paragraph.append(line)
                else:  # an empty line ends each answer
                    said.append(" ".join(paragraph).strip())
                    paragraph = []
            if len(said) != len(some) or paragraph:
                raise Retry(f"{self._path}: the answer to {some[0]!r} is cut off or in a form that is not known")
            answers += said
        return answers

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


def _lines(commands: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many commands at a time as HAProxy takes in one line."""
    start = size = 0
    for number, command in enumerate(commands):
        if size + len(command) + 1 > _LINE and number > start:
            yield commands[start:number]
            start, size = number, 0
        size += len(command) + 1
    if commands:
        yield commands[start:]
