"""Three nodes over TLS, with real processes, through the proxy of deploy/haproxy/controller.cfg; no root needed."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from controller.demo.programs import find_program
from tests.support.certificates import Authority
from tests.support.enrolled import Machine, machine
from tests.support.ports import free_port, own_address
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
ROLES = {
    "vm1": ("host", "host: {}"),
    "lb1": ("balancer", "balancer: {driver: haproxy}"),
    "runner1": ("runner", "runner: {}"),
}


@dataclass
class Site:
    """The controller's machine, and the proxy before it."""

    machine: Machine
    authority: Authority
    url: str


def proxy_config(certificate: Path, port: int, controller: str) -> str:
    """The shipped configuration, at other addresses."""
    config = (ROOT / "deploy/haproxy/controller.cfg").read_text(encoding="utf-8")
    for said, here in (
        ("bind :443", f"bind {own_address()}:{port}"),
        ("/etc/haproxy/drumbeat.pem", str(certificate)),
        ("127.0.0.1:7420", controller.removeprefix("http://")),
    ):
        assert said in config
        config = config.replace(said, here)
    return config


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with machine(tmp_path) as made:
        authority, port = Authority(tmp_path / "ca"), free_port()
        config = tmp_path / "haproxy.cfg"
        both = tmp_path / "drumbeat.pem"
        both.write_bytes(b"".join(path.read_bytes() for path in authority.issue("proxy", own_address())))
        config.write_text(proxy_config(both, port, made.url))
        haproxy = subprocess.Popen([find_program("haproxy"), "-db", "-f", config])
        try:
            url = f"https://{own_address()}:{port}"
            eventually(lambda: _answers(url, authority))
            yield Site(made, authority, url)
        finally:
            haproxy.kill()
            haproxy.wait()


def _answers(url: str, authority: Authority) -> int:
    try:
        return requests.get(f"{url}/healthz", verify=str(authority.file), timeout=10).status_code
    except requests.ConnectionError:
        return 0


@pytest.mark.haproxy
def test_three_nodes_are_enrolled_over_tls(site: Site) -> None:
    assert _answers(site.url, site.authority) == 403, "the proxy lets nothing through but the bus"
    plain, site.machine.url = site.machine.url, site.url
    trusted = ["--ca", str(site.authority.file)]
    stranger = ["--ca", str(Authority(site.machine.folder / "stranger").file)]
    for name, (role, settings) in ROLES.items():
        token = site.machine.drumbeat("nodes", "invite", name, "--role", role)
        assert "certificate verify failed" in site.machine.join(name, token, code=1, more=stranger)
        assert f"{name}: joined as {role}" in site.machine.join(name, token, more=trusted)
        site.machine.agent(name, settings, bus=f"bus: {site.url}\nca: {site.authority.file}")
    site.machine.url = plain
    for name in ROLES:
        eventually(lambda name=name: site.machine.node(name).get("lastSeen"), patience=60.0)  # type: ignore[misc]
    listed = [line.split()[:3] for line in site.machine.drumbeat("nodes", "list").splitlines()[1:]]
    assert listed == [["lb1", "joined", "balancer"], ["runner1", "joined", "runner"], ["vm1", "joined", "host"]]
    assert site.machine.logged("report.refused") == []
