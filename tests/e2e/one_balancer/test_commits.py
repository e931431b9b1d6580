"""Commits in the midst of a rollout, and a repository that is away, under load."""

import pytest
import requests

from controller.demo.layout import TARGET
from crds.status import Step
from tests.support.fleet import SERVICE_FILE, Rig

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.timeout(300),
]


def metric(rig: Rig, name: str) -> float:
    """The value of a metric without labels."""
    lines = requests.get(f"{rig.layout.controller_url}/metrics", timeout=10).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def test_a_newer_commit_supersedes_in_mid_batch(rig: Rig) -> None:
    """Hosts that are out go straight to the newer release, and no further one gets the older."""
    older = rig.bump()
    with rig.stopped(f"agent-{rig.wait_step(Step.DEPLOYING)}"):  # or the batch might be over before the commit is made
        newer = rig.bump()
        rig.wait("the newer commit", lambda: rig.target()["status"]["version"] == newer)
    rig.converge(newer)
    assert len(rig.starts(older)) < len(rig.layout.hosts)
    assert rig.once_each(newer), rig.starts(newer)
    assert rig.failures() == {}


def test_a_refused_commit_does_not_disturb_a_rollout(rig: Rig) -> None:
    """It is refused whole, loudly, and the last good one stays in force until the mistake is mended."""
    version = rig.bump()
    good = rig.layout.repository.joinpath(SERVICE_FILE).read_text()
    rig.wait_step(Step.DEPLOYING, Step.TESTING)
    rig.change(SERVICE_FILE, lambda text: text.replace("probes:", "probs:", 1))
    refused = rig.wait("the refusal", lambda: rig.state()["refused"])
    assert any(f"{SERVICE_FILE}:" in problem and "did you mean" in problem for problem in refused["problems"])
    rig.converge(version)
    assert rig.once_each(version)
    said = rig.drumbeat("describe", "target", TARGET)
    assert "was refused" in said
    assert "probs" in said
    assert metric(rig, "drumbeat_revision_refused") == 1
    rig.change(SERVICE_FILE, lambda _: good)
    rig.wait("the end of the refusal", lambda: not rig.state()["refused"])
    assert metric(rig, "drumbeat_revision_refused") == 0
    assert rig.has_converged(version)
    assert rig.failures() == {}


def test_a_repository_that_is_away_stops_nothing(rig: Rig) -> None:
    """What is in force stays so and is finished; commits are taken up once it is back."""
    version = rig.bump()
    rig.wait_step(*Step)
    away = rig.layout.repository.with_name("moved-away")
    rig.layout.repository.rename(away)
    try:
        error = rig.wait("word of it", lambda: rig.state()["sourceError"])
        assert str(rig.layout.repository) in error
        assert "the repository cannot be read" in rig.drumbeat("describe", "target", TARGET)
        rig.converge(version)
    finally:
        away.rename(rig.layout.repository)
    rig.wait("its return", lambda: not rig.state()["sourceError"])
    later = rig.bump()
    rig.converge(later)
    assert rig.once_each(later)
    assert rig.failures() == {}
