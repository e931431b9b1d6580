"""A singleton that moves to another host: real processes, and an agent that is killed when it should let go."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.demo.layout import FLEET
from tests.support.artifacts import tar_gz
from tests.support.fleet import FLEET_FILE, Rig

pytestmark = [pytest.mark.haproxy, pytest.mark.timeout(300)]

NAME = "scheduler"
TARGET = f"{NAME}@{FLEET}"
VERSION_FILE = f"versions/{FLEET}/{NAME}.yaml"
SCHEDULER = """\
#!/bin/sh
echo "$2 starts" >> "$1"
trap 'echo "$2 is stopped" >> "$1"; exit 0' TERM
while :; do sleep 0.05; done
"""
LEAVE = """\
#!/bin/sh
echo "$2 quiesces" >> "$1"
sleep 0.5
echo "$2 quiesced" >> "$1"
"""


def service(folder: Path) -> dict[str, Any]:
    told = [f"{folder}/record", "{host}"]
    return {
        "apiVersion": "drumbeat/v1alpha1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {
            "hosts": {"scheduler": "here"},
            "singleton": True,
            "artifact": {
                "url": f"file://{folder}/{NAME}-{{version}}.tar.gz",
                "run": ["./scheduler", *told],
                "quiesce": {"command": ["./leave", *told]},
            },
            "rollout": {"downtime": "allowed", "deadline": "90s"},
        },
    }


def version_file(folder: Path, version: str) -> dict[str, Any]:
    checksum = tar_gz({NAME: SCHEDULER, "leave": LEAVE}, folder / f"{NAME}-{version}.tar.gz")
    return {"apiVersion": "drumbeat/v1alpha1", "version": version, "sha256": checksum}


def here(host: str) -> Callable[[str], str]:
    """What makes the fleet's text say that the scheduler is on that host."""

    def change(text: str) -> str:
        fleet = yaml.safe_load(text)
        for each in fleet["spec"]["hosts"]:
            mark = {"scheduler": "here"} if each["name"] == host else {}
            # A copy: by YAML's anchors several hosts may have one and the same labels.
            each["labels"] = {key: value for key, value in each["labels"].items() if key != "scheduler"} | mark
        return yaml.safe_dump(fleet, sort_keys=False)

    return change


def record(tmp_path: Path) -> list[str]:
    return (tmp_path / "record").read_text().splitlines()


def move(host: str) -> list[str]:
    """What is on record when it leaves the host."""
    return [f"{host} quiesces", f"{host} quiesced", f"{host} is stopped"]


def test_it_begins_on_the_other_host_after_the_first_has_let_go(rig: Rig, tmp_path: Path) -> None:
    before = rig.layout.repository.joinpath(FLEET_FILE).read_text()
    first, second = (host.name for host in rig.layout.hosts[:2])
    rig.change(FLEET_FILE, here(first))
    rig.write(
        {f"services/{NAME}.yaml": service(tmp_path), VERSION_FILE: version_file(tmp_path, "1.0")}, "Add scheduler"
    )
    rig.wait("scheduler", lambda: rig.has_converged("1.0", TARGET) and rig.identity(first, TARGET))

    rig.change(FLEET_FILE, here(second))
    rig.wait("its move", lambda: rig.identity(second, TARGET) and rig.has_converged("1.0", TARGET))
    rig.wait("its record", lambda: f"{second} starts" in record(tmp_path))
    assert record(tmp_path) == [f"{first} starts", *move(first), f"{second} starts"]

    killed = rig.kill(f"agent-{second}")
    rig.change(FLEET_FILE, here(first))
    said = rig.wait("its obstacle", lambda: _elsewhere(rig))
    assert f"{second} has not said that it is gone there" in said
    rig.serve()
    assert record(tmp_path)[-1] == f"{second} starts", "it runs on, without its agent, and nobody beside it"
    rig.restart(killed)
    rig.wait("its return", lambda: record(tmp_path)[-1] == f"{first} starts")
    assert record(tmp_path)[4:] == [f"{second} starts", *move(second), f"{first} starts"]

    rig.write({VERSION_FILE: version_file(tmp_path, "1.1")}, "Run scheduler 1.1")
    rig.wait("another release", lambda: rig.has_converged("1.1", TARGET))
    rig.wait("its record", lambda: record(tmp_path)[9:] == [*move(first), f"{first} starts"])

    gone = {"apiVersion": "drumbeat/v1alpha1", "version": "1.1", "sha256": "ab" * 32, "state": "absent"}
    rig.write({VERSION_FILE: gone}, "Remove scheduler")
    rig.wait("its removal", lambda: not rig.identity(first, TARGET) and record(tmp_path)[13:] == move(first))
    rig.change(FLEET_FILE, lambda _: before)
    assert rig.failures() == {}


def _elsewhere(rig: Rig) -> str:
    conditions = rig.target(TARGET)["status"]["conditions"]
    return "".join(each["message"] for each in conditions if each["reason"] == "RunsElsewhere")
