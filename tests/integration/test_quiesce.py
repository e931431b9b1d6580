"""A worker finishes its job before it is stopped: real processes, and agents that are killed meanwhile."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.contracts import Running
from agent.drivers.supervisors import process
from crds.release import Quiesce, Release
from tests.support.supervised import marked, next_agent
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
TARGET = "worker@prod"
WORKER = """\
echo "$VERSION starts" >> record
trap 'echo "$VERSION is stopped" >> record; exit 0' TERM
while :; do sleep 0.02; done
"""
LEAVE = """\
echo "$VERSION quiesces" >> record
touch begun
until [ -e done ]; do sleep 0.02; done
echo "$VERSION quiesced" >> record
"""
AGENT = """
import os, signal, sys, time
from pathlib import Path
from random import Random
from agent.drivers.supervisors import process, quiesce
from agent.posix import PosixProcesses
from bus.clock import SystemClock
from crds.release import Release

folder, point = Path(sys.argv[1]), sys.argv[2]
old, new = [Release.model_validate_json(text) for text in sys.argv[3:]]

class Planted(PosixProcesses):
    def start(self, start, log):
        asked = quiesce.MARK in start.environment
        if asked and point == "before it":
            os.kill(os.getpid(), signal.SIGKILL)
        identity = super().start(start, log)
        if asked and point == "after its start":
            os.kill(os.getpid(), signal.SIGKILL)
        return identity

base = {"PATH": os.environ["PATH"]}
random = Random(f"killed {folder}")
driver = process.Driver(process.Config(), folder / "state", Planted(), SystemClock(), random, lambda: None, base)
driver.ensure("worker@prod", old, folder, {}, {})
while not (folder / "record").exists():
    time.sleep(0.01)
while True:
    driver.ensure("worker@prod", new, folder, {}, {})
    if (folder / "begun").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
