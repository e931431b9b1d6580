"""From the operator's command to the plan: what a node said last counts no more within seconds of its revocation."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bus.keyring import ALL_ROLES, KeyRing, NodeEntry
from bus.keys import generate_key, public_text
from controller.cli.main import app
from tests.support.controller import Served, controller
from tests.support.states import state
from tests.support.waiting import eventually


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A controller whose nodes have just reported, and will not be silent for an hour."""
    ring = KeyRing(tmp_path / "keys")
    for name in ("lb1", "vm1"):
        key = public_text(generate_key().public_key)
        ring.register(name, NodeEntry(public_key=key, token_hash="A" * 48, roles=list(ALL_ROLES)))
    with controller(tmp_path) as running:
        running.controller.commit(state("1"))
        running.reaches("Converged")
        yield running


def run(served: Served, *words: str) -> str:
    environment = {"DRUMBEAT_SERVER": served.url, "DRUMBEAT_KEYS_DIRECTORY": str(served.controller.keys)}
    done = CliRunner().invoke(app, list(words), env=environment)
    assert done.exit_code == 0, done.output
    return done.output


def headline(served: Served, node: str) -> str:
    return str(served.get(f"/api/v1/nodes/{node}")["status"]["headline"])


def test_a_plan_does_not_count_a_balancer_node_that_is_revoked(served: Served) -> None:
    run(served, "nodes", "revoke", "lb1")
    eventually(lambda: headline(served, "lb1") == "Revoked")
    served.controller.bus.speak("lb1")
    served.controller.commit(state("2"))
    found = served.reaches("BalancerSilent")
    (condition,) = [each for each in found["status"]["conditions"] if each["reason"] == "BalancerSilent"]
    assert "balancer node lb1 does not count: it is revoked" in condition["message"]
    assert "drumbeat nodes restore lb1" in condition["message"]
    assert headline(served, "lb1") == "Revoked", "whatever it says"
    assert "NodeRevoked" in run(served, "events", "--for", "lb1")

    run(served, "nodes", "restore", "lb1")
    eventually(lambda: headline(served, "lb1") == "Silent")
    served.controller.bus.speak("lb1")
    served.reaches("Converged", current=4)
    assert "NodeRestored" in run(served, "events", "--for", "lb1")


def test_a_host_that_is_revoked_is_unavailable_and_says_why(served: Served) -> None:
    run(served, "nodes", "revoke", "vm1")
    eventually(lambda: "it is revoked" in run(served, "describe", "target", "api@prod"))
    assert "Revoked" in run(served, "get", "nodes")
    assert "drumbeat nodes rekey vm1" in run(served, "describe", "node", "vm1")
