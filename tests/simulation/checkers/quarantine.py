"""Checker of promise 19: a release in quarantine begins on no further host until git declares another one."""

from controller.world import World
from reconcilers.fragments import SERVICE
from reconcilers.values import service_of
from tests.simulation.checkers.truth import PromiseBroken


class Quarantines:
    """Releases that were put into quarantine, and which hosts had been asked to run them by then."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], set[str]] = {}
        """By target and digest."""
        self.count = 0
        """How many there were."""

    def check(self, world: World) -> None:
        """Look at what is asked after a step of the controller."""
        for target, status in world.statuses.items():
            bad = status.quarantine
            if bad is not None and (target, bad.digest) not in self._asked:
                self._asked[target, bad.digest] = _asked(world, target, bad.digest)
                self.count += 1
        for (target, digest), before in list(self._asked.items()):
            declared = world.declared.get(target)
            if declared is not None and declared.digest != digest:
                del self._asked[target, digest]
                continue
            self._asked[target, digest] = now = _asked(world, target, digest)
            ways = {host for host, way in world.journeys.get(target, {}).items() if way.digest == digest}
            if now - before or ways:
                raise PromiseBroken(19, f"{target} is in quarantine, and begins on {sorted(ways | now - before)}")


def _asked(world: World, target: str, digest: str) -> set[str]:
    found = set()
    for node, targets in world.entries.items():
        entry = targets[target].get(SERVICE) if target in targets else None
        release = service_of(entry.value).release if entry else None
        if release is not None and release.digest == digest:
            found.add(node)
    return found
