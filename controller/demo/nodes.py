"""The demo's nodes: settings, credentials and agents of each; and the services that agents leave running."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bus.keyring import ALL_ROLES, KeyRing, write_node_keys
from bus.keys import CONTROLLER_KEY_FILE, generate_key, save_private_key
from controller.demo.layout import Layout
from controller.demo.processes import Process, Processes

START_TIME = 60.0
"""Seconds that an agent may take to start, on a busy machine."""
WaitFor = Callable[[str, Callable[[], bool], float], None]
"""What is waited for, whether it came, for how many seconds at most."""

_AT_ONCE = 8
_STARTED = 19
"""Where /proc/PID/stat has the start time, counted after the command's name."""


def script(name: str) -> Path:
    """A console script of this installation."""
    return Path(sys.executable).parent / name


class Enrolment:
    """Writes the controller's key, and credentials for each node."""

    def __init__(self, layout: Layout, bus: str) -> None:
        self._layout, self._bus = layout, bus
        self.tokens: dict[str, str] = {}
        """Each node's, its password at a broker."""
        self._ring = KeyRing(layout.keys)
        self._key = generate_key()

    def begin(self) -> None:
        """Write the controller's key."""
        self._layout.keys.mkdir(parents=True, mode=0o700)
        save_private_key(self._layout.keys / CONTROLLER_KEY_FILE, self._key)

    def enrol(self, name: str, role: dict[str, Any]) -> Path:
        """Make the folder of a node; returns the path of its agent's settings."""
        folder = self._layout.node(name)
        roles = [known for known in ALL_ROLES if known in role]
        keys = write_node_keys(folder / "credentials", name, self._ring, [self._key.public_key], roles)
        self.tokens[name] = keys.token
        settings = {
            "node": name,
            "bus": self._bus,
            "credentials": "credentials",
            "state": "state",
            **role,
        }
        path = folder / "agent.yaml"
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        return path


def start_agents(processes: Processes, settings: Mapping[str, Path], wait_for: WaitFor) -> None:
    """Start the agents by node, as an operator would. A few at a time, since they all share this machine's processors.

    An agent's first line in its log says that it runs.
    """
    agents: list[Process] = []
    for name, path in settings.items():
        wait_for("agents start", lambda: _starting(agents) < _AT_ONCE, START_TIME)
        command: list[str | Path] = [script("drumbeat-agent"), "run", "--config", path]
        agents.append(processes.start(f"agent-{name}", command, MALLOC_ARENA_MAX="1"))  # as deploy/systemd has it


def _starting(agents: Sequence[Process]) -> int:
    return sum(agent.log.stat().st_size == 0 for agent in agents)


def stop_services(layout: Layout, timeout: float = 10.0) -> None:
    """End what the hosts' agents left running; their agents must have ended, or they would start it again."""
    running = [found for host in layout.hosts for found in _services(layout.node(host.name) / "state")]
    for pid, started in running:
        if _is_running(pid, started):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    for pid, started in running:
        while _is_running(pid, started):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def _services(state: Path) -> list[tuple[int, str]]:
    """Process id and start time of each service, as the agent's supervisor wrote them down."""
    records = [json.loads(path.read_bytes()) for path in sorted(state.glob("services/*/*.json"))]
    identities = [record["identity"] for record in records if record.get("identity")]
    return [(identity["pid"], identity["started"]) for identity in identities]


def _is_running(pid: int, started: str) -> bool:
    """Whether it is that very process; ids are used again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[_STARTED] == started and fields[0] != "Z"
