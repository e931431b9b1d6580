"""What every supervisor must do. Supervisors are found by themselves: a new module without a workshop here fails."""

import contextlib
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

import agent.drivers.supervisors
from agent.drivers.contracts import Running, Supervisor
from agent.drivers.find import NoSuchDriver, find_driver
from agent.drivers.supervisors import process
from agent.posix import PosixProcesses
from bus.clock import SystemClock
from crds.release import Release
from tests.simulation.drivers import ProcessFaults, SimClock, SimSupervisor
from tests.support.waiting import eventually

TARGET = "api@prod"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('ready', 'w'); time.sleep(1000)"


class ProcessShop:
    """Real processes."""

    def __init__(self, tmp_path: Path) -> None:
        self._state = tmp_path / "state"
        self.folder = tmp_path
        self.processes = PosixProcesses()
        self.supervisor: Supervisor = self.again()

    def again(self) -> Supervisor:
        """The agent was restarted."""
        base = {"PATH": os.environ["PATH"]}
        return process.Driver(
            process.Config(), self._state, PosixProcesses(), SystemClock(), Random(1), lambda: None, base
        )

    def release(self, version: str, kind: str = "lasting") -> Release:
        run = {
            "lasting": ["sleep", "1000"],
            "crashing": ["sh", "-c", "echo it broke; exit 3"],
            "stubborn": [sys.executable, "-c", STUBBORN],
        }[kind]
        return Release(version=version, url="x", sha256="0" * 64, run=run, stop_timeout=0.3)

    def ready(self, kind: str) -> None:
        if kind == "stubborn":
            eventually((self.folder / "ready").exists)

    def kill(self, running: Running) -> None:
        assert running.identity
        os.kill(running.identity.pid, signal.SIGKILL)

    def wait(self, step: Callable[[], bool]) -> None:
        eventually(step)

    def close(self) -> None:
        supervisor = self.again()
        for _ in range(2):
            with contextlib.suppress(AssertionError):
                eventually(lambda: supervisor.stop(TARGET, 0.0).identity is None, 5)


class SimShop:
    """No processes at all."""

    folder = Path("/sim")

    def __init__(self, tmp_path: Path) -> None:
        self._clock = SimClock()
        self._faults = ProcessFaults(stop_seconds=0.1)
        self.supervisor = SimSupervisor(self._clock, faults=self._faults)

    def again(self) -> Supervisor:
        return self.supervisor

    def release(self, version: str, kind: str = "lasting") -> Release:
        release = Release(version=version, url=kind, sha256="0" * 64, run=["run"], stop_timeout=0.3)
        if kind == "crashing":
            self._faults.lasts[release.digest] = 0.01
        if kind == "stubborn":
            self._faults.stubborn.add(release.digest)
        return release

    def ready(self, kind: str) -> None: ...

    def kill(self, running: Running) -> None:
        self.supervisor.kill(TARGET)

    def wait(self, step: Callable[[], bool]) -> None:
        for _ in range(10_000):
            if step():
                return
            self._clock.advance(0.01)
        raise AssertionError("never came")

    def close(self) -> None: ...


Shop = ProcessShop | SimShop
SHOPS: dict[str, Callable[[Path], Shop]] = {"process": ProcessShop, "simulated": SimShop}


def drivers() -> Iterator[str]:
    for module in pkgutil.iter_modules(agent.drivers.supervisors.__path__):
        with contextlib.suppress(NoSuchDriver):
            find_driver("supervisors", module.name)
            yield module.name


@pytest.fixture(params=[*drivers(), "simulated"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    made = SHOPS[request.param](tmp_path)
    yield made
    made.close()


def ensure(shop: Shop, release: Release) -> Running:
    return shop.supervisor.ensure(TARGET, release, shop.folder, {"host": "h1"}, {})


def test_nothing_runs_at_first(shop: Shop) -> None:
    assert shop.supervisor.running(TARGET).identity is None
    assert shop.supervisor.stop(TARGET, 1.0).identity is None


def test_starts_once(shop: Shop) -> None:
    release = shop.release("1")
    first = ensure(shop, release)
    assert first.identity
    assert (first.digest, first.version, first.crashing) == (release.digest, "1", False)
    assert ensure(shop, release).identity == first.identity == shop.supervisor.running(TARGET).identity


def test_starts_again_what_ended(shop: Shop) -> None:
    release = shop.release("1")
    first = ensure(shop, release)
    shop.kill(first)
    shop.wait(lambda: ensure(shop, release).identity not in (None, first.identity))
    assert shop.supervisor.running(TARGET).restarts == 1


def test_another_release_takes_the_place_of_the_old_one(shop: Shop) -> None:
    old, new = shop.release("1"), shop.release("2")
    first = ensure(shop, old)
    seen: list[tuple[str | None, object]] = []

    def replaced() -> bool:
        running = ensure(shop, new)
        seen.append((running.digest if running.identity else None, running.identity))
        return running.identity is not None and running.digest == new.digest

    shop.wait(replaced)
    assert all(identity == first.identity for digest, identity in seen if digest == old.digest)
    assert shop.supervisor.running(TARGET).identity != first.identity


def test_stops(shop: Shop) -> None:
    ensure(shop, shop.release("1"))
    shop.wait(lambda: shop.supervisor.stop(TARGET, 5.0).identity is None)
    assert shop.supervisor.running(TARGET) == Running()


def test_stops_by_force_what_does_not_want_to(shop: Shop) -> None:
    first = ensure(shop, shop.release("1", "stubborn"))
    shop.ready("stubborn")
    assert shop.supervisor.stop(TARGET, 0.3).identity == first.identity
    shop.wait(lambda: shop.supervisor.stop(TARGET, 0.3).identity is None)


def test_says_that_it_is_crashing_and_waits_longer(shop: Shop) -> None:
    release = shop.release("1", "crashing")
    shop.wait(lambda: ensure(shop, release).crashing)
    running = shop.supervisor.running(TARGET)
    assert running.log_tail
    shop.wait(lambda: ensure(shop, release).identity is None)
    again_in = ensure(shop, release).again_in
    assert again_in is not None
    assert again_in <= 30.0


def test_another_release_is_not_made_to_wait_for_a_crashing_one(shop: Shop) -> None:
    shop.wait(lambda: ensure(shop, shop.release("1", "crashing")).crashing)
    good = shop.release("2")
    shop.wait(lambda: ensure(shop, good).digest == good.digest)
    running = shop.supervisor.running(TARGET)
    assert running.identity
    assert (running.crashing, running.restarts) == (False, 0)


def test_finds_its_process_again_after_a_restart_of_the_agent(shop: Shop) -> None:
    release = shop.release("1")
    first = ensure(shop, release)
    shop.supervisor = shop.again()
    assert shop.supervisor.running(TARGET).identity == first.identity
    assert ensure(shop, release).identity == first.identity
