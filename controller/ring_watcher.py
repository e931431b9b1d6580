"""RingWatcher: has the deciding thread notice that people have revoked, restored or trusted nodes."""

import threading
from collections.abc import Callable

from bus.clock import Clock
from bus.keyring import KeyRing
from bus.keys import BadKey
from controller.mailbox import RingChanged

EVERY = 1.0
"""Seconds between two looks. Each is one question to the file system, as long as nothing changes."""
WHOLE_EVERY = 60.0
"""Seconds after which every entry is looked at again, for what somebody edited in its place."""


class RingWatcher:
    """Driven by looks, from one thread of its own."""

    def __init__(self, ring: KeyRing, put: Callable[[RingChanged], None], clock: Clock) -> None:
        self._ring, self._put, self._clock = ring, put, clock
        self._version: object = None
        self._whole_at = clock.monotonic()
        self._states: dict[str, tuple[bool, str]] = {}

    def run(self, stop: threading.Event) -> None:
        """Look until ``stop`` is set."""
        while not stop.wait(EVERY):
            self.look()

    def look(self) -> None:
        """Hand on the nodes of which the ring says something else than at the last look."""
        before, self._version = self._version, self._ring.version()
        now = self._clock.monotonic()
        if self._version == before and now < self._whole_at:
            return
        # Of two changes in one tick of the file system's clock the second shows only at a second look.
        self._whole_at = now + WHOLE_EVERY if self._version == before else now
        if changed := [node for node in self._ring.nodes() if self._has_changed(node)]:
            self._put(RingChanged(changed))

    def _has_changed(self, node: str) -> bool:
        try:
            entry = self._ring.entry(node)
        except BadKey:
            return False  # it says nothing
        if entry is None:
            return False
        before, self._states[node] = self._states.get(node, (False, "")), (entry.revoked, entry.disputed)
        return self._states[node] != before
