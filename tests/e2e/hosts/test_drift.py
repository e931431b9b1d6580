"""Hosts that drift from what they should be, and a host that joins."""

import os
import shutil
import signal
from dataclasses import replace

import pytest
import yaml

from controller.demo.balancers import site_of
from controller.demo.haproxy import write
from controller.demo.layout import TARGET, Place
from controller.demo.nodes import script
from controller.demo.runtime_api import servers
from tests.support.fleet import FLEET_FILE, Rig
from tests.support.haproxy import ONLINE, HAProxy

pytestmark = [pytest.mark.haproxy, pytest.mark.timeout(300)]


def test_a_killed_service_is_started_again_by_its_agent(rig: Rig) -> None:
    """No controller is needed for that; what a customer was being answered by it is lost, as nothing can help."""
    host = rig.layout.hosts[1].name
    version = rig.target()["status"]["version"]
    before = rig.identity(host)
    with rig.without_customers("lb-1"):
        os.kill(before["pid"], signal.SIGKILL)
        rig.wait("a new process", lambda: rig.starts(version)[host] == 2)
        rig.wait("word of it", lambda: rig.identity(host) not in (before, {}))
        rig.wait("its health", lambda: rig.host(host)["standing"] == "current" and rig.is_served_by(host))
    rig.serve()
    rig.converge(version)
    assert rig.failures() == {}


def test_a_reinstalled_host_is_brought_back_by_a_journey(rig: Rig) -> None:
    """Its agent knows nothing, and nothing runs; it returns with customers at the other hosts."""
    host = rig.layout.hosts[2].name
    version = rig.target()["status"]["version"]
    moved = rig.moved(host)
    with rig.without_customers("lb-1"):
        agent = rig.kill(f"agent-{host}")
        os.kill(rig.identity(host)["pid"], signal.SIGKILL)
        shutil.rmtree(rig.layout.node(host) / "state")
        rig.wait("its end", lambda: not rig.is_served_by(host))
    rig.wait("its silence", lambda: rig.host(host)["silent"])
    rig.restart(agent)
    rig.wait("its return", lambda: rig.host(host)["standing"] == "current" and rig.is_served_by(host))
    rig.converge(version)
    assert rig.moved(host) > moved
    assert rig.starts(version)[host] == 2
    assert rig.failures() == {}


def test_a_new_host_is_tested_before_its_first_request(rig: Rig) -> None:
    """Its line in HAProxy is disabled; a release whose test fails never meets a customer through it."""
    place = Place("trading-09", "127.0.1.99")
    version = rig.target()["status"]["version"]
    rig.layout = rig.fleet.layout = replace(rig.layout, hosts=[*rig.layout.hosts, place])
    write(site_of(rig.layout, rig.layout.balancers[0]))
    HAProxy.attached(rig.fleet.balancers[0]).reload()
    assert servers(rig.fleet.balancers[0].socket, ONLINE)[place.name].status == "MAINT"
    settings = rig.enrol(place.name)
    rig.processes.start(f"agent-{place.name}", [script("drumbeat-agent"), "run", "--config", settings])
    rig.change(FLEET_FILE, lambda text: with_host(text, place))
    seen = watched(rig, place.name)
    assert seen.index("testing") < seen.index("enabling")
    rig.converge(version)
    assert rig.starts(version)[place.name] == 1
    assert rig.is_served_by(place.name)
    rig.serve()
    assert rig.failures() == {}


def with_host(text: str, place: Place) -> str:
    fleet = yaml.safe_load(text)
    hosts = fleet["spec"]["hosts"]
    hosts.append({**hosts[0], "name": place.name, "address": place.address})
    return str(yaml.safe_dump(fleet, sort_keys=False))


def watched(rig: Rig, host: str) -> list[str]:
    """The steps of the host's journey, by the record of events, once it has arrived."""

    def look() -> list[str]:
        events = rig.fleet.client.events(f"{TARGET}/{host}", limit=200)["items"]
        return [each["reason"].lower() for each in events] if events and events[-1]["reason"] == "Arrived" else []

    steps: list[str] = rig.wait(f"the journey of {host}", look)
    return steps
