"""A real service that was started outside of Drumbeat, adopted by a real agent, then replaced by the next release."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from bus.envelope import seal_assignment
from crds.messages import Assignment, ServiceAssignment
from crds.probe import HttpCheck, Probe
from crds.release import Release
from tests.integration.test_agent_process import TARGET, World
from tests.support.artifacts import WEB, ArtifactServer, serving
from tests.support.waiting import eventually


class Adopting(World):
    """The same, with a service that somebody else runs, in a process group that is not its own."""

    def __init__(self, folder: Path, artifacts: ArtifactServer) -> None:
        super().__init__(folder, artifacts)
        (folder / "theirs.py").write_text(WEB)
        self.pattern = f"theirs.py {self.port}$"
        self.theirs = self.outsider()

    def outsider(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "DRUMBEAT_VERSION": "theirs"}
        return subprocess.Popen([sys.executable, "theirs.py", str(self.port)], cwd=self.folder, env=environment)

    def adopt(self, release: Release, pattern: str | None) -> None:
        probe = Probe.model_validate({"http": HttpCheck(path="/", port=self.port), "interval": "1s"})
        self.serial += 1
        services = {TARGET: ServiceAssignment(release=release, probes=[probe], adopt=pattern)}
        expires = datetime.now(UTC) + timedelta(minutes=10)
        said = Assignment(node="h1", term=1, serial=self.serial, expires=expires, services=services)
        self.bus.publish("h1", seal_assignment(said, self.key))

    def close_theirs(self) -> None:
        self.theirs.kill()
        self.theirs.wait()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Adopting]:
    with serving(tmp_path) as artifacts:
        made = Adopting(tmp_path, artifacts)
        yield made
        made.close_theirs()
        made.close()


def test_a_running_service_is_taken_over_without_a_restart_and_moved_by_the_next_release(world: Adopting) -> None:
    world.adopt(world.release("1"), world.pattern)
    said = world.healthy("1")
    assert said.adopted
    assert said.identity is not None
    assert said.identity.pid == world.theirs.pid
    assert not list((world.folder / "state").rglob("web.py")), "nothing was installed"
    world.end(signal.SIGTERM)
    world.start()
    world.adopt(world.release("1"), world.pattern)
    again = world.healthy("1")
    assert again.identity == said.identity
    world.adopt(world.release("2"), None)
    world.until(lambda told: told.version == "2" and told.healthy is True and not told.adopted)
    assert world.theirs.wait(10) == -signal.SIGTERM
    assert world.answers() == "2"
    world.assign(None)
    world.until(lambda told: told.state == "absent")


def test_what_ended_is_not_started_and_is_adopted_again_once_its_own_supervisor_has_started_it(world: Adopting) -> None:
    world.adopt(world.release("1"), world.pattern)
    world.healthy("1")
    world.close_theirs()
    said = world.until(lambda told: told.identity is None)
    assert said.state == "stopped"
    assert "nothing to adopt" in said.message
    assert not list((world.folder / "state").rglob("web.py"))
    world.theirs = world.outsider()
    said = world.until(lambda told: told.healthy is True)
    assert said.identity is not None
    assert said.identity.pid == world.theirs.pid


def test_the_agent_says_why_nothing_is_adopted_and_touches_none_of_two(world: Adopting) -> None:
    second = subprocess.Popen(["sh", "-c", f"sleep 1000; : theirs.py {world.port}"], cwd=world.folder)
    try:
        world.adopt(world.release("1"), f"theirs.py {world.port}")
        said = world.until(lambda told: told.state == "stopped")
        assert "not clear what to adopt" in said.message
        assert world.theirs.poll() is None
    finally:
        for child in psutil.Process(second.pid).children():
            os.kill(child.pid, signal.SIGKILL)
        second.wait()
    eventually(lambda: world.reports[-1].services[TARGET].healthy is True)
