"""A service's output: a file of bounded size, and its last lines."""

import contextlib
import os
import shutil
from pathlib import Path

_LINES, _LINE, _TAIL = 20, 300, 16 * 1024


class ServiceLog:
    """One service's log. The service writes to it itself, so it needs no agent to go on writing."""

    def __init__(self, path: Path, most: int) -> None:
        self.path = path
        self._most = most

    def begin(self) -> int:
        """A process is about to start: the offset at which what it writes begins, which is the beginning of a line."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.rotate()
        with contextlib.suppress(OSError), self.path.open("ab+") as file:
            file.seek(max(0, file.tell() - 1))
            if file.read(1) not in (b"", b"\n"):
                file.write(b"\n")
        return self._size()

    def rotate(self) -> bool:
        """Keep the file below twice its bound, whoever has it open; whether it was cut, and begins anew.

        The content is copied beside and the file cut to nothing: writers append, so they go on at its new end. A line
        written between copy and cut is lost, which is the price for needing nothing from the service.
        """
        if self._size() <= self._most:
            return False
        with contextlib.suppress(OSError):  # a full disk: cutting is what helps
            shutil.copyfile(self.path, self.path.with_name(self.path.name + ".1"))
        os.truncate(self.path, 0)
        return True

    def tail(self, since: int) -> str:
        """The end of what was written from an offset on, in whole lines and bounded."""
        try:
            with self.path.open("rb") as file:
                size = self._size()
                begin = max(since if since <= size else 0, size - _TAIL)  # smaller than it was: it begins anew
                if begin:
                    file.seek(begin - 1)
                    file.readline()  # no half of a line: what is hidden in it is found whole only
                return file.read(_TAIL).decode(errors="replace")
        except OSError:
            return ""

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


def last_lines(text: str) -> list[str]:
    """The last lines, bounded in number and length."""
    return [line[:_LINE] for line in text.splitlines()[-_LINES:]]
