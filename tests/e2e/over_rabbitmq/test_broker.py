"""kill -9 of the broker under a rollout and under load."""

import pytest

from controller.demo.rabbitmq import RABBITMQ
from crds.status import Step
from tests.support.fleet import CONTROLLER, Rig

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.timeout(400),
]


def everybody_is_silent(rig: Rig) -> bool:
    return all(rig.node(place.name)["status"]["silent"] for place in (*rig.layout.hosts, *rig.layout.balancers))


@pytest.mark.parametrize("step", [Step.DRAINING, Step.DEPLOYING, Step.TESTING, Step.SOAKING])
def test_a_rollout_waits_for_the_broker(step: Step, rig: Rig) -> None:
    """No further host is taken out while it is away, nothing fails, and all goes on once it is back."""
    version = rig.bump()
    rig.wait_step(step)
    broker = rig.kill(RABBITMQ)
    rig.wait("silence", lambda: everybody_is_silent(rig))
    out = rig.moved()
    rig.serve()
    assert rig.moved() == out
    assert not rig.has_converged(version)
    assert rig.target()["status"]["hold"] is None
    rig.restart(broker)
    rig.converge(version)
    assert rig.once_each(version), rig.starts(version)
    assert rig.failures() == {}


def test_services_outlive_broker_and_controller(rig: Rig) -> None:
    """Without anybody who could tell them what to do, agents keep running what they were told."""
    before = rig.identities()
    broker, controller = rig.kill(RABBITMQ), rig.kill(CONTROLLER)
    rig.serve()
    rig.restart(controller)
    rig.restart(broker)
    rig.target()  # it answers
    rig.wait("everybody's return", lambda: rig.identities() == before)
    version = rig.bump()
    rig.converge(version)
    assert rig.once_each(version), rig.starts(version)
    assert rig.failures() == {}
