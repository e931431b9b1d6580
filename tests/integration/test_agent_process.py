"""The whole agent as a process, over the embedded bus, with real archives and real services."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from starlette.applications import Starlette

from bus.envelope import open_report, seal_assignment
from bus.http_controller import HttpControllerBus
from bus.keyring import KeyRing, write_node_keys
from bus.keys import generate_key, public_text
from bus.port import Received
from crds.messages import Assignment, Report, ServiceAssignment, ServiceReport
from crds.probe import HttpCheck, Probe
from crds.release import Release
from tests.conformance.bus.transports import Server
from tests.support.artifacts import WEB, ArtifactServer, serving, tar_gz
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
TARGET = "web@test"


class World:
    """A controller's end of the bus, a server of artifacts, and one agent."""

    def __init__(self, folder: Path, artifacts: ArtifactServer) -> None:
        self.folder, self.artifacts = folder, artifacts
        self.key, ring = generate_key(), KeyRing(folder / "ring")
        self.node_key = write_node_keys(folder / "keys", "h1", ring, [self.key.public_key]).signer.public_key
        self.server, self.bus = Server(), HttpControllerBus(ring)
        app = Starlette(routes=self.bus.routes())
        self.reports: list[Report] = []
        self.came = threading.Condition()
        self.bus.start(self.receive)
        self.server.start(app)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.serial = 0
        self.config = folder / "agent.yaml"
        self.config.write_text(
            f"node: h1\nbus: http://127.0.0.1:{self.server.port}\ncredentials: keys\nstate: state\n"
            "reportInterval: 1s\nhost: {}\n"
        )
        self.start()

    def receive(self, received: Received) -> None:
        report = open_report(received.envelope, self.node_key, "h1")
        self.bus.settle([received])
        with self.came:
            if report.full:
                self.reports.append(report)
                self.came.notify_all()

    def start(self) -> None:
        command = [sys.executable, "-m", "agent.main", "run", "--config", str(self.config)]
        with (self.folder / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(command, cwd=ROOT, stderr=log)

    def end(self, number: signal.Signals) -> int:
        self.agent.send_signal(number)
        return self.agent.wait(30)

    def release(self, version: str) -> Release:
        path = self.folder / f"web-{version}.tar.gz"
        checksum = tar_gz({"web.py": WEB}, path)
        run = [sys.executable, "web.py", str(self.port)]
        return Release(version=version, url=self.artifacts.url(path.name), sha256=checksum, run=run)

    def assign(self, release: Release | None, restart: int = 0) -> None:
        probe = Probe.model_validate({"http": HttpCheck(path="/", port=self.port), "interval": "1s"})
        self.serial += 1
        services = {TARGET: ServiceAssignment(release=release, probes=[probe], restart=restart)}
        expires = datetime.now(UTC) + timedelta(minutes=10)
        said = Assignment(node="h1", term=1, serial=self.serial, expires=expires, services=services)
        self.bus.publish("h1", seal_assignment(said, self.key))

    def until(self, condition: Callable[[ServiceReport], bool], patience: float = 30.0) -> ServiceReport:
        def newest() -> ServiceReport | None:
            return self.reports[-1].services.get(TARGET) if self.reports else None

        def met() -> bool:
            said = newest()
            assert self.agent.poll() is None, (self.folder / "agent.log").read_text()[-2000:]
            return said is not None and said.read.serial == self.serial and condition(said)

        with self.came:
            assert self.came.wait_for(met, patience), (newest(), (self.folder / "agent.log").read_text()[-2000:])
            said = newest()
        assert said
        return said

    def healthy(self, version: str) -> ServiceReport:
        return self.until(lambda said: said.version == version and said.healthy is True)

    def answers(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
            return str(answer.read().decode())

    def close(self) -> None:
        self.agent.kill()
        self.agent.wait()
        self.bus.stop()
        self.server.stop()
        for process in psutil.process_iter():
            try:
                if process.cwd().startswith(str(self.folder / "state")):
                    process.kill()
            except psutil.Error:
                continue


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving(tmp_path) as artifacts:
        made = World(tmp_path, artifacts)
        yield made
        made.close()


def test_deploys_updates_restarts_and_removes(world: World) -> None:
    world.assign(world.release("1.0"))
    first = world.healthy("1.0")
    assert world.answers() == "1.0"
    world.assign(world.release("1.1"))
    second = world.healthy("1.1")
    assert world.answers() == "1.1"
    assert second.identity != first.identity
    assert second.identity
    os.kill(second.identity.pid, signal.SIGKILL)
    third = world.until(lambda said: said.identity not in (None, second.identity) and said.healthy is True)
    assert third.restarts == 1
    world.assign(None)
    world.until(lambda said: said.state == "absent")
    assert not list((world.folder / "state/releases").glob("web*"))


def test_restarts_the_same_release_as_a_new_process(world: World) -> None:
    release = world.release("1.0")
    world.assign(release)
    first = world.healthy("1.0")
    world.assign(release, restart=5)
    second = world.until(lambda said: said.restart == 5 and said.healthy is True)
    assert first.identity and second.identity and first.identity.pid != second.identity.pid
    assert not psutil.pid_exists(first.identity.pid)
    assert world.answers() == "1.0"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_services_outlive_their_agent(world: World, number: signal.Signals) -> None:
    release = world.release("1.0")
    world.assign(release)
    before, life = world.healthy("1.0"), world.reports[-1].life
    assert world.end(number) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    assert world.answers() == "1.0"
    world.reports.clear()
    world.start()
    after = world.healthy("1.0")
    assert after.identity == before.identity
    assert len(world.artifacts.asked) == 1
    assert {len(life), len(world.reports[-1].life)} == {16}
    assert world.reports[-1].life != life, "so that the controller notices when two agents speak as one node"


def test_an_agent_that_is_idle_costs_next_to_nothing(world: World) -> None:
    """Bounds with room for a busy machine; the benchmarks have the figures."""
    world.assign(world.release("1.0"))
    world.healthy("1.0")
    process = psutil.Process(world.agent.pid)
    eventually(lambda: process.memory_info().rss > 0)
    began, used = time.monotonic(), sum(process.cpu_times()[:2])
    eventually(lambda: time.monotonic() - began > 4)
    share = (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - began)
    assert share < 0.05, f"{share:.4f} of a core"
    assert process.memory_info().rss < 80 * 1024**2, f"{process.memory_info().rss / 1024**2:.1f} MiB"


def test_a_damaged_journal_is_reported_and_stops_nothing(world: World) -> None:
    world.assign(world.release("1.0"))
    world.healthy("1.0")
    world.end(signal.SIGKILL)
    journal = world.folder / "state/journal"
    journal.write_bytes(b"damaged")
    world.reports.clear()
    world.start()
    with world.came:
        assert world.came.wait_for(lambda: any("journal" in report.problem for report in world.reports), 30)
    world.assign(None)
    assert world.answers() == "1.0"
    assert journal.read_bytes() == b"damaged"


def test_the_log_says_at_the_start_whether_releases_must_be_signed(world: World) -> None:
    def said() -> list[str]:
        lines = [json.loads(line) for line in (world.folder / "agent.log").read_text().splitlines() if line[-1:] == "}"]
        return [line["signing"] for line in lines if line["message"] == "the agent runs"]

    roots = world.folder / "keys/trust.yaml"
    assert eventually(said) == [f"releases need no signature here: {roots} is not there"]
    world.end(signal.SIGTERM)
    roots.write_text(f'fleet: prod\nroots: ["{public_text(generate_key().public_key)}"]\n')
    world.start()
    assert eventually(lambda: said()[1:]) == ["releases must be signed by whom 1 of 1 roots name for fleet prod"]


DEFECT = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import agent.main, agent.run

def step(*_):
    began = threading.Event()
    ThreadPoolExecutor(1).submit(lambda: (began.set(), threading.Event().wait()))
    began.wait()
    raise LookupError("of all things")

agent.run._loop = step
sys.argv[1:] = ["run", "--config", {config!r}]
agent.main.main()
"""
"""An agent whose loop has a defect, while a download hangs."""


def test_a_defect_in_the_loop_ends_the_process(world: World) -> None:
    world.end(signal.SIGTERM)
    code = DEFECT.format(config=str(world.config))
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert said.returncode == 1
    [line] = [line for line in map(json.loads, said.stderr.splitlines()) if line["level"] == "error"]
    assert line["message"] == "a defect ended the agent"
    assert "LookupError: of all things" in line["exception"]


def check(folder: Path, bus: str, role: str = "host: {}") -> "subprocess.CompletedProcess[str]":
    config = folder / "agent.yaml"
    config.write_text(f"node: h1\nbus: {bus}\ncredentials: keys\nstate: state\n{role}\n")
    command = [sys.executable, "-m", "agent.main", "check", "--config", str(config)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_check_says_whether_releases_must_be_signed(tmp_path: Path) -> None:
    write_node_keys(tmp_path / "keys", "h1", KeyRing(tmp_path / "ring"), [generate_key().public_key])
    roots = tmp_path / "keys/trust.yaml"
    assert f"releases need no signature here: {roots} is not there\n" in check(tmp_path, "http://127.0.0.1:1").stdout
    roots.write_text(f'fleet: prod\nroots: ["{public_text(generate_key().public_key)}"]\n')
    said = check(tmp_path, "http://127.0.0.1:1").stdout
    assert "releases must be signed by whom 1 of 1 roots name for fleet prod\n" in said
    roots.write_text("fleet: prod\n")
    said = check(tmp_path, "http://127.0.0.1:1")
    assert (said.returncode, f"{roots}: roots: Field required" in said.stderr) == (1, True)
    roots.unlink()
    roots.symlink_to("nowhere")
    said = check(tmp_path, "http://127.0.0.1:1")
    assert (said.returncode, f"{roots}: cannot be read" in said.stderr) == (1, True)


def test_check_says_what_is_wrong(tmp_path: Path) -> None:
    said = check(tmp_path, "http://127.0.0.1:1", "hosts: {}")
    assert said.returncode == 1
    assert "hosts" in said.stderr
    assert "no such setting" in said.stderr


def test_check_looks_at_what_a_broker_needs(tmp_path: Path) -> None:
    write_node_keys(tmp_path / "keys", "h1", KeyRing(tmp_path / "ring"), [generate_key().public_key])
    bus = "amqps://mq-1:5671,mq-2/drumbeat"
    assert check(tmp_path, bus).returncode == 0
    assert "bus: a password does not belong here" in check(tmp_path, "amqps://h1:secret@mq").stderr
    (tmp_path / "keys/certificate").write_text("not a certificate")
    assert f"{tmp_path}/keys/certificate is there without {tmp_path}/keys/key" in check(tmp_path, bus).stderr
    (tmp_path / "keys/key").write_text("not a key")
    said = check(tmp_path, bus)
    assert said.returncode == 1
    assert "PEM files are needed" in said.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("ca: nope.pem", "ca: {folder}/nope.pem: cannot be used for TLS: No such file or directory"),
        ("ca: agent.yaml", "ca: {folder}/agent.yaml: cannot be used for TLS: "),
        ("artifacts: [{prefix: https://a/, ca: nope.pem}]", "artifacts.0: {folder}/nope.pem: cannot be used for TLS"),
        ("artifacts: [{prefix: https://a/, certificate: c, key: k}]", "artifacts.0: {folder}/c, {folder}/k: cannot be"),
    ],
)
def test_check_opens_every_certificate(tmp_path: Path, settings: str, words: str) -> None:
    write_node_keys(tmp_path / "keys", "h1", KeyRing(tmp_path / "ring"), [generate_key().public_key])
    said = check(tmp_path, "https://127.0.0.1:1", f"host: {{}}\n{settings}")
    assert said.returncode == 1
    assert words.format(folder=tmp_path) in said.stderr


def test_an_agent_over_http_loads_no_broker_s_library() -> None:
    """It would cost each agent memory for nothing."""
    code = "import sys, agent.main, bus.http_node; print('pika' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert said.stdout == "False\n", said.stderr
