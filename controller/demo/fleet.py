"""The demo's fleet: repository, artifact server, controller, agents, balancers; started together, ended together."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import yaml

from bus.amqp_definitions import definitions
from bus.keys import BUS_PASSWORD_FILE, generate_token, hash_token, write_secret
from controller.cli.client import AskError, Client, Resource
from controller.demo.artifact import build_artifact
from controller.demo.balancers import site_of, start_balancer
from controller.demo.haproxy import Site
from controller.demo.interrupts import ignoring_interrupts
from controller.demo.layout import FLEET, RUNNER, SERVICE, TARGET, Layout
from controller.demo.load import Tally, read_tally
from controller.demo.nodes import Enrolment, script, start_agents, stop_services
from controller.demo.processes import DemoError, Process, Processes, loopback_environment
from controller.demo.programs import need_program
from controller.demo.rabbitmq import RABBITMQ, VHOST, Broker, start_broker
from controller.demo.repository import Document, Tune, commit_all, committed_at, write_repository
from controller.demo.scripts import write_scripts
from controller.settings import EMBEDDED

BROKER_START = 120.0
"""Seconds that RabbitMQ may take to start, on a busy machine."""
LOOK = 0.05
"""Seconds between two looks at what is waited for."""


Bus = Literal["http", "amqp"]
"""How messages travel: embedded in the controller, or over a RabbitMQ of the demo's own."""


@dataclass(frozen=True)
class Settings:
    """What differs from the defaults."""

    controller: Document = field(default_factory=dict)
    agents: Document = field(default_factory=dict)


