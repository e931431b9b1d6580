"""A singleton that moves to another host begins there only once the one before has said that it is gone."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from crds.status import Step
from reconcilers.target import TargetSpec
from tests.support.promises import PROMISES
from tests.support.site import Site, converged, ran
from tests.support.state_files import read, spoiled
from tests.support.worlds import target

ROLLOUT = {"downtime": "allowed", "deadline": "3m"}


def on(host: str, version: str = "1", pools: bool = True) -> TargetSpec:
    """The singleton on one of two hosts."""
    spec = target(version, count=2, singleton=True, **ROLLOUT)
    spec = spec if pools else replace(spec, pools=(), gates=())
    return replace(spec, hosts={host: spec.hosts[host]})


def begun(host: str = "vm1", pools: bool = True) -> Site:
    """A site on which it runs on one host, and that knows another one."""
    spec = on(host, pools=pools)
    site = converged(spec, checks=PROMISES)
    site.install(replace(spec, hosts=target("1", count=2).hosts))
    return site


def running(site: Site) -> set[str]:
    return {name for name, agent in site.agents.items() if agent.runs}


def alone(site: Site, came: Callable[[Site], bool], rounds: int = 200) -> Site:
    """Until it came; at no time it runs twice."""
    for _ in range(rounds):
        if came(site):
            return site
        site.run(1)
        assert len(running(site)) <= 1
    raise AssertionError(f"never came: {site.status().conditions}")


@pytest.mark.parametrize("pools", [True, False])
def test_it_moves_to_another_host_without_ever_running_twice(pools: bool) -> None:
    site = begun(pools=pools)
    site.declare(on("vm2", pools=pools))
    alone(site, lambda site: running(site) == {"vm2"} and site.condition("Ready")[0] == "True")
    assert [event.object for event in ran(site, "HostForgotten")] == ["api@prod/vm1"]


def test_it_waits_for_a_silent_host_however_long_and_says_so() -> None:
    site = begun()
    site.behaviour.silent.add("vm1")
    site.declare(on("vm2"))
    site.run(600)
    assert running(site) == {"vm1"}
    said = site.condition("Reconciling")
    assert said[1] == "RunsElsewhere"
    assert "vm1 has not said that it is gone there" in said[2]
    site.behaviour.silent.clear()
    alone(site, lambda site: running(site) == {"vm2"})


def test_a_person_may_say_that_the_machine_is_off() -> None:
    site = begun()
    site.behaviour.silent.add("vm1")
    site.declare(on("vm2"))
    site.run(300)
    site.agents["vm1"].runs.clear()  # it was switched off
    site.world.nodes.revoke("vm1")
    site.world.touch_node("vm1")
    alone(site, lambda site: running(site) == {"vm2"})


def test_it_moves_back_in_the_midst_of_it() -> None:
    site = begun()
    site.declare(on("vm2"))
    alone(site, lambda site: site.steps().get("vm2") is Step.DEPLOYING)
    site.declare(on("vm1"))
    alone(site, lambda site: running(site) == {"vm1"} and site.condition("Ready")[0] == "True")


def test_a_new_controller_waits_for_it_too() -> None:
    site = begun()
    site.behaviour.silent.add("vm1")
    site.declare(on("vm2"))
    site.run(100)
    site.restart()
    site.run(300)
    assert running(site) == {"vm1"}
    site.behaviour.silent.clear()
    alone(site, lambda site: running(site) == {"vm2"})


def test_it_does_not_begin_beside_one_that_nobody_asked_for() -> None:
    """After the loss of the store, for example: nothing is asked of vm1 any more, and it says what it runs."""
    site = begun()
    site.declare(on("vm2"))
    site.world.entries.pop("vm1")
    site.restart()
    site.run(100)
    assert running(site) == {"vm1"}
    assert "vm1 says that it runs there, and is no host of it" in site.condition("Reconciling")[2]
    site.agents["vm1"].taken = None
    site.agents["vm1"].runs.clear()
    alone(site, lambda site: running(site) == {"vm2"})


def test_a_new_release_comes_to_its_host_like_any_other() -> None:
    site = begun()
    site.declare(on("vm1", "2"))
    alone(site, lambda site: site.versions() == {"vm1": "2"} and site.condition("Ready")[0] == "True")


def test_others_are_not_kept() -> None:
    spec = replace(on("vm1"), singleton=False)
    site = converged(spec)
    site.install(replace(spec, hosts=target("1", count=2).hosts))
    site.behaviour.silent.add("vm1")
    site.declare(replace(on("vm2"), singleton=False))
    site.run(60)
    assert running(site) == {"vm1", "vm2"}


def test_a_selector_that_matches_several_hosts_is_refused() -> None:
    problems = [
        str(problem) for problem in read(spoiled("services/api.yaml", "hosts:", "singleton: true\n  hosts:")).problems
    ]
    assert any("a singleton runs on one host, and the selector matches" in problem for problem in problems), problems
