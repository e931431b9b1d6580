"""Checker of promise 12: a freeze works within one tick, and hosts that are out by then are brought to an end."""

from collections.abc import Collection, Iterator
from datetime import datetime

from controller.deciding import Deciding
from controller.world import World
from crds.status import RolloutStatus, Step, TaskRecord
from tests.simulation.checkers.truth import PromiseBroken, Truth, service_of

_OUT = (Step.DRAINING, Step.LEAVING, Step.DEPLOYING, Step.TESTING, Step.ENABLING)
_SAMPLE = 5.0
_NOTICED = 300.0
"""Seconds within which everybody has heard that a host serves again."""
Out = tuple[str, str]
"""A target, and a host on its way there."""


class Freezes:
    """Who is out, and who may be."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._out: set[Out] = set()
        self._failed: set[Out] = set()
        """Hosts that failed on their way: whoever tries them again finishes what was begun."""
        self._ailing: dict[tuple[str, str], float] = {}
        """(service, host): when it was last seen to serve nobody."""
        self._sampled = -_SAMPLE
        self.kept = 0
        """Steps of controllers in which a freeze held a target."""

    def began(self, world: World) -> None:
        """A controller has taken over, with what is stored."""
        self._out = set(_at(world, _OUT))
        self._failed = set(_at(world, (Step.FAILED,)))

    def decided(self, deciding: Deciding, now: datetime) -> None:
        """Nobody was taken out in this step whom a freeze holds. ``now``: by the clock of the controller."""
        world, before, failed = deciding.world, self._out, self._failed
        self._sample()
        self.began(world)
        for target, spec in world.specs.items():
            held = self._truth.frozen(spec.revision, service_of(target), now, bool(spec.in_place_of))
            self.kept += held
            status = world.statuses.get(target)
            proven = status is not None and status.succeeded_digest == spec.digest
            for _, host in sorted(way for way in self._out - before if held and way[0] == target):
                if not self._ails(target, host) or not (proven or (target, host) in failed):
                    raise PromiseBroken(12, f"{host} is taken out of {target}, while a freeze holds it")

    def _ails(self, target: str, host: str) -> bool:
        """It serves nobody, or did not so recently that the controller may not know better: it may be mended."""
        place = (service_of(target), host)
        lately = self._truth.time() - self._ailing.get(place, -_NOTICED) < _NOTICED
        return lately or not self._truth.serves(*place)

    def _sample(self) -> None:
        now = self._truth.time()
        if now - self._sampled >= _SAMPLE:
            self._sampled = now
            places = [(service, host) for service in self._truth.services for host in self._truth.names]
            self._ailing |= {place: now for place in places if not self._truth.serves(*place)}


def left_out(world: World) -> list[str]:
    """Hosts that are out, in words: none is for long but where a release is still to be migrated for."""
    ready = {target for target, status in world.statuses.items() if all(t.state == "passed" for t in _before(status))}
    return [f"{host} of {target}" for target, host in sorted(_at(world, _OUT)) if target in ready]


def _before(status: RolloutStatus) -> list[TaskRecord]:
    return [task for task in status.tasks if task.task == "expand"]


def _at(world: World, steps: Collection[Step]) -> Iterator[Out]:
    for target, journeys in world.journeys.items():
        for host, journey in journeys.items():
            if journey.step in steps:
                yield target, host
