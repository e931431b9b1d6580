"""What a fleet allows all of its services together: who waits, for whom, in which order, and who is woken."""

import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from crds.messages import Stamp
from crds.service import Migrations
from crds.status import Counts, RolloutStatus, Step, Turn
from reconcilers.limits import HOSTS, ROLLOUTS, FleetIndex, FleetLimits, keeps_places, limits_of
from reconcilers.target import TargetSpec
from reconcilers.writes import PutStatus
from tests.support.commands import command, command_node
from tests.support.site import Site, converged, ran
from tests.support.states import state
from tests.support.worlds import NODES, NOW, pool, target

SIZES = {"hosts": 8, "zone/a": 4, "zone/b": 4}
NAMES = ("api@prod", "job@prod", "web@prod")


def spec_of(name: str, version: str, places: dict[str, int], **changes: Any) -> TargetSpec:
    """One of three services on the same eight hosts in two zones, each with pools of its own."""
    short = name.partition("@")[0]
    rollout = {"count": 8, "batches": [2], "max_unavailable": 4, "limits": FleetLimits("prod", places, SIZES)}
    pools = (pool(short, NODES, f"{short}-tests", 8080 + NAMES.index(name)),)
    return target(version, name=name, pools=pools, **(rollout | changes))


def fleet(places: dict[str, int], names: tuple[str, ...] = NAMES[:2], **changes: Any) -> Site:
    """Everything runs version 1."""
    return converged(*(spec_of(name, "1", places, **changes) for name in names))


def release(site: Site, places: dict[str, int], *names: str, **changes: Any) -> Site:
    """A new version of these services."""
    site.declare(*(spec_of(name, "2", places, **changes) for name in names))
    return site


def out(site: Site) -> dict[str, set[str]]:
    """Hosts on their way, by service."""
    return {
        name: {host for host, step in site.steps(name).items() if step not in (Step.WAITING, Step.SOAKING)}
        for name in site.world.specs
    }


def watched(site: Site, places: dict[str, int], rounds: int = 250) -> Site:
    """Run until all is ready; meanwhile never are more hosts out, nor rollouts under way, than there are places."""
    site.run(1)
    for _ in range(rounds):
        gone = set().union(*out(site).values())
        assert len(gone) <= places.get("hosts", 8)
        assert len([host for host in gone if int(host[2:]) % 2]) <= places.get("zone/a", 4)
        assert len([name for name, hosts in out(site).items() if hosts]) <= places.get("rollouts", 3)
        if all(site.condition("Ready", name)[0] == "True" for name in site.world.specs) and not gone:
            return site
        site.run(1)
    raise AssertionError([site.status(name).conditions for name in site.world.specs])


@pytest.mark.parametrize(
    "places", [{"hosts": 3}, {"hosts": 1}, {"zone/a": 1, "zone/b": 2}, {"rollouts": 1}, {"hosts": 2, "rollouts": 2}]
)
def test_all_services_together_keep_to_the_limits_and_all_arrive(places: dict[str, int]) -> None:
    site = fleet(places, NAMES)
    watched(release(site, places, *NAMES), places)
    assert all(set(site.versions(name).values()) == {"2"} for name in NAMES)
    assert all(site.status(name).turn is None and not site.status(name).under_way for name in NAMES)


def test_two_that_are_planned_in_one_step_do_not_both_take_the_last_place() -> None:
    places = {"hosts": 3}
    site = fleet(places)
    site.declare(spec_of("api@prod", "2", places), spec_of("job@prod", "2", places, batches=["100%"]))
    site.run(1)
    assert {name: len(hosts) for name, hosts in out(site).items()} == {"api@prod": 2, "job@prod": 1}
    assert site.journeys("job@prod")["vm4"].reason == (
        "3 of 8 hosts of fleet prod are out (api@prod 2, job@prod 1), and its limits allow 3"
    )


