"""What every service driver must do. Drivers are found by themselves: a new module without a workshop here fails."""

import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

import agent.drivers.services
from agent.drivers.contracts import Retry, ServiceDriver, Terminal
from agent.drivers.services import archive
from bus.clock import SystemClock
from crds.release import Release
from tests.simulation.drivers import ServiceFaults, SimServiceDriver
from tests.support.artifacts import release_of, tar_gz

TARGET = "api@prod"


class Workshop(Protocol):
    """One driver with releases that it can install, and with what can go wrong."""

    driver: ServiceDriver

    def release(self, version: str) -> Release: ...
    def impossible(self) -> Release: ...
    def passing_trouble(self) -> Release:
        """The next call for this release fails, a later one works."""


class ArchiveWorkshop:
    def __init__(self, tmp_path: Path) -> None:
        self._folder = tmp_path
        self.driver = archive.Driver(archive.Config(), tmp_path / "state", "linux", SystemClock())

    def release(self, version: str) -> Release:
        path = self._folder / f"{version}.tar.gz"
        tar_gz({"bin/run": version, "VERSION": version}, path)
        return release_of(path, ["bin/run"], version)

    def impossible(self) -> Release:
        return self.release("bad").model_copy(update={"sha256": "0" * 64})

    def passing_trouble(self) -> Release:
        release = self.release("late")
        path = self._folder / "late.tar.gz"
        content = path.read_bytes()
        path.unlink()
        self._arrive = lambda: path.write_bytes(content)
        return release

    def trouble_passes(self) -> None:
        self._arrive()

    def lose_artifacts(self) -> None:
        for path in self._folder.glob("*.tar.gz"):
            path.unlink()


class SimWorkshop:
    def __init__(self, tmp_path: Path) -> None:
        self.faults = ServiceFaults()
        self.driver = SimServiceDriver(self.faults)

    def release(self, version: str) -> Release:
        return Release(version=version, url="sim:", sha256="0" * 64, run=["run"])

    def impossible(self) -> Release:
        release = self.release("bad")
        self.faults.terminal.add(release.digest)
        return release

    def passing_trouble(self) -> Release:
        self.faults.retries = 1
        return self.release("late")

    def trouble_passes(self) -> None: ...

    def lose_artifacts(self) -> None: ...


WORKSHOPS: dict[str, Callable[[Path], ArchiveWorkshop | SimWorkshop]] = {
    "archive": ArchiveWorkshop,
    "simulated": SimWorkshop,
}
DRIVERS = [module.name for module in pkgutil.iter_modules(agent.drivers.services.__path__)]


@pytest.fixture(params=[*DRIVERS, "simulated"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveWorkshop | SimWorkshop:
    return WORKSHOPS[request.param](tmp_path)


Shop = ArchiveWorkshop | SimWorkshop


def test_nothing_is_installed_at_first(shop: Shop) -> None:
    assert shop.driver.installed(TARGET, shop.release("1").digest) is None


def test_what_was_fetched_can_be_installed_though_its_source_is_gone(shop: Shop) -> None:
    before, release = shop.release("1"), shop.release("2")
    folder = shop.driver.install(TARGET, before)
    shop.driver.fetch(TARGET, release)
    shop.driver.fetch(TARGET, release)
    assert shop.driver.installed(TARGET, before.digest) == folder, "what runs is left alone"
    shop.lose_artifacts()
    assert shop.driver.install(TARGET, release) == shop.driver.installed(TARGET, release.digest)


def test_installs_and_finds_it_again(shop: Shop) -> None:
    release = shop.release("1")
    folder = shop.driver.install(TARGET, release)
    assert shop.driver.install(TARGET, release) == folder
    assert shop.driver.installed(TARGET, release.digest) == folder


def test_releases_lie_side_by_side(shop: Shop) -> None:
    one, two = shop.release("1"), shop.release("2")
    folders = {shop.driver.install(TARGET, one), shop.driver.install(TARGET, two)}
    assert len(folders) == 2
    assert shop.driver.installed(TARGET, one.digest) in folders


def test_targets_are_apart(shop: Shop) -> None:
    release = shop.release("1")
    shop.driver.install(TARGET, release)
    assert shop.driver.installed("other@prod", release.digest) is None


def test_what_cannot_work_is_terminal_and_leaves_nothing(shop: Shop) -> None:
    release = shop.impossible()
    for call in (shop.driver.fetch, shop.driver.install):
        with pytest.raises(Terminal):
            call(TARGET, release)
    assert shop.driver.installed(TARGET, release.digest) is None


def test_passing_trouble_is_a_retry(shop: Shop) -> None:
    release = shop.passing_trouble()
    with pytest.raises(Retry):
        shop.driver.install(TARGET, release)
    assert shop.driver.installed(TARGET, release.digest) is None
    shop.trouble_passes()
    assert shop.driver.install(TARGET, release) == shop.driver.installed(TARGET, release.digest)


def test_removing_keeps_what_is_to_be_kept(shop: Shop) -> None:
    releases = [shop.release(str(n)) for n in range(8)]
    for release in releases:
        shop.driver.install(TARGET, release)
    shop.driver.remove(TARGET, {releases[0].digest})
    assert shop.driver.installed(TARGET, releases[0].digest)
    assert not all(shop.driver.installed(TARGET, release.digest) for release in releases)


def test_removing_all_leaves_nothing(shop: Shop) -> None:
    release = shop.release("1")
    shop.driver.install(TARGET, release)
    shop.driver.remove(TARGET, set())
    shop.driver.remove(TARGET, set())
    assert shop.driver.installed(TARGET, release.digest) is None
    assert shop.driver.install(TARGET, release)
