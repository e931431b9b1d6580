"""A whole fleet under load for tests: what the demo starts, with means to harm it and to see what comes of that."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from controller.cli.client import AskError, Resource
from controller.cli.words import condition, leading
from controller.demo.balancers import ONLINE
from controller.demo.fleet import Bus, Fleet, Settings
from controller.demo.layout import FLEET, SERVICE, TARGET, Layout, Place
from controller.demo.load import Tally, read_tally
from controller.demo.nodes import script
from controller.demo.processes import Process, loopback_environment
from controller.demo.repository import Document, commit_all
from controller.demo.runtime_api import servers
from crds.status import Step
from tests.support.releases import STARTS, build_release

PATIENCE = 100.0
"""Seconds for anything that takes a few on a machine of its own."""
RATE = 60.0
"""Requests a second, at each balancer node."""
SETTINGS = Settings(
    controller={"heartbeatInterval": "1s", "nodeTimeout": "3s", "pollInterval": "1s"},
    agents={"reportInterval": "300ms"},
)
CONTROLLER = "controller"
SERVICE_FILE = f"services/{SERVICE}.yaml"
FLEET_FILE = f"fleets/{FLEET}.yaml"
WRONG_CHECKSUM = "ab" * 32


@dataclass
class Customers:
    """The load on one balancer node; failures are counted over its whole life."""

    url: str
    tally: Path
    process: Process | None = None
    ended: list[Tally] = field(default_factory=list)
    """Tallies of loads that were dismissed."""

    def now(self) -> Tally:
        return read_tally(self.tally) if self.process else Tally()

    @property
    def failures(self) -> list[dict[str, int]]:
        """What failed, by load."""
        return [tally.errors for tally in [*self.ended, self.now()] if tally.failed]


class Rig:
    """A running fleet that has converged once, with customers at every balancer node."""

    def __init__(
        self, root: Path, balancers: int, hosts: int = 4, settings: Settings = SETTINGS, bus: Bus = "http"
    ) -> None:
        self._starts = root / "starts"
        self.fleet = Fleet(Layout.of(root, hosts, balancers), self._tune, settings, bus)
        self.layout, self.processes = self.fleet.layout, self.fleet.processes
        self._number = 0
        self._customers = {
            place.name: Customers(f"http://{place.address}:{self.layout.ports.online}", root / f"{place.name}.json")
            for place in self.layout.balancers
        }

    def start(self) -> None:
        """Start everything; returns once the first version runs everywhere and customers are served."""
        self._starts.mkdir()
        self.fleet.start(self._next())
        # What the fleet has declared is the demo's own release; from here on they are ours.
        self.converge(self.bump())
        for node in self._customers:
            self.admit(node)

    def _tune(self, service: Document) -> None:
        spec = service["spec"]
        spec["artifact"]["environment"] = {STARTS: f"{self._starts}/{{host}}"}
        run = spec["artifact"]["run"]
        run[run.index("--startup") + 1] = "0.2"
        spec["probes"][0]["interval"] = "1s"
        # It takes a moment, as tests do.
        command = ["/bin/sh", "-c", 'sleep 0.2; exec ./smoke-test "$0" "$1"', "{url}", "{version}"]
        spec["gates"][0]["exec"]["command"] = command
        spec["rollout"] = {"batches": [1, "100%"], "maxUnavailable": "50%", "soak": "300ms", "deadline": "90s"}

    # -- releases

    def _next(self) -> str:
        self._number += 1
        return f"1.0.{self._number}"

    def bump(self, crashing: bool = False, broken: bool = False) -> str:
        """Commit a new version; returns it."""
        version = self._next()
        archive = build_release(self.layout.artifacts, version, crashing, broken)
        self.fleet.declare(version, ["--artifact", str(archive)], commit=True)
        return version

    def bump_with_wrong_checksum(self) -> str:
        """Commit a new version that says of its archive what is not so."""
        version = self._next()
        build_release(self.layout.artifacts, version)
        self.fleet.declare(version, ["--sha256", WRONG_CHECKSUM], commit=True)
        return version

    def write(self, files: dict[str, Document], message: str) -> None:
        """Commit new files."""
        for name, document in files.items():
            path = self.layout.repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        commit_all(self.layout, message)

    def change(self, file: str, change: Callable[[str], str]) -> None:
        """Commit a change of one file of the repository."""
        path = self.layout.repository / file
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        commit_all(self.layout, f"Change {file}")

    # -- what is seen

    def target(self, name: str = TARGET) -> Resource:
        """The target with its hosts, as soon as the controller answers."""
        return self.wait(f"word of {name}", lambda: self._asked(lambda: self.fleet.client.named("targets", name)))

    def state(self) -> Resource:
        return self.fleet.client.state()

    def host(self, name: str) -> dict[str, Any]:
        """The row of one host of the target."""
        return next(dict(row) for row in self.target()["status"]["hosts"] if row["name"] == name)

    def node(self, name: str) -> Resource:
        return self.fleet.client.named("nodes", name)

    def identity(self, host: str, target: str = TARGET) -> dict[str, Any]:
        """The process of a service, by its agent's newest word; empty if none runs."""
        service = self.node(host)["status"]["services"].get(target)
        return dict((service and service["identity"]) or {})

    def identities(self) -> dict[str, dict[str, Any]]:
        return {host.name: self.identity(host.name) for host in self.layout.hosts}

    def journeys(self) -> dict[str, Step]:
        """Hosts under way by step; none while the controller does not answer."""
        try:
            rollout = self.fleet.client.named("rollouts", TARGET)
        except AskError:
            return {}
        return {row["host"]: Step(row["step"]) for row in rollout["status"]["journeys"]}

    def moved(self, host: str = "") -> set[str]:
        """Each time that a journey took a host out (that one, or any), by the record of events."""
        about = f"{TARGET}/{host}" if host else TARGET
        events = self.fleet.client.events(about, limit=1000)["items"]
        return {f"{each['object']} {each['at']}" for each in events if each["reason"] in ("Draining", "Leaving")}

    def starts(self, version: str) -> Counter[str]:
        """How often each host's service was started in that version."""
        found: Counter[str] = Counter()
        for file in sorted(self._starts.iterdir()):
            found[file.name] = sum(line.split()[0] == version for line in file.read_text().splitlines())
        return +found

    def once_each(self, version: str) -> bool:
        """Whether the version was started once on every host."""
        return self.starts(version) == Counter({host.name: 1 for host in self.layout.hosts})

    def is_served_by(self, host: str) -> bool:
        """Whether every balancer node sends customers to the host, as HAProxy itself says."""
        rows = [servers(site.socket, ONLINE)[host] for site in self.fleet.balancers]
        return all(row.status == "UP" for row in rows)

    def leads_with(self, reason: str) -> str:
        """The leading condition's message, once that has this reason."""

        def look() -> str:
            found = leading(self.target())
            return str(found["message"]) if found and found["reason"] == reason else ""

        return self.wait(reason, look)

    def drumbeat(self, *words: str) -> str:
        """What an operator's command prints."""
        environment = {**loopback_environment(os.environ), "DRUMBEAT_SERVER": self.layout.controller_url}
        done = subprocess.run([script("drumbeat"), *words], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # -- waiting

    def wait(self, what: str, came: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """The first true answer. Raises AssertionError with how the target stands."""
        deadline = time.monotonic() + patience
        while not (answer := came()):
            self.processes.check()
            assert time.monotonic() < deadline, f"waited in vain for {what}; {self._stands()}"
            time.sleep(0.02)
        return answer

    def wait_step(self, *steps: Step) -> str:
        """The first host that is seen at one of the steps."""
        return str(self.wait(f"a host that is {steps}", lambda: next(iter(self._at(steps)), None)))

    def has_converged(self, version: str, name: str = TARGET) -> bool:
        try:
            target = self.fleet.client.target(name, with_hosts=False)
        except AskError:
            return False
        return target["status"]["version"] == version and condition(target, "Ready") is not None

    def converge(self, version: str) -> None:
        """Wait until every host runs the version, healthy and online."""
        self.wait(f"version {version} everywhere", lambda: self.has_converged(version))

    def hold(self, version: str, name: str = TARGET) -> str:
        """Why the version is held, once it is."""

        def look() -> str:
            status = self.target(name)["status"]
            return str(status["hold"]["message"]) if status["hold"] and status["version"] == version else ""

        return str(self.wait(f"version {version} held", look))

    def serve(self, requests: int = 60) -> None:
        """Wait until each load has got so many more answers: time enough for a wrong act to show."""
        due = {node: each.now().requests + requests for node, each in self._customers.items() if each.process}
        self.wait(
            "more requests", lambda: all(self._customers[node].now().requests >= count for node, count in due.items())
        )

    # -- harm

    def kill(self, name: str) -> Process:
        """kill -9; returns what ``restart`` takes."""
        process = self.processes.named(name)
        self.processes.kill(process)
        return process

    def restart(self, killed: Process) -> None:
        self.processes.restart(killed)

    def enrol(self, host: str) -> Path:
        """Make the folder of a new host; the path of its agent's settings."""
        return self.fleet.enrolment.enrol(host, {"host": {}, **SETTINGS.agents})

    def kill_and_restart(self, name: str) -> None:
        self.restart(self.kill(name))

    @contextlib.contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end."""
        pid = self.processes.named(name).pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    # -- customers

    def admit(self, node: str) -> None:
        customers = self._customers[node]
        customers.tally.unlink(missing_ok=True)
        options = ["--url", customers.url, "--tally", customers.tally, "--rate", str(RATE)]
        command = [sys.executable, "-m", "controller.demo.load", *options]
        customers.process = self.processes.start(f"customers-{node}", command)
        self.wait("customers", lambda: customers.now().requests > 0)

    def dismiss(self, node: str) -> None:
        customers = self._customers[node]
        if customers.process:
            self.processes.stop(customers.process, timeout=30.0)
            customers.ended.append(customers.now())
            customers.process = None

    @contextlib.contextmanager
    def without_customers(self, *nodes: str) -> Iterator[None]:
        """For what no balancer can hide from them."""
        for node in nodes:
            self.dismiss(node)
        try:
            yield
        finally:
            for node in nodes:
                self.admit(node)

    def failures(self) -> dict[str, list[dict[str, int]]]:
        """What failed at each node; it should be nothing."""
        return {node: each.failures for node, each in self._customers.items() if each.failures}

    def url(self, balancer: Place) -> str:
        return self._customers[balancer.name].url

    def stop(self) -> None:
        for node in self._customers:
            with contextlib.suppress(Exception):
                self.dismiss(node)
        self.fleet.stop()

    # -- inside

    def _asked(self, ask: Callable[[], Resource]) -> Resource | None:
        try:
            return ask()
        except AskError:
            return None

    def _at(self, steps: tuple[Step, ...]) -> list[str]:
        return [host for host, step in self.journeys().items() if step in steps]

    def _stands(self) -> str:
        with contextlib.suppress(AskError, AssertionError):
            return self.drumbeat("describe", "target", TARGET)
        return f"the controller does not answer; its log: {self.layout.logs / 'controller.log'}"


def started(folder: Path, balancers: int, bus: Bus = "http") -> Iterator[Rig]:
    """A fleet that has converged, and is stopped whatever happens; for fixtures."""
    rig = Rig(folder, balancers, bus=bus)
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()
    assert rig.failures() == {}
