"""Whole rollouts on a pretend site: what an operator sees, batch by batch, and when hosts fail."""

from dataclasses import replace

from crds.status import Step
from reconcilers.fragments import SERVICE
from reconcilers.values import service_of
from tests.support.site import Site, converged, ran
from tests.support.worlds import NODES, ONLINE, pool, probe, target


def test_a_first_deployment_and_an_upgrade_succeed() -> None:
    site = Site(target("1")).run(40)
    assert site.condition("Ready") == ("True", "Converged", "4 of 4 hosts run 1, healthy and online")
    site.declare(target("2"))
    site.run(40)
    assert site.condition("Ready")[2] == "4 of 4 hosts run 2, healthy and online"
    assert set(site.versions().values()) == {"2"}
    assert [event.message for event in ran(site, "RolloutSucceeded")] == ["version 1", "version 2"]
    status = site.status()
    assert status.finished is not None
    assert status.succeeded_digest == status.digest == target("2").digest
    assert site.journeys() == {}


def test_a_converged_target_is_left_in_peace() -> None:
    site = converged(target("1"))
    serials, passes = dict(site.world.serials), site.passes
    site.run(20)
    assert site.world.serials == serials
    assert site.passes - passes <= 1


def test_once_all_is_well_only_servers_that_need_it_are_named() -> None:
    site = converged(target("1"))
    keys = {key for targets in site.world.entries.values() for fragment in targets.values() for key in fragment}
    assert not [key for key in keys if key.startswith(("server/", "operation/"))]


def _probed(site: Site) -> dict[str, str]:
    """The path that each host's probe asks for, as assigned."""
    found = {}
    for host in site.versions():
        checks = service_of(site.world.entries[host]["api@prod"][SERVICE].value).probes
        found[host] = "".join(check.http.path for check in checks if check.http)
    return found


def test_a_new_releases_probes_are_not_asked_of_the_old_one() -> None:
    """The old release may not have what they ask for: all hosts would be unhealthy at once, and free to be taken."""
    site = converged(target("1", batches=["100%"], max_unavailable=1))
    site.declare(target("2", batches=["100%"], max_unavailable=1, probes=(probe("/ready"),)))
    site.until(lambda at: Step.DEPLOYING in at.steps().values())
    moving = {host for host, step in site.steps().items() if step is not Step.WAITING}
    assert len(moving) == 1
    assert _probed(site) == {host: "/ready" if host in moving else "/health" for host in site.versions()}
    site.run(60)
    assert set(_probed(site).values()) == {"/ready"}
    site.declare(target("2", batches=["100%"], max_unavailable=1, probes=(probe("/live"),)))
    site.run(2)
    assert set(_probed(site).values()) == {"/live"}


def test_a_change_that_is_no_release_moves_no_host() -> None:
    site = converged(target("1"))
    before = site.status()
    site.declare(target("1", soak="5m"))
    site.run(5)
    assert ran(site, "HostMoved") == []
    assert site.status().generation == before.generation + 1
    assert site.status().observed_generation == site.status().generation
    assert site.condition("Ready")[0] == "True"


def test_batches_grow_and_each_finishes_before_the_next() -> None:
    site = converged(target("1", count=8, batches=[1, "25%", "50%"], max_unavailable="50%"))
    site.declare(target("2", count=8, batches=[1, "25%", "50%"], max_unavailable="50%"))
    site.run(60)
    messages = [event.message for event in ran(site, "BatchStarted")]
    assert messages == ["batch 1: vm1", "batch 2: vm2, vm3", "batch 3: vm4, vm5, vm6, vm7", "batch 4: vm8"]
    assert site.condition("Ready")[0] == "True"


def test_batches_spread_over_zones() -> None:
    uneven = target("1", count=6, batches=[3], max_unavailable=3)
    spread = {name: replace(host, zone="a" if name in ("vm1", "vm2", "vm3", "vm4") else "b")
              for name, host in uneven.hosts.items()}  # fmt: skip
    seats = {"vm1": 0, "vm2": 1, "vm3": 2, "vm4": 3, "vm5": 0, "vm6": 1}
    ranked = {name: replace(host, rank=(seats[name], host.zone, name)) for name, host in spread.items()}
    site = converged(replace(uneven, hosts=ranked))
    site.declare(replace(target("2", count=6, batches=[3], max_unavailable=3), hosts=ranked))
    site.run(1)
    assert set(site.journeys()) == {"vm1", "vm5", "vm2"}


def test_hosts_that_serve_nobody_go_first() -> None:
    site = converged(target("1"))
    site.behaviour.down |= {(node, "vm4") for node in NODES}
    site.run(2)
    site.declare(target("2", batches=[1]))
    site.run(1)
    assert set(site.journeys()) == {"vm4"}


def test_the_budget_splits_a_batch() -> None:
    site = converged(target("1", count=8, batches=["100%"], max_unavailable=2))
    site.declare(target("2", count=8, batches=["100%"], max_unavailable=2))
    site.run(1)
    moving = [host for host, step in site.steps().items() if step is not Step.WAITING]
    assert len(moving) == 2
    waiting = next(journey for journey in site.journeys().values() if journey.step is Step.WAITING)
    assert waiting.reason == "2 of 8 hosts are unavailable, and maxUnavailable allows 2"
    site.run(60)
    assert site.condition("Ready")[0] == "True"


