"""Both contestants on a stage of their own: set up, measured under load, taken down."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bare import LOOK, BareHost, Site, roll
from benchmarks.setting import FIRST, RATE, SECOND, STARTUP, batch_size, tune
from controller.demo.artifact import EXECUTABLE, build_artifact
from controller.demo.balancers import MAINTENANCE, ONLINE, start_balancer
from controller.demo.fleet import Fleet, running
from controller.demo.layout import Layout
from controller.demo.load import Tally, read_tally
from controller.demo.processes import Processes, cpu_seconds, peak_rss_mb
from controller.demo.rollout import converged, follow, measured_rollout

READY = 30.0
"""Seconds for the stage to be set."""
TAIL = 1.0
"""Seconds that the customers go on after the end: a late failure would show."""


@dataclass(frozen=True)
class Measured:
    """One contestant's rollout."""

    seconds: float
    tally: Tally
    first_drain_seconds: float = 0.0
    controller_cpu_seconds: float = 0.0
    controller_rss_mb: float = 0.0


@contextmanager
def stage(hosts: int) -> Iterator[Layout]:
    """A folder and free ports for so many hosts."""
    with tempfile.TemporaryDirectory(prefix="drumbeat-bench-") as folder:
        yield Layout.of(Path(folder), hosts)


def drumbeat(hosts: int) -> Measured:
    """A rollout by Drumbeat."""
    with _converged(hosts) as fleet:
        fleet.admit_customers(RATE)
        rollout = measured_rollout(fleet, SECOND, tell=lambda _: None, show=None)
        time.sleep(TAIL)
        rss = peak_rss_mb(fleet.controller.pid)
        tally = fleet.dismiss_customers()
    return Measured(rollout.seconds, tally, rollout.first_drain_seconds, rollout.cpu_seconds, rss)


def idle_cpu_percent(hosts: int, seconds: float) -> float:
    """Of one core, by a controller that has nothing to do. Nobody asks it anything meanwhile, but its agents."""
    with _converged(hosts) as fleet:
        time.sleep(5.0)  # the last reports of the deployment
        used, begun = cpu_seconds(fleet.controller.pid), time.monotonic()
        time.sleep(seconds)
        return 100 * (cpu_seconds(fleet.controller.pid) - used) / (time.monotonic() - begun)


@contextmanager
def _converged(hosts: int) -> Iterator[Fleet]:
    with stage(hosts) as layout, running(Fleet(layout, tune)) as fleet:
        fleet.start(FIRST)
        follow(fleet, converged(FIRST))
        yield fleet


def bare(hosts: int) -> Measured:
    """The same rollout by the bare script."""
    with stage(hosts) as layout:
        processes = Processes(layout.logs)
        services = [BareHost(place.name, place.address, layout.ports.service) for place in layout.hosts]
        try:
            return _bare(layout, processes, services)
        finally:
            processes.stop_all()
            for service in services:
                service.end()


def _bare(layout: Layout, processes: Processes, services: list[BareHost]) -> Measured:
    commands = {version: _unpack(layout, version) for version in (FIRST, SECOND)}
    for service in services:
        service.start(commands[FIRST])
    balancer = start_balancer(processes, layout, layout.balancers[0])
    site = Site(balancer.socket, ONLINE, MAINTENANCE, layout.ports.maintenance)
    _open(site, services)
    options = ["--url", layout.customers_url, "--tally", str(layout.tally), "--rate", str(RATE)]
    customers = processes.start("customers", [sys.executable, "-m", "controller.demo.load", *options])
    _until(lambda: read_tally(layout.tally).requests > 0)
    seconds = roll(site, services, batch_size(len(services)), commands[SECOND], SECOND)
    time.sleep(TAIL)
    processes.stop(customers, timeout=30.0)
    return Measured(seconds, read_tally(layout.tally))


def _unpack(layout: Layout, version: str) -> list[str]:
    """The command of a version, unpacked once for all hosts."""
    layout.artifacts.mkdir(exist_ok=True)
    folder = layout.root / version
    shutil.unpack_archive(build_artifact(layout.artifacts, version).path, folder)
    return [str(folder / EXECUTABLE), "--startup", STARTUP]


def _open(site: Site, services: list[BareHost]) -> None:
    """Have every host online, by the way that loses nothing."""
    _until(lambda: all(service.healthy() for service in services))
    for service in services:
        site.set(ONLINE, service.name, "drain")
    _until(lambda: all(row.status == "DRAIN" for row in site.look().online.values()))
    for service in services:
        site.set(ONLINE, service.name, "ready")
    _until(lambda: all(row.status == "UP" for row in site.look().online.values()))


def _until(came: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY
    while not came():
        if time.monotonic() > deadline:
            raise TimeoutError("the bare script's stage could not be set")
        time.sleep(LOOK)
