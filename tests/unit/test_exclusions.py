"""Exclusions by command: hosts that are left alone and never put online by us, balancer nodes that nobody waits for."""

import pytest

from crds.status import Step
from reconcilers.exclusions import taken_out_again
from reconcilers.operators import Refused
from reconcilers.writes import AddEvent, PutJourney
from tests.support.commands import asked, command_node
from tests.support.site import Site, converged, ran
from tests.support.worlds import NODES, NOW, ONLINE, journey, target

QUICK = {"batches": [1], "max_unavailable": 3}


def admins(site: Site, host: str) -> set[str]:
    return {site.agents[node].admin[ONLINE][host] for node in NODES}


def at(step: Step, host: str = "vm1", **rollout: object) -> Site:
    """A rollout from 1 to 2 whose host is at that step."""
    site = converged(target("1", **(QUICK | rollout)))
    site.declare(target("2", **(QUICK | rollout)))
    if step in (Step.DRAINING, Step.LEAVING):
        site.behaviour.busy.add(host)
    if step is Step.DEPLOYING:
        site.behaviour.stuck.add(host)
    if step is Step.TESTING:
        site.behaviour.silent.add("run1")
    return site.until(lambda site: site.steps().get(host) is step)


def relieve(site: Site) -> None:
    site.behaviour.busy.clear()
    site.behaviour.stuck.clear()
    site.behaviour.silent.clear()


def test_the_fleet_converges_without_an_excluded_host_and_lists_it() -> None:
    site = converged(target("1", **QUICK))
    command_node(site, "exclude", "vm2")
    site.declare(target("2", **QUICK))
    site.run(90)
    assert site.versions() == {"vm1": "2", "vm2": "1", "vm3": "2", "vm4": "2"}
    status, _, message = site.condition("Ready")
    assert status == "True"
    assert "excluded: vm2 (excluded by ann since" in message and "looking into it" in message
    assert admins(site, "vm2") == {"ready"}


def test_it_counts_against_the_budget() -> None:
    site = converged(target("1", batches=[1], max_unavailable=1))
    command_node(site, "exclude", "vm2")
    site.declare(target("2", batches=[1], max_unavailable=1))
    site.run(30)
    assert set(site.versions().values()) == {"1"}
    assert "1 of 4 hosts are unavailable" in site.condition("Reconciling")[2]


def test_an_included_host_is_converged_before_anything_else_is_believed_of_it() -> None:
    site = converged(target("1", **QUICK))
    command_node(site, "exclude", "vm2")
    site.declare(target("2", **QUICK))
    site.run(90)
    command_node(site, "include", "vm2", asked("repaired", by="bob"))
    site.run(60)
    assert set(site.versions().values()) == {"2"}
    assert site.condition("Ready")[2] == "4 of 4 hosts run 2, healthy and online"
    assert [(event.verb, event.actor) for event in site.events if event.actor] == [
        ("NodeExcluded", "ann"),
        ("NodeIncluded", "bob"),
    ]


@pytest.mark.parametrize("step", [Step.DRAINING, Step.LEAVING, Step.DEPLOYING, Step.TESTING])
def test_a_host_under_way_is_finished_up_to_where_it_would_go_online(step: Step) -> None:
    site = at(step)
    command_node(site, "exclude", "vm1")
    relieve(site)
    site.run(90)
    assert site.versions() == {"vm1": "2", "vm2": "2", "vm3": "2", "vm4": "2"}
    assert admins(site, "vm1") == {"maint"}
    assert site.steps() == {}
    assert site.condition("Ready")[0] == "True"
    assert [event.object for event in ran(site, "HostSetApart")] == ["api@prod/vm1"]


@pytest.mark.parametrize("step", [Step.ENABLING, Step.SOAKING])
def test_one_that_goes_online_already_finishes(step: Step) -> None:
    site = at(step, soak="20s")
    command_node(site, "exclude", "vm1")
    site.run(150)
    assert admins(site, "vm1") == {"ready"}
    assert "vm1" not in site.steps()
    assert site.condition("Ready")[0] == "True"


def test_it_stays_out_through_restarts_and_newer_releases_until_it_is_included_and_tested() -> None:
    site = at(Step.TESTING)
    command_node(site, "exclude", "vm1")
    relieve(site)
    site.run(60)
    site.restart()
    site.declare(target("3", **QUICK))
    site.run(90)
    assert admins(site, "vm1") == {"maint"}
    assert site.versions()["vm1"] == "2"
    site.behaviour.failing.add("3")
    command_node(site, "include", "vm1")
    site.run(60)
    assert admins(site, "vm1") == {"maint"}, "its gate fails"


