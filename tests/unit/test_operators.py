"""Abort, retry, skip, restart and the word after a batch: what each does to hosts, and what it refuses."""

import pytest

from crds.status import Step
from reconcilers.operators import Refused
from tests.support.commands import asked, command
from tests.support.site import Site, converged, ran
from tests.support.worlds import NODES, ONLINE, target

QUICK = {"batches": [1], "max_unavailable": 1, "soak": "2s"}


def begun(step: Step, **rollout: object) -> Site:
    site = converged(target("1", **(QUICK | rollout)))
    site.declare(target("2", **(QUICK | rollout)))
    return site.until(lambda site: step in site.steps().values())


def pids(site: Site) -> dict[str, int]:
    return {name: agent.runs["api@prod"][1] for name, agent in site.agents.items() if "api@prod" in agent.runs}


# --- abort


def test_an_aborted_rollout_stops_at_a_host_boundary_and_stays_held() -> None:
    site = begun(Step.SOAKING, batches=["100%"], soak="5s")
    command(site, "abort", asked("wrong version"))
    site.run(60)
    assert site.steps() == {}
    assert 1 <= list(site.versions().values()).count("2") < 4
    assert all(len(site.serving(ONLINE, node)) == 4 for node in NODES)
    assert site.condition("Stalled")[:2] == ("True", "Aborted")
    assert "aborted by ann: wrong version" in site.condition("Stalled")[2]
    site.restart()
    site.run(30)
    assert site.condition("Stalled")[1] == "Aborted"


@pytest.mark.parametrize("release", ["1", "3"])
def test_a_new_release_ends_it(release: str) -> None:
    site = begun(Step.SOAKING)
    command(site, "abort")
    site.run(30)
    site.declare(target(release, **QUICK))
    site.run(120)
    assert set(site.versions().values()) == {release}


def test_there_is_nothing_to_abort_where_nothing_moves() -> None:
    with pytest.raises(Refused, match="has no rollout under way"):
        command(converged(target("1")), "abort")


def test_aborting_twice_is_aborting_once() -> None:
    site = begun(Step.SOAKING)
    assert command(site, "abort").writes
    assert not command(site, "abort").writes


# --- retry


@pytest.mark.parametrize("cause", ["gate", "install"])
def test_failed_hosts_begin_anew_and_the_rollout_goes_on(cause: str) -> None:
    site = converged(target("1", **QUICK, deadline="20s"))
    (site.behaviour.failing if cause == "gate" else site.behaviour.broken).add("2")
    site.declare(target("2", **QUICK, deadline="20s"))
    site.until(lambda site: Step.FAILED in site.steps().values())
    before = pids(site)["vm1"]
    site.behaviour.failing.clear()
    site.behaviour.broken.clear()
    command(site, "retry", asked("", by="bob"))
    site.run(120)
    assert set(site.versions().values()) == {"2"}
    assert pids(site)["vm1"] > before, "a new process, not the one that had failed"
    (event,) = ran(site, "RolloutRetried")
    assert (event.actor, event.message) == ("bob", "failed hosts begin anew: vm1")


def test_a_host_that_fails_again_holds_it_again() -> None:
    site = converged(target("1", **QUICK))
    site.behaviour.failing.add("2")
    site.declare(target("2", **QUICK))
    site.until(lambda site: Step.FAILED in site.steps().values())
    command(site, "retry")
    assert site.status().hold is None
    site.run(30)
    assert site.condition("Stalled")[1] == "GateFailed"
    assert len(ran(site, "RolloutHeld")) == 2


def test_it_lifts_an_abort() -> None:
    site = begun(Step.SOAKING)
    command(site, "abort")
    site.run(30)
    command(site, "retry")
    site.run(120)
    assert set(site.versions().values()) == {"2"}


def test_where_there_is_nothing_to_try_again_it_is_refused() -> None:
    """Whoever asks believes that something is held: he must hear that it is not."""
    with pytest.raises(Refused, match="neither held nor has it failed hosts: there is nothing to try again"):
        command(converged(target("1")), "retry", asked(""))


# --- undo


def test_everything_goes_back_to_the_release_before_and_the_present_one_is_not_tried_again() -> None:
    site = converged(target("1", **QUICK))
    site.declare(target("2", **QUICK))
    site.run(60)
    said = command(site, "undo", asked("slow", by="ann")).message
    assert said == "api@prod goes back to version 1; 2 is not tried again before a new release or a retry"
    site.run(60)
    assert set(site.versions().values()) == {"1"}
    assert site.condition("RolledBack")[:2] == ("True", "Undone")
    assert "undone by ann: slow" in site.condition("Stalled")[2]
    with pytest.raises(Refused, match="api@prod cannot go back: version 2 is in quarantine already"):
        command(site, "undo", asked("again"))
    command(site, "retry")
    site.run(60)
    assert set(site.versions().values()) == {"2"}


