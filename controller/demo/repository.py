"""The demo's git repository: the example of desired-state/, moved to this machine's addresses and ports."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from controller.demo.layout import FLEET, RUNNER, SERVICE, Layout
from controller.demo.processes import DemoError

Document = dict[str, Any]
Tune = Callable[[Document], None]
"""Changes the Service before it is written."""

_HERE = Path(__file__).parent
_GIT_SETTINGS = {
    "user.name": "Demo",
    "user.email": "demo@example.com",
    "commit.gpgsign": "false",
    "core.hooksPath": "/dev/null",
}


def example_folder() -> Path:
    """The example: packed into the wheel beside this file, in a checkout at its top. Raises DemoError."""
    for folder in (_HERE / "desired-state", _HERE.parents[1] / "desired-state"):
        if folder.is_dir():
            return folder
    raise DemoError(f"the example state directory is not there: neither in {_HERE} nor in {_HERE.parents[1]}")


def write_repository(layout: Layout, tune: Tune | None = None) -> None:
    """Write the state files and make them a repository; nothing is committed, and no version declared yet."""
    example = example_folder()
    _write(layout, f"fleets/{FLEET}.yaml", _fleet(layout, _read(example / f"fleets/{FLEET}.yaml")))
    balancer = f"balancers/{FLEET}/edge.yaml"
    _write(layout, balancer, _balancer(layout, _read(example / balancer)))
    service = _service(layout, _read(example / f"services/{SERVICE}.yaml"))
    if tune is not None:
        tune(service)
    _write(layout, f"services/{SERVICE}.yaml", service)
    git(layout.repository, "init", "--quiet", "--initial-branch=main")
    for name, value in _GIT_SETTINGS.items():
        git(layout.repository, "config", name, value)


def commit_all(layout: Layout, message: str) -> None:
    """Commit whatever lies in the repository."""
    git(layout.repository, "add", "--all")
    git(layout.repository, "commit", "--quiet", "--message", message)


def git(folder: Path, *words: str) -> str:
    """Run git there. Raises DemoError."""
    try:
        done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise DemoError("git is missing; install it: apt-get install git") from error
    except subprocess.CalledProcessError as error:
        raise DemoError(f"git {words[0]} failed: {error.stderr.strip()}") from error
    return done.stdout.strip()


def committed_at(layout: Layout) -> float:
    """When the newest commit became the branch's, in seconds since the epoch."""
    return (layout.repository / ".git/refs/heads/main").stat().st_mtime


def _fleet(layout: Layout, fleet: Document) -> Document:
    """As many hosts as wanted, each in the manner of one of the example's."""
    models = fleet["spec"]["hosts"]
    fleet["spec"]["hosts"] = [
        {**models[number % len(models)], "name": place.name, "address": place.address}
        for number, place in enumerate(layout.hosts)
    ]
    fleet["spec"]["balancers"] = [{"name": place.name, "address": place.address} for place in layout.balancers]
    fleet["spec"]["runners"] = [{"name": RUNNER}]
    return fleet


def _balancer(layout: Layout, balancer: Document) -> Document:
    spec = balancer["spec"]
    spec["nodes"] = [place.name for place in layout.balancers]
    spec["pools"] = {
        name: {**entry, "port": layout.ports.maintenance} if entry else entry for name, entry in spec["pools"].items()
    }
    return balancer


def _service(layout: Layout, service: Document) -> Document:
    spec = service["spec"]
    archive = spec["artifact"]["url"].rpartition("/")[2]
    spec["artifact"]["url"] = f"http://127.0.0.1:{layout.ports.artifacts}/{archive}"
    service["spec"] = _with_port(spec, spec["pools"][0]["port"], layout.ports.service)
    return service


def _with_port(value: Any, old: int, new: int) -> Any:
    """The value with every mention of a port, as a number or as a word of a command, replaced."""
    if isinstance(value, dict):
        return {key: _with_port(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_port(inner, old, new) for inner in value]
    if value == str(old):
        return str(new)
    return new if value == old and isinstance(value, int) else value


def _read(path: Path) -> Document:
    document: Document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def _write(layout: Layout, name: str, document: Document) -> None:
    path = layout.repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
