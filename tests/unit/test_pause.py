"""Pausing: no host is taken out, hosts under way finish, and it lasts until a person or its time lifts it."""

import pytest

from crds.status import Step
from reconcilers.operators import Refused
from tests.support.commands import asked, command
from tests.support.site import Site, converged, ran
from tests.support.worlds import target


def under_way(**rollout: object) -> Site:
    """A rollout whose first host is out."""
    defaults = {"batches": [1], "max_unavailable": 1}
    site = converged(target("1", **(defaults | rollout)))
    site.declare(target("2", **(defaults | rollout)))
    return site.until(lambda site: Step.DEPLOYING in site.steps().values() or Step.TESTING in site.steps().values())


def test_hosts_under_way_finish_and_no_other_is_taken_out() -> None:
    site = under_way()
    command(site, "pause")
    site.run(60)
    assert sorted(site.versions().values()) == ["1", "1", "1", "2"]
    assert site.steps() == {}
    status, reason, message = site.condition("Stalled")
    assert (status, reason) == ("True", "Paused")
    assert "by ann since" in message and "looking into it" in message


def test_it_goes_on_when_it_is_resumed() -> None:
    site = under_way()
    command(site, "pause")
    site.run(30)
    command(site, "resume", asked("found it", by="bob"))
    site.run(90)
    assert set(site.versions().values()) == {"2"}
    assert [(event.verb, event.actor, event.message) for event in site.events if event.actor] == [
        ("RolloutPaused", "ann", "looking into it"),
        ("RolloutResumed", "bob", "found it"),
    ]


def test_it_survives_a_change_of_leader_and_a_newer_release() -> None:
    site = under_way()
    command(site, "pause")
    site.restart()
    site.declare(target("3", batches=[1], max_unavailable=1))
    site.run(60)
    assert site.condition("Stalled")[1] == "Paused"
    assert "3" not in [version for host, version in site.versions().items() if host != "vm1"]


def test_until_lifts_it_on_time_and_wakes_the_target() -> None:
    site = under_way()
    command(site, "pause", asked(until="10m"))
    site.run(60)
    assert site.condition("Reconciling")[1] == "Paused"
    pause = site.status().pause
    assert pause is not None and site.wakes["api@prod"] == pause.until
    site.run(60, span=30.0)
    assert set(site.versions().values()) == {"2"}
    assert [event.reason for event in ran(site, "RolloutResumed")] == ["TimeIsUp"]


def test_waiting_hosts_do_not_fail_however_long_it_takes() -> None:
    site = converged(target("1", batches=["100%"], max_unavailable=1, deadline="60s"))
    site.declare(target("2", batches=["100%"], max_unavailable=1, deadline="60s"))
    site.until(lambda site: Step.WAITING in site.steps().values())
    command(site, "pause")
    site.run(30).run(100, span=60.0)
    assert list(site.steps().values()) == [Step.WAITING] * 3
    command(site, "resume")
    site.run(120)
    assert set(site.versions().values()) == {"2"}
    assert not ran(site, "RolloutHeld")


def test_asking_twice_does_no_harm() -> None:
    site = under_way()
    assert command(site, "pause").writes
    assert not command(site, "pause").writes
    assert command(site, "resume").writes
    assert not command(site, "resume").writes


def test_one_may_change_his_own_pause_and_not_somebody_elses() -> None:
    site = under_way()
    command(site, "pause")
    since = site.now
    site.run(3)
    command(site, "pause", asked(until="1h"))
    pause = site.status().pause
    assert pause is not None and pause.until is not None and pause.since == since
    with pytest.raises(Refused, match=r"is paused already by ann since .* resume it first"):
        command(site, "pause", asked("another reason", by="bob"))


@pytest.mark.parametrize(
    ("until", "words"),
    [
        ("yesterday", "neither a duration nor a time"),
        ("2001-01-01T00:00Z", "is over already"),
        ("2999-01-01T00:00", "has no time zone"),
        ("0s", "is over already"),
    ],
)
def test_a_time_that_cannot_be_is_refused(until: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        command(under_way(), "pause", asked(until=until))


def test_it_needs_a_reason() -> None:
    with pytest.raises(Refused, match="pause needs a reason"):
        command(under_way(), "pause", asked(" "))


def test_the_rollouts_own_deadlines_stand_still_meanwhile() -> None:
    limits = {"rollout_deadline": "2m", "progress_deadline": "1m"}
    site = under_way(**limits)
    command(site, "pause")
    site.run(30).run(60, span=60.0)
    command(site, "resume")
    site.run(90)
    assert set(site.versions().values()) == {"2"}
    assert not ran(site, "RolloutHeld")


def test_the_wait_for_a_word_is_nobodys_delay() -> None:
    limits = {"rollout_deadline": "2m", "progress_deadline": "1m", "pause_after": [1]}
    site = under_way(**limits)
    site.run(60).run(60, span=60.0)
    assert site.condition("Stalled")[1] == "AwaitingGo"
    command(site, "resume")
    site.run(90)
    assert set(site.versions().values()) == {"2"}
