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
        self._begin = 0

    def begin(self) -> None:
        """A process is about to start: only what it writes is its tail."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.rotate()
        self._begin = self._size()

    def rotate(self) -> None:
        """Keep the file below twice its bound, whoever has it open.

        The content is copied beside and the file cut to nothing: writers append, so they go on at its new end. A line
        written between copy and cut is lost, which is the price for needing nothing from the service.
        """
        if self._size() > self._most:
            with contextlib.suppress(OSError):  # a full disk: cutting is what helps
                shutil.copyfile(self.path, self.path.with_name(self.path.name + ".1"))
            os.truncate(self.path, 0)
            self._begin = 0

    def tail(self) -> str:
        """The end of what the newest process wrote, in whole lines and bounded."""
        try:
            with self.path.open("rb") as file:
                begin = max(self._begin, self._size() - _TAIL)
                file.seek(begin)
                if begin > self._begin:
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
