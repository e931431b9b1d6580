"""A newer release in the middle of a rollout: what is out goes straight to it, what is online is left to its turn."""

import pytest

from crds.status import Step
from reconcilers.supersede import retargeted
from tests.support.site import converged, ran
from tests.support.worlds import NOW, ONLINE, facts, journey, process, release, seconds, service, target

OLDER, NEWER = target("2"), target("3")
LATER = NOW + seconds(100)


@pytest.mark.parametrize(
    ("step", "following"),
    [
        (Step.WAITING, None),
        (Step.DRAINING, Step.DRAINING),
        (Step.LEAVING, Step.LEAVING),
        (Step.DEPLOYING, Step.LEAVING),
        (Step.TESTING, Step.LEAVING),
        (Step.ENABLING, Step.DRAINING),
        (Step.SOAKING, None),
    ],
)
def test_where_a_host_goes_on(step: Step, following: Step | None) -> None:
    found = retargeted(journey(OLDER, step), NEWER, facts(NEWER), LATER)
    assert (found.step if found else None) is following


@pytest.mark.parametrize(("out", "following"), [(True, Step.LEAVING), (False, None)])
def test_a_failed_host_goes_on_if_it_is_out(out: bool, following: Step | None) -> None:
    found = retargeted(journey(OLDER, Step.FAILED, out=out), NEWER, facts(NEWER), LATER)
    assert (found.step if found else None) is following


def test_a_failed_host_that_another_target_has_taken_waits_for_its_turn() -> None:
    known = facts(NEWER, claimed_by="web@prod")
    assert retargeted(journey(OLDER, Step.FAILED, out=True), NEWER, known, LATER) is None


def test_the_same_release_changes_nothing() -> None:
    underway = journey(NEWER, Step.TESTING)
    assert retargeted(underway, NEWER, facts(NEWER), LATER) is underway


def test_the_way_to_the_newer_release_is_a_new_one() -> None:
    """Its gates have other ids, its deadline starts anew, and the process that must be gone is the one that runs."""
    underway = journey(OLDER, Step.TESTING, attempt=2, elapsed=300.0, entered=200.0, reason="gate smoke runs", batch=3)
    found = retargeted(underway, NEWER, facts(NEWER, service("2", pid=7)), LATER)
    assert found is not None
    assert (found.digest, found.begun, found.since, found.accounted) == (NEWER.digest, LATER, LATER, LATER)
    assert (found.attempt, found.elapsed, found.entered, found.reason) == (0, 0.0, 0.0, "")
    assert (found.before, found.before_digest) == (process(7), release("2").digest)
    assert found.out


@pytest.mark.parametrize("last", [Step.DRAINING, Step.LEAVING, Step.DEPLOYING, Step.TESTING])
def test_a_rollout_that_is_overtaken_ends_with_the_newer_release(last: Step) -> None:
    """Every host goes out once for the newer release; the one under way is not let in and taken out again."""
    site = converged(target("1", batches=[1], max_unavailable=1))
    if last in (Step.DRAINING, Step.LEAVING):
        site.behaviour.busy.add("vm1")
    if last is Step.DEPLOYING:
        site.behaviour.stuck.add("vm1")
    if last is Step.TESTING:
        site.behaviour.silent.add("run1")
    site.declare(target("2", batches=[1], max_unavailable=1, drain={"timeout": "3s"}))
    site.until(lambda site: site.steps().get("vm1") is last)
    site.declare(target("3", batches=[1], max_unavailable=1, drain={"timeout": "3s"}))
    site.behaviour.busy.clear()
    site.behaviour.stuck.clear()
    site.behaviour.silent.clear()
    served = []
    for _ in range(60):
        site.run(1)
        served.append((site.versions()["vm1"], "vm1" in site.serving(ONLINE, "lb1")))
    assert ("2", True) not in served
    assert set(site.versions().values()) == {"3"}
    assert site.condition("Ready")[0] == "True"
    assert site.condition("Ready")[2] == "4 of 4 hosts run 3, healthy and online"


def test_a_host_that_soaks_is_an_ordinary_one_again_and_is_drained_in_its_turn() -> None:
    rollout = {"batches": [1], "max_unavailable": 1, "soak": "10s"}
    site = converged(target("1", **rollout))
    site.declare(target("2", **rollout))
    site.until(lambda site: site.steps().get("vm1") is Step.SOAKING)
    site.declare(target("3", **rollout))
    site.run(1)
    assert site.steps() == {"vm1": Step.DRAINING}
    site.run(150)
    assert set(site.versions().values()) == {"3"}
    assert len(ran(site, "RolloutSucceeded")) == 1


def test_failed_hosts_go_before_hosts_that_serve() -> None:
    """Also where their journey has to end first, because they never were out."""
    site = converged(target("1", batches=[1], max_unavailable=1))
    site.behaviour.busy.add("vm1")
    site.declare(target("2", batches=[1], max_unavailable=1, drain={"timeout": "5s"}, deadline="20s"))
    site.until(lambda site: site.steps().get("vm1") is Step.FAILED)
    site.behaviour.busy.clear()
    site.declare(target("3", batches=[1], max_unavailable=1))
    site.run(1)
    assert set(site.journeys()) == {"vm1"}
    site.run(60)
    assert set(site.versions().values()) == {"3"}
