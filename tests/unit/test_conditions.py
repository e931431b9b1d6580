"""Conditions: the transition time is when the value changed, and the headline is the worst news."""

from crds.status import RolloutStatus
from reconcilers.conditions import find, headline, set_condition
from tests.support.worlds import NOW, seconds


def test_only_a_changed_value_is_a_transition() -> None:
    status = RolloutStatus(target="api@prod", generation=1)
    status = set_condition(status, "Ready", "False", "NotConverged", "0 of 4", NOW)
    status = status.model_copy(update={"generation": 2})
    status = set_condition(status, "Ready", "False", "NotConverged", "1 of 4", NOW + seconds(5))
    ready = find(status.conditions, "Ready")
    assert ready is not None
    assert (ready.last_transition_time, ready.message, ready.observed_generation) == (NOW, "1 of 4", 2)
    status = set_condition(status, "Ready", "True", "Converged", "4 of 4", NOW + seconds(9))
    ready = find(status.conditions, "Ready")
    assert ready is not None
    assert ready.last_transition_time == NOW + seconds(9)


def test_each_type_is_there_once_and_in_order() -> None:
    status = RolloutStatus(target="api@prod")
    for kind in ("Stalled", "Ready", "Reconciling", "Ready"):
        status = set_condition(status, kind, "True", "Because", "", NOW)
    assert [condition.type for condition in status.conditions] == ["Ready", "Reconciling", "Stalled"]
    assert find(status.conditions, "Orphaned") is None


def test_the_headline() -> None:
    status = RolloutStatus(target="api@prod")
    assert headline(status) == "Unknown"
    status = set_condition(status, "Ready", "True", "Converged", "", NOW)
    assert headline(status) == "Ready"
    status = set_condition(status, "Reconciling", "True", "NextBatch", "", NOW)
    assert headline(status) == "Reconciling"
    status = set_condition(status, "Stalled", "True", "GateFailed", "", NOW)
    assert headline(status) == "Stalled(GateFailed)"
