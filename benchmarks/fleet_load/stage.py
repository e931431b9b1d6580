"""What stands behind the nodes: a repository, a controller as operators run it, and where asked for a RabbitMQ."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bus.amqp_definitions import definitions
from bus.keyring import KeyRing, write_node_keys
from bus.keys import (
    BUS_PASSWORD_FILE,
    CONTROLLER_KEY_FILE,
    generate_key,
    generate_token,
    hash_token,
    save_private_key,
    write_secret,
)
from controller.cli.client import AskError, Client
from controller.cli.words import condition
from controller.demo.nodes import script
from controller.demo.processes import DemoError, Process, Processes, free_ports
from controller.demo.rabbitmq import RABBITMQ, VHOST, Broker, start_broker
from controller.demo.repository import git
from controller.settings import EMBEDDED

Bus = Literal["http", "amqp"]
FLEET, SERVICE = "load", "api"
TARGET = f"{SERVICE}@{FLEET}"
LOOK = 0.02
"""Seconds between two looks at what is waited for."""
START = 120.0
"""Seconds that a program may take to start, on a busy machine."""
SHIPPED = Path(__file__).parents[2] / "deploy" / "rabbitmq" / "rabbitmq.conf"
_OF_SHIPPED = ("heartbeat ", "max_message_size ", "channel_max ", "tcp_listen_options.", "raft.", "background_gc")
"""What of the shipped configuration has to do with load; the rest is about TLS, clusters, alarms."""


class Stage:
    """One run's folder and programs. All that is waited for raises DemoError if it does not come."""

    def __init__(self, root: Path, nodes: int, bus: Bus) -> None:
        self.root, self.keys = root, root / "keys"
        self.nodes = [f"node-{number:05}" for number in range(1, nodes + 1)]
        self.processes = Processes(root / "logs")
        port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{port}"
        self.client = Client(self.url)
        self._listen = f"127.0.0.1:{port}"
        self._broker = Broker(root / RABBITMQ, lines=_shipped_lines()) if bus == "amqp" else None
        self._session = requests.Session()
        self._session.trust_env = False

    @property
    def bus(self) -> str:
        """As agents' settings name it."""
        return self._broker.url if self._broker else self.url

    @property
    def controller(self) -> Process:
        """The controller's process."""
        return self.processes.named("controller")

    @property
    def broker(self) -> Process | None:
        """The broker's process, if there is a broker."""
        return self.processes.named(RABBITMQ) if self._broker else None

    # -- setting up

    def enrol(self) -> list[Path]:
        """Make everybody's credentials, and the broker's accounts; a folder for each node."""
        self.keys.mkdir(parents=True, mode=0o700)
        ring, key = KeyRing(self.keys), generate_key()
        save_private_key(self.keys / CONTROLLER_KEY_FILE, key)
        folders = [self.root / "nodes" / node for node in self.nodes]
        tokens = {f.name: write_node_keys(f, f.name, ring, [key.public_key], ["host"]).token for f in folders}
        if self._broker:
            password = generate_token()
            write_secret(self.keys / BUS_PASSWORD_FILE, password.encode())
            accounts = {node: hash_token(token) for node, token in tokens.items()}
            self._broker = replace(self._broker, definitions=definitions(VHOST, hash_token(password), accounts))
        return folders

    def write_repository(self, batch: int) -> None:
        """A service without pools on every node, rolled out in batches of that size; no version yet."""
        hosts = [{"name": name, "address": _address(number), "labels": {"role": SERVICE}} for number, name in self._all]
        self._write(f"fleets/{FLEET}.yaml", _resource("Fleet", FLEET, {"hosts": hosts}))
        artifact = {"url": "http://127.0.0.1:1/{version}.tar.gz", "run": ["./api"]}
        rollout = {"batches": [batch], "maxUnavailable": batch}
        spec = {"hosts": {"role": SERVICE}, "artifact": artifact, "rollout": rollout}
        self._write(f"services/{SERVICE}.yaml", _resource("Service", SERVICE, spec))
        git(self.root, "init", "--quiet", "--initial-branch=main", str(self._repository))
        for name, value in {"user.name": "Load", "user.email": "load@example.com", "commit.gpgsign": "false"}.items():
            git(self._repository, "config", name, value)

    def declare(self, version: str) -> None:
        """Commit a version."""
        content = {"apiVersion": "drumbeat/v1alpha1", "version": version, "sha256": "a" * 64}
        self._write(f"versions/{FLEET}/{SERVICE}.yaml", content)
        git(self._repository, "add", "--all")
        git(self._repository, "commit", "--quiet", "--message", f"Run {SERVICE} {version}")

    @property
    def _all(self) -> list[tuple[int, str]]:
        return list(enumerate(self.nodes, 1))

    @property
    def _repository(self) -> Path:
        return self.root / "state"

    def _write(self, name: str, document: dict[str, Any]) -> None:
        path = self._repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    # -- programs

    def start_broker(self) -> None:
        """Start the broker, and return once its port is open."""
        if self._broker:
            start_broker(self.processes, self._broker)
            self.wait("RabbitMQ takes connections", self._broker.accepts, START)

    def start_controller(self) -> None:
        """Start the controller, and return once it answers."""
        settings = {
            "repository": str(self._repository),
            "dataDirectory": str(self.root / "data"),
            "keysDirectory": str(self.keys),
            "listen": self._listen,
            "bus": self._broker.url if self._broker else EMBEDDED,
        }
        path = self.root / "controller.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        self.processes.start("controller", [script("drumbeat"), "controller", "--config", path])
        self.wait("the controller answers", self._answers, START)

    def restart_controller(self) -> datetime:
        """Kill the controller and start it again; when it answered."""
        self.processes.restart(self._killed(self.controller))
        self.wait("the controller answers again", self._answers, START)
        return datetime.now().astimezone()

    def restart_broker(self) -> datetime:
        """Kill the broker, -9, and start it again; when its port was open."""
        assert self._broker is not None and self.broker is not None
        self.processes.restart(self._killed(self.broker))
        self.wait("RabbitMQ takes connections again", self._broker.accepts, START)
        return datetime.now().astimezone()

    def _killed(self, process: Process) -> Process:
        self.processes.kill(process)
        return process

    # -- looking

    def wait(self, what: str, came: Callable[[], bool], patience: float, interval: float = LOOK) -> None:
        """Look until it came."""
        deadline = time.monotonic() + patience
        while not came():
            self.processes.check()
            if time.monotonic() > deadline:
                log = self.root / "logs" / "controller.log"
                raise DemoError(f"waited {patience:g} seconds in vain: {what}", log)
            time.sleep(interval)

    def last_seen(self) -> list[datetime | None]:
        """When each node was last heard, None for silent ones and such that were never heard."""
        nodes = [node["status"] for node in self.client.listed("nodes")["items"]]
        heard = [None if node["silent"] else datetime.fromisoformat(node["lastSeen"]) for node in nodes]
        return heard + [None] * (len(self.nodes) - len(heard))

    def converged(self, version: str) -> bool:
        """Whether every node runs the version."""
        try:
            found = self.client.target(TARGET, with_hosts=False)
        except AskError:  # the repository has not been read yet
            return False
        return found["status"]["version"] == version and condition(found, "Ready") is not None

    def reports(self) -> dict[str, float]:
        """How many the controller has taken since its start, by kind."""
        text = self._session.get(f"{self.url}/metrics", timeout=30).text
        families = {family.name: family for family in text_string_to_metric_families(text)}
        samples = families["drumbeat_reports"].samples
        return {sample.labels["kind"]: sample.value for sample in samples if sample.name == "drumbeat_reports_total"}

    def _answers(self) -> bool:
        try:
            self.client.state()
        except AskError:
            return False
        return True


def _shipped_lines() -> list[str]:
    return [line for line in SHIPPED.read_text(encoding="utf-8").splitlines() if line.startswith(_OF_SHIPPED)]


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "drumbeat/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


@contextmanager
def stage(root: Path, nodes: int, bus: Bus, batch: int) -> Iterator[tuple[Stage, Sequence[Path]]]:
    """Everything laid out and nothing started, and the folders of the nodes' credentials; ended whatever happens."""
    made = Stage(root, nodes, bus)
    try:
        folders = made.enrol()
        made.write_repository(batch)
        made.declare("1.0.0")
        yield made, folders
    finally:
        made.processes.kill_all()
