"""Drift: what a host runs that nobody brought it to is repaired within the budget, or only reported, by choice."""

from typing import Any

from reconcilers.target import TargetSpec
from tests.support.site import Site, converged, ran
from tests.support.worlds import ONLINE, target


def spec(version: str = "1", **changes: Any) -> TargetSpec:
    return target(version, **{"drift": "report", **changes})


def drifted(made: TargetSpec) -> Site:
    """Somebody has ended what vm2 runs, and keeps the agent from starting it."""
    site = converged(made)
    site.behaviour.stuck.add("vm2")
    site.agents["vm2"].runs.clear()
    return site.run(3)


def test_drift_that_is_only_reported_is_not_touched() -> None:
    site = drifted(spec())
    assert site.condition("Drifted") == ("True", "Reported", "vm2 (runs nothing (absent))")
    assert site.condition("Stalled")[1] == "Drifted"
    assert site.condition("Ready")[0] == "False"
    assert site.journeys() == {}
    assert ran(site, "HostMoved") == []
    site.behaviour.stuck.clear()
    site.run(3)
    assert site.condition("Drifted")[0] == "False"
    assert site.condition("Ready")[0] == "True"


def test_the_next_release_reaches_drifted_hosts_too() -> None:
    site = drifted(spec())
    site.behaviour.stuck.clear()
    site.declare(spec("2"))
    site.run(90)
    assert set(site.versions().values()) == {"2"}
    assert site.condition("Drifted")[0] == "False"


def test_drift_is_repaired_by_a_journey_within_the_budget() -> None:
    site = drifted(spec(drift="repair"))
    assert site.journeys().keys() == {"vm2"}
    assert site.condition("Drifted") == ("True", "Repaired", "vm2 (runs nothing (absent))")
    assert [event.object for event in ran(site, "HostDrifted")] == ["api@prod/vm2"]
    site.behaviour.stuck.clear()
    site.run(40)
    assert site.condition("Drifted")[0] == "False"
    assert site.condition("Ready")[0] == "True"
    assert "vm2" in site.serving(ONLINE, "lb1")


def test_new_and_returning_hosts_did_not_drift() -> None:
    site = converged(spec(count=3))
    site.install(spec())
    site.declare(spec())
    site.run(40)
    assert site.condition("Ready")[2] == "4 of 4 hosts run 1, healthy and online"
    site.behaviour.silent.add("vm4")
    site.run(100)
    site.declare(spec("2", max_unavailable=3, lost_after="2m"))
    site.run(200)
    site.behaviour.silent.clear()
    site.run(60)
    assert set(site.versions().values()) == {"2"}
    assert ran(site, "HostDrifted") == []
