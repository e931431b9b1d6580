"""``drumbeat demo`` as people run it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.demo.programs import find_program
from controller.demo.rabbitmq import is_installed

pytestmark = [
    pytest.mark.haproxy,
    pytest.mark.timeout(240),
    pytest.mark.skipif(find_program("haproxy") is None, reason="haproxy is not installed"),
]

DRUMBEAT = Path(sys.executable).parent / "drumbeat"


def environment(folder: Path) -> dict[str, str]:
    """The demo's folder is made below this one, so that whatever it starts can be told from everything else."""
    return {**os.environ, "TMPDIR": str(folder)}


def processes_of(folder: Path) -> dict[int, str]:
    """Processes whose command, working directory or log names the folder."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            places = [str((process / link).readlink()) for link in ("cwd", "fd/1")]
        except OSError:
            continue
        if any(str(folder) in text for text in [command, *places]):
            found[int(process.name)] = command
    return found


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short: paths of sockets may have no more than about a hundred characters."""
    return tmp_path_factory.mktemp("d")


def test_the_demo_ends_well_and_leaves_nothing(folder: Path) -> None:
    ends_well(folder, "http")


@pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not installed")
def test_the_demo_ends_well_over_a_broker_of_its_own(folder: Path) -> None:
    ends_well(folder, "amqp")


def ends_well(folder: Path, bus: str) -> None:
    done = subprocess.run(
        [DRUMBEAT, "demo", "--hosts", "4", "--json", "--bus", bus],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["hosts"] == 4
    assert result["converged_version"] == "1.1.0"
    assert result["requests_total"] > 1000
    assert result["requests_failed"] == 0
    assert result["customers_saw_bad_version"] is False
    assert result["bad_version_held"] is True
    assert "smoke" in result["held_because"]
    assert 0 < result["commit_to_first_drain_seconds"] < result["rollout_seconds"]
    assert result["controller_cpu_seconds"] > 0
    assert result["controller_rss_mb"] > 10
    assert processes_of(folder) == {}
    assert list(folder.iterdir()) == []


def test_an_interrupted_demo_leaves_nothing(folder: Path) -> None:
    log = folder.parent / "interrupted.log"
    with log.open("wb") as output:
        demo = subprocess.Popen(
            [DRUMBEAT, "demo", "--hosts", "3"], env=environment(folder), stdout=output, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + 120
    while not any("trading-api --address" in command for command in processes_of(folder).values()):
        assert demo.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    demo.send_signal(signal.SIGTERM)
    assert demo.wait(60) == 130
    assert processes_of(folder) == {}
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("program", ["haproxy", "rabbitmq-server"])
def test_without_a_program_it_says_what_to_install(folder: Path, program: str) -> None:
    """As on a machine where nobody has installed it."""
    code = (
        "import controller.demo.programs as programs, controller.demo.fleet as fleet\n"
        f"programs.find_program = lambda name: None if name == '{program}' else name\n"
        "from controller.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--bus", "amqp"],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"{program} is missing; as root, run: apt-get install {program}" in done.stdout
    assert "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []
