"""An agent killed at the worst moments leaves at most one process of a service, and none that nobody knows."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from agent.drivers.contracts import Running
from agent.drivers.supervisors import process
from agent.posix import PosixProcesses
from bus.clock import SystemClock
from crds.release import Release
from tests.support.supervised import marked, next_agent
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
TARGET = "api@prod"

AGENT = """
import os, signal, sys
from pathlib import Path
from random import Random
from agent.drivers.supervisors import process
from agent.drivers.supervisors.record import Records
from agent.posix import PosixProcesses
from bus.clock import SystemClock
from crds.release import Release

state, point = Path(sys.argv[1]), sys.argv[2]
releases = [Release.model_validate_json(text) for text in sys.argv[3:]]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Planted(PosixProcesses):
    def start(self, start, log):
        if point == "before the start":
            die()
        identity = super().start(start, log)
        if point == "after the start":
            die()
        return identity
    def stop(self, identity, force):
        super().stop(identity, force)
        if point == "after asking to stop":
            die()

class PlantedRecords(Records):
    def write(self, record):
        super().write(record)
        if point == "after the announcement" and record.identity is None and record.token:
            die()
        if point == "after the record" and record.identity:
            die()

base = {"PATH": os.environ["PATH"]}
driver = process.Driver(process.Config(), state, Planted(), SystemClock(), Random(str(state)), lambda: None, base)
driver._records = PlantedRecords(state / "services", PosixProcesses().boot)
for release in releases:
    driver.ensure("api@prod", release, state, {}, {})
die()
"""

POINTS = ["after the announcement", "before the start", "after the start", "after the record", "at the end"]


def release_for(tmp_path: Path, version: str = "1") -> Release:
    environment = {"MARK": str(tmp_path)}
    return Release(version=version, url="x", sha256="0" * 64, run=["sleep", "1000"], environment=environment)


def killed_agent(tmp_path: Path, point: str, *releases: Release) -> None:
    state = tmp_path / "state"
    state.mkdir(exist_ok=True)
    said = [release.model_dump_json() for release in releases]
    ended = subprocess.run([sys.executable, "-c", AGENT, str(state), point, *said], cwd=ROOT, timeout=60)
    assert ended.returncode == -signal.SIGKILL


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    for pid in marked(tmp_path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def ensured(tmp_path: Path, driver: process.Driver, release: Release) -> Running:
    """Until the release runs; at no time is there more than one process."""

    def runs() -> Running | None:
        running = driver.ensure(TARGET, release, tmp_path, {}, {})
        assert len(marked(tmp_path)) <= 1
        return running if running.identity and running.digest == release.digest else None

    return eventually(runs)


@pytest.mark.parametrize("point", POINTS)
def test_an_agent_killed_while_it_starts_a_service(tmp_path: Path, point: str) -> None:
    release = release_for(tmp_path)
    killed_agent(tmp_path, point, release)
    before = marked(tmp_path)
    running = ensured(tmp_path, next_agent(tmp_path), release)
    assert running.identity
    # A process shows its environment a moment after it has begun.
    eventually(lambda: marked(tmp_path) == [running.identity.pid])
    assert before in ([], [running.identity.pid]), "what ran already is kept"


@pytest.mark.parametrize("point", ["after asking to stop", "at the end"])
def test_an_agent_killed_while_it_replaces_a_service(tmp_path: Path, point: str) -> None:
    old, new = release_for(tmp_path, "1"), release_for(tmp_path, "2")
    killed_agent(tmp_path, point, old, new)
    running = ensured(tmp_path, next_agent(tmp_path), new)
    assert running.identity
    # A process shows its environment a moment after it has begun.
    eventually(lambda: marked(tmp_path) == [running.identity.pid])


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_agent_s_service_can_be_stopped(tmp_path: Path, point: str) -> None:
    killed_agent(tmp_path, point, release_for(tmp_path))
    driver = next_agent(tmp_path)

    def stopped() -> bool:
        running = driver.stop(TARGET, 5.0)
        return running.identity is None and running.again_in is None

    eventually(stopped)
    assert marked(tmp_path) == []


def test_never_touches_a_process_that_is_not_its_own(tmp_path: Path) -> None:
    """The record names a process id that another process has by now."""
    release = release_for(tmp_path)
    stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        driver = next_agent(tmp_path)
        first = driver.ensure(TARGET, release, tmp_path, {}, {})
        assert first.identity
        os.kill(first.identity.pid, signal.SIGKILL)
        eventually(lambda: driver.running(TARGET).identity is None)
        driver = next_agent(tmp_path)
        ensured(tmp_path, driver, release)
        record = tmp_path / "state/services" / PosixProcesses().boot / f"{TARGET}.json"
        pid = driver.running(TARGET).identity
        assert pid
        record.write_text(record.read_text().replace(f'"pid":{pid.pid}', f'"pid":{stranger.pid}'))
        os.kill(pid.pid, signal.SIGKILL)
        eventually(lambda: marked(tmp_path) == [])
        driver = next_agent(tmp_path)
        assert driver.running(TARGET).identity is None
        eventually(lambda: driver.stop(TARGET, 0.0) == Running())
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_what_a_service_left_behind_ends_with_it(tmp_path: Path) -> None:
    """A worker that outlives its master would keep the port."""
    run = ["sh", "-c", "sleep 1000 & echo ready; wait"]
    release = release_for(tmp_path).model_copy(update={"run": run})
    driver = next_agent(tmp_path)
    first = driver.ensure(TARGET, release, tmp_path, {}, {})
    assert first.identity
    eventually(lambda: len(marked(tmp_path)) == 2)
    os.kill(first.identity.pid, signal.SIGKILL)
    eventually(lambda: driver.running(TARGET).identity is None)
    eventually(lambda: marked(tmp_path) == [])


def test_a_damaged_record_stops_nothing_and_starts_nothing(tmp_path: Path) -> None:
    release = release_for(tmp_path)
    killed_agent(tmp_path, "at the end", release)
    (tmp_path / "state/services" / PosixProcesses().boot / f"{TARGET}.json").write_text("{")
    with pytest.raises(Exception, match="damaged"):
        next_agent(tmp_path).ensure(TARGET, release, tmp_path, {}, {})
    eventually(lambda: len(marked(tmp_path)) == 1)


def saying(tmp_path: Path, version: str, script: str) -> Release:
    return release_for(tmp_path, version).model_copy(update={"run": ["sh", "-c", script]})


def ended(tmp_path: Path, driver: process.Driver, release: Release) -> Running:
    """Once the release, which nothing else runs beside, has run to its end."""
    assert driver.ensure(TARGET, release, tmp_path, {}, {}).identity
    eventually(lambda: driver.running(TARGET).identity is None)
    return driver.running(TARGET)


def test_the_end_of_the_log_is_the_newest_process_s_whichever_agent_started_it(tmp_path: Path) -> None:
    """What processes before it wrote may hold secrets that a restarted agent does not know any more."""
    log = tmp_path / "state/logs" / f"{TARGET}.log"
    ended(tmp_path, next_agent(tmp_path), saying(tmp_path, "1", "echo planted-secret; printf planted-"))
    new = saying(tmp_path, "2", "echo by the new one; exec sleep 1000")
    first = next_agent(tmp_path).ensure(TARGET, new, tmp_path, {}, {})
    eventually(lambda: "new one" in log.read_text())
    driver = next_agent(tmp_path)
    assert driver.running(TARGET).identity == first.identity
    assert first.identity
    os.kill(first.identity.pid, signal.SIGKILL)
    eventually(lambda: driver.running(TARGET).identity is None)
    assert driver.running(TARGET).log_tail == ["by the new one"]


def test_the_end_of_the_log_is_not_told_of_another_release(tmp_path: Path) -> None:
    driver = next_agent(tmp_path)
    assert ended(tmp_path, driver, saying(tmp_path, "1", "echo planted-secret")).log_tail
    with pytest.raises(Exception, match="nowhere"):
        driver.ensure(TARGET, release_for(tmp_path, "2").model_copy(update={"run": ["/nowhere"]}), tmp_path, {}, {})
    assert driver.running(TARGET).log_tail == []


def test_the_log_stays_bounded_while_the_service_writes(tmp_path: Path) -> None:
    run = ["sh", "-c", "while :; do echo 0123456789012345678901234567890123456789; done"]
    release = release_for(tmp_path).model_copy(update={"run": run})
    base = {"PATH": os.environ["PATH"]}
    config = process.Config(log_bytes=200_000)
    driver = process.Driver(
        config, tmp_path / "state", PosixProcesses(), SystemClock(), Random(f"next {tmp_path}"), lambda: None, base
    )
    driver.ensure(TARGET, release, tmp_path, {}, {})
    log = tmp_path / "state/logs" / f"{TARGET}.log"
    eventually(lambda: log.stat().st_size > 200_000)
    driver.running(TARGET)
    assert log.with_name(f"{TARGET}.log.1").stat().st_size >= 200_000
    eventually(lambda: log.stat().st_size > 0)
    assert b"\0" not in log.read_bytes()[:100_000], "the writer goes on at the new end"


DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    time.sleep(1000)
os.setsid()
if os.fork():
    os._exit(0)
time.sleep(1000)
"""
"""A master that ends when it is told to; its worker has left for a session of its own, and hears nobody."""


