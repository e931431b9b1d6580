"""Adoption: what runs is taken over without a restart, and everything after that is the ordinary journey."""

from dataclasses import replace
from typing import Any

from crds.status import Step
from reconcilers.fragments import SERVICE
from reconcilers.target import TargetSpec
from reconcilers.values import service_of
from tests.support.site import Site, ran
from tests.support.worlds import NODES, ONLINE, target

HOSTS = ("vm1", "vm2", "vm3", "vm4")


def adopt(version: str | None = "1", mode: str = "adopt", **changes: Any) -> TargetSpec:
    made = target(version, **{"batches": [1], **changes})
    return replace(made, mode=mode, adopt="bin/api --port 8080")


def running(spec: TargetSpec, *adoptable: str) -> Site:
    """Somebody else runs the service everywhere; on these hosts its process can be told."""
    site = Site(spec)
    for node in NODES:
        site.agents[node].admin[ONLINE] = dict.fromkeys(spec.hosts, "ready")
    site.behaviour.outsiders = {host: 7000 + number for number, host in enumerate(adoptable)}
    return site


def pids(site: Site) -> dict[str, int]:
    return {host: site.agents[host].runs["api@prod"][1] for host in HOSTS if "api@prod" in site.agents[host].runs}


def test_what_runs_is_taken_over_and_nothing_is_moved() -> None:
    site = running(adopt(), *HOSTS).run(20)
    assert site.condition("Ready") == ("True", "Converged", "4 of 4 hosts run 1, healthy and online")
    assert pids(site) == site.behaviour.outsiders
    assert ran(site, "HostMoved") == []
    assert site.serving(ONLINE, "lb1") == set(HOSTS)


def test_the_next_release_makes_the_ordinary_journey() -> None:
    site = running(adopt(), *HOSTS).run(20)
    site.declare(adopt("2"))
    site.run(90)
    assert set(site.versions().values()) == {"2"}
    assert not set(pids(site).values()) & set(site.behaviour.outsiders.values())
    assert {event.object for event in ran(site, "HostConverged")} == {f"api@prod/{host}" for host in HOSTS}
    assert all(service_of(site.world.entries[host]["api@prod"][SERVICE].value).adopt is None for host in HOSTS)
    assert site.condition("Ready")[0] == "True"


def test_manage_after_adopt_moves_nobody_before_the_next_release() -> None:
    site = running(adopt(), *HOSTS).run(20)
    site.declare(adopt(mode="manage"))
    site.run(30)
    assert pids(site) == site.behaviour.outsiders
    assert site.condition("Ready")[0] == "True"
    site.declare(adopt("2", mode="manage"))
    site.run(90)
    assert set(site.versions().values()) == {"2"}


def test_hosts_on_which_nothing_can_be_adopted_are_left_alone_and_listed() -> None:
    site = running(adopt(), "vm1", "vm2", "vm3").run(20)
    assert site.condition("Stalled")[:2] == ("True", "NotAdopted")
    assert "vm4 (" in site.condition("Stalled")[2]
    assert site.serving(ONLINE, "lb1") == set(HOSTS)
    assert site.journeys() == {}
    site.declare(adopt("2"))
    site.run(90)
    assert site.versions() == {"vm1": "2", "vm2": "2", "vm3": "2", "vm4": ""}
    assert "vm4" in site.serving(ONLINE, "lb1")
    site.declare(adopt("2", mode="manage"))
    site.run(90)
    assert set(site.versions().values()) == {"2"}


def test_nobody_vouched_for_a_later_release_than_the_first() -> None:
    """A version file that was bumped says where hosts are to go, not what a stranger's process runs."""
    site = running(adopt(), "vm1", "vm2", "vm3").run(20)
    site.declare(adopt("2"))
    site.run(90)
    site.behaviour.outsiders["vm4"] = 7777
    site.run(1)
    assert site.versions()["vm4"] == "1"
    site.run(30)
    assert site.versions()["vm4"] == "2"
    assert pids(site)["vm4"] != 7777


def test_an_adopted_process_that_ended_is_not_replaced_by_what_was_never_tested() -> None:
    site = running(adopt(), *HOSTS).run(20)
    site.agents["vm1"].runs.clear()
    del site.behaviour.outsiders["vm1"]
    site.run(10)
    assert site.versions()["vm1"] == ""
    assert site.condition("Stalled")[1] == "NotAdopted"
    site.declare(adopt(mode="manage"))
    site.run(30)
    assert site.versions()["vm1"] == "1"
    assert ran(site, "HostMoved")[0].reason in ("Draining", "Leaving")
    assert site.condition("Ready")[0] == "True"


def test_an_adopted_service_is_removed_like_any_other() -> None:
    site = running(adopt(), *HOSTS).run(20)
    site.declare(adopt(None))
    site.until(lambda at: Step.DRAINING in at.steps().values())
    site.run(60)
    assert pids(site) == {}
    assert site.serving(ONLINE, "lb1") == set()


def test_an_unsigned_release_is_not_adopted() -> None:
    site = running(replace(adopt(), unsigned="it is not signed"), *HOSTS).run(20)
    assert pids(site) == {}
    assert site.condition("Stalled")[1] == "Unsigned"
