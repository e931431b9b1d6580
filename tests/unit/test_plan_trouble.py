"""Rollouts on a pretend site that meets with people, silence, foreign servers and other targets."""

from dataclasses import replace

import pytest

from crds.status import Step
from tests.support.site import Site, converged, ran
from tests.support.worlds import NODES, ONLINE, TESTS, pool, target


def test_an_absent_service_is_drained_and_removed_and_stays_out() -> None:
    site = converged(target("1", batches=[1], max_unavailable=1))
    site.declare(target(None, batches=[1], max_unavailable=1))
    site.run(60)
    assert set(site.versions().values()) == {""}
    assert site.condition("Ready")[0] == "True"
    assert all(site.serving(ONLINE, node) == set() for node in NODES)
    site.declare(target("2"))
    site.run(60)
    assert set(site.versions().values()) == {"2"}
    assert all(len(site.serving(ONLINE, node)) == 4 for node in NODES)


def test_a_host_that_a_person_took_out_is_left_alone_and_listed() -> None:
    site = converged(target("1", batches=[1], max_unavailable=3))
    site.agents["lb2"].marked[ONLINE, "vm2"] = "maint"
    site.run(2)
    site.declare(target("2", batches=[1], max_unavailable=3))
    site.run(60)
    assert site.versions() == {"vm1": "2", "vm2": "1", "vm3": "2", "vm4": "2"}
    message = site.condition("Ready")[2]
    assert message.endswith(f"excluded: vm2 (somebody set it to MAINT in pool {ONLINE} on lb2)")
    assert site.condition("Ready")[0] == "True"


def test_a_host_that_serves_nobody_does_not_have_to_wait_for_one_that_waits_for_the_budget() -> None:
    site = converged(target("1", count=2, batches=[1]))
    site.agents["lb1"].marked[ONLINE, "vm2"] = "maint"
    site.run(2)
    site.declare(target("2", count=2, batches=[1]))
    site.run(5)
    said = "1 of 2 hosts are unavailable, and maxUnavailable allows 1; missing: vm2 (excluded)"
    assert site.journeys()["vm1"].reason == said
    site.agents["lb1"].marked.clear()
    site.agents["lb1"].admin[ONLINE]["vm2"] = "maint"
    site.run(60)
    assert set(site.versions().values()) == {"2"}
    assert site.condition("Ready")[0] == "True"


@pytest.mark.parametrize("state", ["maint", "drain"])
def test_a_host_that_a_person_takes_out_while_it_waits_is_not_touched(state: str) -> None:
    site = converged(target("1", batches=["100%"], max_unavailable=2, soak="20s"))
    site.declare(target("2", batches=["100%"], max_unavailable=2, soak="20s"))
    site.run(2)
    assert site.steps()["vm3"] is Step.WAITING
    for node in NODES:
        site.agents[node].marked[ONLINE, "vm3"] = state
    site.run(200)
    assert site.versions() == {"vm1": "2", "vm2": "2", "vm3": "1", "vm4": "2"}
    assert site.condition("Ready")[0] == "True"


def test_a_host_that_falls_silent_while_it_waits_does_not_block_the_others() -> None:
    rollout = {"batches": ["100%"], "max_unavailable": 2}
    site = converged(target("1", **rollout))
    site.declare(target("2", **rollout))
    site.behaviour.busy |= {"vm1", "vm2"}
    site.behaviour.silent.add("vm3")
    site.run(95)
    site.behaviour.busy.clear()
    site.run(40)
    assert site.versions() == {"vm1": "2", "vm2": "2", "vm3": "1", "vm4": "2"}
    status, reason, message = site.condition("Reconciling")
    assert (status, reason) == ("True", "HostsUnknown")
    assert message == "vm3 (its agent does not report)"
    site.behaviour.silent.clear()
    site.run(40)
    assert site.condition("Ready")[0] == "True"


def test_a_canary_that_fell_silent_is_followed_by_another_not_by_a_larger_batch() -> None:
    rollout = {"batches": [1, "50%"], "max_unavailable": "50%"}
    other = target("1", name="web@prod", pools=(pool("web", NODES, "web-tests", 9090),))
    site = converged(target("1", count=8, **rollout), other)
    site.behaviour.busy.add("vm1")
    site.declare(replace(other, release=target("2").release, version="2"))
    site.run(3)
    site.declare(target("2", count=8, **rollout))
    site.run(2)
    assert site.journeys()["vm1"].reason == "web@prod has it on a journey"
    site.behaviour.silent.add("vm1")
    site.run(92)
    started = [event.message for event in ran(site, "BatchStarted") if event.object == "api@prod"]
    assert started[:2] == ["batch 1: vm1", "batch 1: vm2"]


