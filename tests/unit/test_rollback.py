"""A failed release is taken back, stays in quarantine, and is not tried again before git or somebody moves on."""

from dataclasses import replace
from typing import Any

import pytest

from crds.messages import Stamp
from crds.status import GoodRelease, Quarantine, RolloutStatus, Step
from reconcilers.rollback import effective, retried, undone, way_back
from reconcilers.target import TargetSpec
from reconcilers.writes import PutStatus
from tests.support.promises import PROMISES
from tests.support.site import Site, converged, ran
from tests.support.worlds import NOW, ONLINE, gate, probe, release, seconds, service, target

ROLLOUT: dict[str, Any] = {"batches": [1, "100%"], "max_unavailable": "50%", "on_failure": "rollback"}


def spec(version: str | None, **changes: Any) -> TargetSpec:
    return target(version, **(ROLLOUT | changes))


def rolled_back(**changes: Any) -> Site:
    """A site whose version 2 failed its gate on the first host, and that runs version 1 again."""
    site = converged(spec("1", **changes), checks=PROMISES)
    site.behaviour.failing.add("2")
    site.declare(spec("2", **changes))
    return site.until(lambda site: site.condition("Stalled")[1] == "RolledBack")


def decide_status(site: Site, status: RolloutStatus) -> None:
    """An operator's word, carried out as a command would."""
    site.world.apply(status.target, PutStatus(status), Stamp(0, 0))
    site.world.look_at_all(status.target)


def good(version: str, **said: Any) -> GoodRelease:
    return GoodRelease(release=release(version), since=NOW, **said)


def bad(version: str) -> Quarantine:
    digest = release(version).digest
    return Quarantine(digest=digest, version=version, reason="GateFailed", message="no", since=NOW)


# --- what takes the place of what


def test_while_nothing_is_in_quarantine_the_target_is_as_declared() -> None:
    declared = spec("2")
    assert effective(declared, RolloutStatus(target="api@prod", good=good("1"))) is declared
    other = RolloutStatus(target="api@prod", good=good("1"), quarantine=bad("9"))
    assert effective(declared, other) is declared


def test_the_good_release_comes_with_its_own_probes_gates_and_statement() -> None:
    kept = good("1", statement="signed", probes=[probe("/old")], gates=[gate("old")])
    status = RolloutStatus(target="api@prod", good=kept, quarantine=bad("2"))
    found = effective(spec("2", statement="other", trust="trust"), status)
    assert found.release == release("1")
    assert (found.version, found.in_place_of) == ("1", "2")
    assert (found.probes, found.gates, found.statement, found.trust) == (
        (probe("/old"),),
        (gate("old"),),
        "signed",
        "trust",
    )
    assert not found.unsigned


def test_a_fleet_that_demands_signatures_does_not_go_back_to_what_was_never_signed() -> None:
    status = RolloutStatus(target="api@prod", good=good("1"), quarantine=bad("2"))
    found = effective(spec("2", statement="other", trust="trust"), status)
    assert found.unsigned == "version 1, which would be gone back to, was never signed; release another version"


def test_the_way_back_may_have_a_plan_of_its_own() -> None:
    status = RolloutStatus(target="api@prod", good=good("1"), quarantine=bad("2"))
    declared = spec("2", soak="10m", rollback={"batches": ["100%"], "soak": "0s"})
    rollout = effective(declared, status).rollout
    assert (rollout.batches, rollout.soak, rollout.max_unavailable) == (["100%"], 0.0, "50%")


def test_the_release_before_is_remembered_for_going_back_further() -> None:
    site = converged(spec("1"))
    for version in ("2", "3"):
        site.declare(spec(version))
        site.run(40)
    status = site.status()
    assert status.good is not None
    assert status.former is not None
    assert (status.good.release, status.former.release) == (release("3"), release("2"))
    assert way_back(status, release("3").digest) == status.former


# --- a rollout that fails


def test_a_failed_release_is_taken_back_and_stays_in_quarantine() -> None:
    site = rolled_back()
    assert set(site.versions().values()) == {"1"}
    assert all(len(site.serving(ONLINE, node)) == 4 for node in ("lb1", "lb2"))
    ready, stalled, back = (site.condition(kind) for kind in ("Ready", "Stalled", "RolledBack"))
    assert ready == ("False", "RolledBack", "4 of 4 hosts run 1, healthy and online, in place of 2")
    assert stalled[2].startswith("version 2 was taken back: vm1: gate smoke failed: ")
    ends = "It goes on with the next release, or 'drumbeat rollout retry api@prod'"
    assert stalled[2].endswith(f"; version 1 runs in its place. {ends}")
    assert back[:2] == ("True", "GateFailed")
    assert [event.reason for event in ran(site, "ReleaseQuarantined")] == ["GateFailed"]
    assert [event.message for event in ran(site, "RolledBack")] == ["version 1"]
    site.run(1)
    passes = site.passes
    site.run(50)
    assert site.passes == passes, "it rests"
    assert site.versions()["vm1"] == "1"


