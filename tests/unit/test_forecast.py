"""Forecasts: what is in the way, what would not happen, and what the digest binds to."""

import json
from dataclasses import replace
from typing import Any

import pytest

from controller.supposing import changed, gone, suppose
from crds.freeze import Freeze
from crds.messages import Stamp
from crds.service import Gate, Migrations
from crds.status import Hold, Mark, Quarantine
from reconcilers.assuming import assumed_forecasts
from reconcilers.forecast import Forecast, digest_of
from reconcilers.limits import FleetLimits
from reconcilers.target import TargetSpec
from reconcilers.writes import PutStatus
from tests.support.site import Site, converged
from tests.support.worlds import NODES, NOW, ONLINE, hosts, seconds, target


def freeze(name: str = "spring") -> Freeze:
    window = {"from": "2026-03-01 00:00", "until": "2026-04-01 00:00", "timezone": "UTC"}
    meta = {"apiVersion": "drumbeat/v1alpha1", "kind": "Freeze", "metadata": {"name": name}}
    return Freeze.model_validate_json(json.dumps({**meta, "spec": {"reason": "sales", "windows": [window]}}))


def foretold(site: Site, spec: TargetSpec, **others: TargetSpec) -> Forecast:
    wanted = {**site.world.declared, spec.name: spec, **others}
    return suppose(site.world, spec).forecast(wanted, site.now)


def amended(site: Site, **update: Any) -> None:
    """Another status of api@prod."""
    site.world.apply("api@prod", PutStatus(site.status().model_copy(update=update)), Stamp(0, 0))


def batches(said: Forecast) -> list[tuple[str, ...]]:
    return [each.hosts for each in said.batches]


def reasons(said: Forecast) -> list[str]:
    return [each.reason for each in said.obstacles]


@pytest.fixture
def site() -> Site:
    return converged(target("1", 4, batches=[1, 2]))


def test_batches_with_hosts_in_order_and_how_many_go_at_once(site: Site) -> None:
    said = foretold(site, target("2", 4, batches=[1, 2], max_unavailable=1))

    assert (said.effect, said.old_version, said.new_version, said.happens) == ("moves", "1", "2", True)
    assert batches(said) == [("vm1",), ("vm2", "vm3"), ("vm4",)]
    assert [each.at_once for each in said.batches] == [1, 1, 1]
    assert not said.obstacles


def test_where_the_budget_is_spent_a_batch_says_what_it_waits_for(site: Site) -> None:
    site.behaviour.silent = {"vm4"}
    site.run(200)
    said = foretold(site, target("2", 4, batches=[1], max_unavailable=1))

    assert said.batches[0].waits == (
        "vm1: 1 of 4 hosts are unavailable, and maxUnavailable allows 1; missing: vm4 (unknown)"
    )
    assert [(each.host, each.standing, each.why) for each in said.left_out] == [
        ("vm4", "unknown", "its agent does not report")
    ]


def test_a_host_that_a_person_took_out_is_left_out(site: Site) -> None:
    site.agents[NODES[0]].marked[ONLINE, "vm2"] = "maint"
    site.run(3)

    assert [(each.host, each.standing) for each in foretold(site, target("2", 4)).left_out] == [("vm2", "excluded")]


def test_what_is_in_the_way_since_when_and_until_when(site: Site) -> None:
    pause = Mark(by="jo", since=site.now, reason="lunch", until=site.now + seconds(600))
    amended(site, pause=pause)
    unchanged = target("1", 4, batches=[1, 2], freezes=(freeze(),))
    site.declare(unchanged)
    site.run(2)
    said = foretold(site, replace(unchanged, **vars_of(target("2", 4, freezes=(freeze(),)))))

    paused, frozen = said.obstacles
    assert (paused.reason, paused.since, paused.until) == ("Paused", pause.since, pause.until)
    assert (frozen.reason, frozen.since) == ("Frozen", None)
    assert frozen.until is not None and f"{frozen.until:%m-%d}" == "04-01"
    assert said.happens


def vars_of(spec: TargetSpec) -> dict[str, Any]:
    return {"release": spec.release, "version": spec.version}