def test_a_silent_balancer_node_blocks_and_is_named() -> None:
    site = converged(target("1"))
    site.behaviour.silent.add("lb2")
    site.run(100)
    site.declare(target("2"))
    site.run(10)
    status, reason, message = site.condition("Reconciling")
    assert (status, reason) == ("True", "BalancerSilent")
    assert message.startswith("balancer node lb2 has not reported since ")
    assert site.journeys() == {}
    site.behaviour.silent.clear()
    site.run(60)
    assert site.condition("Ready")[0] == "True"


def test_a_balancer_that_falls_silent_stops_what_has_not_begun_and_throws_nobody_in() -> None:
    site = converged(target("1", batches=[2], max_unavailable=1))
    site.declare(target("2", batches=[2], max_unavailable=1))
    site.run(1)
    site.behaviour.silent.add("lb2")
    site.run(100)
    assert "lb2" in site.journeys()["vm1"].reason
    assert site.versions()["vm1"] == "1"
    site.behaviour.silent.clear()
    site.run(60)
    assert site.condition("Ready")[0] == "True"


def test_a_balancer_that_would_forget_is_not_disrupted() -> None:
    site = converged(target("1"))
    site.behaviour.unsafe.add("lb1")
    site.run(1)
    site.declare(target("2"))
    site.run(10)
    assert site.journeys() == {}
    message = site.condition("Reconciling")[2]
    assert "lb1" in message
    assert "ReloadUnsafe" in message


def test_a_server_line_that_leads_elsewhere_is_never_acted_on() -> None:
    site = converged(target("1"))
    site.behaviour.moved["vm2"] = "10.0.0.99:8080"
    site.run(5)
    site.declare(target("2", max_unavailable=3))
    site.run(60)
    assert site.versions() == {"vm1": "2", "vm2": "1", "vm3": "2", "vm4": "2"}
    message = site.condition("Reconciling")[2]
    assert "10.0.0.99:8080" in message
    assert "10.0.0.2:8080" in message


def test_a_server_line_of_nobody_does_no_harm() -> None:
    """The pool does not add up then, so that every host is named: once, not again and again."""
    site = converged(target("1"))
    site.behaviour.extra["vm99"] = "10.0.0.99:8080"
    site.run(10)
    serials = dict(site.world.serials)
    site.run(10)
    assert site.world.serials == serials
    assert site.condition("Ready")[0] == "True"
    site.declare(target("2"))
    site.run(60)
    assert set(site.versions().values()) == {"2"}
    assert site.condition("Ready")[0] == "True"
    site.behaviour.extra.clear()
    site.run(5)
    assert not [key for node in NODES for key in site.world.entries[node]["api@prod"] if key.startswith("server/")]


def test_a_removal_drains_hosts_that_were_only_watched() -> None:
    site = converged(target("1", max_unavailable=1, batches=[1]))
    site.behaviour.extra["vm99"] = "10.0.0.99:8080"
    site.run(10)
    site.behaviour.busy |= {"vm1", "vm2", "vm3", "vm4"}
    site.declare(target(None, batches=[1]))
    site.run(5)
    assert site.serving(ONLINE, "lb1") == {"vm2", "vm3", "vm4"}


def test_a_drifted_host_is_brought_back() -> None:
    site = converged(target("1", batches=[1]))
    site.behaviour.stuck.add("vm3")
    site.agents["vm3"].runs["api@prod"] = ("something else", 7)
    site.run(2)
    site.behaviour.stuck.clear()
    site.run(30)
    assert set(site.versions().values()) == {"1"}
    assert site.condition("Ready")[0] == "True"
    started = ran(site, "RolloutStarted")
    assert [event.reason for event in started] == ["Drift"]


def test_a_new_host_is_converged_by_the_same_journey() -> None:
    site = converged(target("1", count=3))
    larger = target("1", count=4)
    site.install(larger)
    site.declare(larger)
    site.run(30)
    assert site.versions()["vm4"] == "1"
    assert all("vm4" in site.serving(ONLINE, node) for node in NODES)
    assert {event.object for event in ran(site, "HostMoved")} == {"api@prod/vm4"}


