"""The load generator and the service that the demo deploys, as processes, over real sockets."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from controller.demo.artifact import build_artifact
from controller.demo.load import Tally, read_tally
from controller.demo.processes import free_ports

Started = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Started]:
    """Starts processes that end with the test."""
    with ExitStack() as ending:

        def start(*command: str) -> "subprocess.Popen[bytes]":
            process = subprocess.Popen(command)
            ending.callback(process.wait)
            ending.callback(process.kill)
            return process

        yield start


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


def unpacked(folder: Path, version: str = "1.0.0", broken: bool = False) -> str:
    target = folder / f"{version}-{broken}"
    shutil.unpack_archive(build_artifact(folder, version, broken).path, target)
    return str(target / "trading-api")


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.getheader("X-App-Version")


def wait_until(what: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def serves(port: int) -> bool:
    try:
        return ask(port, "GET", "/health")[0] == 200
    except OSError:
        return False


@contextmanager
def load(start: Started, port: int, tally: Path) -> Iterator[Callable[[], Tally]]:
    """A running load; ended by SIGTERM, with its last tally written, when the block ends."""
    url = f"http://127.0.0.1:{port}"
    process = start(sys.executable, "-m", "controller.demo.load", "--url", url, "--tally", str(tally), "--rate", "200")
    yield lambda: read_tally(tally)
    process.terminate()
    assert process.wait(30) == 0


def test_a_healthy_service_loses_nothing(start: Started, tmp_path: Path, port: int) -> None:
    start(unpacked(tmp_path), "--port", str(port))
    wait_until(lambda: serves(port))
    with load(start, port, tmp_path / "tally") as tally:
        wait_until(lambda: tally().requests >= 100)
    end = tally()
    assert end.failed == 0
    assert end.errors == {}
    assert end.versions == {"1.0.0": end.requests}


def test_a_killed_service_is_noticed(start: Started, tmp_path: Path, port: int) -> None:
    service = start(unpacked(tmp_path), "--port", str(port))
    wait_until(lambda: serves(port))
    with load(start, port, tmp_path / "tally") as tally:
        wait_until(lambda: tally().requests >= 50)
        service.kill()
        wait_until(lambda: tally().failed >= 20)
    end = tally()
    assert end.failed == sum(end.errors.values()) == end.requests - end.versions["1.0.0"]
    assert "ConnectionRefusedError" in end.errors


def test_answers_other_than_200_are_failures(start: Started, tmp_path: Path, port: int) -> None:
    start(unpacked(tmp_path, "1.2.0", broken=True), "--port", str(port))
    wait_until(lambda: serves(port))
    with load(start, port, tmp_path / "tally") as tally:
        wait_until(lambda: tally().failed >= 20)
    end = tally()
    assert end.errors == {"500": end.failed}
    assert end.versions == {"1.2.0": end.requests}
    assert end.failed < end.requests


def test_a_broken_build_is_healthy_but_gives_no_quote(start: Started, tmp_path: Path, port: int) -> None:
    start(unpacked(tmp_path, "1.2.0", broken=True), "--port", str(port))
    wait_until(lambda: serves(port))
    assert ask(port, "GET", "/health") == (200, "1.2.0")
    assert ask(port, "GET", "/quote") == (500, "1.2.0")
    assert ask(port, "POST", "/", b"x" * 3000) == (200, "1.2.0")


def test_start_up_takes_the_time_it_was_given(start: Started, tmp_path: Path, port: int) -> None:
    begun = time.monotonic()
    start(unpacked(tmp_path), "--port", str(port), "--startup", "0.4")
    wait_until(lambda: serves(port))
    assert time.monotonic() - begun >= 0.4


@pytest.mark.parametrize("graceful", [False, True])
def test_only_a_graceful_service_answers_what_is_in_flight(
    start: Started, tmp_path: Path, port: int, graceful: bool
) -> None:
    options = ["--graceful"] if graceful else []
    service = start(unpacked(tmp_path), "--port", str(port), "--latency", "1.5", *options)
    wait_until(lambda: serves(port))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    time.sleep(0.5)
    os.kill(service.pid, signal.SIGTERM)
    if graceful:
        assert connection.getresponse().status == 200
    else:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            connection.getresponse()
    assert service.wait(10) == (0 if graceful else -signal.SIGTERM)
