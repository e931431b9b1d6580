"""Hosts that are lost and those that come back: nobody waits for ever, and nobody serves what is past."""

from crds.status import Step
from tests.support.site import Site, converged, ran
from tests.support.worlds import NODES, ONLINE, target


def lost(version: str, **changes: object) -> object:
    return target(version, **{"lost_after": "10m", "max_unavailable": 3, "batches": [1], **changes})


def ready(site: Site) -> tuple[str, str, str]:
    return site.condition("Ready")


def test_a_lost_host_keeps_no_rollout_from_succeeding_and_is_listed() -> None:
    site = converged(lost("1"))
    site.behaviour.silent.add("vm4")
    site.run(100)
    site.declare(lost("2"))
    site.run(60)
    assert ready(site)[0] == "False"
    assert site.condition("Reconciling")[1] == "HostsUnknown"
    site.run(60, span=10)
    said = "3 of 4 hosts run 2, healthy and online; lost: vm4 (its agent does not report)"
    assert ready(site) == ("True", "Converged", said)
    assert site.status().succeeded_digest == lost("2").digest
    assert site.status().counts.unavailable == 1


def test_without_a_time_a_silent_host_is_waited_for() -> None:
    site = converged(lost("1", lost_after=None))
    site.behaviour.silent.add("vm4")
    site.run(100)
    site.declare(lost("2", lost_after=None))
    site.run(200, span=30)
    assert ready(site)[0] == "False"


def test_time_alone_makes_a_host_lost() -> None:
    site = converged(lost("1"))
    site.behaviour.silent.add("vm4")
    site.run(100)
    wake = site.wakes["api@prod"]
    assert wake is not None
    assert 480 < (wake - site.now).total_seconds() < 520


def test_nobody_succeeds_where_all_are_lost() -> None:
    site = converged(lost("1"))
    site.behaviour.silent |= {"vm1", "vm2", "vm3", "vm4"}
    site.run(100, span=10)
    assert ready(site)[0] == "False"


def silent_on_its_way(lost_after: str) -> Site:
    """vm1 is out, and its agent does not report any more."""
    site = converged(lost("1", lost_after=lost_after))
    site.declare(lost("2", lost_after=lost_after))
    site.until(lambda at: at.steps().get("vm1") is Step.DEPLOYING)
    site.behaviour.silent.add("vm1")
    return site


def test_a_host_that_is_lost_on_its_way_is_left_behind_out_of_the_pools() -> None:
    site = silent_on_its_way(lost_after="3m")
    site.run(240)
    (event,) = ran(site, "HostLost")
    assert event.object == "api@prod/vm1"
    assert (
        event.message
        == "not heard from for 3m1s, and lostAfter is 3m: the rollout goes on without it; it was deploying"
    )
    assert ready(site)[2].endswith("lost: vm1 (its agent does not report)")
    assert [site.agents[node].admin[ONLINE]["vm1"] for node in NODES] == ["maint", "maint"]
    site.behaviour.silent.clear()
    site.run(30)
    assert ready(site)[2] == "4 of 4 hosts run 2, healthy and online"


def test_a_short_lost_after_waits_until_a_host_counts_as_silent_and_the_event_says_for_how_long_it_was() -> None:
    site = silent_on_its_way(lost_after="20s")
    site.run(100)
    (event,) = ran(site, "HostLost")
    assert event.message.startswith("not heard from for 1m30s, and lostAfter is 20s: ")


def missed(version: str = "2") -> Site:
    """A rollout has finished without vm4, which is silent."""
    site = converged(lost("1"))
    site.behaviour.silent.add("vm4")
    site.run(100)
    site.declare(lost(version))
    return site.run(60).run(70, span=10)


def test_a_host_that_comes_back_serving_the_old_release_is_taken_out_at_once_within_the_budget() -> None:
    site = missed()
    assert "vm4" in site.serving(ONLINE, "lb1")
    site.behaviour.silent.clear()
    site.run(3)
    assert site.steps().keys() == {"vm4"}
    assert "vm4" not in site.serving(ONLINE, "lb1")
    site.run(30)
    assert set(site.versions().values()) == {"2"}
    assert ready(site)[2] == "4 of 4 hosts run 2, healthy and online"


def test_one_that_comes_back_while_the_budget_is_used_up_waits_and_serves_on() -> None:
    site = missed()
    site.behaviour.down |= {(node, host) for node in NODES for host in ("vm1", "vm2", "vm3")}
    site.run(2)
    site.behaviour.silent.clear()
    site.run(10)
    assert "vm4" in site.serving(ONLINE, "lb1")
    site.behaviour.down.clear()
    site.run(30)
    assert set(site.versions().values()) == {"2"}


def test_one_that_is_down_cannot_come_back_with_the_old_release() -> None:
    """Its agent would start what it had, and the balancers would let it in before anybody could converge it."""
    site = missed()
    site.behaviour.down |= {(node, "vm4") for node in NODES}
    site.run(3)
    assert [site.agents[node].admin[ONLINE]["vm4"] for node in NODES] == ["maint", "maint"]
    site.behaviour.down.clear()
    site.run(30)
    assert [site.agents[node].admin[ONLINE]["vm4"] for node in NODES] == ["maint", "maint"]
    site.behaviour.silent.clear()
    served = set[str]()
    for _ in range(30):
        site.run(1)
        if "vm4" in site.serving(ONLINE, "lb1"):
            served.add(site.versions()["vm4"])
    assert served == {"2"}
    assert ready(site)[0] == "True"


def test_one_that_is_down_while_a_release_is_still_tried_may_come_back_as_it_is() -> None:
    """The release may fail: hosts with the one before are what is left."""
    site = converged(lost("1"))
    site.behaviour.failing.add("2")
    site.declare(lost("2"))
    site.run(20)
    site.behaviour.silent.add("vm4")
    site.behaviour.down |= {(node, "vm4") for node in NODES}
    site.run(120)
    assert [site.agents[node].admin[ONLINE]["vm4"] for node in NODES] == ["ready", "ready"]


def test_one_that_is_down_with_the_release_comes_back_by_itself() -> None:
    site = converged(lost("1"))
    site.behaviour.silent.add("vm4")
    site.behaviour.down |= {(node, "vm4") for node in NODES}
    site.run(120)
    site.behaviour.down.clear()
    site.behaviour.silent.clear()
    site.run(5)
    assert ready(site)[2] == "4 of 4 hosts run 1, healthy and online"
    assert ran(site, "HostMoved") == []


def test_a_new_host_is_tested_before_its_first_request() -> None:
    site = converged(target("1", count=3))
    site.install(target("1"))
    site.declare(target("1"))
    steps = set[Step]()
    for _ in range(40):
        site.run(1)
        if site.steps().get("vm4") is not None:
            steps.add(site.steps()["vm4"])
        if Step.ENABLING not in steps:
            assert "vm4" not in site.serving(ONLINE, "lb1")
    assert "vm4" in site.serving(ONLINE, "lb1")
    assert [event.object for event in ran(site, "HostConverged")] == ["api@prod/vm4"]
    assert ran(site, "HostMoved")[0].reason == "Leaving"
