"""A controller that stood still, or whose clock was set."""

from datetime import timedelta
from random import Random

import pytest

from controller.nodes import Nodes
from controller.queue import Queue
from controller.unwatched import LONGEST_WAIT, Unwatched
from tests.simulation.clocks import MachineClock
from tests.simulation.drivers import SimClock
from tests.support.worlds import NOW, report, seconds

LONGEST = LONGEST_WAIT.total_seconds()


class Watch:
    """A deciding thread's view of its clock."""

    def __init__(self) -> None:
        self.true = SimClock()
        self.clock = MachineClock(self.true)
        self.unwatched = Unwatched(self.clock)

    def jump(self, passed: float, step: float = 0.0) -> float:
        """Seconds that were not watched, of these and after the time of day was set by ``step``."""
        self.true.advance(passed)
        self.clock.offset += step
        return self.unwatched.since_last_step(self.clock.now()).total_seconds()


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_steps_in_time_leave_nothing_unwatched(watch: Watch) -> None:
    assert not any(watch.jump(passed) for passed in (0.0, 0.01, 3.0, LONGEST, LONGEST + 4))


def test_a_process_that_stood_still_watched_no_more_than_it_would_have_waited(watch: Watch) -> None:
    assert watch.jump(3600.0) == pytest.approx(3600 - LONGEST)
    assert watch.jump(1.0) == 0


@pytest.mark.parametrize("step", [-7200.0, -0.5, 60.0, 86_400.0])
def test_a_clock_that_is_set_is_noticed_once(watch: Watch, step: float) -> None:
    assert watch.jump(5.0, step) == pytest.approx(step)
    assert watch.jump(5.0) == 0


def test_a_clock_that_runs_too_fast_is_not_noticed(watch: Watch) -> None:
    watch.clock.run_at(2.0)
    assert watch.jump(4.0) == 0


def test_what_is_due_in_a_minute_stays_so(watch: Watch) -> None:
    queue = Queue(Random(1))
    queue.wake("a", NOW + seconds(60))
    queue.shift(timedelta(hours=-1))
    assert queue.next() == NOW + seconds(60 - 3600)
    assert queue.due(NOW + seconds(60 - 3600)) == {"a"}


def test_a_node_falls_silent_in_time_though_the_clock_was_set_back() -> None:
    nodes = Nodes(90)
    nodes.hear(report("vm1", 1), NOW)
    nodes.jumped(timedelta(hours=-1))
    assert not list(nodes.expire(NOW + seconds(89 - 3600)))
    assert [node.name for node in nodes.expire(NOW + seconds(90 - 3600))] == ["vm1"]


def test_a_node_that_may_have_fallen_silent_meanwhile_is_silent_until_it_speaks() -> None:
    nodes = Nodes(90)
    nodes.hear(report("vm1", 1), NOW)
    nodes.jumped(timedelta(hours=1))
    assert [node.name for node in nodes.expire(NOW + seconds(3600))] == ["vm1"]