def test_there_must_be_something_to_go_back_to_and_a_reason() -> None:
    site = converged(target("1"))
    with pytest.raises(Refused, match="there is nothing to go back to: no other release ran on every host yet"):
        command(site, "undo", asked("x"))
    with pytest.raises(Refused, match="undo needs a reason"):
        command(site, "undo", asked(""))


# --- manual steps, and skip


def test_nobody_goes_on_after_the_batch_before_a_person_says_so() -> None:
    site = converged(target("1", **QUICK, pause_after=[1, 2]))
    site.declare(target("2", **QUICK, pause_after=[1, 2]))
    site.run(60)
    assert list(site.versions().values()).count("2") == 1
    assert site.condition("Stalled")[:2] == ("True", "AwaitingGo")
    site.restart()
    site.run(5)
    command(site, "resume")
    site.run(60)
    assert list(site.versions().values()).count("2") == 2
    command(site, "skip", asked("seen enough"))
    site.run(90)
    assert set(site.versions().values()) == {"2"}
    assert [event.message for event in ran(site, "RolloutResumed")] == [
        "go after batch 1: looking into it",
        "go after batch 2: seen enough",
    ]


def test_a_release_that_was_let_pass_once_waits_for_no_word() -> None:
    site = converged(target("1", **QUICK, pause_after=[1]))
    command(site, "restart")
    site.run(5)
    assert site.steps()
    site.run(90)
    assert site.condition("Ready")[0] == "True"


def test_a_skipped_soak_ends_for_the_hosts_that_soak_now() -> None:
    site = begun(Step.SOAKING, soak="1h")
    command(site, "skip", asked("it is urgent"))
    site.run(3)
    assert "vm1" not in site.steps()
    site.until(lambda site: Step.SOAKING in site.steps().values())
    site.run(60)
    assert Step.SOAKING in site.steps().values(), "the next host soaks as it should"


def test_a_host_whose_soak_is_skipped_must_be_healthy_all_the_same() -> None:
    site = begun(Step.SOAKING, soak="1h")
    site.behaviour.broken.add("2")
    command(site, "skip")
    site.run(5)
    assert site.steps()["vm1"] is Step.FAILED


def test_nothing_to_skip_is_refused() -> None:
    with pytest.raises(Refused, match="waits for nothing that may be skipped"):
        command(converged(target("1")), "skip")


# --- restart


def test_every_host_is_restarted_once_through_the_whole_journey() -> None:
    site = converged(target("1", **QUICK))
    before = pids(site)
    command(site, "restart", asked("memory leak"))
    lowest = 4
    for _ in range(120):
        site.run(1)
        lowest = min(lowest, *(len(site.serving(ONLINE, node)) for node in NODES))
    after = pids(site)
    assert lowest == 3
    assert all(after[name] > before[name] for name in before)
    assert site.condition("Ready")[0] == "True"
    assert [event.verb for event in site.events if event.verb.startswith("Rollout")] == ["RolloutSucceeded"]
    site.restart()
    site.run(60)
    assert pids(site) == after


def test_in_the_midst_of_a_restart_it_says_how_many_hosts_were_restarted() -> None:
    site = converged(target("1", **QUICK))
    command(site, "restart", asked("memory leak"))
    site.run(2)
    assert site.condition("Ready")[2] == "0 of 4 hosts restarted with 1, healthy and online"
    site.run(200)
    assert site.condition("Ready")[2] == "4 of 4 hosts run 1, healthy and online"
    site.install(target("1", 5, **QUICK))
    site.declare(target("1", 5, **QUICK))
    site.until(lambda site: bool(site.journeys()))
    assert site.condition("Ready")[2] == "4 of 5 hosts run 1, healthy and online"
    site.run(60)
    command(site, "restart")
    site.run(2)
    site.declare(target("2", 5, **QUICK))
    site.run(2)
    assert site.condition("Ready")[2] == "0 of 5 hosts run 2, healthy and online"


def test_it_outlives_a_change_of_leader_and_a_host_that_was_away() -> None:
    site = converged(target("1", **QUICK))
    before = pids(site)
    site.behaviour.silent.add("vm3")
    command(site, "restart")
    site.run(10)
    site.restart()
    site.run(120)
    site.behaviour.silent.clear()
    site.run(120)
    assert all(number > before[name] for name, number in pids(site).items())


def test_a_host_that_goes_online_already_is_restarted_in_its_own_turn() -> None:
    site = begun(Step.SOAKING, soak="5s")
    before = pids(site)["vm1"]
    command(site, "restart")
    site.run(2)
    assert pids(site)["vm1"] == before, "customers reach it"
    site.run(300)
    assert pids(site)["vm1"] > before
    assert site.condition("Ready")[0] == "True"


def test_a_restart_that_makes_no_sense_is_refused() -> None:
    site = begun(Step.SOAKING)
    command(site, "abort")
    with pytest.raises(Refused, match="is held"):
        command(site, "restart")
