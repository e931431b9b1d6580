"""How many hosts may have failed, or be unknown, before a rollout stops: counted apart, and before any success."""

from typing import Any

import pytest

from crds.status import Step
from reconcilers.sizes import limit_of
from reconcilers.target import TargetSpec
from tests.support.promises import PROMISES
from tests.support.site import Site, converged, ran
from tests.support.worlds import target

ROLLOUT: dict[str, Any] = {"batches": [1, 2], "max_unavailable": 3, "deadline": "30s"}


def spec(version: str, **changes: Any) -> TargetSpec:
    return target(version, 8, **(ROLLOUT | changes))


def upgraded(*stuck: str, rounds: int = 200, **changes: Any) -> Site:
    """A site on its way to version 2, on which some hosts never finish an installation."""
    site = converged(spec("1", **changes), checks=PROMISES)
    site.behaviour.stuck |= set(stuck)
    site.declare(spec("2", **changes))
    return site.run(rounds)


@pytest.mark.parametrize(
    ("limit", "total", "hosts"),
    [(0, 10, 0), (2, 10, 2), (5, 3, 3), ("10%", 9, 0), ("10%", 10, 1), ("25%", 11, 2), ("100%", 4, 4)],
)
def test_a_share_is_rounded_down_and_never_raised(limit: int | str, total: int, hosts: int) -> None:
    assert limit_of(limit, total) == hosts


def test_by_default_one_failed_host_is_too_much() -> None:
    site = upgraded("vm1")
    assert site.condition("Stalled")[1] == "HostFailed"
    assert set(site.versions().values()) == {"1"}


def test_within_the_limit_the_host_stays_out_and_the_rollout_goes_on() -> None:
    site = upgraded("vm1", max_failed=1)
    assert site.steps() == {"vm1": Step.FAILED}
    assert [host for host, version in site.versions().items() if version != "2"] == ["vm1"]
    status, reason, message = site.condition("Stalled")
    assert (status, reason) == ("True", "HostsFailed")
    assert message.startswith("all others have arrived: vm1 (not back online within 30s: still deploying")
    assert site.condition("Ready")[0] == "False", "promise 8: a failed host is no success"
    assert not ran(site, "RolloutSucceeded")
    assert not any("vm1" in site.serving("online", node) for node in ("lb1", "lb2"))


def test_failed_hosts_that_take_up_the_budget_stall_the_rollout() -> None:
    """Promise 17: nobody waits for ever for room that nobody will make."""
    site = upgraded("vm1", max_failed=1, max_unavailable=1)
    status, reason, message = site.condition("Stalled")
    assert (status, reason) == ("True", "HostsFailed")
    assert message.startswith("failed hosts take up the budget: vm1 (not back online within 30s")
    site.behaviour.stuck.clear()
    site.declare(spec("3", max_unavailable=1))
    site.run(150)
    assert site.condition("Ready")[0] == "True"


def test_a_failed_host_that_is_tolerated_gets_the_next_release_with_the_others() -> None:
    site = upgraded("vm1", max_failed=1)
    site.behaviour.stuck.clear()
    site.declare(spec("3", max_failed=1))
    site.run(100)
    assert set(site.versions().values()) == {"3"}
    assert site.condition("Ready")[0] == "True"


def test_beyond_the_limit_no_further_batch_begins() -> None:
    site = upgraded("vm1", "vm3", max_failed=1)
    status, reason, message = site.condition("Stalled")
    assert (status, reason) == ("True", "HostFailed")
    assert "2 of 8 hosts have failed, and maxFailed tolerates 1" in message
    assert len(ran(site, "BatchStarted")) == 2
    assert [host for host, version in site.versions().items() if version == "2"] == ["vm2"]


def test_beyond_the_limit_a_rollout_is_rolled_back_and_failed_hosts_first() -> None:
    site = upgraded("vm1", "vm3", max_failed=1, on_failure="rollback", rounds=30)
    site.until(lambda site: site.status().quarantine is not None)
    assert set(site.steps()) >= {"vm1", "vm3"}, "they are out already"
    site.behaviour.stuck.clear()
    site.run(60)
    assert set(site.versions().values()) == {"1"}
    assert site.condition("Stalled")[1] == "RolledBack"


def test_with_too_many_silent_hosts_nobody_further_is_taken_out_until_they_report() -> None:
    site = converged(spec("1", max_unknown=1), checks=PROMISES)
    site.behaviour.silent |= {"vm7", "vm8"}
    site.run(95)
    site.declare(spec("2", max_unknown=1))
    site.run(60)
    assert site.condition("Reconciling") == (
        "True",
        "TooManyUnknown",
        "2 of 8 hosts are unknown, and maxUnknown tolerates 1",
    )
    assert site.versions()["vm1"] == "1"
    site.behaviour.silent = {"vm8"}
    site.run(60)
    assert site.condition("Reconciling")[1] == "HostsUnknown"
    assert [host for host, version in site.versions().items() if version != "2"] == ["vm8"]


def test_silent_hosts_are_not_counted_as_failed_nor_failed_ones_as_silent() -> None:
    site = converged(spec("1", max_failed=1, max_unknown=1), checks=PROMISES)
    site.behaviour.silent.add("vm8")
    site.run(95)
    site.behaviour.stuck.add("vm1")
    site.declare(spec("2", max_failed=1, max_unknown=1))
    site.run(200)
    assert [host for host, version in site.versions().items() if version != "2"] == ["vm1", "vm8"]