def test_a_host_that_is_out_for_another_service_needs_no_place_of_its_own() -> None:
    """So that a hotfix of one service passes on hosts that are out already, and never adds to them."""
    places = {"hosts": 1}
    site = fleet(places, batches=[1])
    site.behaviour.broken.add("2")
    release(site, places, "api@prod", batches=[1], deadline="20s").run(60)
    assert site.condition("Stalled", "api@prod")[1] == "HostFailed"
    site.behaviour.broken.clear()
    site.behaviour.down |= {(node, "vm1") for node in NODES}
    site.run(2)
    release(site, places, "job@prod", batches=[1]).run(30)
    assert site.versions("job@prod")["vm1"] == "2"
    assert [host for host, version in site.versions("job@prod").items() if version == "2"] == ["vm1"]


def test_whatever_made_a_host_missing_counts() -> None:
    places = {"hosts": 2}
    site = fleet(places)
    site.behaviour.silent |= {"vm7", "vm8"}
    site.run(100)
    release(site, places, "api@prod").run(20)
    assert out(site)["api@prod"] == set()
    message = site.condition("Reconciling", "api@prod")[2]
    assert "2 of 8 hosts of fleet prod are out (job@prod 2, api@prod 2), and its limits allow 2" in message
    site.behaviour.silent.clear()
    watched(site, places)


def test_only_so_many_rollouts_are_under_way_and_the_next_in_turn_follows_at_once() -> None:
    places = {"rollouts": 1}
    site = fleet(places, NAMES)
    release(site, places, "web@prod").run(2)
    release(site, places, "job@prod").run(2)
    release(site, places, "api@prod").run(2)
    assert site.condition("Reconciling", "api@prod") == (
        "True",
        "RolloutsLimited",
        "1 rollout is under way on fleet prod (web@prod), and its limits allow 1; job@prod waited first",
    )
    watched(site, places)
    done = [event.object for event in ran(site, "RolloutSucceeded")]
    assert done == ["web@prod", "job@prod", "api@prod"]


def test_a_rollout_that_is_held_lets_another_one_pass() -> None:
    places = {"rollouts": 1}
    site = fleet(places)
    site.behaviour.failing.add("2")
    release(site, places, "api@prod").run(30)
    assert site.condition("Stalled", "api@prod")[0] == "True"
    assert not site.status("api@prod").under_way
    site.behaviour.failing.clear()
    release(site, places, "job@prod").run(120)
    assert site.condition("Ready", "job@prod")[0] == "True"


def test_who_waits_for_a_place_that_a_held_rollout_keeps_says_so_and_goes_on_with_that() -> None:
    """Promise 17: what only a person can end looks like it, wherever it is looked at."""
    places = {"hosts": 1}
    site = fleet(places, batches=[1])
    site.behaviour.broken.add("2")
    release(site, places, "api@prod", batches=[1], deadline="20s").run(60)
    site.declare(spec_of("job@prod", "3", places, batches=[2]))
    site.run(40)
    assert site.condition("Stalled", "job@prod") == (
        "True",
        "PlacesKept",
        "1 of 8 hosts of fleet prod is out (api@prod 1), and its limits allow 1. "
        "They stay out until somebody mends what failed there: api@prod",
    )
    site.behaviour.broken.clear()
    command(site, "retry", target="api@prod")
    site.run(3)
    assert site.condition("Stalled", "job@prod")[0] == "False"
    watched(site, places)


@pytest.mark.parametrize(
    ("failed", "excluded", "unavailable", "keeps"), [(1, 0, 1, True), (1, 0, 2, False), (1, 1, 2, True)]
)
def test_places_are_kept_only_by_hosts_that_do_not_come_back_by_themselves(
    failed: int, excluded: int, unavailable: int, keeps: bool
) -> None:
    counts = Counts(total=4, failed=failed, excluded=excluded, unavailable=unavailable)
    assert keeps_places(RolloutStatus(target="api@prod", counts=counts)) is keeps


def test_failed_hosts_that_are_tolerated_stall_nothing_while_another_service_has_the_last_place() -> None:
    places = {"hosts": 2}
    site = fleet(places, batches=[1])
    site.behaviour.stuck.add("vm1")
    api = {"batches": [1, "50%"], "max_failed": 1, "deadline": "20s"}
    release(site, places, "api@prod", **api)
    site.until(lambda site: site.steps("api@prod").get("vm1") is Step.FAILED)
    site.behaviour.stuck.clear()
    release(site, places, "job@prod", batches=["100%"], soak="5s")
    for _ in range(100):
        site.run(1)
        waits = set(site.steps("api@prod").values()) == {Step.WAITING, Step.FAILED}
        assert not waits or not out(site)["job@prod"] or site.condition("Stalled", "api@prod")[0] == "False"
    assert site.condition("Ready", "job@prod")[0] == "True"
    assert site.condition("Stalled", "api@prod")[1] == "HostsFailed"


