"""Answers over HTTP that are there by a deadline, or not at all.

A timeout of a socket is for the next bytes: whoever sends one now and then would be waited for without an end.
"""

import http.client
import io
import socket
import time
from collections.abc import Callable
from typing import Any


class Deadline:
    """A moment after which nothing is waited for any more."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._at = monotonic() + seconds

    def left(self) -> float:
        """Seconds until then. Raises TimeoutError if there are none."""
        left = self._at - self._monotonic()
        if left <= 0:
            raise TimeoutError("no whole answer in time")
        return left


def answers_by(left: Callable[[], float]) -> type[http.client.HTTPResponse]:
    """A ``response_class`` of connections: while reading, every wait ends when ``left`` seconds have passed.

    ``left`` raises TimeoutError when none are left. The socket's own timeout holds too.
    """

    class InTime(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *said: Any, **more: Any) -> None:
            super().__init__(sock, *said, **more)
            self.fp.close()
            self.fp = io.BufferedReader(_Reader(sock, left))

    return InTime


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, left: Callable[[], float]) -> None:
        self._sock, self._left = sock, left
        self._silence = sock.gettimeout()
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._left()
        self._sock.settimeout(left if self._silence is None else min(left, self._silence))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