def test_what_is_in_the_way_of_the_present_rollout_already_says_since_when() -> None:
    site = converged(target("1", 2, batches=[1]))
    site.declare(target("2", 2, freezes=(freeze(),), batches=[1]))
    began = site.run(1).now
    site.run(20)
    said = foretold(site, target("3", 2, freezes=(freeze(),), batches=[1]))

    assert [(each.reason, each.since) for each in said.obstacles] == [("Frozen", began)]


def test_a_hold_ends_with_the_release_that_it_is_about(site: Site) -> None:
    amended(site, hold=Hold(digest=target("1").digest, reason="HostFailed", message="vm1", since=NOW))

    assert reasons(foretold(site, target("2", 4))) == []
    site.install(target("1", 5))
    site.hear("vm5")
    assert reasons(foretold(site, target("1", 5, batches=[1]))) == ["HostFailed"]


def test_dependencies_count_as_the_commit_declares_them(site: Site) -> None:
    db = target("1", 1, name="db@prod", pools=())
    site.install(db)
    site.declare(db)
    site.run(10)
    api = target("2", 4, depends_on=("db@prod",))

    assert reasons(foretold(site, api)) == []
    assert reasons(foretold(site, api, **{"db@prod": target("2", 1, name="db@prod", pools=())})) == ["DependsOn"]


def test_settings_alone_move_nobody(site: Site) -> None:
    said = foretold(site, target("1", 4, soak="9s"))

    assert (said.effect, said.happens, said.batches) == ("settings", False, ())


def test_what_was_never_signed_moves_nobody(site: Site) -> None:
    said = foretold(site, target("2", 4, unsigned="there is no statement; sign it"))

    assert (said.effect, said.happens, said.message) == ("unsigned", False, "there is no statement; sign it")


def test_a_release_in_quarantine_is_not_tried_again(site: Site) -> None:
    bad = target("2", 4)
    amended(site, quarantine=Quarantine(digest=bad.digest, version="2", reason="HostFailed", message="vm1", since=NOW))
    said = foretold(site, bad)

    assert (said.effect, said.happens, said.new_version) == ("rolledBack", False, "2")
    assert said.message == "version 2 failed here and is in quarantine: version 1 takes its place"


def test_what_nothing_declares_any_more_is_orphaned(site: Site) -> None:
    (said,) = gone(site.world, {})

    assert (said.target, said.effect, said.happens) == ("api@prod", "orphans", False)


def test_a_removed_service_and_a_target_without_hosts(site: Site) -> None:
    assert foretold(site, target(None, 4)).effect == "removes"
    assert foretold(site, target("2", 4, hosts={})).effect == "noHosts"


def test_hosts_that_the_target_loses_and_gains(site: Site) -> None:
    (kept, lost) = target("1", 3), foretold(site, target("1", 3))
    assert (lost.forgotten, lost.happens) == (("vm4",), True)

    site.install(target("1", 5))
    site.hear("vm5")
    gained = foretold(site, target("1", 5, batches=[1]))
    assert (gained.effect, batches(gained)) == ("deploys", [("vm5",)])
    assert kept.name in site.world.specs


def test_one_host_alone_needs_downtime() -> None:
    alone = converged(target("1", 1, downtime="allowed"))

    assert reasons(foretold(alone, target("2", 1))) == ["NeedsDowntime"]


def test_only_targets_that_differ_are_looked_at(site: Site) -> None:
    same, other = target("1", 4, batches=[1, 2]), target("1", 1, name="web@prod", pools=())

    assert changed(site.world, {"api@prod": replace(same, revision="another")}) == []
    assert changed(site.world, {"api@prod": same, "web@prod": other}) == ["web@prod"]
    for change in ({"freezes": (freeze(),)}, {"depends_on": ("web@prod",)}, {"after": ("api@staging", 60.0)}):
        assert changed(site.world, {"api@prod": replace(same, **change)}) == ["api@prod"]


# --- modes


def test_what_is_managed_already_is_not_undecided_when_git_says_no_mode(site: Site) -> None:
    said = foretold(site, replace(target("2", 4, batches=[1]), mode=""))

    assert (said.effect, reasons(said), len(said.batches)) == ("moves", [], 4)


