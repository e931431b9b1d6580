"""Hosts that leave a target: out of the pools first, then stopped, then forgotten, and nobody waits for ever."""

from dataclasses import replace

from crds.status import Step
from reconcilers.fragments import SERVICE
from reconcilers.target import TargetSpec
from tests.support.site import Site, converged, ran
from tests.support.worlds import NODES, ONLINE, target


def but(spec: TargetSpec, *gone: str) -> TargetSpec:
    """The target without these hosts."""
    return replace(spec, hosts={name: host for name, host in spec.hosts.items() if name not in gone})


def leaving(site: Site) -> dict[str, Step]:
    return {host: journey.step for host, journey in site.status().leaving.items()}


def asked_about(site: Site, host: str) -> set[tuple[str, str]]:
    return {
        (node, key)
        for node, targets in site.world.entries.items()
        for kept in targets.values()
        for key in kept
        if node == host or key.endswith(f"/{host}")
    }


def test_a_removed_host_is_drained_disabled_stopped_and_forgotten() -> None:
    site = converged(target("1"))
    site.behaviour.busy.add("vm4")
    site.declare(but(target("1"), "vm4"))
    site.run(3)
    assert leaving(site) == {"vm4": Step.DRAINING}
    assert all("vm4" not in site.serving(ONLINE, node) for node in NODES)
    assert site.agents["vm4"].label("api@prod") == "1"
    assert site.condition("Ready") == ("True", "Converged", "3 of 3 hosts run 1, healthy and online")
    assert site.condition("Reconciling")[1] == "HostsLeaving"
    assert "vm4 draining (waits for lb1 to drain in online" in site.condition("Reconciling")[2]
    site.behaviour.busy.clear()
    site.run(10)
    assert site.agents["vm4"].label("api@prod") == ""
    assert [site.agents[node].admin[ONLINE]["vm4"] for node in NODES] == ["maint", "maint"]
    assert asked_about(site, "vm4") == set()
    assert site.condition("Reconciling")[0] == "False"
    assert [event.object for event in ran(site, "HostForgotten")] == ["api@prod/vm4"]


def test_who_has_not_begun_to_leave_says_what_it_waits_for_whatever_else_is_said_of_the_target() -> None:
    """While others are on their way the condition tells of those."""
    site = converged(target("1", batches=[1]))
    site.behaviour.stuck.add("vm1")
    site.behaviour.down |= {(node, host) for node in NODES for host in ("vm1", "vm2")}
    site.run(3)
    site.declare(but(target("2", batches=[1]), "vm4"))
    site.run(5)
    assert site.condition("Reconciling")[1] == "BatchUnderWay"
    assert site.status().leaving_waits == "2 of 3 hosts that stay are unavailable, and maxUnavailable allows 1"
    site.behaviour.stuck.clear()
    site.behaviour.down.clear()
    site.run(100)
    assert (site.status().leaving_waits, asked_about(site, "vm4")) == ("", set())


def test_nothing_is_stopped_while_a_balancer_node_might_send_customers() -> None:
    site = converged(target("1"))
    site.behaviour.silent.add("lb2")
    site.declare(but(target("1"), "vm4"))
    site.run(30)
    assert site.agents["vm4"].label("api@prod") == "1"
    site.run(100)
    assert site.agents["vm4"].label("api@prod") == "1"
    site.behaviour.silent.clear()
    site.run(20)
    assert site.agents["vm4"].label("api@prod") == ""


def test_hosts_are_replaced_in_one_commit_without_a_gap() -> None:
    """The new ones serve before the old ones go."""
    spec = target("1", count=8)
    site = converged(but(spec, "vm5", "vm6", "vm7", "vm8"))
    site.install(spec)
    site.declare(but(spec, "vm1", "vm2", "vm3", "vm4"))
    fewest = 8
    for _ in range(90):
        site.run(1)
        fewest = min(fewest, *(len(site.serving(ONLINE, node)) for node in NODES))
    assert fewest >= 3
    assert site.serving(ONLINE, "lb1") == {"vm5", "vm6", "vm7", "vm8"}
    assert {name for name, agent in site.agents.items() if agent.runs} == {"vm5", "vm6", "vm7", "vm8"}