"""


def release(tmp_path: Path, version: str, *command: str, timeout: float = 30.0, **said: Any) -> Release:
    environment = {"VERSION": version, "MARK": str(tmp_path)}
    quiesce = Quiesce(command=list(command) or ["sh", "leave"], timeout=timeout)
    run = ["sh", "worker"]
    said = {"environment": environment, "quiesce": quiesce, "run": run, **said}
    return Release(version=version, url="x", sha256="0" * 64, stop_timeout=5.0, **said)


def record(tmp_path: Path) -> list[str]:
    file = tmp_path / "record"
    return file.read_text().splitlines() if file.exists() else []


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture(autouse=True)
def _scripts(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "worker").write_text(WORKER)
    (tmp_path / "leave").write_text(LEAVE)
    yield
    for pid in marked(tmp_path):
        with contextlib.suppress(ProcessLookupError):  # a worker's pauses are processes, too
            os.kill(pid, signal.SIGKILL)


def ensure(driver: process.Driver, tmp_path: Path, wanted: Release) -> Running:
    return driver.ensure(TARGET, wanted, tmp_path, {"host": "h1", "version": wanted.version}, {})


def runs(driver: process.Driver, tmp_path: Path, wanted: Release) -> Callable[[], Running | None]:
    """Whether that release runs, after another step towards it."""

    def look() -> Running | None:
        running = ensure(driver, tmp_path, wanted)
        return running if running.identity and running.digest == wanted.digest else None

    return look


def begun(tmp_path: Path, driver: process.Driver, wanted: Release) -> Running:
    """The release runs, and has begun its work."""
    running = ensure(driver, tmp_path, wanted)
    eventually(lambda: f"{wanted.version} starts" in record(tmp_path))
    return running


def test_it_is_stopped_once_its_work_is_done(tmp_path: Path) -> None:
    driver, old, new = next_agent(tmp_path), release(tmp_path, "1"), release(tmp_path, "2")
    first = begun(tmp_path, driver, old)
    eventually(lambda: (ensure(driver, tmp_path, new), (tmp_path / "begun").exists())[1])
    for _ in range(10):
        running = ensure(driver, tmp_path, new)
        assert (running.identity, running.digest) == (first.identity, old.digest)
        assert "finishing its work" in running.message
        assert running.again_in
    (tmp_path / "done").touch()
    running = eventually(runs(driver, tmp_path, new))
    eventually(lambda: "2 starts" in record(tmp_path))
    assert record(tmp_path) == ["1 starts", "1 quiesces", "1 quiesced", "1 is stopped", "2 starts"]
    assert (running.message, running.crashing) == ("", False)


def test_it_knows_the_process_and_has_its_environment_folder_and_secrets(tmp_path: Path) -> None:
    script = 'echo "$DRUMBEAT_PID $VERSION $PASSWORD $DRUMBEAT_HOST $0 $(pwd)" > told'
    told = release(tmp_path, "1", "sh", "-c", script, "{host}", secrets={"PASSWORD": "database"})
    driver = next_agent(tmp_path)
    first = driver.ensure(TARGET, told, tmp_path, {"host": "h1"}, {"PASSWORD": "tr0ub4dor"})
    eventually(lambda: record(tmp_path) == ["1 starts"])
    eventually(lambda: driver.stop(TARGET, 5.0).identity is None)
    assert first.identity
    assert (tmp_path / "told").read_text().split() == [
        str(first.identity.pid), "1", "tr0ub4dor", "h1", "h1", str(tmp_path)
    ]  # fmt: skip
    kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file() and b"tr0ub4dor" in path.read_bytes()]
    assert kept == [], "no secret is written down"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["sh", "-c", "echo no queue; exit 3"], "quiesce sh exited with status 3"),
        (["./gone"], "quiesce ./gone was not run: cannot start './gone'"),
        (["sh", "-c", "sleep 1000 & sleep 1000"], "quiesce sh did not end within 0.3 s and was killed"),
    ],
)
def test_one_that_fails_is_told_and_the_process_stopped_all_the_same(
    tmp_path: Path, command: list[str], words: str
) -> None:
    driver = next_agent(tmp_path)
    old, new = release(tmp_path, "1", *command, timeout=0.3), release(tmp_path, "2")
    begun(tmp_path, driver, old)
    said: list[str] = []

    def replaced() -> Running | None:
        running = ensure(driver, tmp_path, new)
        said.append(running.message)
        return running if running.digest == new.digest and running.identity else None

    running = eventually(replaced)
    assert any(message.startswith(f"stopping; {words}") for message in said)
    assert words in running.message, "also of the process that takes its place"
    assert running.identity
    eventually(lambda: "2 starts" in record(tmp_path))
    eventually(lambda: not any(b"1000" in command_line(pid) for pid in marked(tmp_path)))
    assert record(tmp_path) == ["1 starts", "1 is stopped", "2 starts"]


@pytest.mark.parametrize("point", ["before it", "after its start", "while it runs"])
def test_an_agent_killed_meanwhile_stops_nothing_too_early_and_starts_nothing_beside(
    tmp_path: Path, point: str
) -> None:
    old, new = release(tmp_path, "1"), release(tmp_path, "2")
    said = [each.model_dump_json() for each in (old, new)]
    ended = subprocess.run([sys.executable, "-c", AGENT, str(tmp_path), point, *said], cwd=ROOT, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    driver = next_agent(tmp_path)
    # Whoever is wanted now: the old one was told to finish, and is not kept.
    eventually(lambda: (ensure(driver, tmp_path, old), "1 quiesces" in record(tmp_path))[1])
    for _ in range(10):
        ensure(driver, tmp_path, old)
        assert "1 is stopped" not in record(tmp_path)
        time.sleep(0.01)
    (tmp_path / "done").touch()
    eventually(lambda: (ensure(driver, tmp_path, old), record(tmp_path).count("1 starts") == 2)[1])
    assert record(tmp_path) == ["1 starts", "1 quiesces", "1 quiesced", "1 is stopped", "1 starts"]


def test_a_process_that_ends_meanwhile_has_its_command_waited_for(tmp_path: Path) -> None:
    script = f"kill -TERM $DRUMBEAT_PID; {LEAVE}"
    driver, old, new = next_agent(tmp_path), release(tmp_path, "1", "sh", "-c", script), release(tmp_path, "2")
    first = begun(tmp_path, driver, old)
    assert first.identity
    gone = first.identity.pid
    eventually(lambda: (ensure(driver, tmp_path, new), gone not in marked(tmp_path))[1])
    eventually(lambda: (ensure(driver, tmp_path, new), (tmp_path / "begun").exists())[1])
    assert runs(driver, tmp_path, new)() is None
    (tmp_path / "done").touch()
    running = eventually(runs(driver, tmp_path, new))
    eventually(lambda: "2 starts" in record(tmp_path))
    assert [line for line in record(tmp_path) if line.startswith("2") or "quiesce" in line] == [
        "1 quiesces", "1 quiesced", "2 starts"
    ]  # fmt: skip
    assert (running.crashing, running.restarts, running.message) == (False, 0, "")


def test_it_is_not_run_for_a_process_that_has_ended_by_itself(tmp_path: Path) -> None:
    driver, old = next_agent(tmp_path), release(tmp_path, "1")
    first = begun(tmp_path, driver, old)
    assert first.identity
    os.kill(first.identity.pid, signal.SIGKILL)
    eventually(lambda: driver.running(TARGET).identity is None)
    eventually(lambda: driver.stop(TARGET, 5.0) == Running())
    assert record(tmp_path) == ["1 starts"]