def somebody_elses(spec: TargetSpec) -> Site:
    """A site on which every host serves, put there by somebody else."""
    site = Site(spec)
    for node in NODES:
        site.agents[node].admin[ONLINE] = dict.fromkeys(spec.hosts, "ready")
    return site


def test_a_service_that_somebody_else_runs_will_be_unclaimed_if_git_says_no_mode() -> None:
    site = somebody_elses(replace(target("1", 4), mode="observe")).run(10)

    said = foretold(site, replace(target("1", 4), mode=""))
    assert reasons(said) == ["Unclaimed"]
    assert "vm1, vm2, vm3, vm4 serve in its pool, put there by nobody of ours" in said.obstacles[0].message


def test_a_new_service_without_a_mode_is_undecided_until_balancer_nodes_were_asked_who_serves() -> None:
    db = target("1", 4, name="db@prod", pools=())
    site, api = Site(db), target("1", 4)
    site.install(api)
    site.run(20)

    said = foretold(site, replace(api, mode=""))
    assert reasons(said) == ["Undecided"]
    assert said.obstacles[0].message == (
        f"whose service it is will be known once these say who serves: {NODES[0]}/{ONLINE}, {NODES[1]}/{ONLINE}"
    )
    assert reasons(foretold(site, api)) == []


def in_mode(mode: str, version: str = "1") -> TargetSpec:
    return replace(target(version, 4), mode=mode, adopt="bin/api")


def test_adopting_says_which_processes_are_taken_over_and_moves_nobody() -> None:
    site = somebody_elses(in_mode("observe"))
    site.behaviour.outsiders = {"vm1": 7001, "vm2": 7002, "vm3": 7003}
    site.run(10)
    site.behaviour.silent = {"vm4"}
    site.run(100)

    said = foretold(site, in_mode("adopt"))
    assert (said.effect, said.happens, said.batches) == ("adopts", True, ())
    assert said.adopted == ("vm1", "vm2", "vm3")
    assert [each.host for each in said.left_out] == ["vm4"]
    site.declare(in_mode("adopt"))
    site.run(20)
    assert {host for host, agent in site.agents.items() if agent.runs} == set(said.adopted)
    later = foretold(site, replace(in_mode("adopt"), probes=()))
    assert (later.effect, later.adopted) == ("settings", ())


def test_nothing_further_is_adopted_with_a_later_release() -> None:
    site = somebody_elses(in_mode("adopt")).run(10)
    site.install(target("1", 5))
    site.hear("vm5")

    more = replace(in_mode("adopt", "2"), hosts=hosts(5))
    assert foretold(site, more).adopted == ()


def test_observing_touches_nothing_and_says_what_would_happen_otherwise(site: Site) -> None:
    said = foretold(site, in_mode("observe", "2"))

    assert (said.effect, said.happens, said.batches) == ("observes", False, ())
    assert said.message == "mode is observe, so nothing is touched; 4 of 4 would go to 2: vm1, vm2, vm3, vm4"


def test_hosts_under_way_finish_when_a_target_is_observed_from_now_on(site: Site) -> None:
    site.declare(target("2", 4, batches=[1]))
    site.run(4)
    (under_way,) = site.journeys()
    said = foretold(site, in_mode("observe", "2"))

    assert (batches(said), said.batches[0].under_way, said.happens) == ([(under_way,)], True, True)


def test_a_mode_that_is_written_is_looked_at_though_the_spec_is_the_same() -> None:
    site = somebody_elses(in_mode("")).run(20)

    assert changed(site.world, {"api@prod": in_mode("manage")}) == ["api@prod"]
    assert len(foretold(site, in_mode("manage")).batches) > 0


# --- the digest


def test_the_digest_stays_while_nothing_relevant_changes(site: Site) -> None:
    wanted = target("2", 4, freezes=(freeze(),))
    first = foretold(site, wanted)
    site.run(50)

    assert foretold(site, replace(wanted, revision="rebased")).digest == first.digest
    assert digest_of([first]) == digest_of([foretold(site, wanted)])


