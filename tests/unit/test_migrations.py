"""Migrations: once for a release, expand before the first host is taken out, contract after the last is back."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from crds.command import OperatorCommand
from crds.service import Migrations
from crds.status import Mark
from reconcilers.draft import Observed
from reconcilers.operators import Case, Refused, decide
from reconcilers.rollback import retried
from reconcilers.stages import approved
from reconcilers.target import TargetSpec
from reconcilers.writes import PutStatus
from tests.support.site import Site, converged, ran
from tests.support.worlds import NOW, RUNNER, target

ADD = {"name": "add-column", "command": ["./add.sh", "{version}"], "check": ["./has.sh"]}
DROP = {"name": "drop-column", "command": ["./drop.sh"], "check": ["./lacks.sh"]}
OLD = target("1")


def migrating(expand: list[dict[str, Any]], contract: list[dict[str, Any]], name: str = "api@prod") -> TargetSpec:
    said = Migrations.model_validate({"expand": expand, "contract": contract})
    return replace(target("2", name=name), migrations=said)


def asked(site: Site, node: str = RUNNER) -> list[str]:
    """Migrations that were ever asked of a runner, in their order."""
    return [spec.name for spec in site.agents[node].ran.values() if spec.migration]


def arrived(version: str = "2") -> Callable[[Site], bool]:
    """Every host runs the version, and the target is ready."""
    return lambda at: set(at.versions().values()) == {version} and at.condition("Ready")[0] == "True"


def said(site: Site, name: str, name_of_target: str = "api@prod") -> tuple[str, str]:
    """State and message of a task."""
    record = next(each for each in site.status(name_of_target).tasks if each.name == name)
    return record.state, record.message


def observed(site: Site) -> Observed:
    return site.world.observed("api@prod")


def decided(site: Site, status: Any) -> Site:
    """A person has decided something about the target."""
    site.world.apply("api@prod", PutStatus(status), site.world.nodes.get("vm1").report.taken)  # type: ignore[union-attr]
    site.world.look_at_all("api@prod")
    return site.run(1)


def test_no_host_is_taken_out_before_expand_has_passed() -> None:
    site = converged(OLD)
    site.behaviour.outcomes["add-column"] = "running"
    site.declare(migrating([ADD], []))
    site.run(20)
    assert (site.journeys(), asked(site)) == ({}, ["add-column"])
    assert site.condition("Reconciling")[1:] == ("Migrating", f"migration add-column runs on {RUNNER}")
    site.behaviour.outcomes["add-column"] = "passed"
    site.until(arrived())
    assert set(site.versions().values()) == {"2"}
    assert asked(site) == ["add-column"]


def test_contract_comes_after_the_last_batch_and_hosts_are_ready_meanwhile() -> None:
    site = converged(OLD)
    site.declare(migrating([ADD], [DROP]))
    site.until(lambda at: "drop-column" in asked(at))
    assert set(site.versions().values()) == {"2"}
    assert not site.journeys()
    site.run(3)
    assert (site.condition("Ready")[0], site.condition("Reconciling")[0]) == ("True", "False")
    assert [event.reason for event in ran(site, "TaskEnded")] == ["ExpandPassed", "ContractPassed"]
    site.run(30)
    assert asked(site) == ["add-column", "drop-column"]


def test_the_output_is_kept_with_the_digest_and_forgotten_with_the_release() -> None:
    site = converged(OLD)
    site.declare(migrating([ADD], []))
    site.until(arrived()).run(2)
    (kept,) = site.world.operations.of("api@prod").values()
    assert kept.digest == site.status().digest
    assert kept.result is not None
    assert kept.result.message == "2 passed"
    assert not [key for keys in site.world.entries[RUNNER].values() for key in keys], "the runner is asked no more"
    site.declare(target("3"))
    site.run(15)
    assert site.status().tasks == []
    assert not site.world.operations.of("api@prod")


@pytest.mark.parametrize(("outcome", "reason"), [("failed", "MigrationFailed"), ("inconclusive", "MigrationUnclear")])
def test_expand_that_does_not_pass_holds_until_a_person_lets_it_go_on(outcome: str, reason: str) -> None:
    site = converged(OLD)
    site.behaviour.outcomes["add-column"] = outcome
    site.declare(migrating([ADD], []))
    site.run(20)
    assert asked(site) == ["add-column"], "never by itself"
    assert site.condition("Stalled")[:2] == ("True", reason)
    assert "expand migration add-column" in site.condition("Stalled")[2]
    assert set(site.versions().values()) == {"1"}
    site.behaviour.outcomes["add-column"] = "passed"
    decided(site, retried(site.status(), site.now))
    site.until(arrived())
    assert asked(site) == ["add-column"] * 2
    assert set(site.versions().values()) == {"2"}


def test_contract_that_fails_stalls_and_is_tried_again_when_a_person_says_so() -> None:
    site = converged(OLD)
    site.behaviour.outcomes["drop-column"] = "failed"
    site.declare(migrating([], [DROP]))
    site.run(40)
    assert site.condition("Ready")[0] == "True"
    assert site.condition("Stalled")[:2] == ("True", "MigrationFailed")
    assert asked(site) == ["drop-column"]
    site.behaviour.outcomes["drop-column"] = "passed"
    decided(site, retried(site.status(), site.now)).run(3)
    assert (asked(site), site.condition("Stalled")[0]) == (["drop-column"] * 2, "False")


def test_contract_waits_for_a_persons_go_for_this_release() -> None:
    site = converged(OLD)
    site.declare(migrating([], [DROP | {"approval": "required"}]))
    site.until(arrived()).run(5)
    assert asked(site) == []
    assert site.condition("Reconciling")[:2] == ("True", "ApprovalNeeded")
    of_another = approved(site.status().model_copy(update={"digest": "another"}), "ann", "", NOW).approval
    decided(site, site.status().model_copy(update={"approval": of_another})).run(5)
    assert asked(site) == []
    case = Case(OperatorCommand(by="ann", reason="looks well"), site.world.specs["api@prod"], observed(site), site.now)
    (put, event) = decide("approve", case).writes
    assert isinstance(put, PutStatus)
    decided(site, put.status).run(3)
    assert (asked(site), event.actor) == (["drop-column"], "ann")  # type: ignore[union-attr]
    with pytest.raises(Refused, match="waits for a go"):
        decide("approve", replace(case, observed=observed(site)))
    assert site.condition("Reconciling")[0] == "False"


def test_what_is_declared_after_the_first_host_went_is_the_next_releases() -> None:
    site = converged(OLD)
    site.declare(target("2"))
    site.until(lambda at: bool(at.journeys()))
    site.declare(migrating([ADD], [DROP]))
    site.until(arrived()).run(5)
    assert asked(site) == []
    site.declare(
        replace(migrating([ADD], [DROP]), **{name: getattr(target("3"), name) for name in ("release", "version")})
    )
    site.run(40)
    assert asked(site) == ["add-column", "drop-column"]


def test_a_first_look_at_hosts_that_run_the_release_already_migrates_nothing() -> None:
    site = converged(OLD)
    site.world.statuses.clear()
    site.declare(replace(migrating([ADD], [DROP]), release=OLD.release, version="1"))
    site.run(10)
    assert site.condition("Ready")[0] == "True"
    assert asked(site) == []


def test_hosts_that_are_out_already_wait_for_expand_too_and_their_time_does_not_run() -> None:
    site = converged(OLD)
    site.behaviour.stuck |= {"vm1", "vm2", "vm3", "vm4"}
    site.declare(target("2"))
    site.until(lambda at: "deploying" in at.steps().values())
    site.behaviour.outcomes["add-column"] = "running"
    site.declare(replace(migrating([ADD], []), **{name: getattr(target("3"), name) for name in ("release", "version")}))
    site.behaviour.stuck.clear()
    site.run(20, span=60.0)
    assert set(site.steps().values()) == {"leaving"}
    (journey,) = site.journeys().values()
    assert journey.reason == f"migration add-column runs on {RUNNER}"
    site.behaviour.outcomes["add-column"] = "passed"
    site.until(arrived("3"))
    assert asked(site) == ["add-column"]


def test_a_migration_stays_with_a_silent_runner_until_that_is_taken_out_of_the_fleet() -> None:
    two = replace(migrating([ADD], []), runners=("run1", "run2"))
    site = converged(replace(OLD, runners=("run1", "run2")))
    site.behaviour.outcomes["add-column"] = "running"
    site.declare(two)
    site.run(2)
    (busy,) = [node for node in ("run1", "run2") if asked(site, node)]
    other = {"run1": "run2", "run2": "run1"}[busy]
    site.behaviour.silent.add(busy)
    site.run(10, span=60.0)
    assert asked(site, other) == []
    assert "how far it is nobody knows" in site.condition("Reconciling")[2]
    site.behaviour.outcomes["add-column"] = "passed"
    site.declare(replace(two, runners=(other,)))
    site.until(arrived(), rounds=90)
    assert asked(site, other) == ["add-column"]
    ids = [{each for each, spec in site.agents[node].ran.items() if spec.migration} for node in ("run1", "run2")]
    assert ids[0] == ids[1], "it is the same operation"


def test_an_older_releases_migration_is_waited_for() -> None:
    site = converged(OLD)
    site.behaviour.outcomes["add-column"] = "running"
    site.declare(migrating([ADD], []))
    site.run(3)
    newer = {name: getattr(target("3"), name) for name in ("release", "version")}
    site.declare(replace(migrating([ADD | {"name": "other"}], []), **newer))
    site.run(10)
    assert asked(site) == ["add-column"]
    assert said(site, "other")[1].startswith("waits for the lock api: migration add-column of api@prod has it")
    site.behaviour.outcomes["add-column"] = "passed"
    site.until(arrived("3"))
    assert asked(site) == ["add-column", "other"]
    assert [each.spec.name for each in site.world.operations.of("api@prod").values()] == ["other"]


def test_one_migration_at_a_time_runs_under_a_lock_of_a_fleet() -> None:
    web = target("1", name="web@prod", pools=())
    elsewhere = target("1", name="api@staging", pools=())
    site = converged(OLD, web, elsewhere)
    site.behaviour.outcomes["add-column"] = "running"
    locked = [ADD | {"lock": "orders"}]
    site.declare(migrating(locked, []))
    site.declare(replace(migrating(locked, [], "web@prod"), pools=()))
    site.declare(replace(migrating(locked, [], "api@staging"), pools=()))
    site.run(10)
    assert len(asked(site)) == 2
    assert said(site, "add-column", "web@prod")[0] == "waiting"
    assert said(site, "add-column", "api@staging")[0] == "running", "another fleet's database is another one"
    site.behaviour.outcomes["add-column"] = "passed"
    site.run(60)
    assert len(asked(site)) == 3
    assert {site.condition("Ready", name)[0] for name in site.world.specs} == {"True"}


@pytest.mark.parametrize("lasts", [1, 2, 5])
def test_a_new_controller_asks_for_the_same_operation(lasts: int) -> None:
    site = converged(OLD)
    site.behaviour.outcomes["add-column"] = "running"
    site.declare(migrating([ADD], []))
    site.run(lasts)
    site.restart()
    site.run(3)
    site.behaviour.outcomes["add-column"] = "passed"
    site.restart()
    site.until(arrived())
    assert asked(site) == ["add-column"]


def test_there_is_no_way_back_past_an_incompatible_expand_or_a_contract() -> None:
    def no_return(expand: list[dict[str, Any]], contract: list[dict[str, Any]]) -> Site:
        site = converged(OLD)
        site.declare(migrating(expand, contract))
        site.run(1)
        return site

    assert no_return([ADD], []).status().no_return == ""
    site = no_return([ADD | {"compatible": False}], [])
    words = "expand migration add-column of 2 has begun, and the release before does not work with it"
    assert site.status().no_return == words
    site.declare(target("3"))
    site.run(1)
    assert site.status().no_return == words, "release 2 never succeeded: one would go back to 1"
    site = no_return([], [DROP])
    assert site.status().no_return == ""
    site.run(40)
    assert site.status().no_return == "contract migration drop-column of 2 has begun"
    site.declare(target("3"))
    site.run(1)
    assert site.status().no_return == "", "2 has succeeded: that is what one goes back to"


def test_the_same_release_in_another_rollout_is_asked_about_anew() -> None:
    """What a runner said in the first one may still be on its way."""
    site = converged(OLD)
    site.declare(migrating([ADD], []))
    site.until(arrived())
    site.declare(target("3"))
    site.until(arrived("3"))
    site.declare(migrating([ADD], []))
    site.until(arrived())
    assert asked(site) == ["add-column"] * 2, "its check says that it is done already"


def test_a_contract_waits_for_what_is_in_the_way_and_says_so() -> None:
    site = converged(OLD)
    site.declare(migrating([], [DROP | {"approval": "required"}]))
    site.until(arrived()).run(3)
    pause = Mark(by="jo", reason="a look first", since=site.now)
    decided(site, approved(site.status(), "ann", "", NOW).model_copy(update={"pause": pause})).run(3)
    assert (asked(site), site.condition("Ready")[0]) == ([], "True")
    assert site.condition("Reconciling")[1] == "Migrating"
    assert site.condition("Reconciling")[2].startswith("migration drop-column waits: paused by jo")
    decided(site, site.status().model_copy(update={"pause": None})).run(3)
    assert asked(site) == ["drop-column"]


def test_nothing_begins_while_something_else_is_in_the_way() -> None:
    site = converged(OLD)
    site.behaviour.silent.add("lb1")
    site.run(5, span=60.0)
    site.declare(migrating([ADD], []))
    site.run(5)
    assert (asked(site), site.condition("Reconciling")[1]) == ([], "BalancerSilent")
    unsigned = converged(OLD)
    unsigned.declare(replace(migrating([ADD], []), unsigned="api@prod is not signed; sign it"))
    unsigned.run(5)
    assert asked(unsigned) == []
