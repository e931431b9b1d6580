"""A second service on the same hosts, that no balancer knows: its gates ask each host directly."""

from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from controller.demo.layout import FLEET
from controller.demo.processes import free_ports
from tests.support.artifacts import tar_gz
from tests.support.fleet import Rig

pytestmark = [pytest.mark.haproxy, pytest.mark.timeout(300)]

NAME = "worker"
TARGET = f"{NAME}@{FLEET}"
VERSION_FILE = f"versions/{FLEET}/{NAME}.yaml"
WORKER = """\
#!/usr/bin/env -S python3 -IS
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"SAYS")
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer.allow_reuse_address = True
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


def service(port: int, folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "drumbeat/v1alpha1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {
            "hosts": {"role": "trading-api"},
            "artifact": {
                "url": f"file://{folder}/{NAME}-{{version}}.tar.gz",
                "run": ["./worker", "{address}", str(port)],
            },
            "probes": [{"http": {"port": port, "path": "/"}, "interval": "1s"}],
            "gates": [{"name": "says", "http": {"path": "/", "contains": "worker {version}"}}],
            "rollout": {"batches": [1, "100%"], "maxUnavailable": "50%", "deadline": "90s"},
        },
    }


def version_file(folder: Path, version: str, says: str) -> dict[str, Any]:
    checksum = tar_gz({NAME: WORKER.replace("SAYS", says)}, folder / f"{NAME}-{version}.tar.gz")
    return {"apiVersion": "drumbeat/v1alpha1", "version": version, "sha256": checksum}


def answers(rig: Rig, port: int) -> set[str]:
    found = set()
    for host in rig.layout.hosts:
        with urlopen(f"http://{host.address}:{port}/", timeout=10) as answer:
            found.add(answer.read().decode())
    return found


def test_a_service_without_pools_is_gated_on_each_host(rig: Rig, tmp_path: Path) -> None:
    """Its rollouts leave the other service alone; one whose gate fails stays with the one host that tried it."""
    # Not reserved: the service is the first to listen there, at the hosts' own addresses.
    [port] = free_ports(1)
    others = rig.identities()
    first = version_file(tmp_path, "1.0", "worker 1.0")
    rig.write({f"services/{NAME}.yaml": service(port, tmp_path), VERSION_FILE: first}, "Add worker")
    rig.wait("worker everywhere", lambda: rig.has_converged("1.0", TARGET))
    assert answers(rig, port) == {"worker 1.0"}

    rig.write({VERSION_FILE: version_file(tmp_path, "1.1", "something else")}, "Run worker 1.1")
    assert "gate says failed" in rig.hold("1.1", TARGET)
    assert answers(rig, port) == {"worker 1.0", "something else"}
    rows = rig.target(TARGET)["status"]["hosts"]
    assert sorted(row["standing"] for row in rows) == ["failed", *["outdated"] * (len(rows) - 1)]

    rig.write({VERSION_FILE: version_file(tmp_path, "1.2", "worker 1.2")}, "Run worker 1.2")
    rig.wait("worker mended", lambda: rig.has_converged("1.2", TARGET))
    assert answers(rig, port) == {"worker 1.2"}

    gone = {"apiVersion": "drumbeat/v1alpha1", "version": "1.2", "sha256": "ab" * 32, "state": "absent"}
    rig.write({VERSION_FILE: gone}, "Remove worker")
    rig.wait("its removal", lambda: all(not rig.identity(host.name, TARGET) for host in rig.layout.hosts))
    assert rig.identities() == others
    assert rig.failures() == {}
