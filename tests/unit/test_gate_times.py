"""When gates run: before a rollout, on each host in maintenance, for a batch, on each host online, after it."""

from dataclasses import replace
from typing import Any

import pytest

from crds.service import Gate
from reconcilers.rollback import retried
from reconcilers.target import TargetSpec
from reconcilers.writes import PutStatus
from tests.support.promises import PROMISES
from tests.support.site import Site, converged, ran
from tests.support.worlds import RUNNER, target

OLD = target("1")


def gated(*whens: str, version: str = "2", **changes: Any) -> TargetSpec:
    """A target with a gate for each time, called after it."""
    said = [{"name": f"gate-{when}", "when": when, "exec": {"command": ["./test.sh"]}} for when in whens]
    gates = tuple(Gate.model_validate(each) for each in said)
    return target(version, gates=gates, **changes)


def ran_for(site: Site, when: str) -> list[str | None]:
    """The hosts for which the gate of that time was ever asked."""
    return [spec.host for spec in site.agents[RUNNER].ran.values() if spec.name == f"gate-{when}"]


def arrived(site: Site) -> bool:
    return set(site.versions().values()) == {"2"} and site.condition("Ready")[0] == "True"


def let_go(site: Site) -> Site:
    """A person ends the hold."""
    status = retried(site.status(), site.now)
    site.world.apply("api@prod", PutStatus(status), site.world.nodes.get("vm1").report.taken)  # type: ignore[union-attr]
    site.world.look_at_all("api@prod")
    return site.run(3)


def test_all_in_their_order() -> None:
    site = converged(OLD)
    site.declare(gated("after", "online", "batch", "maintenance", "before", batches=["50%"], max_unavailable="50%"))
    site.until(arrived)
    order = [spec.name.removeprefix("gate-") for spec in site.agents[RUNNER].ran.values() if spec.name != "smoke"]
    one_batch = ["maintenance"] * 2 + ["batch"] + ["online"] * 2
    assert order == ["before", *one_batch, *one_batch, "after"]
    assert [event.reason for event in ran(site, "TaskEnded")][-1] == "AfterPassed"


def test_where_all_hosts_run_the_release_already_only_what_comes_after_them_is_done() -> None:
    """A commit was taken back before any host had moved: nothing is prepared, and the end does not wait for that."""
    site = converged(OLD)
    for spec in (gated("before"), gated("before", "after", version="1")):
        site.declare(spec)
        site.decide()
    site.run(5)
    assert (ran_for(site, "before"), ran_for(site, "after")) == ([], [None])
    assert site.condition("Ready")[0] == "True"


def test_no_host_is_taken_out_before_the_gate_before_has_passed() -> None:
    site = converged(OLD)
    site.behaviour.outcomes["gate-before"] = "running"
    site.declare(gated("before"))
    site.run(10)
    assert (site.journeys(), ran_for(site, "before")) == ({}, [None])
    assert site.condition("Reconciling")[1:] == ("GateBefore", f"gate gate-before runs on {RUNNER}")
    site.behaviour.outcomes["gate-before"] = "failed"
    site.run(5)
    assert site.condition("Stalled")[:2] == ("True", "GateFailed")
    assert site.condition("Stalled")[2].startswith("gate gate-before failed: 2 failed")
    site.behaviour.outcomes.clear()
    let_go(site).until(arrived)


def test_of_a_batch_nobody_goes_online_before_its_gate_has_passed() -> None:
    site = converged(OLD)
    site.behaviour.outcomes["gate-batch"] = "running"
    site.declare(gated("maintenance", "batch", batches=["50%"], max_unavailable="50%"))
    site.run(20)
    assert set(site.steps().values()) == {"testing"}
    assert {each.reason for each in site.journeys().values()} == {f"the batch's gate gate-batch runs on {RUNNER}"}
    assert len(ran_for(site, "batch")) == 1
    site.behaviour.outcomes.clear()
    site.until(arrived)
    assert len(ran_for(site, "batch")) == 2, "once for each batch"


def test_a_batch_that_fails_its_gate_fails_whole_and_stays_out() -> None:
    site = converged(OLD)
    site.behaviour.outcomes["gate-batch"] = "failed"
    site.declare(gated("batch", batches=["50%"], max_unavailable="50%"))
    site.run(25)
    assert sorted(site.steps().values()) == ["failed", "failed"]
    assert site.condition("Stalled")[:2] == ("True", "GateFailed")
    assert len(site.serving("online", "lb1")) == 2


