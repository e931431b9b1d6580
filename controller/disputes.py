"""Disputed nodes: where it is written down, and whether a person has decided since."""

from typing import Protocol

import structlog

from bus.keyring import NodeEntry
from bus.keys import BadKey
from controller.world import World


class Ring(Protocol):
    """What is asked of the key ring (bus.keyring.KeyRing)."""

    def entry(self, node: str) -> NodeEntry | None: ...
    def disputed(self) -> dict[str, str]: ...
    def dispute(self, node: str, why: str) -> None: ...


class Disputes:
    """Keeps the ring and the world of one mind. The ring is what lasts, and what people change."""

    def __init__(self, ring: Ring, world: World) -> None:
        """Raises BadKey if the ring cannot be read: nobody knows then whom not to believe."""
        self._ring, self._world = ring, world
        self._unsaved: set[str] = set()
        self._log = structlog.get_logger("controller.disputes")
        for node, why in ring.disputed().items():
            world.dispute(node, why)

    def stands(self, node: str) -> bool:
        """Whether the node is disputed; if a person has decided since, the world learns of it now."""
        if not self._world.nodes.get(node).disputed:
            return False
        if node in self._unsaved:
            self._save(node)
            return True
        if self._undecided(node):
            return True
        self._log.info("node.trusted", node=node)
        self._world.settle(node)
        return False

    def _undecided(self, node: str) -> bool:
        try:
            entry = self._ring.entry(node)
        except BadKey:
            return True  # nobody has decided anything by making it unreadable
        return entry is not None and bool(entry.disputed)

    def write_down(self, node: str) -> str:
        """Have the ring remember why a node is disputed, so that a restart does not forget it; returns why."""
        why = self._world.nodes.get(node).disputed
        self._log.error("node.disputed", node=node, why=why)
        self._save(node)
        return why

    def _save(self, node: str) -> None:
        try:
            self._ring.dispute(node, self._world.nodes.get(node).disputed)
        except (BadKey, OSError) as error:
            self._unsaved.add(node)
            self._log.error("node.dispute_not_saved", node=node, error=str(error))
        else:
            self._unsaved.discard(node)
