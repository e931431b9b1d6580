"""A host that is taken out of the fleet, and a service that is only observed, behind a real HAProxy under load."""

import psutil
import pytest
import yaml

from controller.demo.layout import TARGET
from controller.demo.runtime_api import servers
from tests.support.fleet import FLEET_FILE, SERVICE_FILE, Rig
from tests.support.haproxy import ONLINE

pytestmark = [pytest.mark.haproxy, pytest.mark.timeout(300)]


def without(text: str, host: str) -> str:
    fleet = yaml.safe_load(text)
    fleet["spec"]["hosts"] = [each for each in fleet["spec"]["hosts"] if each["name"] != host]
    return str(yaml.safe_dump(fleet, sort_keys=False))


def in_mode(text: str, mode: str) -> str:
    service = yaml.safe_load(text)
    service["spec"]["mode"] = mode
    return str(yaml.safe_dump(service, sort_keys=False))


def standing(rig: Rig, host: str) -> str:
    """Empty while it is none of the target's."""
    return "".join(row["standing"] for row in rig.target()["status"]["hosts"] if row["name"] == host)


def test_a_removed_host_is_drained_disabled_stopped_and_forgotten_and_may_come_back(rig: Rig) -> None:
    host = rig.layout.hosts[0].name
    version = rig.target()["status"]["version"]
    pid, before = rig.identity(host)["pid"], rig.layout.repository.joinpath(FLEET_FILE).read_text()
    rig.change(FLEET_FILE, lambda text: without(text, host))
    rig.wait("its end", lambda: not psutil.pid_exists(pid))
    assert servers(rig.fleet.balancers[0].socket, ONLINE)[host].status == "MAINT"
    events = rig.wait("its record", lambda: rig.fleet.client.events(f"{TARGET}/{host}", limit=50)["items"])
    assert "HostLeaves" in {each["verb"] for each in events}
    rig.converge(version)
    rig.serve()
    rig.change(FLEET_FILE, lambda _: before)
    rig.wait("its return", lambda: standing(rig, host) == "current" and rig.is_served_by(host))
    rig.converge(version)
    assert rig.starts(version)[host] == 2
    assert rig.failures() == {}


def test_an_observed_service_is_not_touched_and_says_what_would_happen(rig: Rig) -> None:
    identities, moved = rig.identities(), rig.moved()
    rig.change(SERVICE_FILE, lambda text: in_mode(text, "observe"))
    version = rig.bump()
    said = rig.leads_with("Observed")
    count = len(rig.layout.hosts)
    assert f"{count} of {count} would go to {version}" in said
    rig.serve()
    assert (rig.identities(), rig.moved()) == (identities, moved)
    assert "observe" in rig.drumbeat("describe", "target", TARGET)
    rig.change(SERVICE_FILE, lambda text: in_mode(text, "manage"))
    rig.converge(version)
    assert rig.once_each(version)
    assert rig.failures() == {}