def test_a_host_that_leaves_the_fleet_takes_its_journey_and_entries_along() -> None:
    site = converged(target("1", batches=[1]))
    site.behaviour.stuck.add("vm1")
    site.declare(target("2", batches=[1]))
    site.run(5)
    assert set(site.journeys()) == {"vm1"}
    rest = {name: host for name, host in target("2").hosts.items() if name != "vm1"}
    site.declare(replace(target("2", batches=[1]), hosts=rest))
    for node in NODES:
        for name in (ONLINE, TESTS):
            del site.agents[node].admin[name]["vm1"]
    site.run(60)
    assert site.condition("Ready")[0] == "True"
    assert not [key for node in NODES for key in site.world.entries[node]["api@prod"] if key.endswith("/vm1")]


def test_a_host_shipped_disabled_is_asked_into_maint_before_it_is_deployed_to() -> None:
    site = Site(target("1", count=1))
    site.run(1)
    site.hear(*site.agents)
    site.behaviour.silent |= set(NODES)
    site.run(30)
    assert site.versions() == {"vm1": ""}


def test_the_first_drain_does_not_wait_for_the_artifact_but_later_batches_fetch_ahead() -> None:
    site = converged(target("1", batches=[1], max_unavailable=1, soak="5s"))
    site.declare(target("2", batches=[1], max_unavailable=1, soak="5s"))
    site.behaviour.busy.add("vm1")
    site.run(3)
    assert '"next":' in site.world.entries["vm1"]["api@prod"]["service"].value
    assert '"next":' not in site.world.entries["vm2"]["api@prod"]["service"].value, "customers still wait on vm1"
    site.behaviour.busy.clear()
    site.run(3)
    asked = site.world.entries["vm2"]["api@prod"]["service"].value
    assert '"next":' in asked
    assert '"version":"1"' in asked.split('"release":')[1]
    assert '"next":' not in site.world.entries["vm3"]["api@prod"]["service"].value


def test_two_targets_take_turns_on_a_host() -> None:
    first = target("1", name="api@prod")
    second = target("1", name="web@prod", pools=(pool("web", NODES, "web-tests", 9090),))
    site = converged(first, second)
    site.behaviour.busy.add("vm1")
    site.declare(replace(first, release=target("2").release, version="2"))
    site.run(2)
    site.declare(replace(second, release=target("2").release, version="2"))
    site.run(5)
    assert site.steps("web@prod")["vm1"] is Step.WAITING
    assert site.journeys("web@prod")["vm1"].reason == "api@prod has it on a journey"
    site.behaviour.busy.clear()
    site.run(80)
    assert site.condition("Ready", "api@prod")[0] == "True"
    assert site.condition("Ready", "web@prod")[0] == "True"


def test_a_failed_host_is_no_longer_claimed_and_is_not_taken_back_while_another_target_has_it() -> None:
    first = target("1", name="api@prod", batches=[1])
    second = target("1", name="web@prod", pools=(pool("web", NODES, "web-tests", 9090),), batches=[1])
    site = converged(first, second)
    site.behaviour.failing.add("2")
    site.declare(target("2", name="api@prod", batches=[1]))
    site.run(20)
    assert site.steps("api@prod") == {"vm1": Step.FAILED}
    site.behaviour.stuck.add("vm1")
    site.declare(replace(second, release=target("3").release, version="3"))
    site.run(10)
    assert site.steps("web@prod") == {"vm1": Step.DEPLOYING}
    site.declare(target("4", name="api@prod", batches=[1]))
    site.run(10)
    assert site.steps("api@prod") == {"vm1": Step.WAITING}
    assert site.journeys("api@prod")["vm1"].reason == "web@prod has it on a journey"
    site.behaviour.stuck.clear()
    site.agents["vm1"].take(site.agents["vm1"].taken)
    site.run(120)
    assert site.condition("Ready", "api@prod")[0] == "True"
    assert site.condition("Ready", "web@prod")[0] == "True"


@pytest.mark.parametrize("lost", ["lb2", "run1"])
def test_losing_a_balancer_node_or_the_runner_for_hours_stops_a_rollout_but_does_not_fail_it(lost: str) -> None:
    site = converged(target("1", batches=[1], deadline="5m"))
    site.declare(target("2", batches=[1], deadline="5m"))
    site.until(lambda site: Step.TESTING in site.steps().values())
    site.behaviour.silent.add(lost)
    for _ in range(800):
        site.run(1)
    assert Step.FAILED not in site.steps().values()
    site.behaviour.silent.clear()
    site.run(100)
    assert site.condition("Ready")[0] == "True"