def with_a_daemon(tmp_path: Path, version: str) -> Release:
    return release_for(tmp_path, version).model_copy(update={"run": [sys.executable, "-c", DAEMON]})


@pytest.mark.parametrize("point", ["nobody is killed", "after asking to stop", "at the end"])
def test_old_and_new_never_run_side_by_side_not_even_what_the_old_one_started(tmp_path: Path, point: str) -> None:
    old, new = with_a_daemon(tmp_path, "1"), release_for(tmp_path, "2")
    first = next_agent(tmp_path).ensure(TARGET, old, tmp_path, {}, {})
    assert first.identity
    eventually(lambda: len(marked(tmp_path)) == 2)
    if point != "nobody is killed":
        killed_agent(tmp_path, point, new)
    driver = next_agent(tmp_path)

    def replaced() -> Running | None:
        running = driver.ensure(TARGET, new, tmp_path, {}, {})
        if running.digest != new.digest or running.identity is None:
            return None
        assert set(marked(tmp_path)) <= {running.identity.pid}, "the first look after its start"
        return running

    running = eventually(replaced)
    assert running.identity
    eventually(lambda: marked(tmp_path) == [running.identity.pid])


def test_a_crashed_one_is_not_started_again_beside_what_it_left_behind(tmp_path: Path) -> None:
    release = with_a_daemon(tmp_path, "1")
    driver = next_agent(tmp_path)
    first = driver.ensure(TARGET, release, tmp_path, {}, {})
    assert first.identity
    eventually(lambda: len(marked(tmp_path)) == 2)
    left = set(marked(tmp_path)) - {first.identity.pid}
    os.kill(first.identity.pid, signal.SIGKILL)

    def started_again() -> bool:
        running = driver.ensure(TARGET, release, tmp_path, {}, {})
        again = running.identity not in (None, first.identity)
        assert not (again and left & set(marked(tmp_path)))
        return again

    eventually(started_again)
