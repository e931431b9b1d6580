"""The checker of decisions: what counts as a person's retry, and as a success that is news."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from controller.deciding import Deciding
from crds.status import Journey, RolloutStatus, Step
from tests.simulation.checkers import PromiseBroken
from tests.simulation.checkers.acts import Acts
from tests.simulation.checkers.decisions import Decisions
from tests.simulation.checkers.orders import Orders
from tests.simulation.supposed import supposed

START = datetime(2026, 1, 1, tzinfo=UTC)
TARGET = "web@prod"


def at(minutes: int) -> datetime:
    return START + timedelta(minutes=minutes)


def journey(host: str, step: Step, since: int) -> Journey:
    moment = at(since)
    return Journey(host=host, digest="new", batch=1, step=step, begun=moment, since=moment, accounted=moment)


def controller(status: RolloutStatus, *journeys: Journey, term: int = 1) -> Deciding:
    """One that knows the status of a single target."""
    world = SimpleNamespace(
        statuses={status.target: status},
        journeys={TARGET: {each.host: each for each in journeys}},
        specs={},
        exclusions={},
        declared={},
    )
    return cast("Deciding", SimpleNamespace(world=world, term=term, resource_version=term))


def decisions() -> Decisions:
    """Of two hosts on which nothing runs, so that no success is true."""
    truth = supposed(hosts=2)
    return Decisions(truth, Acts(truth, Orders(truth)))


def rejoins(retried: int | None) -> None:
    """vm2 failed in minute 5, and is on its way in the running batch again in minute 9."""
    checker, beside = decisions(), journey("vm1", Step.WAITING, 0)
    status = RolloutStatus(target=TARGET, retried=None if retried is None else at(retried))
    checker.began(controller(status))
    checker.decided(controller(status, beside, journey("vm2", Step.FAILED, 5)), {})
    checker.decided(controller(status, beside, journey("vm2", Step.LEAVING, 9)), {})


def test_a_failed_host_that_a_person_lets_begin_anew_joins_the_batch_under_way() -> None:
    rejoins(retried=8)


@pytest.mark.parametrize("retried", [None, 3])
def test_a_failed_host_joins_no_batch_by_itself_whatever_was_tried_again_before(retried: int | None) -> None:
    with pytest.raises(PromiseBroken, match="join a batch") as broken:
        rejoins(retried)
    assert broken.value.promise == 2


FINISHED = RolloutStatus(target=TARGET, finished=at(1), succeeded_digest="new")


def test_a_target_that_is_first_seen_finished_must_have_succeeded() -> None:
    checker = decisions()
    checker.began(controller(RolloutStatus(target="api@prod")))
    with pytest.raises(PromiseBroken) as broken:
        checker.decided(controller(FINISHED), {})
    assert broken.value.promise == 8


def test_what_finished_in_a_restored_store_is_no_news() -> None:
    checker = decisions()
    checker.began(controller(RolloutStatus(target=TARGET)))
    checker.store_restored()
    checker.began(controller(FINISHED))
    checker.decided(controller(FINISHED), {})


def test_what_a_controller_finished_as_it_died_is_news_to_the_next_one() -> None:
    checker, before = decisions(), RolloutStatus(target=TARGET)
    checker.began(controller(before))
    checker.decided(controller(before), {})
    checker.began(controller(FINISHED, term=2))
    with pytest.raises(PromiseBroken) as broken:
        checker.decided(controller(FINISHED, term=2), {})
    assert broken.value.promise == 8
