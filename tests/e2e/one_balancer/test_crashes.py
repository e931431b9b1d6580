"""kill -9 of the controller and of agents at every step of a journey, under load."""

import time
from collections.abc import Callable

import pytest

from crds.status import Step
from tests.support.fleet import CONTROLLER, Rig

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.timeout(300),
]

STEPS = [Step.WAITING, Step.DRAINING, Step.LEAVING, Step.DEPLOYING, Step.TESTING, Step.ENABLING, Step.SOAKING]
ROLLOUTS = 4
"""In so many rollouts each step is seen in time at least once."""


def harm(rig: Rig, victims: dict[Step, set[Callable[[str], str]]]) -> list[str]:
    """Roll versions out, each to its end, and kill each step's victims (named by the host there) once; the versions."""
    versions = []
    while victims:
        assert len(versions) < ROLLOUTS, f"never seen in time: {sorted(victims)}"
        versions.append(rig.bump())
        while not rig.has_converged(versions[-1]):
            rig.processes.check()
            time.sleep(0.005)
            for host, step in rig.journeys().items():
                if step in victims:
                    rig.kill_and_restart(victims[step].pop()(host))
                    victims = {step: left for step, left in victims.items() if left}
                    break
    return versions


def test_the_controller_is_killed_at_every_step(rig: Rig) -> None:
    """It goes on from where it was; no service is started twice, and none that was not due is touched."""
    for version in harm(rig, {step: {lambda _: CONTROLLER} for step in STEPS}):
        assert rig.once_each(version), rig.starts(version)
    assert rig.failures() == {}


def test_agents_are_killed_at_every_step(rig: Rig) -> None:
    """Their services and balancers go on, and nothing is done twice."""
    host, balancer, runner = (lambda name: f"agent-{name}"), (lambda _: "agent-lb-1"), (lambda _: "agent-runner-1")
    victims: dict[Step, set[Callable[[str], str]]] = {
        Step.DRAINING: {host, balancer},
        Step.LEAVING: {balancer},
        Step.DEPLOYING: {host},
        Step.TESTING: {host, balancer, runner},
        Step.ENABLING: {host, balancer},
        Step.SOAKING: {host},
    }
    for version in harm(rig, victims):
        assert rig.once_each(version), rig.starts(version)
    assert rig.failures() == {}


def test_an_agent_finds_its_service_again(rig: Rig) -> None:
    """The process is the same before, during and after its agent's death."""
    name = rig.layout.hosts[0].name
    before = rig.identities()
    killed = rig.kill(f"agent-{name}")
    rig.wait("its silence", lambda: rig.node(name)["status"]["silent"])
    rig.serve()
    rig.restart(killed)
    rig.wait("its return", lambda: not rig.node(name)["status"]["silent"])
    assert rig.identities() == before
    assert rig.failures() == {}
