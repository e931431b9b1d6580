"""One host, two services: who has it, when it is let go for another's hotfix, and how the first goes on."""

from typing import Any

import pytest

from controller.claims import Claims
from crds.service import Migrations
from crds.status import Step
from reconcilers.draft import Observed
from reconcilers.target import TargetSpec
from reconcilers.writes import Plan, PutJourney
from tests.support.commands import command
from tests.support.promises import PROMISES
from tests.support.site import Check, Site, converged
from tests.support.worlds import NODES, gate, journey, pool, target

API, WEB = "api@prod", "web@prod"


def api(version: str, **changes: Any) -> TargetSpec:
    return target(version, count=2, batches=["100%"], max_unavailable=2, deadline="5m", **changes)


def web(version: str) -> TargetSpec:
    return target(version, count=2, name=WEB, pools=(pool("web", NODES, "web-tests", 9090),), batches=[1])


def held_in_maintenance() -> Site:
    """api's vm1 has failed its test, vm2 is out and still installs; api is held. Nobody claims vm2 any more."""
    site = converged(api("1"), web("1"), checks=PROMISES)
    site.behaviour.failing.add("2")
    site.behaviour.stuck.add("vm2")
    site.declare(api("2"))
    site.until(lambda at: at.steps() == {"vm1": Step.FAILED, "vm2": Step.DEPLOYING})
    site.run(1)
    assert site.status().hold is not None
    assert site.journeys()["vm2"].yields
    return site


def both_deploying(*checks: Check) -> Site:
    """api's hosts are both out, and their installations do not end."""
    site = converged(api("1"), web("1"), checks=[*PROMISES, *checks])
    site.behaviour.stuck |= {"vm1", "vm2"}
    site.declare(api("2"))
    site.until(lambda at: at.steps() == {"vm1": Step.DEPLOYING, "vm2": Step.DEPLOYING})
    return site


def migrate_first(site: Site) -> None:
    """api goes to version 3 instead, once a migration has passed, which does not end either."""
    made = {"name": "add-column", "command": ["add"], "check": ["check"]}
    site.behaviour.outcomes["add-column"] = "running"
    site.declare(api("3", migrations=Migrations.model_validate({"expand": [made]})))


def hotfix_under_way() -> Site:
    """web's hotfix has vm2, and stays there: its installation does not end."""
    site = held_in_maintenance()
    site.behaviour.failing.clear()
    site.declare(web("2"))
    site.until(lambda at: at.steps(WEB).get("vm2") is Step.DEPLOYING)
    return site


def test_a_hold_lets_go_of_hosts_that_are_out_so_that_a_hotfix_of_another_service_passes() -> None:
    site = hotfix_under_way()
    assert site.versions(WEB)["vm1"] == "2", "a failed host was left to others before"
    site.run(1)
    assert site.journeys()["vm2"].reason == f"{WEB} has it on a journey"


def test_a_pause_lets_go_of_hosts_that_are_out_and_resuming_waits_for_the_hotfix_to_leave() -> None:
    site = both_deploying()
    command(site, "pause")
    site.declare(web("2"))
    site.until(lambda at: at.steps(WEB).get("vm1") is Step.DEPLOYING)
    command(site, "resume")
    site.run(10)
    assert site.world.claims.of_another(API, "vm1") == WEB
    assert (site.steps()["vm1"], site.journeys()["vm1"].yields) == (Step.DEPLOYING, True)
    assert site.world.claims.of_another(WEB, "vm2") == API, "it was not taken meanwhile"
    site.behaviour.stuck.clear()
    site.run(80)
    assert all(site.condition("Ready", name)[0] == "True" for name in (API, WEB))


def test_a_host_that_is_out_and_waits_for_a_migration_is_left_to_other_services() -> None:
    """Found by the simulator: a freeze kept the migration from beginning, and the host out for the other service."""
    site = both_deploying()
    migrate_first(site)
    site.behaviour.stuck.clear()
    site.declare(web("2"))
    site.until(lambda at: set(at.versions(WEB).values()) == {"2"})
    assert set(site.steps().values()) == {Step.LEAVING}
    site.behaviour.outcomes["add-column"] = "passed"
    site.run(80)
    assert set(site.versions().values()) == {"3"}
    assert all(site.condition("Ready", name)[0] == "True" for name in (API, WEB))


