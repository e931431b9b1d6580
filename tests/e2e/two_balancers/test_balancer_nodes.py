"""Two balancer nodes: reloads, a node whose agent is silent, a node that dies."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller.demo.layout import Place
from controller.demo.runtime_api import ask
from crds.status import Step
from tests.support.fleet import Rig
from tests.support.haproxy import HAProxy

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.timeout(300),
]


class Customer:
    """One connection that is kept."""

    def __init__(self, rig: Rig, balancer: Place) -> None:
        self._connection = http.client.HTTPConnection(balancer.address, rig.layout.ports.online, timeout=60)
        self._connection.connect()
        self.port = int(self._connection.sock.getsockname()[1])

    def ask(self) -> int:
        self._connection.request("GET", "/quote")
        return self._answer()

    def begin(self) -> None:
        """Send an order, but its last byte."""
        self._connection.putrequest("POST", "/quote")
        self._connection.putheader("Content-Length", "7")
        self._connection.endheaders(b"order=")

    def finish(self) -> int:
        self._connection.send(b"1")
        return self._answer()

    def close(self) -> None:
        self._connection.close()

    def _answer(self) -> int:
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def server_of(rig: Rig, node: int, customer: Customer) -> str:
    """Which host HAProxy serves a customer's present request from."""
    for line in ask(rig.fleet.balancers[node].socket, "show sess").splitlines():
        if f":{customer.port} " in line:
            return line.partition(" srv=")[2].split()[0]
    return ""


@contextmanager
def ordering(rig: Rig, node: int, host: str) -> Iterator[Customer]:
    """A customer whose request that very host is serving and cannot end yet."""
    others = []
    try:
        while True:
            customer = Customer(rig, rig.layout.balancers[node])
            customer.begin()
            if rig.wait("a server", lambda one=customer: server_of(rig, node, one)) == host:
                break
            others.append(customer)
        for other in others:
            assert other.finish() == 200
        yield customer
    finally:
        for each in (customer, *others):
            each.close()


def attached(rig: Rig, node: int) -> HAProxy:
    """The fleet's own HAProxy, as one that a test may talk to."""
    return HAProxy.attached(rig.fleet.balancers[node])


def test_a_reload_in_mid_drain_waits_for_kept_alive_clients(rig: Rig) -> None:
    """The old worker still sends them to the host, which must not be touched before they are gone."""
    first = rig.layout.hosts[0].name
    kept = Customer(rig, rig.layout.balancers[1])
    with ordering(rig, 1, first) as customer:
        assert kept.ask() == 200
        version = rig.bump()
        rig.wait(f"{first} draining", lambda: rig.journeys().get(first) is Step.DRAINING)
        assert kept.ask() == 200, "an idle connection lasts but 10 s, and on a busy machine a commit takes long"
        attached(rig, 1).reload()
        rig.wait("word of the old worker", lambda: "from before a reload" in rig.host(first)["reason"])
        assert kept.ask() == 200
        rig.serve()
        assert rig.journeys() == {first: Step.DRAINING}
        assert rig.starts(version) == {}
        assert customer.finish() == 200
    kept.close()
    rig.converge(version)
    assert rig.once_each(version)
    assert rig.failures() == {}


def test_a_silent_balancer_agent_stops_disruption(rig: Rig) -> None:
    """The hosts under way wait, no further one is taken out, and the condition names the node."""
    version = rig.bump()
    rig.wait_step(Step.TESTING)
    with rig.stopped("agent-lb-2"):
        message = rig.leads_with("BalancerSilent")
        assert "lb-2" in message
        out, begun = rig.moved(), rig.starts(version)
        assert not rig.once_each(version)
        rig.serve(3 * 60)
        assert (rig.moved(), rig.starts(version)) == (out, begun)
    rig.converge(version)
    assert rig.once_each(version)
    assert rig.failures() == {}


def test_a_balancer_node_that_dies_stops_disruption(rig: Rig) -> None:
    """Its own customers are gone with it; those of the other node notice nothing, and it returns as it was."""
    version = ""
    with rig.without_customers("lb-2"):
        version = rig.bump()
        rig.wait_step(Step.TESTING)
        killed = rig.kill("lb-2")
        assert "lb-2" in rig.leads_with("BalancerSilent")
        out = rig.moved()
        rig.serve(2 * 60)
        assert rig.moved() == out
        rig.restart(killed)
        rig.wait("lb-2", lambda: rig.node("lb-2")["status"]["headline"] == "Ready")
    rig.converge(version)
    assert rig.once_each(version)
    assert rig.failures() == {}