def test_a_rollout_whose_only_host_may_not_go_keeps_no_other_from_moving() -> None:
    """It was under way on eight hosts when all but the one that serves already were taken from it."""
    places = {"rollouts": 1}
    site = Site(spec_of("api@prod", "1", places, batches=[1])).run(1)
    site.until(lambda site: site.status("api@prod").batch == 2)
    site.declare(spec_of("api@prod", "2", places, count=1))
    site.until(lambda site: site.condition("Stalled", "api@prod")[1] == "NeedsDowntime")
    job = spec_of("job@prod", "1", places)
    site.install(job)
    site.declare(job)
    site.run(120)
    assert site.condition("Ready", "job@prod")[0] == "True", site.condition("Reconciling", "job@prod")


def test_two_that_want_many_hosts_take_turns() -> None:
    places = {"hosts": 1}
    site = release(fleet(places, batches=["100%"]), places, *NAMES[:2], batches=["100%"])
    watched(site, places)
    moved = [event.object.partition("/")[0] for event in ran(site, "HostMoved") if event.reason == "Draining"]
    assert all(first != second for first, second in pairwise(moved)), moved


def test_a_target_that_cannot_be_planned_is_not_waited_for() -> None:
    places = {"hosts": 1}
    site = release(fleet(places), places, *NAMES[:2]).run(1)
    assert site.status("job@prod").turn is not None
    index = site.world.fleets.indexes["prod"]
    index.put_host("api@prod", "vm1", "a", False)
    assert index.left(HOSTS, "api@prod") == 0
    site.world.fleets.leave("job@prod")
    assert index.left(HOSTS, "api@prod") == 1


def test_limits_in_numbers() -> None:
    said = state("1", hosts=5).fleets["prod"]

    def limits(**fields: Any) -> FleetLimits | None:
        chosen = said.spec.limits.model_copy(update=fields)
        return limits_of(said.model_copy(update={"spec": said.spec.model_copy(update={"limits": chosen})}))

    assert limits() is None
    found = limits(max_unavailable="50%", per_zone="25%", rollouts=3)
    assert found == FleetLimits(
        "prod", {"hosts": 2, "zone/a": 1, "zone/b": 1, "rollouts": 3}, {"hosts": 5, "zone/a": 3, "zone/b": 2}
    )


def turn(limit: str, after: float) -> Turn:
    return Turn(limits=[limit], since=NOW + timedelta(seconds=after))


def test_a_free_place_is_for_the_one_that_has_waited_longest() -> None:
    index = FleetIndex(FleetLimits("prod", {HOSTS: 2, ROLLOUTS: 1}, {HOSTS: 8}))
    index.put_host("api@prod", "vm1", "a", True)
    index.put_host("api@prod", "vm2", "a", True)
    index.put_status(RolloutStatus(target="web@prod", turn=turn(HOSTS, 1)))
    index.put_status(RolloutStatus(target="job@prod", turn=turn(HOSTS, 2)))
    assert index.next_in_turn() == set()
    index.put_host("api@prod", "vm2", "a", False)
    assert index.next_in_turn() == {"web@prod"}
    assert index.next_in_turn() == set(), "nothing has changed since"
    assert [index.left(HOSTS, name) for name in ("web@prod", "job@prod", "api@prod")] == [1, 0, -1]
    index.put_status(RolloutStatus(target="web@prod", turn=None))
    assert index.next_in_turn() == {"job@prod"}


def test_a_host_that_is_out_for_two_targets_takes_one_place_until_it_is_back_for_both() -> None:
    index = FleetIndex(FleetLimits("prod", {HOSTS: 2, "zone/a": 1}, {HOSTS: 8, "zone/a": 4}))
    for name in ("api@prod", "job@prod", "api@prod"):
        index.put_host(name, "vm1", "a", True)
    assert (index.used[HOSTS], index.used["zone/a"], index.left("zone/a", "web@prod")) == (1, 1, 0)
    index.put_host("api@prod", "vm1", "a", False)
    assert index.used[HOSTS] == 1
    index.forget("job@prod", {"vm1": "a", "vm2": "b"})
    assert index == FleetIndex(index.limits)


