"""The checker of acts: what it must let pass, so that no right decision looks like a broken promise."""

import pytest

from agent.drivers.contracts import Server
from crds.messages import AdminState
from tests.simulation.checkers import PromiseBroken
from tests.simulation.checkers.acts import Acts
from tests.simulation.checkers.orders import Orders
from tests.simulation.supposed import supposed

DEAD = {"vm8"}
"""Hosts whose process has ended."""
OUT = {"vm2", "vm5", "vm6"}
"""As many as the fleet's limits allow."""


class AsOrdered(Orders):
    """Every act was asked for."""

    def asks_for(self, node: str, target: str, host: str) -> bool:
        return True


def acts() -> Acts:
    """One service on eight hosts, of which some are out for their journeys."""

    def server(node: str, pool: str, host: str) -> Server:
        up = host not in OUT
        admin: AdminState = "ready" if up else "maint"
        return Server(admin, False, up, up, False, sessions=0, old_workers=0, address="", status="")

    truth = supposed(
        hosts=8,
        server=server,
        digest=lambda host, target: None if host in DEAD else "digest",
        version=lambda host, target: "1",
    )
    made = Acts(truth, AsOrdered(truth))
    made.complete, made.out = {"web"}, {("web", host) for host in OUT}
    return made


def test_a_host_that_fell_by_itself_is_mended_however_many_are_out() -> None:
    acts().taken_out("lb1", "web_online", "vm8")


def test_a_host_that_serves_needs_a_place() -> None:
    with pytest.raises(PromiseBroken, match="vm7 is taken out"):
        acts().taken_out("lb1", "web_online", "vm7")
