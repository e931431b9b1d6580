"""Seeing for oneself, at HAProxy, when the first host leaves the online pool."""

import threading
import time
from pathlib import Path
from typing import Self

from controller.demo.runtime_api import servers

_LOOK = 0.01


class FirstDrain:
    """Watches a pool in a thread of its own until a server that was online is not."""

    def __init__(self, runtime: Path, pool: str) -> None:
        self._runtime, self._pool = runtime, pool
        self._stop = threading.Event()
        self._online = self._names_online()
        self.at: float | None = None
        """When it was first seen, in seconds since the epoch."""
        self._thread = threading.Thread(target=self._watch, name="first-drain", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while self.at is None and not self._stop.wait(_LOOK):
            if not self._online <= self._names_online():
                self.at = time.time()

    def _names_online(self) -> set[str]:
        return {name for name, row in servers(self._runtime, self._pool).items() if row.status.startswith("UP")}