def test_a_machine_that_is_gone_for_good_is_forgotten_once_it_left_the_pools() -> None:
    site = converged(target("1", deadline="3m"))
    site.behaviour.silent.add("vm4")
    site.declare(but(target("1", deadline="3m"), "vm4"))
    site.run(100)
    assert "waits for its agent" in site.condition("Reconciling")[2]
    site.run(100)
    assert asked_about(site, "vm4") == set()
    assert site.status().leaving == {}
    assert "left every pool" in ran(site, "HostForgotten")[0].message


def test_a_host_whose_server_lines_were_taken_out_first_leaves_all_the_same() -> None:
    site = converged(target("1"))
    for node in NODES:
        for pool in site.agents[node].admin.values():
            del pool["vm4"]
    site.declare(but(target("1"), "vm4"))
    site.run(20)
    assert site.agents["vm4"].label("api@prod") == ""
    assert asked_about(site, "vm4") == set()


def test_a_host_that_comes_back_before_it_has_left_is_converged_again() -> None:
    site = converged(target("1"))
    site.behaviour.busy.add("vm4")
    site.declare(but(target("1"), "vm4"))
    site.run(3)
    site.behaviour.busy.clear()
    site.declare(target("1"))
    site.run(60)
    assert site.condition("Ready")[2] == "4 of 4 hosts run 1, healthy and online"
    assert site.status().leaving == {}
    assert "vm4" in site.serving(ONLINE, "lb1")


def test_a_restart_goes_on_with_hosts_that_leave() -> None:
    site = converged(target("1"))
    site.behaviour.busy.add("vm4")
    site.declare(but(target("1"), "vm4"))
    site.run(3)
    site.restart()
    site.behaviour.busy.clear()
    site.run(20)
    assert asked_about(site, "vm4") == set()
    assert site.agents["vm4"].label("api@prod") == ""


def test_a_host_in_the_midst_of_its_journey_leaves_from_there() -> None:
    site = converged(target("1", batches=[1]))
    site.declare(target("2", batches=[1]))
    site.until(lambda at: at.steps().get("vm1") is Step.DEPLOYING)
    site.declare(but(target("2", batches=[1]), "vm1"))
    site.run(60)
    assert site.agents["vm1"].label("api@prod") == ""
    assert asked_about(site, "vm1") == set()
    assert set(site.versions().values()) == {"2"}


def test_a_pause_and_observing_keep_hosts_from_leaving() -> None:
    site = converged(target("1"))
    site.declare(replace(but(target("1"), "vm4"), mode="observe"))
    site.run(20)
    assert "vm4" in site.serving(ONLINE, "lb1")
    assert (("vm4", SERVICE)) in asked_about(site, "vm4")
    site.declare(but(target("1"), "vm4"))
    site.run(20)
    assert asked_about(site, "vm4") == set()


def test_hosts_that_never_got_the_service_are_simply_dropped() -> None:
    site = Site(target("1"))
    site.run(2)
    site.declare(but(target("1"), "vm4"))
    site.run(60)
    assert asked_about(site, "vm4") == set()
    assert ran(site, "HostLeaves") == []


def test_a_removed_host_does_not_wait_for_a_release_that_is_held() -> None:
    site = converged(target("1", batches=[1]))
    site.behaviour.failing.add("2")
    site.declare(target("2", batches=[1]))
    site.run(20)
    assert site.condition("Stalled")[1] == "GateFailed"
    site.declare(but(target("2", batches=[1]), "vm4"))
    site.run(20)
    assert asked_about(site, "vm4") == set()
