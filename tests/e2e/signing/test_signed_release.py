"""From a key and a commit to a host that takes the release, or does not: real controller, agent, git and commands.

One machine is host and runner, and pins two roots. What the controller and the state repository say alone is worth
nothing there: this controller's repository has no policy at first, so that the node is the only one who refuses.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from typer.testing import CliRunner

from bus.keyring import KeyRing, write_node_keys
from bus.keys import CONTROLLER_KEY_FILE, generate_key, public_text, save_private_key
from controller.cli.main import app
from controller.demo.processes import Process, Processes, free_ports
from tests.support.artifacts import WEB, tar_gz
from tests.support.git import commit_all, git, repository
from tests.support.ports import own_address
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(240)

TARGET = "web@prod"
PATIENCE = 60.0


class Site:
    """A state repository, a controller, and one node."""

    def __init__(self, root: Path) -> None:
        self.root, self.state = root, repository(root / "state")
        self.processes = Processes(root / "logs")
        self.web, self.api = free_ports(2)
        for name in ("ci", "root1", "root2", "evil"):
            save_private_key(root / f"{name}.pem", generate_key())
        self._write_node()
        self._write_state()
        self.release("1")

    def _write_node(self) -> None:
        keys, key = self.root / "keys", generate_key()
        keys.mkdir(mode=0o700)
        save_private_key(keys / CONTROLLER_KEY_FILE, key)
        credentials = self.root / "node" / "credentials"
        write_node_keys(credentials, "vm1", KeyRing(keys), [key.public_key])
        roots = [self.public("root1"), self.public("root2")]
        self.roots = credentials / "trust.yaml"
        self.roots.write_text(yaml.safe_dump({"fleet": "prod", "threshold": 2, "roots": roots}))
        said = {"bus": f"http://{own_address()}:{self.api}", "credentials": "credentials", "state": "state"}
        settings = {"node": "vm1", **said, "reportInterval": "300ms", "host": {}, "runner": {"scripts": str(self.root)}}
        (self.root / "node" / "agent.yaml").write_text(yaml.safe_dump(settings))

    def _write_state(self) -> None:
        host = {"name": "vm1", "address": own_address(), "labels": {"role": "web"}}
        self.write("fleets/prod.yaml", "Fleet", "prod", {"hosts": [host], "runners": [{"name": "vm1"}]})
        self.gate("ok")

    def gate(self, argument: str) -> None:
        """A service whose gate runs this command."""
        run = [sys.executable, "web.py", str(self.web), "{address}"]
        command = [sys.executable, "-c", f"# {argument}", "{host}"]
        spec = {
            "hosts": {"role": "web"},
            "artifact": {"url": f"file://{self.root}/web-{{version}}.tar.gz", "run": run},
            "probes": [
                {"http": {"port": self.web, "path": "/"}, "interval": "1s"},
                {"exec": {"command": [sys.executable, "-c", "pass"]}, "interval": "1s", "timeout": "20s"},
            ],
            "gates": [{"name": "smoke", "exec": {"command": command}}],
            "rollout": {"downtime": "allowed", "deadline": "60s"},
        }
        self.write("services/web.yaml", "Service", "web", spec)

    def write(self, path: str, kind: str, name: str, spec: dict[str, Any]) -> None:
        """A file of the state repository."""
        said = {"apiVersion": "drumbeat/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        (self.state / path).parent.mkdir(parents=True, exist_ok=True)
        (self.state / path).write_text(yaml.safe_dump(said))

    def policy(self, name: str = "ci") -> None:
        """Who signs, as the repository has it."""
        keys = [{"name": name, "key": self.public(name)}]
        self.write("policies/prod.yaml", "Policy", "prod", {"fleets": ["prod"], "releases": {"keys": keys}})

    def release(self, version: str) -> None:
        """Bump to a version."""
        tar_gz({"web.py": WEB}, archive := self.root / f"web-{version}.tar.gz")
        self.run("bump", "web", version, "--fleet", "prod", "--artifact", archive)

    def run(self, *words: str | Path) -> str:
        """Run drumbeat on the repository."""
        done = CliRunner().invoke(app, [*map(str, words), "--repo", str(self.state)])
        assert done.exit_code == 0, done.output
        return done.output

    def sign(self, key: str = "ci") -> None:
        """As the build does."""
        self.run("release", "sign", TARGET, "--key", self.root / f"{key}.pem")

    def trust(self, *roots: str) -> None:
        """As the holders of the roots do."""
        for root in roots:
            self.run("release", "trust", "prod", "--root", self.root / f"{root}.pem")

    def public(self, name: str) -> str:
        """One of the keys' public half."""
        from bus.keys import load_private_key

        return public_text(load_private_key(self.root / f"{name}.pem").public_key)

    def start(self) -> Process:
        """Start the controller and the agent."""
        drumbeat = Path(sys.executable).with_name("drumbeat")
        flags = {"repository": self.state, "data-directory": self.root / "data", "keys-directory": self.root / "keys"}
        words = [word for name, value in flags.items() for word in (f"--{name}", value)]
        self.processes.start(
            "controller",
            [drumbeat, "controller", *words, "--listen", f"{own_address()}:{self.api}", "--poll-interval", "1s"],
        )
        agent = drumbeat.with_name("drumbeat-agent")
        return self.processes.start("agent", [agent, "run", "--config", self.root / "node" / "agent.yaml"])

    def target(self) -> dict[str, Any]:
        """What the API says of the target; empty before it answers."""
        try:
            answer = requests.get(f"http://{own_address()}:{self.api}/api/v1/targets/{TARGET}", timeout=10)
        except requests.ConnectionError:
            self.processes.check()
            return {}
        found: dict[str, Any] = answer.json() if answer.ok else {}
        return found

    def conditions(self, revision: str) -> dict[str, tuple[str, str]]:
        """Reasons and messages of the conditions that are true under a revision."""
        said = self.target()
        if not said or said["status"]["revision"] != revision:
            return {}
        true = [each for each in said["status"]["conditions"] if each["status"] == "True"]
        return {each["type"]: (each["reason"], each["message"]) for each in true}

    def commit(self, kind: str, words: str = "") -> str:
        """Commit everything, and wait for a condition under that revision; its message."""
        revision = commit_all(self.state)

        def said() -> str:
            reason, message = self.conditions(revision).get(kind, ("", ""))
            return message if reason and words in f"{reason} {message}" else ""

        return eventually(said, PATIENCE)

    def answers(self) -> str:
        """The version that serves."""
        return requests.get(f"http://{own_address()}:{self.web}/", timeout=10).text

    def close(self) -> None:
        """End everything, and the service that the agent left running."""
        self.processes.stop_all()
        for process in psutil.process_iter():
            try:
                if process.cwd().startswith(str(self.root / "node" / "state")):
                    process.kill()
            except psutil.Error:
                continue


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    try:
        yield site
    finally:
        site.close()


