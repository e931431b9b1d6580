"""A host under test: which answers of balancers and gates count, and what each means for its journey."""

import pytest

from crds.messages import ServerReport
from crds.status import Step
from reconcilers.journey import advance
from tests.support.journeys import fails, stays, step_after
from tests.support.worlds import BEFORE, NODES, NOW, RUNNER, TESTS, gate, scene, seconds, server, target


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("said", [None, server("maint"), server("ready", up=False), server("ready", read=BEFORE)])
def test_gates_count_only_once_every_node_has_the_host_up_in_the_maintenance_pool(
    node: str, said: ServerReport | None
) -> None:
    at = scene(Step.TESTING).seeing(node, TESTS, said)
    assert node in stays(at)
    assert node in stays(at.gated("passed"))


def test_the_first_test_may_go_by_a_check_from_before_and_those_after_one_that_told_nothing_may_not() -> None:
    stale = server("ready", up=False, routed=True, status="UP 1/2")
    at = scene(Step.TESTING).seeing("lb2", TESTS, stale)
    assert step_after(at.gated("passed")) is Step.ENABLING
    again = at.but(journey=at.journey.model_copy(update={"attempt": 1}))
    assert "UP 1/2" in stays(again)


def test_all_gates_must_pass() -> None:
    spec = target(gates=(gate("smoke"), gate("contract")))
    at = scene(Step.TESTING, spec)
    assert stays(at) == "gate smoke runs"
    assert stays(at.gated("passed", "smoke")) == "gate contract runs"
    assert stays(at.gated("passed", "contract")) == "gate smoke runs"
    assert stays(at.gated("passed", "smoke").gated(None, "contract")) == f"gate contract runs on {RUNNER}"
    assert step_after(at.gated("passed", "smoke").gated("passed", "contract")) is Step.ENABLING


def test_a_failed_gate_fails_the_host_and_leaves_it_out() -> None:
    failed = fails(scene(Step.TESTING).gated("failed", message="expected 200, got 500"))
    assert failed.reason == "gate smoke failed: expected 200, got 500"
    assert failed.out


def test_a_gate_without_a_message_is_quoted_from_its_log() -> None:
    failed = fails(scene(Step.TESTING).gated("failed", log_tail=["ok 1", "not ok 2"]))
    assert failed.reason == "gate smoke failed: not ok 2"


def test_a_failed_gate_says_what_its_command_wrote_last() -> None:
    failed = fails(scene(Step.TESTING).gated("failed", message="exit status 1", log_tail=["ok 1", "not ok 2"]))
    assert failed.reason == "gate smoke failed: exit status 1; its output ends: not ok 2"


def test_an_inconclusive_gate_is_tried_three_times() -> None:
    at = scene(Step.TESTING)
    for attempt in (1, 2):
        following = advance(at.journey, at.gated("inconclusive", message="no proof").situation)
        assert following is not None
        assert (following.step, following.attempt) == (Step.TESTING, attempt)
        assert following.reason == "gate smoke was inconclusive: no proof"
        at = at.but(journey=following)
        assert stays(at) == "gate smoke runs"  # what came of the last attempt says nothing about this one
    failed = fails(at.gated("inconclusive", message="no proof"))
    assert failed.reason == "gate smoke was inconclusive 3 times: no proof"


def test_a_gate_waits_for_its_runner_and_moves_to_another() -> None:
    at = scene(Step.TESTING)
    assert stays(at.but(runners=())) == "gate smoke waits for a runner: none reports"
    assert stays(at.gated(None).but(runners=())) == f"gate smoke runs on {RUNNER}"
    moved = advance(at.journey, at.gated(None).but(runners=("run2",)).situation)
    assert moved is not None
    assert (moved.step, moved.attempt) == (Step.TESTING, 1)
    assert RUNNER in moved.reason


def test_a_result_of_an_earlier_journey_does_not_count() -> None:
    passed = scene(Step.TESTING).gated("passed")
    later = passed.but(journey=passed.journey.model_copy(update={"begun": NOW + seconds(1)}))
    assert stays(later) == "gate smoke runs"
