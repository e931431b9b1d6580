"""Rollouts on a pretend site while a freeze begins, holds and ends."""

from typing import Any

import pytest

from crds.freeze import Freeze
from crds.service import Gate, Migrations
from crds.status import Step
from tests.support.site import Site, converged
from tests.support.states import API, made
from tests.support.worlds import NODES, NOW, ONLINE, gate, seconds, target


def freeze(begins: float, ends: float, **spec: str) -> Freeze:
    """From and until so many minutes after the full minute of the site's first moment."""
    first, last = (f"{NOW + seconds(60 * minutes):%Y-%m-%d %H:%M}" for minutes in (begins, ends))
    content = {"reason": "closing", "windows": [{"from": first, "until": last}], **spec}
    return made(Freeze, {**API, "kind": "Freeze", "metadata": {"name": "year-end"}, "spec": content})


def begun(site: Site) -> list[str]:
    return [event.object for event in site.events if event.verb == "HostMoved" and event.reason == "Draining"]


def test_nothing_is_taken_out_while_it_is_frozen_and_it_goes_on_by_itself() -> None:
    site = converged(target("1"))
    site.declare(target("2", freezes=(freeze(0, 5),)))
    before = begun(site)
    site.run(60)
    assert begun(site) == before
    until = f"{NOW + seconds(300):%Y-%m-%d %H:%M}"
    assert site.condition("Reconciling") == ("True", "Frozen", f"frozen until {until} UTC by year-end: closing")
    assert site.wakes["api@prod"] is not None
    site.run(5, span=60.0)
    site.run(60)
    assert set(site.versions().values()) == {"2"}


def test_a_freeze_that_begins_in_mid_batch_counts_for_the_next_host_and_lets_the_others_finish() -> None:
    slow = {"batches": ["100%"], "max_unavailable": 1, "soak": "20s"}
    site = converged(target("1", **slow))
    minutes = (site.now - NOW).total_seconds() // 60 + 1
    site.declare(target("2", freezes=(freeze(minutes, minutes + 60),), **slow))
    site.until(lambda site: site.steps().get("vm1") is Step.SOAKING)
    site.run(5, span=20.0)
    assert 1 <= list(site.versions().values()).count("2") <= 2
    during = begun(site)
    site.run(50, span=20.0)
    assert begun(site) == during
    assert Step.WAITING in site.steps().values()
    assert all(step is Step.WAITING for step in site.steps().values()), "hosts under way have finished"


def test_a_host_that_serves_nobody_returns_during_a_freeze_with_what_all_others_run() -> None:
    site = converged(target("1"))
    site.declare(target("1", freezes=(freeze(0, 600),)))
    site.run(2)
    site.agents["vm3"].runs.clear()
    for node in NODES:
        site.agents[node].admin[ONLINE]["vm3"] = "maint"
    site.run(60)
    assert set(site.versions().values()) == {"1"}
    assert "vm3" in site.serving(ONLINE, NODES[0])


PREPARES: dict[str, Any] = {
    "gate before": {"gates": (gate(), made(Gate, {"name": "calm", "when": "before", "exec": {"command": ["./c"]}}))},
    "migration": {"migrations": made(Migrations, {"expand": [{"name": "add", "command": ["./m"], "check": ["./c"]}]})},
}


def caught_out(**prepares: Any) -> Site:
    """Release 1 runs everywhere; vm1 is out on its way to 2 when it freezes, and 3 is declared meanwhile."""
    site = converged(target("1", batches=[1], **prepares))
    site.behaviour.stuck.add("vm1")
    site.declare(target("2", batches=[1], **prepares))
    site.until(lambda site: site.steps().get("vm1") is Step.DEPLOYING)
    site.declare(target("3", batches=[1], freezes=(freeze(0, 600),), **prepares))
    site.behaviour.stuck.clear()
    return site.run(60)


@pytest.mark.parametrize("prepares", PREPARES.values(), ids=PREPARES.keys())
def test_a_host_that_is_out_comes_back_during_a_freeze_once_the_newer_release_is_reverted(
    prepares: dict[str, Any],
) -> None:
    """What comes before a release's hosts waits for the freeze only where the release is new here."""
    site = caught_out(**prepares)
    assert site.steps() == {"vm1": Step.LEAVING}
    site.declare(target("1", batches=[1], freezes=(freeze(0, 600),), **prepares))
    site.run(60)
    assert set(site.versions().values()) == {"1"}
    assert "vm1" in site.serving(ONLINE, NODES[0])
    assert site.condition("Ready")[0] == "True"


def test_a_release_that_is_new_here_waits_on_hosts_that_serve_nobody_too() -> None:
    site = Site(target("1", freezes=(freeze(0, 600),)))
    site.run(60)
    assert set(site.versions().values()) == {""}
    assert site.condition("Reconciling")[1] == "Frozen"


def test_who_waits_when_it_freezes_does_not_keep_a_host_that_serves_nobody_from_being_mended() -> None:
    slow = {"batches": ["100%"], "max_unavailable": 2, "count": 5}
    site = converged(target("1", **slow))
    minutes = (site.now - NOW).total_seconds() // 60 + 1
    site.declare(target("1", **slow, freezes=(freeze(minutes, minutes + 600),)))
    site.behaviour.busy |= {"vm2", "vm4", "vm5"}
    for host in ("vm2", "vm4", "vm5"):
        site.behaviour.stuck.add(host)
        site.agents[host].runs.clear()
    site.until(lambda site: sorted(site.steps().values()) == [Step.DRAINING, Step.DRAINING, Step.WAITING])
    waiting = next(host for host, step in site.steps().items() if step is Step.WAITING)
    site.run(60)
    site.behaviour.busy.clear()
    site.behaviour.stuck = {waiting}
    site.until(lambda site: site.steps() == {waiting: Step.WAITING})
    for node in NODES:
        site.agents[node].admin[ONLINE]["vm3"] = "maint"
    site.run(60)
    assert [host for host, version in site.versions().items() if version != "1"] == [waiting]
    assert "vm3" in site.serving(ONLINE, NODES[0])


@pytest.mark.parametrize(("rollbacks", "version"), [("allowed", "1"), ("refused", "2")])
def test_a_rollback_passes_a_freeze_unless_it_says_otherwise(rollbacks: str, version: str) -> None:
    """The host that arrived with the failed release goes back; the one that failed is out, and is always mended."""
    rollout = {"batches": [1], "max_unavailable": 1, "on_failure": "rollback"}
    site = converged(target("1", **rollout))
    site.declare(target("2", **rollout))
    site.until(lambda site: site.status().batch == 2)
    site.declare(target("2", freezes=(freeze(0, 600, rollbacks=rollbacks),), **rollout))
    site.behaviour.failing.add("2")
    site.run(80)
    assert site.status().quarantine is not None
    assert site.versions() == {"vm1": version, "vm2": "1", "vm3": "1", "vm4": "1"}