def test_only_the_hosts_that_had_moved_are_moved_back() -> None:
    site = rolled_back()
    moved = {event.object for event in ran(site, "HostMoved")}
    assert moved == {"api@prod/vm1"}


def test_hosts_under_way_turn_back_at_once_and_hosts_that_arrived_in_their_turn() -> None:
    site = converged(spec("1"), checks=PROMISES)
    site.declare(spec("2"))
    site.until(lambda site: site.status().batch == 2 and Step.TESTING in site.steps().values())
    site.behaviour.failing.add("2")
    site.until(lambda site: site.condition("Stalled")[1] == "RolledBack", rounds=120)
    assert set(site.versions().values()) == {"1"}


def test_it_says_in_words_that_it_is_going_back() -> None:
    site = converged(spec("1"))
    site.behaviour.failing.add("2")
    site.declare(spec("2"))
    site.until(lambda site: site.status().quarantine is not None)
    assert site.condition("Reconciling")[2].startswith("rolling back from 2 to 1: batch 1: vm1 ")
    assert site.condition("RolledBack")[2].endswith("; version 1 takes its place")


def test_the_failed_release_is_not_tried_again_after_a_restart_or_a_changed_gate() -> None:
    site = rolled_back()
    site.behaviour.failing.clear()
    site.restart()
    site.run(30)
    site.declare(spec("2", gates=(gate("smoke"), gate("new"))))
    site.run(30)
    assert set(site.versions().values()) == {"1"}
    assert site.condition("Stalled")[1] == "RolledBack"


def test_another_release_ends_the_quarantine() -> None:
    site = rolled_back()
    site.declare(spec("3"))
    site.run(40)
    assert set(site.versions().values()) == {"3"}
    assert site.condition("Ready")[0] == "True"
    assert site.status().quarantine is None
    assert site.condition("RolledBack") == ("False", "NotRolledBack", "")


def test_git_that_goes_back_by_itself_moves_nobody() -> None:
    site = rolled_back()
    moves = len(ran(site, "HostMoved"))
    site.declare(spec("1"))
    site.run(10)
    assert site.condition("Ready")[:2] == ("True", "Converged")
    assert site.status().quarantine is None
    assert len(ran(site, "HostMoved")) == moves


def test_a_newer_release_ends_a_rollback_at_the_hosts_boundary() -> None:
    site = converged(spec("1"), checks=PROMISES)
    site.behaviour.failing.add("2")
    site.declare(spec("2"))
    site.until(lambda site: site.status().quarantine is not None)
    site.declare(spec("3"))
    site.run(40)
    assert set(site.versions().values()) == {"3"}
    assert site.condition("Ready")[0] == "True"


def test_a_first_deployment_has_nothing_to_go_back_to_and_is_held() -> None:
    site = Site(spec("1"))
    site.behaviour.failing.add("1")
    site.run(30)
    status, reason, message = site.condition("Stalled")
    assert (status, reason) == ("True", "GateFailed")
    assert "there is nothing to go back to: no other release ran on every host yet" in message
    assert site.status().quarantine is None


def test_a_rollback_that_fails_is_held() -> None:
    """And does not go forward again."""
    site = converged(spec("1"), checks=PROMISES)
    site.behaviour.failing |= {"1", "2"}
    site.declare(spec("2"))
    site.run(60)
    status, reason, message = site.condition("Stalled")
    assert (status, reason) == ("True", "GateFailed")
    assert "rolling back has failed itself" in message
    assert site.versions() == {"vm1": "1", "vm2": "1", "vm3": "1", "vm4": "1"}
    assert site.steps() == {"vm1": Step.FAILED}


def test_a_release_that_once_ran_everywhere_is_not_taken_back_for_one_host_that_fails_later() -> None:
    site = converged(spec("1"))
    site.declare(spec("2"))
    site.run(40)
    site.behaviour.failing.add("2")
    site.behaviour.stuck.add("vm3")
    site.agents["vm3"].runs["api@prod"] = ("something else", 7)
    site.run(2)
    site.behaviour.stuck.clear()
    site.run(20)
    assert site.status().quarantine is None
    assert "every host ran this release before" in site.condition("Stalled")[2]


