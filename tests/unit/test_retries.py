"""A deployment that fails is tried again on its host, as often as the service says and no longer than its deadline."""

from typing import Any

import pytest

from crds.status import Cause, Step
from reconcilers.entries import entries_for
from reconcilers.journey import advance
from reconcilers.supersede import tried_again
from reconcilers.values import service_of
from tests.support.journeys import fails, stays, step_after
from tests.support.promises import PROMISES
from tests.support.site import Site, converged, ran
from tests.support.worlds import BEFORE, Scene, process, scene, service, target

FAILED: dict[str, Any] = {"state": "failed", "healthy": None, "identity": None, "message": "wrong checksum"}
CRASHING: dict[str, Any] = {
    "state": "crashing",
    "healthy": None,
    "identity": None,
    "message": "exited with status 3",
    "log_tail": ["begins", "no database"],
}
UNHEALTHY: dict[str, Any] = {"state": "starting", "healthy": False, "message": "503 from /health"}
WORDS = [(FAILED, "failed: wrong checksum"), (UNHEALTHY, "unhealthy: 503 from /health")]
WORDS += [(CRASHING, "crashing: exited with status 3; its log ends: no database")]


def deploying(retries: int, said: dict[str, Any], **changes: Any) -> Scene:
    return scene(Step.DEPLOYING, target(retries=retries), **changes).but(running=service("2", **said))


@pytest.mark.parametrize(("said", "words"), WORDS)
def test_the_host_stays_out_and_gets_another_process(said: dict[str, Any], words: str) -> None:
    at = deploying(2, said)
    following = advance(at.journey, at.situation)
    assert following is not None
    assert (following.step, following.out, following.tries) == (Step.DEPLOYING, True, 1)
    assert (following.failure, following.log_tail) == (words, said.get("log_tail", []))
    asked = entries_for(at.spec, at.but(journey=following).facts)["vm1", "service"]
    assert service_of(asked).restart == following.restart == 1


@pytest.mark.parametrize(("said", "words"), [each for each in WORDS if each[0] is not UNHEALTHY])
def test_without_a_try_left_it_has_failed_with_its_reason_and_the_end_of_its_log(
    said: dict[str, Any], words: str
) -> None:
    once = fails(deploying(0, said))
    assert (once.reason, once.cause, once.log_tail) == (words, Cause.DEPLOYMENT, said.get("log_tail", []))
    at_last = fails(deploying(2, said, tries=2, failure="failed: something else"))
    assert (at_last.reason, at_last.out) == (f"{words}; tried 3 times", True)


def test_one_that_started_unhealthy_is_waited_for_when_no_try_is_left() -> None:
    assert stays(deploying(0, UNHEALTHY)) == "503 from /health"
    again = {**UNHEALTHY, "restart": 1}
    last = stays(deploying(1, again, tries=1, restart=1, failure="unhealthy: 500 from /health"))
    assert last == "try 2 of 2: 503 from /health; the one before unhealthy: 500 from /health"


def test_what_an_older_process_said_uses_up_no_try() -> None:
    older = [
        deploying(2, {**UNHEALTHY, "restart": 0}, tries=1, restart=1),
        deploying(2, {**UNHEALTHY, "identity": process(1)}),
        deploying(2, {**CRASHING, "read": BEFORE}),
    ]
    for at in older:
        following = advance(at.journey, at.situation)
        assert following is not None
        assert (following.step, following.tries) == (Step.DEPLOYING, at.journey.tries)


@pytest.mark.parametrize("step", [Step.TESTING, Step.SOAKING])
def test_gates_and_soaks_are_not_tried_again(step: Step) -> None:
    spec = target(retries=5, soak="60s")
    at = scene(step, spec)
    at = at.gated("failed") if step is Step.TESTING else at.but(running=service("2", **UNHEALTHY))
    assert fails(at).tries == 0


def test_the_deadline_of_the_host_ends_its_tries() -> None:
    at = deploying(10, CRASHING).after(600)
    failed = fails(at)
    assert failed.cause is Cause.DEADLINE
    assert "no database" in failed.reason
    assert failed.log_tail == CRASHING["log_tail"]


def test_the_log_of_a_failed_try_is_forgotten_once_one_works() -> None:
    at = scene(Step.DEPLOYING, target(retries=1), tries=1, failure="crashing", log_tail=["no database"])
    assert step_after(at) is Step.TESTING
    following = advance(at.journey, at.situation)
    assert following is not None
    assert (following.tries, following.failure, following.log_tail) == (1, "", [])


# --- a whole rollout


def rollout(starts: int, retries: int, **changes: Any) -> Site:
    site = converged(target("1", retries=retries, **changes), checks=PROMISES)
    site.behaviour.crashing["2"] = starts
    site.declare(target("2", retries=retries, **changes))
    return site


def test_a_release_that_starts_at_the_third_try_is_rolled_out() -> None:
    site = rollout(starts=2, retries=2).until(lambda site: set(site.versions().values()) == {"2"})
    site.until(lambda site: site.condition("Ready")[0] == "True")
    retried = ran(site, "HostRetried")
    assert [event.object for event in retried].count("api@prod/vm1") == 2
    assert retried[0].message == "crashing: exit status 1; its log ends: start 1: no database"


def test_one_that_never_starts_stops_at_the_first_host() -> None:
    site = rollout(starts=99, retries=2).until(lambda site: site.condition("Stalled")[1] == "HostFailed")
    failed = [journey for journey in site.journeys().values() if journey.step is Step.FAILED]
    assert [journey.reason.rpartition("; ")[2] for journey in failed] == ["tried 3 times"]
    assert failed[0].log_tail == ["start 3: no database"]
    assert len(ran(site, "HostRetried")) == 2


def test_a_controller_that_is_restarted_meanwhile_grants_no_further_try() -> None:
    site = rollout(starts=99, retries=3)
    site.until(lambda site: any(journey.tries == 2 for journey in site.journeys().values()))
    site.restart()
    site.until(lambda site: site.condition("Stalled")[1] == "HostFailed")
    [failed] = [journey for journey in site.journeys().values() if journey.step is Step.FAILED]
    assert (failed.tries, failed.log_tail) == (3, ["start 4: no database"])


def test_retry_by_a_person_begins_to_count_anew() -> None:
    failed = scene(Step.FAILED, target(retries=1), tries=1, out=True, failure="x", log_tail=["y"])
    again = tried_again(failed.journey, failed.spec, failed.facts, failed.now, 1)
    assert again is not None
    assert (again.tries, again.failure, again.log_tail, again.restart) == (0, "", [], 1)