def test_a_batch_that_the_budget_splits_is_tested_in_parts() -> None:
    site = converged(OLD)
    site.declare(gated("batch", batches=["100%"], max_unavailable="50%"))
    site.until(arrived)
    assert len(ran_for(site, "batch")) == 2


def test_a_host_that_fails_online_fails_its_journey() -> None:
    site = converged(OLD)
    site.behaviour.outcomes["gate-online"] = "failed"
    site.declare(gated("online", batches=[1]))
    site.run(20)
    (journey,) = site.journeys().values()
    assert (journey.step, journey.out) == ("failed", False)
    assert journey.reason.startswith("gate gate-online failed: 2 failed")
    (spec,) = [each for each in site.agents[RUNNER].ran.values() if each.name == "gate-online"]
    assert (spec.via, spec.address) == (None, f"10.0.0.{journey.host.removeprefix('vm')}:8080")


def test_the_rollout_has_not_succeeded_before_the_gate_after_has_passed() -> None:
    site = converged(OLD)
    site.behaviour.outcomes["gate-after"] = "inconclusive"
    site.declare(gated("after"))
    site.until(lambda at: at.condition("Stalled")[0] == "True", rounds=90)
    assert set(site.versions().values()) == {"2"}
    assert (site.condition("Ready")[0], site.status().succeeded_digest) == ("False", OLD.digest)
    assert site.condition("Stalled")[2].startswith("gate gate-after told nothing: 2 inconclusive")
    assert len(ran_for(site, "after")) == 3, "what tells nothing is asked three times"
    site.behaviour.outcomes.clear()
    let_go(site).until(arrived)
    assert site.status().succeeded_digest == site.status().digest


def test_a_gate_that_told_nothing_is_called_off_once_when_it_is_asked_again() -> None:
    site = converged(OLD, checks=PROMISES)
    site.behaviour.outcomes["gate-before"] = "inconclusive"
    site.declare(gated("before"))
    site.until(lambda at: at.condition("Stalled")[0] == "True")
    assert len(ran_for(site, "before")) == 3
    assert len(site.world.operations.of("api@prod")) == 1, "the last one: its output is shown"


def test_a_gate_that_is_declared_no_more_holds_nobody_up() -> None:
    site = converged(OLD, checks=PROMISES)
    site.behaviour.outcomes["gate-before"] = "running"
    site.declare(gated("before"))
    site.run(3)
    site.declare(gated("maintenance"))
    site.until(arrived)


@pytest.mark.parametrize(("when", "back"), [("before", False), ("batch", True), ("online", True), ("after", True)])
def test_what_speaks_against_a_release_takes_it_back_if_the_service_asks_for_that(when: str, back: bool) -> None:
    """A gate before the first host took nobody out: there is nothing to take back."""
    site = converged(OLD)
    site.behaviour.outcomes[f"gate-{when}"] = "failed"
    site.declare(gated(when, on_failure="rollback"))
    site.run(60)
    assert (site.status().quarantine is not None) == back
    assert set(site.versions().values()) == {"1"}
    assert len(site.serving("online", "lb1")) == 4


def test_a_gate_goes_to_another_runner_when_its_own_falls_silent() -> None:
    site = converged(replace(OLD, runners=("run1", "run2")))
    site.behaviour.outcomes["gate-before"] = "running"
    site.declare(replace(gated("before"), runners=("run1", "run2")))
    site.run(2)
    (busy,) = [
        node for node in ("run1", "run2") if any(s.name == "gate-before" for s in site.agents[node].ran.values())
    ]
    site.behaviour.outcomes.clear()
    site.behaviour.silent.add(busy)
    site.run(60, span=10.0)
    assert arrived(site)


@pytest.mark.parametrize("when", ["before", "batch", "after"])
def test_a_new_controller_goes_on_where_the_last_one_was(when: str) -> None:
    site = converged(OLD)
    site.behaviour.outcomes[f"gate-{when}"] = "running"
    site.declare(gated(when, batches=["100%"], max_unavailable="100%"))
    site.until(lambda at: bool(ran_for(at, when)))
    site.restart()
    site.run(3)
    site.behaviour.outcomes.clear()
    site.until(arrived)
    assert len(ran_for(site, when)) == 1


def test_results_vouch_for_one_release_only() -> None:
    site = converged(OLD)
    site.declare(gated("before", "after"))
    site.until(arrived)
    assert [(each.name, each.state) for each in site.status().tasks] == [
        ("gate-before", "passed"),
        ("gate-after", "passed"),
    ]
    assert {each.digest for each in site.world.operations.of("api@prod").values()} == {site.status().digest}
    site.declare(gated("before", "after", version="3"))
    site.run(40)
    assert len(ran_for(site, "before")) == 2
