"""When targets are planned again."""

from random import Random

import pytest

from controller.queue import Queue
from tests.support.worlds import NOW, seconds


@pytest.fixture
def queue() -> Queue:
    return Queue(Random(1))


def test_the_newest_wish_counts(queue: Queue) -> None:
    queue.wake("api@prod", NOW + seconds(5))
    queue.wake("api@prod", NOW + seconds(9))
    assert queue.next() == queue.wake_at("api@prod") == NOW + seconds(9)
    assert queue.due(NOW + seconds(8)) == set()
    assert queue.due(NOW + seconds(9)) == {"api@prod"}
    assert queue.due(NOW + seconds(99)) == set()
    assert queue.next() is None


def test_a_wish_can_be_taken_back(queue: Queue) -> None:
    queue.wake("api@prod", NOW)
    queue.wake("api@prod", None)
    assert queue.next() is None
    assert queue.due(NOW + seconds(1)) == set()


def test_each_target_is_due_once(queue: Queue) -> None:
    queue.wake("api@prod", NOW)
    queue.wake("api@prod", NOW)
    queue.wake("web@prod", NOW + seconds(1))
    assert queue.due(NOW + seconds(1)) == {"api@prod", "web@prod"}


def test_a_target_that_fails_rests_longer_each_time_and_holds_up_nobody(queue: Queue) -> None:
    delays = [queue.failed("api@prod", NOW) for _ in range(12)]
    for number, delay in enumerate(delays, 1):
        longest = min(0.2 * 2**number, 60)
        assert longest / 2 <= delay <= longest
    assert queue.rests("api@prod", NOW + seconds(29))
    assert not queue.rests("api@prod", NOW + seconds(61))
    assert not queue.rests("web@prod", NOW)
    assert queue.due(NOW + seconds(61)) == {"api@prod"}


def test_success_forgets_the_failures(queue: Queue) -> None:
    for _ in range(8):
        queue.failed("api@prod", NOW)
    queue.succeeded("api@prod")
    assert not queue.rests("api@prod", NOW)
    assert queue.failed("api@prod", NOW) <= 0.4