def test_a_release_runs_once_those_whom_the_roots_name_have_signed_it(site: Site) -> None:
    site.start()
    # The controller is told to roll out what nobody has signed: the node refuses.
    assert "no trust document has come" in site.commit("Stalled", "HostFailed")
    # One root alone cannot make a key count.
    site.policy()
    site.sign()
    site.trust("root1")
    site.release("1.1")
    site.sign()
    assert "bears 1 of 2 signatures of roots" in site.commit("Stalled", "HostFailed")
    # Both can.
    site.trust("root2")
    site.release("1.2")
    site.sign()
    site.commit("Ready")
    assert site.answers() == "1.2"
    assert "may run: signed by ci" in site.run("release", "verify", TARGET, "--trust", site.roots)

    # The policy holds an unsigned release before any host is touched.
    site.release("2")
    assert "what was signed is another release" in site.commit("Stalled", "Unsigned")
    assert site.answers() == "1.2"
    # Who owns the repository names a key of their own there: the node does not care.
    site.policy("evil")
    site.sign("evil")
    assert "bears 0 of 1 signatures" in site.commit("Stalled", "HostFailed")
    assert site.answers() == "1.2"
    # Undo: the statement of the older release is still good.
    git(site.state, "checkout", "--quiet", "HEAD~2", "--", ".")
    site.commit("Ready")
    assert site.answers() == "1.2"


def test_a_gate_that_was_not_signed_is_not_run(site: Site) -> None:
    site.policy()
    site.trust("root1", "root2")
    site.sign()
    site.start()
    site.commit("Ready")
    site.release("2")
    site.sign()
    (site.state / "policies/prod.yaml").unlink()  # the repository gives up its own check
    (site.state / "policies/prod.trust").unlink()
    site.gate("evil")
    assert "was not signed with web@prod" in site.commit("Stalled", "GateFailed")
