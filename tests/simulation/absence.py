"""Promise 11: no host fails by a deadline while nobody watched it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from crds.status import Step
from tests.simulation.checkers import PromiseBroken

if TYPE_CHECKING:
    from tests.simulation.life import Life

_SLACK = 2.0
"""Seconds: what a controller may count from its start before its first step."""
Key = tuple[str, str, datetime]
"""A target, a host, and when its journey began."""


@dataclass
class Watched:
    """For how long each journey was watched by a controller that really ran, by that controller's own clock."""

    seconds: dict[Key, float] = field(default_factory=dict)
    _last: dict[int, float] = field(default_factory=dict)
    """When each life stepped last; by its term."""

    def stood_still(self, term: int) -> None:
        """What passes from now to its next step was not watched."""
        self._last.pop(term, None)

    @contextmanager
    def step(self, life: "Life") -> Iterator[None]:
        """Around a step of a life. Raises PromiseBroken."""
        now = life.clock.monotonic()
        passed = now - self._last.get(life.term, now)
        self._last[life.term] = now
        moving = {
            (target, host, journey.begun): journey.step
            for target, journeys in life.deciding.world.journeys.items()
            for host, journey in journeys.items()
            if journey.step not in (Step.WAITING, Step.FAILED)
        }
        for key in moving:
            self.seconds[key] = self.seconds.get(key, 0.0) + passed
        yield
        for key in moving:
            self._judge(life, key)

    def _judge(self, life: "Life", key: Key) -> None:
        target, host, begun = key
        journey = life.deciding.world.journeys[target].get(host)
        spec = life.deciding.world.specs.get(target)
        if journey is None or spec is None or journey.step is not Step.FAILED or journey.begun != begun:
            return
        watched = self.seconds[key]
        if ": still " in journey.reason and watched < spec.rollout.deadline - _SLACK:
            raise PromiseBroken(
                11, f"{target}/{host} failed after {watched:.0f} s that somebody watched: {journey.reason}"
            )