@pytest.mark.parametrize(
    "change",
    [
        {"release": None},
        {"version": "3", "release": target("3").release},
        {"hosts": hosts(3)},
        {"rollout": target("2", batches=[2]).rollout},
        {"gates": ()},
        {"freezes": ()},
        {"freezes": (freeze("autumn"),)},
    ],
)
def test_the_digest_differs_as_soon_as_the_commit_does(site: Site, change: dict[str, Any]) -> None:
    wanted = target("2", 4, freezes=(freeze(),))

    assert foretold(site, replace(wanted, **change)).digest != foretold(site, wanted).digest


def test_the_digest_differs_as_soon_as_a_host_or_an_obstacle_does(site: Site) -> None:
    wanted = target("2", 4)
    first = foretold(site, wanted).digest
    site.behaviour.silent = {"vm3"}
    silent = foretold(site.run(200), wanted).digest
    site.behaviour.silent = set()
    assert foretold(site.run(3), wanted).digest == first
    amended(site, pause=Mark(by="jo", since=NOW, reason=""))

    assert len({first, silent, foretold(site, wanted).digest}) == 3


# --- without a controller


def test_without_a_controller_every_host_is_taken_to_run_what_was_declared() -> None:
    before = {"api@prod": target("1", 4), "old@prod": target("1", 1, name="old@prod"), "web@prod": target("1", 1)}
    after = {"api@prod": target("2", 5, batches=[2]), "web@prod": before["web@prod"]}
    api, old = assumed_forecasts(before, after, NOW)

    assert (api.effect, batches(api)) == ("moves", [("vm2", "vm5"), ("vm1", "vm3"), ("vm4",)])
    assert (old.target, old.effect) == ("old@prod", "orphans")


def test_without_a_controller_dependencies_are_ready_unless_they_change() -> None:
    db, api = target("1", 1, name="db@prod"), target("1", 2)
    wanted = target("2", 2, depends_on=("db@prod",))
    before = {"api@prod": api, "db@prod": db}

    (said,) = assumed_forecasts(before, {"api@prod": wanted, "db@prod": db}, NOW)
    assert reasons(said) == []
    said, _ = assumed_forecasts(before, {"api@prod": wanted, "db@prod": target("2", 1, name="db@prod")}, NOW)
    assert reasons(said) == ["DependsOn"]


# --- what is done around the hosts


def test_gates_and_migrations_before_and_after_the_hosts_and_manual_steps(site: Site) -> None:
    migration = {"command": ["sql"], "check": ["check"], "lock": "database"}
    migrations = Migrations.model_validate(
        {
            "expand": [{"name": "add-column", **migration}],
            "contract": [{"name": "drop-column", **migration, "approval": "required"}],
        }
    )
    before = Gate.model_validate({"name": "stock", "when": "before", "exec": {"command": ["stock"]}})
    said = foretold(site, target("2", 4, batches=[1, 3], pause_after=[1], migrations=migrations, gates=(before,)))

    assert said.before == ("gate stock", "migration add-column")
    assert said.after == ("migration drop-column, once a person approves",)
    assert [each.awaits_go for each in said.batches] == [True, False]
    assert not said.obstacles
    assert foretold(site, target("1", 4, migrations=migrations)).before == ()


def test_a_host_that_was_excluded_by_command_is_left_out(site: Site) -> None:
    site.world.exclusions["vm2"] = Mark(by="jo", since=NOW, reason="disk")
    site.world.exclusions["vm5"] = Mark(by="jo", since=NOW, reason="new disk")
    (known, new) = foretold(site, target("2", 5)).left_out

    assert (known.host, known.standing) == ("vm2", "excluded")
    assert (new.host, new.standing, "new disk" in new.why) == ("vm5", "excluded", True)


def test_what_the_fleet_allows_counts_with_the_limits_that_the_commit_brings(site: Site) -> None:
    limits = FleetLimits("prod", {"rollouts": 0}, {"hosts": 4})

    assert reasons(foretold(site, target("2", 4, limits=limits))) == ["RolloutsLimited"]
    one_of_two = replace(limits, places={"hosts": 1})
    assert foretold(site, target("2", 4, batches=[2], max_unavailable=2, limits=one_of_two)).batches[0].at_once == 1
