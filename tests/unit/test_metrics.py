"""The metrics that dashboards and alerts are built on: their names, their text, and what the gauges show."""

import re
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from controller.metrics import Metrics
from crds.status import Condition, Counts, RolloutStatus, Step
from tests.support.worlds import journey, target

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def status(target: str, ready: Literal["True", "False"], **counts: int) -> RolloutStatus:
    condition = Condition(type="Ready", status=ready, reason="R", last_transition_time=NOW, observed_generation=1)
    return RolloutStatus(target=target, conditions=[condition], counts=Counts(**counts))


def test_two_sets_of_metrics_do_not_meet(metrics: Metrics) -> None:
    other = CollectorRegistry()
    Metrics(other).source_errors_total.inc()
    assert other.get_sample_value("drumbeat_source_errors_total") == 1
    assert metrics.registry.get_sample_value("drumbeat_source_errors_total") == 0


def test_names_and_helps_keep_to_the_conventions(metrics: Metrics, registry: CollectorRegistry) -> None:
    """As promtool's linter has it: snake case, base units, ``_total`` on counters alone, a help for each."""
    metrics.show(status("api@prod", "True", current=2))
    families = [
        family
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        if not family.name.endswith("_created")
    ]
    assert len(families) >= 15
    for family in families:
        assert re.fullmatch(r"drumbeat_[a-z]+(_[a-z]+)*", family.name), family.name
        assert family.documentation.endswith("."), f"{family.name}: no sentence as its help"
        assert not re.search(r"_(ms|milliseconds|minutes|percent|kb|count|sum|bucket)$", family.name), family.name
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert names <= {f"{family.name}_total"}
        else:
            assert not any(name.endswith("_total") for name in names), family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
        for sample in family.samples:
            assert "host" not in sample.labels
            assert "node" not in sample.labels


def test_what_is_known_beforehand_exists_at_zero(metrics: Metrics, registry: CollectorRegistry) -> None:
    assert registry.get_sample_value("drumbeat_build_info", {"version": version("drumbeat")}) == 1
    assert registry.get_sample_value("drumbeat_rollouts_total", {"result": "succeeded"}) == 0
    assert registry.get_sample_value("drumbeat_reports_total", {"kind": "full"}) == 0
    assert registry.get_sample_value("drumbeat_revision_refused") == 0


def test_targets_are_counted_by_condition(metrics: Metrics, registry: CollectorRegistry) -> None:
    def targets(ready: str) -> float | None:
        return registry.get_sample_value("drumbeat_targets", {"condition": "Ready", "status": ready})

    metrics.show(status("api@prod", "True"))
    metrics.show(status("web@prod", "True"))
    assert targets("True") == 2
    metrics.show(status("web@prod", "False"))
    assert (targets("True"), targets("False")) == (1, 1)
    metrics.forget("web@prod")
    metrics.forget("web@prod")
    assert (targets("True"), targets("False")) == (1, 0)


def test_hosts_are_counted_once_each(metrics: Metrics, registry: CollectorRegistry) -> None:
    shown = {"current": 4, "outdated": 3, "in_flight": 2, "failed": 1, "unknown": 5}
    metrics.show(status("api@prod", "True", total=15, excluded=6, unavailable=7, **shown))
    found = {
        state: registry.get_sample_value("drumbeat_hosts", {"target": "api@prod", "state": state}) for state in shown
    }
    assert found == shown
    assert registry.get_sample_value("drumbeat_hosts_excluded", {"target": "api@prod"}) == 6
    assert registry.get_sample_value("drumbeat_hosts_unavailable", {"target": "api@prod"}) == 7


def test_hosts_that_leave_or_have_drifted_are_counted(metrics: Metrics, registry: CollectorRegistry) -> None:
    leaving = journey(target(), Step.DRAINING, "vm9")
    shown = {"leaving": {"vm9": leaving}, "drifted": {"vm1": "runs 1", "vm2": "runs 1"}}
    metrics.show(status("api@prod", "True").model_copy(update=shown))
    assert registry.get_sample_value("drumbeat_hosts_leaving", {"target": "api@prod"}) == 1
    assert registry.get_sample_value("drumbeat_hosts_drifted", {"target": "api@prod"}) == 2


def test_a_target_that_is_no_more_leaves_no_series(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.show(status("api@prod", "True"))
    assert b"api@prod" in generate_latest(registry)
    metrics.forget("api@prod")
    assert b"api@prod" not in generate_latest(registry)


def test_a_release_that_is_taken_back_counts_once(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.count("ReleaseQuarantined", "GateFailed")
    metrics.count("RolledBack", "RolledBack")
    assert registry.get_sample_value("drumbeat_rollouts_total", {"result": "rolled_back"}) == 1
    assert registry.get_sample_value("drumbeat_rollouts_total", {"result": "succeeded"}) == 0
