"""How many hosts may be missing: what says so, in which zone, and what an operator reads."""

from dataclasses import replace

import pytest

from crds.desired import DesiredState
from crds.messages import Stamp
from crds.status import Mark, Step
from reconcilers.classify import Classification, Standing
from reconcilers.index import TargetIndex, rebuilt
from reconcilers.target import TargetSpec, targets_of
from reconcilers.writes import PutExclusion
from tests.support.site import Site, converged, ran
from tests.support.states import state
from tests.support.worlds import hosts, pool, target


def moving(site: Site) -> set[str]:
    return {host for host, step in site.steps().items() if step is not Step.WAITING}


def reasons(site: Site) -> set[str]:
    return {journey.reason for journey in site.journeys().values() if journey.step is Step.WAITING}


def rolled_out(**rollout: object) -> Site:
    """Eight hosts, all of them in one batch, one round after the new release was declared."""
    spec = {"count": 8, "batches": ["100%"], "max_unavailable": "50%", **rollout}
    site = converged(target("1", **spec))
    site.declare(target("2", **spec))
    return site.run(1)


def test_what_must_stay_available_stays() -> None:
    site = rolled_out(min_available="65%")
    assert len(moving(site)) == 2
    assert "2 of 8 hosts are unavailable, and minAvailable 65% allows 2" in reasons(site)
    site.run(80)
    assert site.condition("Ready")[0] == "True"


def test_the_owners_of_a_balancer_may_be_stricter_than_the_service() -> None:
    site = rolled_out(pools=(replace(pool(), max_unavailable=1),))
    assert len(moving(site)) == 1
    assert reasons(site) == {"1 of 8 hosts are unavailable, and pool online of balancer edge allows 1"}
    site.run(80)
    assert site.condition("Ready")[0] == "True"


@pytest.mark.parametrize("zones", ["ab", "aaab", "abc", "a"])
def test_no_zone_loses_more_than_its_share_of_the_budget(zones: str) -> None:
    spec = hosts(8, zones)
    site = rolled_out(hosts=spec, max_unavailable=4)
    for _ in range(60):
        for zone in set(zones):
            of_zone = {name for name, host in spec.items() if host.zone == zone}
            assert len(moving(site) & of_zone) <= -(-4 * len(of_zone) // 8)
        site.run(1)
    assert site.condition("Ready")[0] == "True"


def test_a_dead_host_that_was_excluded_and_uses_up_the_budget_is_named() -> None:
    site = converged(target("1", batches=["100%"]))
    site.behaviour.silent.add("vm4")
    site.world.apply("", PutExclusion("vm4", Mark(by="jo", since=site.now, reason="power supply")), Stamp(0, 0))
    site.run(100)
    site.declare(target("2", batches=["100%"]))
    site.run(20)
    assert reasons(site) == {"1 of 4 hosts are unavailable, and maxUnavailable allows 1; missing: vm4 (excluded)"}


def test_a_zone_that_is_short_of_hosts_waits_and_says_so_while_others_go_on() -> None:
    spec = {"count": 8, "batches": [2], "max_unavailable": 4}
    site = converged(target("1", **spec))
    site.behaviour.silent |= {"vm2", "vm4"}
    site.run(100)
    site.declare(target("2", **spec))
    site.run(60)
    assert site.versions() == {f"vm{number}": "2" if number % 2 else "1" for number in range(1, 9)}
    lacks = "2 of 4 hosts in zone b are unavailable, and its share of what maxUnavailable allows is 2"
    assert reasons(site) == {f"{lacks}; missing: vm2 (unknown), vm4 (unknown)"}
    site.behaviour.silent.clear()
    site.run(60)
    assert site.condition("Ready")[0] == "True"


def test_a_zone_that_becomes_short_amid_a_batch_does_not_keep_the_other_from_going_on() -> None:
    spec = {"count": 8, "batches": ["100%"], "max_unavailable": 2}
    site = converged(target("1", **spec))
    site.behaviour.silent.add("vm2")
    site.declare(target("2", **spec))
    site.run(120)
    assert {name for name, version in site.versions().items() if version == "1"} >= {"vm2"}
    assert all(site.versions()[f"vm{number}"] == "2" for number in (1, 3, 5, 7))
    site.behaviour.silent.clear()
    site.run(60)
    assert site.condition("Ready")[0] == "True"


def test_a_batch_takes_from_each_zone_its_share_and_the_canary_comes_from_the_largest() -> None:
    site = rolled_out(hosts=targets_of(state("1", hosts=10))["api@prod"].hosts, count=10, batches=[1, 5, 5])
    site.run(80)
    sizes = [event.message.split(": ")[1].split(", ") for event in ran(site, "BatchStarted")]
    assert [len(each) for each in sizes] == [1, 5, 4]


def ranked(zones: dict[str, int]) -> TargetSpec:
    """A target of the state directory with so many hosts in each zone."""
    said: DesiredState = state("1", hosts=sum(zones.values()))
    fleet = said.fleets["prod"]
    named = [zone for zone, count in zones.items() for _ in range(count)]
    rows = [host.model_copy(update={"zone": zone}) for host, zone in zip(fleet.spec.hosts, named, strict=True)]
    spec = fleet.model_copy(update={"spec": fleet.spec.model_copy(update={"hosts": rows})})
    return targets_of(replace(said, fleets={"prod": spec}))["api@prod"]


@pytest.mark.parametrize("zones", [{"a": 8, "b": 2}, {"a": 5, "b": 5}, {"a": 6, "b": 3, "c": 1}])
def test_every_prefix_of_the_order_has_its_share_of_each_zone(zones: dict[str, int]) -> None:
    spec = ranked(zones)
    outdated = Classification(Standing.OUTDATED, available=True, settled=True)
    index: TargetIndex = rebuilt(spec.hosts, dict.fromkeys(spec.hosts, outdated))
    for count in range(1, 11):
        chosen = index.next_hosts(count)
        assert len(chosen) == count
        for zone, size in zones.items():
            of_zone = sum(spec.hosts[host].zone == zone for host in chosen)
            assert of_zone <= -(-count * size // 10)