def test_a_failed_host_that_is_excluded_lets_the_others_converge_and_holds_nobody() -> None:
    site = converged(target("1", **QUICK, deadline="20s"))
    site.behaviour.stuck.add("vm1")
    command_node(site, "exclude", "vm3")
    site.declare(target("2", **QUICK, deadline="20s"))
    site.until(lambda site: site.steps().get("vm1") is Step.DEPLOYING)
    command_node(site, "exclude", "vm1")
    site.run(60)
    assert not ran(site, "RolloutHeld")
    assert admins(site, "vm1") == {"maint"}


def test_a_silent_host_that_is_excluded_is_not_waited_for() -> None:
    site = converged(target("1", **QUICK))
    site.behaviour.silent.add("vm4")
    site.run(5, span=30.0)
    command_node(site, "exclude", "vm4")
    site.declare(target("2", **QUICK))
    site.run(90)
    assert site.condition("Ready")[0] == "True"
    assert site.status().counts.excluded == 1


def test_a_silent_balancer_node_that_is_excluded_blocks_nothing() -> None:
    site = converged(target("1", **QUICK))
    site.behaviour.silent.add("lb2")
    site.run(5, span=30.0)
    site.declare(target("2", **QUICK))
    site.run(30)
    assert site.condition("Reconciling")[1] == "BalancerSilent"
    command_node(site, "exclude", "lb2")
    site.run(90)
    assert set(site.versions().values()) == {"2"}
    assert site.condition("Ready")[0] == "True"


def test_an_excluded_balancer_node_is_asked_nothing() -> None:
    site = converged(target("1", **QUICK))
    command_node(site, "exclude", "lb2")
    site.declare(target("2", **QUICK))
    site.run(90)
    taken = site.agents["lb2"].taken
    assert taken is not None and not taken.pools
    assert site.agents["lb2"].admin[ONLINE] == dict.fromkeys(["vm1", "vm2", "vm3", "vm4"], "ready")


def test_a_balancer_node_that_is_back_confirms_that_hosts_are_out_before_they_go_on() -> None:
    site = converged(target("1", **QUICK))
    site.behaviour.silent.add("lb2")
    site.run(5, span=30.0)
    command_node(site, "exclude", "lb2")
    site.declare(target("2", **QUICK))
    site.behaviour.stuck.add("vm1")
    site.until(lambda site: site.steps().get("vm1") is Step.DEPLOYING)
    command_node(site, "include", "lb2")
    assert site.steps()["vm1"] is Step.LEAVING
    told = ran(site, "HostMoved")[-1]
    assert (told.object, told.reason) == ("api@prod/vm1", "Leaving")
    site.run(20)
    assert site.steps()["vm1"] is Step.LEAVING
    assert site.condition("Reconciling")[1] == "BalancerSilent"
    relieve(site)
    site.run(90)
    assert set(site.versions().values()) == {"2"}
    assert all(len(site.serving(ONLINE, node)) == 4 for node in NODES)


def test_hosts_that_must_be_out_there_too_are_told_of_and_yield_as_before() -> None:
    """Found by the simulator: the event was missing, and two targets claimed a host after one of them gave way."""
    journeys = [journey(target(), Step.TESTING, yields=True), journey(target(), Step.DRAINING, "vm2")]
    again, told = taken_out_again("api@prod", journeys, NOW)
    assert isinstance(again, PutJourney)
    assert isinstance(told, AddEvent)
    assert (again.journey.step, again.journey.yields) == (Step.LEAVING, True)
    assert (told.verb, told.object, told.reason) == ("HostMoved", "api@prod/vm1", "Leaving")


def test_a_host_that_only_the_absent_node_still_serves_is_taken_out_there_first() -> None:
    """Back again, the node may say of a host that it is ready with the release from before."""
    site = converged(target("1", **QUICK))
    command_node(site, "exclude", "lb2")
    site.behaviour.silent.add("lb2")
    site.behaviour.busy.add("vm1")
    site.declare(target("2", **QUICK))
    site.run(2)
    command_node(site, "include", "lb2")
    relieve(site)
    site.run(120)
    assert site.condition("Ready")[0] == "True"


def test_the_last_node_of_a_balancer_is_not_excluded() -> None:
    site = converged(target("1", **QUICK))
    command_node(site, "exclude", "lb1")
    with pytest.raises(Refused, match="lb2 is the last node of balancer edge that is not excluded"):
        command_node(site, "exclude", "lb2")


def test_asking_twice_does_no_harm_and_somebody_elses_stands() -> None:
    site = converged(target("1", **QUICK))
    assert command_node(site, "exclude", "vm1").writes
    assert not command_node(site, "exclude", "vm1").writes
    with pytest.raises(Refused, match="vm1 is excluded already by ann"):
        command_node(site, "exclude", "vm1", asked("mine", by="bob"))
    with pytest.raises(Refused, match="exclude needs a reason"):
        command_node(site, "exclude", "vm2", asked(""))
    assert command_node(site, "include", "vm1").writes
    assert not command_node(site, "include", "vm1").writes
