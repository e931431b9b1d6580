"""Modes: what is touched in which, and what holds where git says nothing."""

from dataclasses import replace

from crds.messages import ServiceReport
from reconcilers.fragments import SERVICE
from reconcilers.target import TargetSpec
from tests.support.site import Site, converged
from tests.support.worlds import NODES, ONLINE, target


def by(mode: str, version: str | None = "1", **changes: object) -> TargetSpec:
    """A target for which git writes that mode; empty: none."""
    return replace(target(version, **changes), mode=mode)


def running(spec: TargetSpec) -> Site:
    """A site on which somebody else put every host online, with a service that no agent knows of."""
    site = Site(spec)
    for node in NODES:
        site.agents[node].admin[ONLINE] = dict.fromkeys(spec.hosts, "ready")
    return site


def asked(site: Site) -> set[str]:
    """The kinds of everything that is asked of any node, states of servers apart."""
    keys = {key for targets in site.world.entries.values() for kept in targets.values() for key in kept}
    return {key.partition("/")[0] for key in keys}


def untouched(site: Site, spec: TargetSpec) -> bool:
    states = {state for node in NODES for state in site.agents[node].admin[ONLINE].values()}
    return asked(site) <= {"pool", "server"} and states == {"ready"} and site.serving(ONLINE, "lb1") == set(spec.hosts)


def test_a_service_that_somebody_else_runs_is_not_touched_before_git_says_so() -> None:
    site = running(by("")).run(30)
    status, reason, message = site.condition("Stalled")
    assert (status, reason) == ("True", "Unclaimed")
    assert "vm1, vm2, vm3, vm4 serve in its pool, put there by nobody of ours" in message
    assert "write mode: adopt to take over what runs, manage to roll releases out" in message
    assert "4 of 4 would go to 1: vm1, vm2, vm3, vm4" in message
    assert untouched(site, by(""))
    assert site.journeys() == {}
    site.declare(by("manage"))
    site.run(90)
    assert site.condition("Ready")[0] == "True"


def test_it_stays_so_when_the_others_are_down_for_a_while_or_the_controller_is_another() -> None:
    site = running(by("")).run(5)
    site.restart()
    for node in NODES:
        site.agents[node].admin[ONLINE] = dict.fromkeys(by("").hosts, "maint")
    site.run(10)
    assert site.condition("Stalled")[1] == "Unclaimed"
    assert SERVICE not in asked(site)


def test_hosts_whose_agents_were_not_heard_yet_keep_it_undecided() -> None:
    site = running(by(""))
    site.behaviour.silent |= {"vm1", "vm2"}
    site.behaviour.silent |= {"vm3", "vm4"}
    site.run(10)
    assert site.condition("Reconciling")[1] == "Undecided"
    assert "vm1, vm2, vm3, vm4 run, which serve in its pool, is not known" in site.condition("Reconciling")[2]
    site.behaviour.silent.clear()
    site.run(10)
    assert site.condition("Stalled")[1] == "Unclaimed"
    assert untouched(site, by(""))


def test_a_service_that_nobody_runs_is_rolled_out_without_a_mode() -> None:
    site = Site(by("")).run(60)
    assert site.condition("Ready")[0] == "True"
    assert site.status().managed


def test_a_lost_store_does_not_make_our_own_service_somebody_elses() -> None:
    site = converged(target("1"))
    agents = site.agents
    later = Site(by("", "2"))
    later.term = 9
    later.agents = agents
    later.world.serials = dict.fromkeys(agents, 1000)
    later.run(90)
    assert later.condition("Ready")[0] == "True"
    assert set(later.versions().values()) == {"2"}


def test_what_was_managed_stays_managed_when_the_mode_is_taken_out() -> None:
    site = converged(by("manage"))
    site.declare(by("", "2"))
    site.run(60)
    assert set(site.versions().values()) == {"2"}


def test_observing_says_what_would_happen_and_lets_nobody_begin() -> None:
    site = converged(target("1"))
    before = {node: dict(kept) for node, kept in site.world.entries.items()}
    site.declare(by("observe", "2"))
    site.run(30)
    assert site.condition("Stalled")[:2] == ("True", "Observed")
    assert "4 of 4 would go to 2: vm1, vm2, vm3, vm4" in site.condition("Stalled")[2]
    assert set(site.versions().values()) == {"1"}
    assert {node: dict(kept) for node, kept in site.world.entries.items()} == before
    site.declare(by("manage", "2"))
    site.run(60)
    assert set(site.versions().values()) == {"2"}


def test_hosts_under_way_are_finished_when_a_target_is_only_observed_from_now_on() -> None:
    site = converged(target("1", batches=[1]))
    site.declare(target("2", batches=[1]))
    site.until(lambda at: bool(at.journeys()))
    site.declare(by("observe", "2", batches=[1]))
    site.run(30)
    assert site.journeys() == {}
    assert sorted(site.versions().values()) == ["1", "1", "1", "2"]
    assert site.serving(ONLINE, "lb1") == {"vm1", "vm2", "vm3", "vm4"}


def test_observing_removes_nothing() -> None:
    site = converged(target("1"))
    site.declare(by("observe", None))
    site.run(30)
    assert set(site.versions().values()) == {"1"}
    assert site.condition("Stalled")[1] == "Observed"


def test_nobody_is_asked_about_a_service_that_an_agent_reports_without_running_it() -> None:
    """A host that knows of the service, and runs nothing of it, did not put anything online."""
    site = running(by(""))
    report = site.agents["vm1"].report
    site.agents["vm1"].report = lambda: report().model_copy(  # type: ignore[method-assign]
        update={"services": {"api@prod": ServiceReport(read=(0, 0), state="absent")}}
    )
    site.run(5)
    assert site.condition("Stalled")[1] == "Unclaimed"
