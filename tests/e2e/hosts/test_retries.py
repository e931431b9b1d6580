"""A worker whose first starts end at once is tried again on its host; one that never starts shows how its log ends."""

from pathlib import Path
from typing import Any

import pytest

from controller.demo.layout import FLEET
from tests.support.artifacts import tar_gz
from tests.support.fleet import Rig

pytestmark = [pytest.mark.haproxy, pytest.mark.timeout(300)]

NAME = "importer"
TARGET = f"{NAME}@{FLEET}"
VERSION_FILE = f"versions/{FLEET}/{NAME}.yaml"
IMPORTER = """\
#!/bin/sh
echo start >> "$1"
starts=$(wc -l < "$1")
[ "$starts" -gt FAILING ] || { echo "start $starts: no database"; exit 3; }
touch "$1.ready"
exec sleep 100000
"""


def service(folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "drumbeat/v1alpha1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {
            "hosts": {"role": "trading-api"},
            "artifact": {
                "url": f"file://{folder}/{NAME}-{{version}}.tar.gz",
                "run": ["./importer", f"{folder}/{{version}}-{{host}}"],
            },
            "probes": [{"exec": {"command": ["test", "-e", f"{folder}/{{version}}-{{host}}.ready"]}, "interval": "1s"}],
            "rollout": {"batches": [1, "100%"], "maxUnavailable": "50%", "deadline": "90s", "soak": "1s", "retries": 2},
        },
    }


def version_file(folder: Path, version: str, failing: int) -> dict[str, Any]:
    """A version of which so many starts on each host end at once."""
    checksum = tar_gz({NAME: IMPORTER.replace("FAILING", str(failing))}, folder / f"{NAME}-{version}.tar.gz")
    return {"apiVersion": "drumbeat/v1alpha1", "version": version, "sha256": checksum}


def retried(rig: Rig) -> list[str]:
    """Hosts that were tried again, by the record of events."""
    events = rig.fleet.client.events(TARGET, limit=1000)["items"]
    return [each["object"].rpartition("/")[2] for each in events if each["verb"] == "HostRetried"]


def test_a_crash_loop_is_tried_again_and_then_fails_with_the_end_of_its_log(rig: Rig, tmp_path: Path) -> None:
    hosts = sorted(host.name for host in rig.layout.hosts)
    first = version_file(tmp_path, "1.0", failing=4)
    rig.write({f"services/{NAME}.yaml": service(tmp_path), VERSION_FILE: first}, "Add importer")
    rig.wait("importer everywhere", lambda: rig.has_converged("1.0", TARGET))
    assert sorted(set(retried(rig))) == hosts, "each crashed at first"

    rig.write({VERSION_FILE: version_file(tmp_path, "1.1", failing=1000)}, "Run importer 1.1")
    message = rig.hold("1.1", TARGET)
    assert "crashing: exited with status 3; its log ends: start " in message
    assert message.endswith("; tried 3 times")
    rows = {row["name"]: row for row in rig.target(TARGET)["status"]["hosts"]}
    [failed] = [row for row in rows.values() if row["standing"] == "failed"]
    assert failed["logTail"][-1].endswith(": no database")
    assert retried(rig).count(failed["name"]) > 2
    said = rig.drumbeat("describe", "target", TARGET)
    assert f"{failed['name']}: {failed['logTail'][-1]}" in said.partition("\nLogs:\n")[2]
    assert [name for name in hosts if name != failed["name"]] == sorted(
        name for name, row in rows.items() if row["version"] == "1.0"
    )

    gone = {"apiVersion": "drumbeat/v1alpha1", "version": "1.1", "sha256": "ab" * 32, "state": "absent"}
    rig.write({VERSION_FILE: gone}, "Remove importer")
    rig.wait("its removal", lambda: all(not rig.identity(host, TARGET) for host in hosts))
    assert rig.failures() == {}
