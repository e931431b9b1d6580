"""The deciding thread's step where something is wrong around it: a question given up, a store taken over."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from bus.clock import SystemClock
from controller.deciding import Deciding
from controller.mailbox import Ask, ReportArrived, RevisionRead
from controller.metrics import Metrics
from controller.store import Fenced, Store
from tests.support.pretend import Pretence, PretendBus
from tests.support.states import state


class Decided:
    """Deciding over a store of its own, stepped by the test."""

    def __init__(self, folder: Path, hosts: tuple[str, ...] = ()) -> None:
        self.store = Store.open(folder / "drumbeat.db")
        self.bus = PretendBus(list(hosts), Pretence())
        self.heard: list[ReportArrived] = []
        self.bus.connect(lambda report, received: self.heard.append(ReportArrived(report, received)))
        self.deciding = Deciding(
            store=self.store,
            bus=self.bus,
            seal=lambda assignment: assignment.model_dump_json(by_alias=True).encode(),
            clock=SystemClock(),
            random=Random(1),
            metrics=Metrics(CollectorRegistry()),
            node_timeout=90,
        )


@pytest.fixture
def decided(tmp_path: Path) -> Iterator[Decided]:
    made = Decided(tmp_path)
    yield made
    made.store.close()


def test_a_question_that_nobody_waits_for_any_more_harms_nobody(decided: Decided) -> None:
    """The API gives up on a slow answer by cancelling it."""
    given_up: Future[int] = Future()
    given_up.cancel()
    waiting: Future[int] = Future()
    decided.deciding.step([Ask(lambda _: 1, given_up), Ask(lambda _: 2, waiting)])

    assert waiting.result(timeout=0) == 2


def test_a_controller_that_was_taken_over_stops_at_its_first_plan(decided: Decided) -> None:
    """It must not take the store's refusal for a target's trouble, and go on."""
    desired = state("1")
    decided.deciding.step([RevisionRead(desired.revision, desired, [], {})])
    decided.store.take_over(SystemClock().now())
    for target in decided.deciding.world.specs:
        decided.deciding.world.statuses.pop(target)
        decided.deciding.world.look_at_all(target)

    with pytest.raises(Fenced):
        decided.deciding.step([])
