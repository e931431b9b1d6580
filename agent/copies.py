"""A small file in two copies, written in place one after the other: a loss of power spoils one of them at most.

In place, because for a file that is replaced the disk is waited for thrice: for its content, its name, its folder.
"""

import hashlib
from pathlib import Path

from agent.files import write_durably
from bus.durable import sync_data

FORMAT = 2
_LEAST = 16 * 1024
"""Bytes that each copy has room for; twice what it holds, if that is more."""


class Copies:
    """The file. ``magic`` is the word with which each copy begins."""

    def __init__(self, path: Path, magic: str) -> None:
        self._path = path
        self._magic = magic
        self._sequence = 0
        self._room = 0

    def read(self) -> bytes:
        """The newest content that is whole. Raises ValueError if no copy is, OSError if the file cannot be read."""
        raw = self._path.read_bytes()
        room, found, problems = len(raw) // 2, dict[int, bytes](), list[ValueError]()
        for copy in (raw[:room], raw[room:]):
            try:
                sequence, content = self._opened(copy)
                found[sequence] = content
            except ValueError as problem:
                problems.append(problem)
        if not found:
            raise problems[0]
        self._sequence, self._room = max(found), room
        return found[self._sequence]

    def write(self, content: bytes) -> None:
        """Have it on disk, whole at every moment, before returning. Raises OSError; what was there is then not lost."""
        self._sequence += 1
        sealed = self._sealed(content)
        if len(sealed) > self._room or not self._is_there():
            self._room = max(_LEAST, 2 * len(sealed))
            write_durably(self._path, 2 * sealed.ljust(self._room, b"\0"))
            return
        with self._path.open("r+b") as file:
            for begin in (0, self._room):
                file.seek(begin)
                file.write(sealed)
                file.flush()
                sync_data(file.fileno())

    def _is_there(self) -> bool:
        """Somebody may have moved it away, or put another one in its place."""
        try:
            return self._path.stat().st_size == 2 * self._room
        except FileNotFoundError:
            return False

    def _sealed(self, content: bytes) -> bytes:
        said = f"{self._sequence} {len(content)}"
        return f"{self._magic} {FORMAT} {said} {_checksum(said, content)}\n".encode() + content

    def _opened(self, copy: bytes) -> tuple[int, bytes]:
        head, _, rest = copy.partition(b"\n")
        words = head.decode().split(" ")
        if words[0] != self._magic:
            raise ValueError(f"it does not begin with {self._magic}")
        if words[1:2] != [str(FORMAT)]:
            raise ValueError(f"format {' '.join(words[1:2])[:20]}, this agent reads format {FORMAT}")
        try:
            sequence, length, checksum = words[2:]
        except ValueError:
            raise ValueError("its first line is not whole") from None
        content = rest[: int(length)]
        if _checksum(f"{sequence} {length}", content) != checksum:
            raise ValueError("the checksum does not match")
        return int(sequence), content


def _checksum(said: str, content: bytes) -> str:
    return hashlib.sha256(said.encode() + b" " + content).hexdigest()
