"""A controller and agents as processes, with nothing but what the commands of an operator made."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.support.git import commit_all, repository
from tests.support.state_files import write
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent


class Machine:
    """The controller's machine: its key, its process, its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys, self.log = folder, folder / "keys", folder / "controller.log"
        self.url = ""
        self._listen = "127.0.0.1:0"
        self._controller: subprocess.Popen[bytes] | None = None
        self._agents: list[subprocess.Popen[bytes]] = []
        self.state = write(repository(folder / "state"))
        commit_all(self.state)
        self.drumbeat("keys", "controller")

    def drumbeat(self, *words: str, code: int = 0) -> str:
        """What the command prints on stdout, or on stderr if another code is expected."""
        command = [str(SCRIPTS / "drumbeat"), *words]
        environment = {**os.environ, "DRUMBEAT_KEYS_DIRECTORY": str(self.keys), "DRUMBEAT_SERVER": self.url}
        said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert said.returncode == code, said.stderr
        return said.stderr if code else said.stdout

    def start(self) -> None:
        """Start the controller, on the same port as before."""
        options = {
            "--repository": str(self.state),
            "--data-directory": str(self.folder / "data"),
            "--keys-directory": str(self.keys),
            "--listen": self._listen,
            "--log-format": "json",
        }
        words = [word for pair in options.items() for word in pair]
        self.log.write_bytes(b"")
        with self.log.open("ab") as log:
            self._controller = subprocess.Popen([SCRIPTS / "drumbeat", "controller", *words], cwd=ROOT, stderr=log)
        self.url = eventually(lambda: self.logged("controller.listens"), patience=90.0)[0]["url"]
        self._listen = self.url.removeprefix("http://")
        eventually(self._answers, patience=90.0)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except requests.ConnectionError:
            return False

    def stop(self) -> None:
        """Stop the controller."""
        if self._controller is not None:
            self._controller.send_signal(signal.SIGTERM)
            self._controller.wait(30)
            self._controller = None

    def logged(self, message: str) -> list[dict[str, Any]]:
        """Lines of the controller's log with that message."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if line["message"] == message]

    def join(
        self, name: str, token: str, code: int = 0, credentials: str = "credentials", more: Sequence[str] = ()
    ) -> str:
        """Run the node's command, perhaps with more options; what it printed."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        words = ["join", "--controller", self.url, "--name", name, "--credentials", str(folder / credentials), *more]
        said = subprocess.run(
            [SCRIPTS / "drumbeat-agent", *words], input=token, capture_output=True, text=True, timeout=60
        )
        assert said.returncode == code, said.stderr
        return said.stderr if code else said.stdout

    def agent(self, name: str, role: str = "host: {}", bus: str = "") -> subprocess.Popen[bytes]:
        """Start the node's agent; ``bus``: lines of its settings that say where the controller is."""
        folder = self.folder / name
        config = folder / "agent.yaml"
        config.write_text(
            f"node: {name}\n{bus or f'bus: {self.url}'}\n"
            f"credentials: credentials\nstate: agent\nreportInterval: 1s\n{role}\n"
        )
        with (folder / "agent.log").open("ab") as log:
            process = subprocess.Popen([SCRIPTS / "drumbeat-agent", "run", "--config", config], stderr=log)
        self._agents.append(process)
        return process

    def node(self, name: str) -> dict[str, Any]:
        """The status of a node, as the API has it; empty if it is not known."""
        answer = requests.get(f"{self.url}/api/v1/nodes/{name}", timeout=10)
        return dict(answer.json()["status"]) if answer.ok else {}

    def reaches(self, name: str, headline: str) -> dict[str, Any]:
        """The node's status once it has that headline."""
        return eventually(lambda: found if (found := self.node(name)).get("headline") == headline else {})

    def close(self) -> None:
        """End all processes."""
        for agent in self._agents:
            agent.kill()
            agent.wait()
        self.stop()


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """The controller's machine, with its controller running."""
    made = Machine(folder)
    try:
        made.start()
        yield made
    finally:
        made.close()