def test_hosts_that_are_missing_already_use_up_the_budget() -> None:
    site = converged(target("1", max_unavailable=1))
    site.behaviour.silent.add("vm4")
    site.run(100)
    site.declare(target("2", max_unavailable=1, batches=[1]))
    site.run(30)
    assert set(site.versions().values()) == {"1"}
    status, reason, message = site.condition("Reconciling")
    assert (status, reason) == ("True", "Waiting")
    assert message == "vm1: 1 of 4 hosts are unavailable, and maxUnavailable allows 1; missing: vm4 (unknown)"
    site.behaviour.silent.clear()
    site.run(60)
    assert site.condition("Ready")[0] == "True"


def test_a_broken_fleet_can_receive_its_fix() -> None:
    site = converged(target("1", max_unavailable=1))
    site.behaviour.broken.add("1")
    site.run(2)
    assert site.status().counts.unavailable == 4
    site.declare(target("2", max_unavailable=1, batches=["100%"]))
    site.run(30)
    assert site.condition("Ready")[0] == "True"


def test_a_failed_gate_holds_the_rollout_until_the_next_release() -> None:
    site = converged(target("1", batches=[1]))
    site.behaviour.failing.add("2")
    site.declare(target("2", batches=[1]))
    site.run(40)
    assert sorted(site.versions().values()) == ["1", "1", "1", "2"]
    goes_on = "It goes on with the next release, or 'drumbeat rollout retry api@prod'"
    expected = f"vm1: gate smoke failed: 2 failed. {goes_on}"
    assert site.condition("Stalled") == ("True", "GateFailed", expected)
    assert site.condition("Ready")[0] == "False"
    assert all("vm1" not in site.serving(ONLINE, node) for node in NODES)
    assert site.status().counts.failed == 1
    site.declare(target("3", batches=[1]))
    site.run(60)
    assert site.condition("Stalled")[0] == "False"
    assert set(site.versions().values()) == {"3"}
    assert site.condition("Ready")[0] == "True"


def test_going_back_to_the_last_version_mends_what_failed() -> None:
    site = converged(target("1", batches=[1]))
    site.behaviour.failing.add("2")
    site.declare(target("2", batches=[1]))
    site.run(20)
    site.declare(target("1", batches=[1]))
    site.run(20)
    assert set(site.versions().values()) == {"1"}
    assert site.condition("Ready")[0] == "True"
    assert {event.object for event in ran(site, "HostMoved")} == {"api@prod/vm1"}


def test_hosts_under_way_finish_while_the_rollout_is_held() -> None:
    site = converged(target("1", count=4, batches=[2], max_unavailable=2))
    site.behaviour.stuck.add("vm1")
    site.declare(target("2", count=4, batches=[2], max_unavailable=2, deadline="20s"))
    site.run(40)
    assert site.steps() == {"vm1": Step.FAILED}
    assert site.versions() == {"vm1": "1", "vm2": "2", "vm3": "1", "vm4": "1"}
    assert site.condition("Stalled")[1] == "HostFailed"
    assert "not back online within 20s: still deploying" in site.condition("Stalled")[2]


def test_hosts_that_only_wait_are_let_go_by_a_hold() -> None:
    site = converged(target("1", batches=["100%"], max_unavailable=1))
    site.behaviour.failing.add("2")
    site.declare(target("2", batches=["100%"], max_unavailable=1))
    site.run(20)
    assert site.steps() == {"vm1": Step.FAILED}
    assert sorted(site.versions().values()) == ["1", "1", "1", "2"]


def test_a_single_host_needs_downtime_allowed() -> None:
    site = converged(target("1", count=1))
    site.declare(target("2", count=1))
    site.run(10)
    status, reason, message = site.condition("Stalled")
    assert (status, reason) == ("True", "NeedsDowntime")
    assert "downtime: allowed" in message
    assert site.versions() == {"vm1": "1"}
    site.declare(target("2", count=1, downtime="allowed"))
    site.run(20)
    assert site.versions() == {"vm1": "2"}
    assert site.condition("Ready")[0] == "True"


def test_a_single_host_that_serves_nobody_needs_no_downtime() -> None:
    site = Site(target("1", count=1)).run(20)
    assert site.condition("Ready")[0] == "True"


def test_a_service_is_removed_from_a_single_host_without_asking_for_downtime() -> None:
    site = converged(target("1", count=1))
    site.declare(target(None, count=1))
    site.run(20)
    assert site.versions() == {"vm1": ""}


def test_a_target_without_hosts_says_so() -> None:
    site = Site(target("1", count=0)).run(3)
    assert site.condition("Stalled")[:2] == ("True", "NoHosts")
    assert site.condition("Ready")[0] == "False"


def test_a_service_without_pools_is_rolled_out() -> None:
    site = converged(target("1", pools=()))
    site.declare(target("2", pools=(), batches=[1]))
    site.run(30)
    assert site.condition("Ready")[0] == "True"
    assert set(site.versions().values()) == {"2"}


def test_a_service_in_several_pools_leaves_and_enters_all() -> None:
    pools = (pool(), pool("admin", ("lb3",), "admin-tests", 9090))
    site = converged(target("1", pools=pools, batches=[1]))
    site.behaviour.busy.add("vm1")
    site.declare(target("2", pools=pools, batches=[1]))
    site.run(3)
    assert "vm1" not in site.serving(ONLINE, "lb1")
    assert "vm1" not in site.serving("admin", "lb3")
    assert site.versions()["vm1"] == "1"
    site.behaviour.busy.clear()
    site.run(40)
    assert site.condition("Ready")[0] == "True"
    assert site.serving("admin", "lb3") == {"vm1", "vm2", "vm3", "vm4"}
