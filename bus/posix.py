"""Locks between processes, with what only POSIX has: nothing but the controller's machine, a Linux, needs them.

Calls that only POSIX or Linux has are in modules of this name, so that everything else runs on Windows too.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AGAIN = 0.01
"""Seconds between two attempts: the system wakes nobody who waits with an end."""


@contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Be the only one that has this file locked, among all threads and processes; it is made if it is not there.

    Raises TimeoutError if somebody else keeps it for ``patience`` seconds, and OSError. The system unlocks it when a
    process ends, however it ends.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, path, time.monotonic() + patience)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError(
                    f"{path}: another process has it locked and does not go on; 'fuser {path}' says which"
                ) from None
            time.sleep(_AGAIN)
