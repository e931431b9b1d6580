"""What every supervisor must do. Supervisors are found by themselves: a new module without a workshop here fails."""

import contextlib
import os
import pkgutil
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

import agent.drivers.supervisors
from agent.drivers.contracts import Retry, Running, Supervisor
from agent.drivers.find import NoSuchDriver, find_driver
from agent.drivers.supervisors import process
from agent.posix import PosixProcesses
from bus.clock import SystemClock
from crds.release import Quiesce, Release
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
        self._outsiders: list[subprocess.Popen[bytes]] = []
        self.supervisor: Supervisor = self.again()

    def again(self) -> Supervisor:
        """The agent was restarted."""
        base = {"PATH": os.environ["PATH"]}
        return process.Driver(
            process.Config(), self._state, PosixProcesses(), SystemClock(), Random(str(self._state)), lambda: None, base
        )

    def release(self, version: str, kind: str = "lasting") -> Release:
        run = {
            "lasting": ["sleep", "1000"],
            "crashing": ["sh", "-c", "echo it broke; exit 3"],
            "stubborn": [sys.executable, "-c", STUBBORN],
            "working": ["sleep", "1000"],
        }[kind]
        quiesce = Quiesce(command=["sleep", "0.2"]) if kind == "working" else None
        return Release(version=version, url="x", sha256="0" * 64, run=run, stop_timeout=0.3, quiesce=quiesce)

    def ready(self, kind: str) -> None:
        if kind == "stubborn":
            eventually((self.folder / "ready").exists)

    def kill(self, running: Running) -> None:
        assert running.identity
        os.kill(running.identity.pid, signal.SIGKILL)

    def wait(self, step: Callable[[], bool]) -> None:
        eventually(step)

    def outsider(self) -> str:
        """Somebody else starts a process; says how to know it."""
        mark = f"1{os.getpid()}.{len(self._outsiders)}"
        self._outsiders.append(subprocess.Popen(["sleep", mark]))
        pattern = rf"^sleep {re.escape(mark)}$"
        eventually(lambda: self.processes.matching(pattern, "NOBODY"))  # its command line comes a moment after it
        return pattern

    def close(self) -> None:
        for outsider in self._outsiders:
            outsider.kill()
            outsider.wait()
        supervisor = self.again()
        for _ in range(2):
            with contextlib.suppress(AssertionError):
                eventually(lambda: supervisor.stop(TARGET, 0.0).identity is None, 5)


class SimShop:
    """No processes at all."""

    folder = Path("/sim")

    def __init__(self, tmp_path: Path) -> None:
        self._clock = SimClock()
        self._faults = ProcessFaults(stop_seconds=0.1, quiesce_seconds=0.2)
        self.supervisor = SimSupervisor(self._clock, faults=self._faults)

    def again(self) -> Supervisor:
        return self.supervisor

    def release(self, version: str, kind: str = "lasting") -> Release:
        quiesce = Quiesce(command=["leave"]) if kind == "working" else None
        release = Release(version=version, url=kind, sha256="0" * 64, run=["run"], stop_timeout=0.3, quiesce=quiesce)
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

    def outsider(self) -> str:
        self.supervisor.outsiders.append(f"sleep {len(self.supervisor.outsiders)}")
        return f"^{self.supervisor.outsiders[-1]}$"

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


def test_what_was_told_to_finish_its_work_is_not_kept(shop: Shop) -> None:
    """It may have left its queue already; another process of the same release takes its place."""
    old, new = shop.release("1", "working"), shop.release("2")
    first = ensure(shop, old)
    running = ensure(shop, new)
    assert (running.identity, running.digest) == (first.identity, old.digest)
    assert running.message
    assert running.again_in is not None
    shop.supervisor = shop.again()
    shop.wait(lambda: ensure(shop, old).identity not in (None, first.identity))
    assert not shop.supervisor.running(TARGET).crashing


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


def test_adopts_what_somebody_else_started_and_lets_it_run(shop: Shop) -> None:
    release = shop.release("1")
    pattern = shop.outsider()
    adopted = shop.supervisor.adopt(TARGET, release, pattern)
    assert adopted.identity
    assert (adopted.digest, adopted.version, adopted.adopted) == (release.digest, "1", True)
    assert shop.supervisor.adopt(TARGET, release, pattern).identity == adopted.identity
    assert ensure(shop, release).identity == adopted.identity
    shop.supervisor = shop.again()
    assert shop.supervisor.running(TARGET).identity == adopted.identity
    assert shop.supervisor.running(TARGET).adopted


def test_what_was_adopted_makes_way_for_another_release(shop: Shop) -> None:
    adopted = shop.supervisor.adopt(TARGET, shop.release("1"), shop.outsider())
    new = shop.release("2")
    shop.wait(lambda: ensure(shop, new).digest == new.digest)
    running = shop.supervisor.running(TARGET)
    assert running.identity not in (None, adopted.identity)
    assert not running.adopted


def test_what_was_adopted_is_stopped(shop: Shop) -> None:
    shop.supervisor.adopt(TARGET, shop.release("1"), shop.outsider())
    shop.wait(lambda: shop.supervisor.stop(TARGET, 5.0).identity is None)


@pytest.mark.parametrize("count", [0, 2])
def test_adopts_exactly_one_process_or_says_why_not(shop: Shop, count: int) -> None:
    patterns = [shop.outsider() for _ in range(count)]
    with pytest.raises(Retry, match=r"sleep"):
        shop.supervisor.adopt(TARGET, shop.release("1"), "|".join(patterns) or r"^sleep nowhere$")
    assert shop.supervisor.running(TARGET).identity is None


def test_a_process_is_adopted_for_one_target_only(shop: Shop) -> None:
    pattern = shop.outsider()
    shop.supervisor.adopt(TARGET, shop.release("1"), pattern)
    with pytest.raises(Retry):
        shop.supervisor.adopt("web@prod", shop.release("1"), pattern)