def claimed_before_it_moves_on(_: TargetSpec, observed: Observed, decided: Plan) -> None:
    """Otherwise another target, planned right after this one, takes the host as well."""
    for write in decided.writes:
        if isinstance(write, PutJourney) and write.journey.step is Step.DEPLOYING:
            before = observed.journeys.get(write.journey.host)
            assert before is None or before.step is not Step.LEAVING or not write.journey.yields


def test_a_host_that_waited_for_a_migration_is_claimed_in_the_same_plan_in_which_it_goes_on() -> None:
    site = both_deploying(claimed_before_it_moves_on)
    migrate_first(site)
    site.run(5)
    assert all(each.step is Step.LEAVING and each.yields for each in site.journeys().values())
    site.behaviour.outcomes["add-column"] = "passed"
    site.behaviour.stuck.clear()
    site.run(80)
    assert set(site.versions().values()) == {"3"}


def test_a_host_that_waits_for_nothing_stays_claimed_when_a_gate_comes_before_its_release() -> None:
    site = both_deploying()
    site.behaviour.outcomes["look"] = "running"
    site.declare(api("2", gates=(gate(), gate("look").model_copy(update={"when": "before"}))))
    site.declare(web("2"))
    site.run(10)
    assert not any(each.yields for each in site.journeys().values())
    assert set(site.versions(WEB).values()) == {"1"}


def test_whoever_came_first_has_a_host_that_two_claim_and_the_next_one_follows() -> None:
    on_the_way = journey(api("2"), Step.DEPLOYING)
    claims = Claims({})
    assert not claims.put(WEB, "vm1", on_the_way)
    assert not claims.put(API, "vm1", on_the_way)
    assert (claims.of_another(API, "vm1"), claims.of_another(WEB, "vm1")) == (WEB, None)
    assert claims.put(WEB, "vm1", None)
    assert (claims.of_another(API, "vm1"), claims.of_another(WEB, "vm1")) == (None, API)
    assert not claims.put(WEB, "vm1", None)


def test_a_host_that_is_held_and_that_nobody_else_wants_goes_on_and_arrives() -> None:
    site = held_in_maintenance()
    site.behaviour.failing.clear()
    site.behaviour.stuck.clear()
    site.run(30)
    assert site.steps() == {"vm1": Step.FAILED}
    assert site.versions()["vm2"] == "2"


def test_a_host_that_is_not_out_yet_is_claimed_however_its_rollout_stands() -> None:
    site = converged(api("1"), web("1"), checks=PROMISES)
    site.behaviour.failing.add("2")
    site.behaviour.busy.add("vm2")
    site.declare(api("2"))
    site.until(lambda at: at.status().hold is not None)
    site.declare(web("2"))
    site.run(20)
    assert site.steps()["vm2"] in (Step.DRAINING, Step.LEAVING)
    assert site.versions(WEB)["vm2"] == "1"


@pytest.mark.parametrize("version", ["1", "3"])
def test_a_new_release_stands_still_on_that_host_until_the_other_service_has_left_it(version: str) -> None:
    site = hotfix_under_way()
    site.declare(api(version))
    site.run(20)
    assert site.journeys()["vm2"].yields
    assert site.world.claims.of_another(API, "vm2") == WEB
    assert site.versions()["vm1"] == version, "other hosts go on"
    site.behaviour.stuck.clear()
    site.agents["vm2"].take(site.agents["vm2"].taken)
    site.run(80)
    for name in (API, WEB):
        assert site.condition("Ready", name)[0] == "True", site.status(name)
    assert set(site.versions().values()) == {version}


def test_no_time_runs_for_the_first_while_the_other_has_the_host() -> None:
    site = hotfix_under_way()
    before = site.journeys()["vm2"].elapsed
    site.run(20, 10.0)
    assert site.journeys()["vm2"].elapsed - before < 15
    assert site.steps()["vm2"] is Step.DEPLOYING


def test_another_controller_knows_who_has_the_host() -> None:
    site = hotfix_under_way()
    site.declare(api("3"))
    site.run(2)
    site.restart()
    assert site.world.claims.of_another(API, "vm2") == WEB
    assert site.world.claims.of_another(WEB, "vm2") is None
    site.behaviour.stuck.clear()
    site.run(100)
    assert all(site.condition("Ready", name)[0] == "True" for name in (API, WEB))
