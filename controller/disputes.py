"""Nodes that are not believed: disputed ones, where that is written down, and what people decide about any of them."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from bus.keyring import NodeEntry
from bus.keys import BadKey
from controller.world import World

_AGAIN = timedelta(seconds=10)
"""After a dispute could not be written down. The thread that decides about everybody waits for each try."""


class Ring(Protocol):
    """What is asked of the key ring (bus.keyring.KeyRing)."""

    def nodes(self) -> list[str]: ...
    def entry(self, node: str) -> NodeEntry | None: ...
    def dispute(self, node: str, why: str) -> None: ...
    def trust(self, node: str) -> None: ...


class Disputes:
    """Keeps the ring and the world of one mind. The ring is what lasts, and what people change."""

    def __init__(self, ring: Ring, world: World) -> None:
        """Raises BadKey if the ring cannot be read: nobody knows then whom not to believe."""
        self._ring, self._world = ring, world
        self._unsaved: set[str] = set()
        self._failed_at: datetime | None = None
        self._log = structlog.get_logger("controller.disputes")
        for node in ring.nodes():
            self._load(node)

    def _load(self, node: str) -> None:
        entry = self._entry(node)
        if entry is not None and entry.disputed:
            self._world.nodes.dispute(node, entry.disputed)
            self._world.touch_node(node)
        if entry is not None and entry.revoked:
            self._world.nodes.revoke(node)
            self._world.touch_node(node)

    def heed(self, node: str, now: datetime) -> list[tuple[str, str]]:
        """Have the world follow what people have decided about the node since; what that was, as verbs of events and
        their messages."""
        entry, known, decided = self._entry(node), self._world.nodes.get(node), []
        if entry is None:
            return []
        if node in self._unsaved:
            self._save(node, now)
        elif known.disputed and not entry.disputed:
            self._log.info("node.trusted", node=node)
            self._world.nodes.settle(node)
            self._world.touch_node(node)
            decided.append(("NodeTrusted", "a person has decided which machine it is"))
        if entry.revoked and not known.revoked:
            self._log.warning("node.revoked", node=node)
            self._world.nodes.revoke(node)
            self._world.touch_node(node)
            decided.append(("NodeRevoked", "a person has revoked its key"))
        elif known.revoked and not entry.revoked:
            self._log.info("node.restored", node=node)
            self._world.nodes.restore(node)
            self._world.touch_node(node)
            decided.append(("NodeRestored", "a person has taken the revocation of its key back"))
        return decided

    def write_down(self, node: str, now: datetime) -> str:
        """Have the ring remember why a node is disputed, so that a restart does not forget it; returns why."""
        why = self._world.nodes.get(node).disputed
        self._log.error("node.disputed", node=node, why=why)
        self._save(node, now)
        return why

    def renew(self, node: str) -> None:
        """A person has let the node join with a new key: whatever was said with the former one is forgotten."""
        self._unsaved.discard(node)
        entry = self._entry(node)
        if entry is not None and entry.disputed:  # by reports that were verified before, and heard since
            try:
                self._ring.trust(node)
            except (BadKey, OSError) as error:
                self._log.error("node.trust_not_saved", node=node, error=str(error))
        self._world.nodes.settle(node)
        self._world.nodes.restore(node)
        self._world.touch_node(node)

    def _entry(self, node: str) -> NodeEntry | None:
        """None as well for a damaged file: it says nothing, so that nobody has decided anything with it."""
        with suppress(BadKey):
            return self._ring.entry(node)
        return None

    def _save(self, node: str, now: datetime) -> None:
        """Not right after one that failed: the next may wait for the same lock as long, and each report asks for it."""
        self._unsaved.add(node)
        if self._failed_at is not None and abs(now - self._failed_at) < _AGAIN:
            return
        try:
            self._ring.dispute(node, self._world.nodes.get(node).disputed)
        except (BadKey, OSError) as error:
            self._failed_at = now
            self._log.error("node.dispute_not_saved", node=node, error=str(error))
        else:
            self._failed_at = None
            self._unsaved.discard(node)