class Fleet:
    """Everything that runs, and what the demo does with it."""

    def __init__(
        self, layout: Layout, tune: Tune | None = None, settings: Settings | None = None, bus: Bus = "http"
    ) -> None:
        """``tune`` changes the Service before it is written."""
        self.layout = layout
        self.processes = Processes(layout.logs)
        self.client = Client(layout.controller_url)
        self.broker = Broker(layout.root / RABBITMQ) if bus == "amqp" else None
        self.enrolment = Enrolment(layout, self.broker.url if self.broker else layout.controller_url)
        self._tune, self._settings = tune, settings or Settings()
        self._customers: Process | None = None
        self.balancers: list[Site] = []

    @property
    def controller(self) -> Process:
        """The controller's process. Raises DemoError if it does not run."""
        return self.processes.named("controller")

    def start(self, version: str) -> None:
        """Start everything, with ``version`` declared; returns while hosts still converge. Raises DemoError."""
        layout = self.layout
        for program in ("git", "haproxy"):
            need_program(program)
        if self.broker:
            self.broker.command()
        layout.artifacts.mkdir(parents=True)
        write_scripts(layout.scripts)
        write_repository(layout, self._tune)
        self.bump(version)
        commit_all(layout, f"Run {SERVICE} {version}")
        agents = self._enrol()
        if self.broker:
            self._start_broker(self.broker)
        artifacts = ["-m", "controller.demo.artifact_server", str(layout.ports.artifacts), str(layout.artifacts)]
        self.processes.start("artifacts", [sys.executable, *artifacts])
        self.balancers = [start_balancer(self.processes, layout, place) for place in layout.balancers]
        self.processes.start(
            "controller", [script("drumbeat"), "controller", "--config", layout.root / "controller.yaml"]
        )
        self.wait_for("the controller answers", self._answers, 30.0)
        start_agents(self.processes, agents, self.wait_for)

    def stop(self) -> None:
        """End every process that was started, and every service that an agent started."""
        self.processes.stop_all()
        stop_services(self.layout)

    def bump(self, version: str, broken: bool = False, commit: bool = False) -> list[str]:
        """Build a version and declare it, with the command that an operator would use; returns that command."""
        artifact = build_artifact(self.layout.artifacts, version, broken)
        return self.declare(version, ["--artifact", str(artifact.path)], commit)

    def declare(self, version: str, archive: Sequence[str], commit: bool) -> list[str]:
        """Declare a version whose ``archive`` lies there, by the options of that command; returns the command."""
        words = ["bump", SERVICE, version, "--fleet", FLEET, *archive]
        command = ["drumbeat", *words, *(["--commit"] if commit else [])]
        done = subprocess.run(
            [script("drumbeat"), *command[1:]],
            cwd=self.layout.repository,
            env=loopback_environment(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DemoError(f"'{' '.join(command)}' failed: {done.stderr.strip()}")
        return command

    def committed_at(self) -> float:
        """When the newest commit became the branch's, in seconds since the epoch."""
        return committed_at(self.layout)

    def target(self) -> Resource:
        """The target as the controller sees it, with its hosts. Raises AskError."""
        return self.client.named("targets", TARGET)

    def summary(self) -> Resource:
        """The target without its hosts: costs the controller next to nothing. Raises AskError."""
        for target in self.client.listed("targets")["items"]:
            if target["metadata"]["name"] == TARGET:
                return dict(target)
        raise AskError(f"no target {TARGET}")

    def admit_customers(self, rate: float) -> None:
        """Start the load: ``rate`` requests a second."""
        options = ["--url", self.layout.customers_url, "--tally", str(self.layout.tally), "--rate", str(rate)]
        module = "controller.demo.load"
        self._customers = self.processes.start("customers", [sys.executable, "-m", module, *options])
        self.wait_for("the first customers", lambda: self.tally().requests > 0, 30.0)

    def dismiss_customers(self) -> Tally:
        """End the load; the final count."""
        if self._customers is not None:
            self.processes.stop(self._customers, timeout=30.0)
            self._customers = None
        return self.tally()

    def tally(self) -> Tally:
        """What became of the customers' requests so far."""
        return read_tally(self.layout.tally)

    def wait_for(self, what: str, came: Callable[[], bool], timeout: float, interval: float = LOOK) -> None:
        """Look each ``interval`` seconds. Raises DemoError when the time is up, or a process has ended."""
        deadline = time.monotonic() + timeout
        while not came():
            self.processes.check()
            if time.monotonic() > deadline:
                raise DemoError(f"waited {timeout:g} seconds in vain: {what}", self.layout.logs / "controller.log")
            time.sleep(interval)

    def _start_broker(self, broker: Broker) -> None:
        password = generate_token()
        write_secret(self.layout.keys / BUS_PASSWORD_FILE, password.encode())
        nodes = {name: hash_token(token) for name, token in self.enrolment.tokens.items()}
        accounts = definitions(VHOST, hash_token(password), nodes)
        start_broker(self.processes, replace(broker, definitions=accounts))
        self.wait_for("RabbitMQ takes connections", broker.accepts, BROKER_START)

    def _answers(self) -> bool:
        try:
            self.client.state()
        except AskError:
            return False
        return True

    def _enrol(self) -> dict[str, Path]:
        """Write the controller's settings and those of every node; the agents' settings by node."""
        layout = self.layout
        settings = {
            "repository": str(layout.repository),
            "dataDirectory": str(layout.root / "data"),
            "keysDirectory": str(layout.keys),
            "listen": f"127.0.0.1:{layout.ports.controller}",
            "bus": self.broker.url if self.broker else EMBEDDED,
            **self._settings.controller,
        }
        (layout.root / "controller.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        self.enrolment.begin()
        roles: dict[str, Document] = {RUNNER: {"runner": {"scripts": str(layout.scripts)}}}
        roles |= {place.name: {"balancer": site_of(layout, place).settings()} for place in layout.balancers}
        roles |= {place.name: {"host": {}} for place in layout.hosts}
        return {name: self.enrolment.enrol(name, {**role, **self._settings.agents}) for name, role in roles.items()}


@contextmanager
def running(fleet: Fleet) -> Iterator[Fleet]:
    """A fleet that is stopped whatever happens."""
    try:
        yield fleet
    finally:
        # A second Ctrl-C must not leave processes behind.
        with ignoring_interrupts():
            fleet.stop()
