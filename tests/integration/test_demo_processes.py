"""How the demo starts and ends processes, and finds the services that agents leave running."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.demo.layout import Layout
from controller.demo.nodes import stop_services
from controller.demo.processes import DemoError, Processes, cpu_seconds, loopback_environment, peak_rss_mb, tail

SLEEP = [sys.executable, "-IS", "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-IS",
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path / "logs")
    yield made
    made.stop_all(timeout=0.1)


@pytest.fixture
def service() -> Iterator["subprocess.Popen[bytes]"]:
    """A process as an agent might have left it."""
    process = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


def wait_for_output(log: Path) -> None:
    deadline = time.monotonic() + 30
    while not tail(log):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def record(layout: Layout, pid: int, started: str) -> None:
    """What the supervisor of the first host's agent would have written down."""
    folder = layout.node(layout.hosts[0].name) / "state/services/this-boot"
    folder.mkdir(parents=True)
    identity = {"boot": "any", "pid": pid, "started": started, "executable": sys.executable}
    (folder / "trading-api@prod.json").write_text(json.dumps({"target": "trading-api@prod", "identity": identity}))


def start_time(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_all_processes_end_and_nobody_else_does(processes: Processes, service: "subprocess.Popen[bytes]") -> None:
    started = [processes.start(f"p{number}", SLEEP) for number in range(3)]
    processes.stop_all()
    assert [process.popen.returncode for process in started] == [-15] * 3
    assert service.poll() is None


def test_one_that_ignores_sigterm_ends_all_the_same(processes: Processes) -> None:
    stubborn = processes.start("stubborn", STUBBORN)
    wait_for_output(stubborn.log)
    processes.stop(stubborn, timeout=0.2)
    assert stubborn.popen.returncode == -9


def test_a_process_that_ended_by_itself_is_named_with_its_log(processes: Processes) -> None:
    process = processes.start("broken", [sys.executable, "-c", "raise SystemExit('no luck')"])
    process.popen.wait()
    with pytest.raises(DemoError, match="broken ended with status 1") as caught:
        processes.check()
    assert caught.value.log is not None
    assert tail(caught.value.log) == ["no luck"]


def test_a_service_is_ended_by_its_record(tmp_path: Path, service: "subprocess.Popen[bytes]") -> None:
    layout = Layout.of(tmp_path, hosts=2)
    record(layout, service.pid, start_time(service.pid))
    stop_services(layout)
    assert service.wait(10) == -15


def test_another_process_with_the_same_id_is_left_alone(tmp_path: Path, service: "subprocess.Popen[bytes]") -> None:
    layout = Layout.of(tmp_path, hosts=2)
    record(layout, service.pid, "1")
    stop_services(layout)
    assert service.poll() is None


def test_usage_is_read_from_the_kernel(processes: Processes) -> None:
    busy = [sys.executable, "-IS", "-c", "x = bytearray(50_000_000)\nprint('up', flush=True)\nwhile True: pass"]
    process = processes.start("busy", busy)
    wait_for_output(process.log)
    before, deadline = cpu_seconds(process.pid), time.monotonic() + 30
    while cpu_seconds(process.pid) <= before:
        assert time.monotonic() < deadline
    assert 47 < peak_rss_mb(process.pid) < 100


def test_neither_proxies_nor_settings_of_the_caller_reach_the_demo() -> None:
    caller = {"PATH": "/bin", "https_proxy": "http://proxy", "NO_PROXY": "x", "DRUMBEAT_REPOSITORY": "/srv/other"}
    assert loopback_environment(caller) == {"PATH": "/bin"}


def test_every_host_has_an_address_of_its_own(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path, hosts=1000)
    assert len({place.address for place in layout.hosts}) == len({place.name for place in layout.hosts}) == 1000