def test_past_the_point_of_no_return_a_failure_is_held_and_says_so() -> None:
    site = converged(spec("1"))
    why = "migration drop-column has removed what version 1 reads"
    site.behaviour.failing.add("2")
    site.declare(spec("2"))
    site.run(1)
    decide_status(site, site.status().model_copy(update={"no_return": why}))
    site.run(20)
    assert site.condition("Stalled")[2].startswith("vm1: gate smoke failed")
    assert f"there is no way back: {why}" in site.condition("Stalled")[2]
    with pytest.raises(ValueError, match="migration drop-column"):
        undone(site.status(), "jo", "slow", site.now)


def test_a_rollout_that_is_held_is_rolled_back_once_its_service_asks_for_that() -> None:
    site = converged(spec("1", on_failure="hold"))
    site.behaviour.failing.add("2")
    site.declare(spec("2", on_failure="hold"))
    site.run(20)
    assert site.condition("Stalled")[1] == "GateFailed"
    site.declare(spec("2"))
    site.run(30)
    assert site.condition("Stalled")[1] == "RolledBack"


def test_a_removal_is_held_not_rolled_back() -> None:
    site = converged(spec("1", deadline="20s"))
    site.behaviour.busy.add("vm1")
    site.declare(spec(None, deadline="20s", batches=[1]))
    site.run(60)
    assert site.status().quarantine is None
    assert "a removal is not rolled back" in site.condition("Stalled")[2]


# --- people


def test_a_retry_tries_the_release_again() -> None:
    site = rolled_back()
    site.behaviour.failing.clear()
    decide_status(site, retried(site.status(), site.now))
    site.run(40)
    assert set(site.versions().values()) == {"2"}
    assert site.condition("Ready")[0] == "True"


def test_a_retry_of_a_held_rollout_begins_with_the_host_that_failed() -> None:
    site = converged(spec("1", on_failure="hold"))
    site.behaviour.failing.add("2")
    site.declare(spec("2", on_failure="hold"))
    site.until(lambda site: site.condition("Stalled")[0] == "True")
    site.behaviour.failing.clear()
    decide_status(site, retried(site.status(), site.now))
    site.run(1)
    assert set(site.steps()) == {"vm1"}
    assert site.condition("Stalled")[0] == "False"
    site.run(40)
    assert set(site.versions().values()) == {"2"}


def test_undo_goes_back_from_a_release_that_runs_everywhere() -> None:
    site = converged(spec("1"))
    site.declare(spec("2"))
    site.run(40)
    decide_status(site, undone(site.status(), "jo", "prices look wrong", site.now))
    site.run(40)
    assert set(site.versions().values()) == {"1"}
    assert site.condition("Stalled")[2].startswith("version 2 was taken back: prices look wrong; version 1 runs")
    with pytest.raises(ValueError, match="version 2 is in quarantine already; version 1 runs"):
        undone(site.status(), "jo", "again", site.now)


def test_undo_without_a_former_release_says_so() -> None:
    with pytest.raises(ValueError, match="nothing to go back to"):
        undone(converged(spec("1")).status(), "jo", "", NOW)


# --- silence is not evidence


def test_a_host_lost_on_its_way_holds_a_rollout_and_never_rolls_it_back() -> None:
    site = converged(spec("1", deadline="2m"))
    site.behaviour.stuck.add("vm1")
    site.declare(spec("2", deadline="2m"))
    site.until(lambda site: Step.DEPLOYING in site.steps().values())
    site.behaviour.silent.add("vm1")
    site.run(200)
    assert site.status().quarantine is None
    status, reason, message = site.condition("Stalled")
    assert (status, reason) == ("True", "HostFailed")
    assert "its agent does not report" in message


@pytest.mark.parametrize("on", ["on_failure", "on_deadline"])
def test_a_days_absence_of_the_controller_rolls_nothing_back(on: str) -> None:
    """Promise 11."""
    rollout = {on: "rollback", "deadline": "5m", "progress_deadline": "5m", "rollout_deadline": "10m"}
    site = converged(spec("1", **rollout), checks=PROMISES)
    site.declare(spec("2", **rollout))
    site.until(lambda site: Step.DEPLOYING in site.steps().values())
    site.now += seconds(86400)
    site.restart()
    site.run(60)
    assert site.condition("Ready")[0] == "True"
    assert set(site.versions().values()) == {"2"}


def test_the_world_forgets_what_a_vanished_target_had_in_quarantine_no_sooner_than_it_is_declared_again() -> None:
    site = rolled_back()
    site.world.set_specs({}, site.now)
    site.declare(spec("2"))
    site.run(5)
    assert site.world.specs["api@prod"].in_place_of == "2"
    assert replace(site.world.declared["api@prod"]).version == "2"
    assert service("1").version == site.versions()["vm1"]