def test_a_fleets_limits_are_no_part_of_a_target() -> None:
    spec = spec_of("api@prod", "1", {"hosts": 1})
    assert replace(spec, limits=None).fingerprint == spec.fingerprint


def test_a_changed_target_is_looked_at_whole_even_if_another_of_its_fleet_was_planned_before() -> None:
    places = {"hosts": 1}
    site = fleet(places)
    release(site, places, *NAMES[:2])
    assert site.world.observed("api@prod").changed is None
    assert site.world.observed("job@prod").changed is None
    assert site.world.observed("job@prod").changed == frozenset()


def test_what_nothing_declares_any_more_takes_no_place_whatever_is_noted_about_it() -> None:
    site = fleet({"rollouts": 1})
    status = site.status("api@prod")
    site.world.set_specs({"job@prod": spec_of("job@prod", "2", {"rollouts": 1})}, site.now)
    site.world.apply("api@prod", PutStatus(status.model_copy(update={"under_way": True})), Stamp(0, 0))
    site.run(60)
    assert set(site.versions("job@prod").values()) == {"2"}, site.status("job@prod").conditions


def test_a_target_that_is_to_be_migrated_gets_its_turn_like_any_other() -> None:
    made = {"name": "expand", "command": ["expand"], "check": ["check"]}
    site = fleet({"rollouts": 1})
    first, second = spec_of("api@prod", "2", {"rollouts": 1}), spec_of("job@prod", "2", {"rollouts": 1})
    site.declare(first, replace(second, migrations=Migrations.model_validate_json(json.dumps({"expand": [made]}))))
    site.run(150)
    assert set(site.versions("job@prod").values()) == {"2"}, site.status("job@prod").conditions


def test_a_host_that_is_out_goes_before_one_that_would_need_its_place() -> None:
    """Otherwise that one waits for ever for a place that only mending the other sets free."""
    places = {"zone/a": 1}
    site = Site(spec_of("api@prod", "1", places, count=4, batches=[1], soak="10s"))
    for host in ("vm1", "vm2"):
        command_node(site, "exclude", host)
    site.until(lambda site: site.steps().get("vm3") is Step.SOAKING)
    site.agents["lb2"].admin["api"]["vm3"] = "maint"
    site.declare(spec_of("api@prod", "2", places, count=4, batches=[1]))
    for host in ("vm1", "vm2"):
        command_node(site, "include", host)
    watched(site, places)


def test_hosts_of_other_zones_go_before_one_that_waits_for_a_place_in_its_zone() -> None:
    """It serves nobody yet; all the same a zone that is short of hosts does not keep the others waiting."""
    places = {"zone/a": 1}
    site = converged(spec_of("job@prod", "1", {}, count=4))
    site.install(spec_of("api@prod", "1", places, count=4))
    site.agents["lb1"].marked["job", "vm1"] = "maint"
    site.declare(spec_of("job@prod", "1", places, count=4), spec_of("api@prod", "1", places, count=4, batches=[1]))
    site.run(80)
    assert site.versions("api@prod") == {"vm1": "1", "vm2": "1", "vm3": "", "vm4": "1"}


def test_a_rollout_that_lost_its_place_meanwhile_waits_for_another_after_its_batch() -> None:
    """Its target was not declared for a while, and another one took the place."""
    places = {"rollouts": 1}
    site = release(fleet(places), places, "api@prod").run(2)
    api, job = site.world.specs["api@prod"], spec_of("job@prod", "2", places, batches=[4])
    site.world.set_specs({job.name: job}, site.now)
    site.run(2)
    assert out(site)["job@prod"]
    site.world.set_specs({api.name: api, job.name: job}, site.now)
    site.until(lambda site: site.condition("Ready", "job@prod")[0] == "True")
    begun = [event.object for event in ran(site, "BatchStarted")]
    assert begun == ["api@prod", "job@prod", "job@prod"]
    assert watched(site, places)
