"""Hosts and releases that fail in the midst of a rollout, under load."""

import pytest

from controller.demo.layout import TARGET
from crds.status import Step
from tests.support.fleet import WRONG_CHECKSUM, Rig
from tests.support.releases import LAST_WORDS

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.timeout(300),
]


def test_a_host_whose_agent_stops_in_mid_deploy_is_waited_for(rig: Rig) -> None:
    """Its silence proves nothing: it stays out, and goes on from there."""
    version = rig.bump()
    host = rig.wait_step(Step.DEPLOYING)
    with rig.stopped(f"agent-{host}"):
        rig.wait("its silence", lambda: rig.host(host)["silent"])
        seat = {each["admin"] for each in rig.host(host)["seats"]}
        assert seat == {"maint"}
        rig.serve()
        assert rig.journeys().get(host) is Step.DEPLOYING
        assert host in rig.drumbeat("describe", "target", TARGET).partition("Next:")[0]
    rig.converge(version)
    assert rig.once_each(version)
    assert rig.failures() == {}


def test_a_release_that_crashes_is_held_with_its_last_words(rig: Rig) -> None:
    """One host tries it, outside the pools; the next release mends that host too."""
    before = rig.identities()
    bad = rig.bump(crashing=True)
    message = rig.hold(bad)
    assert LAST_WORDS in message
    [tried] = rig.starts(bad)
    assert tried in message
    rig.serve()
    assert set(rig.starts(bad)) == {tried}
    after = {host: rig.identity(host) for host in before if host != tried}
    assert after == {host: before[host] for host in after}
    good = rig.bump()
    rig.converge(good)
    assert rig.once_each(good)
    assert rig.failures() == {}


def test_an_archive_with_another_checksum_is_held_and_never_started(rig: Rig) -> None:
    before = rig.identities()
    bad = rig.bump_with_wrong_checksum()
    message = rig.hold(bad)
    assert "sha256" in message.lower()
    assert WRONG_CHECKSUM in message
    assert rig.starts(bad) == {}
    # Nobody needs to stop what runs for a release that cannot be installed.
    assert rig.identities() == before
    good = rig.bump()
    rig.converge(good)
    assert rig.once_each(good)
    assert rig.failures() == {}
