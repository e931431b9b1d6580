"""python -m benchmarks.agent_memory [--bus amqp] [--json] [--seconds N]: what agents hold as they probe a service."""

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.setting import FIRST, tune
from controller.cli.client import AskError
from controller.cli.words import condition
from controller.demo.fleet import Fleet, running
from controller.demo.layout import Layout
from controller.demo.repository import Document

FIELDS = {"Rss": "rss_mb", "Pss": "pss_mb", "Anonymous": "anonymous_mb"}
"""Of /proc/PID/smaps_rollup: all that is in memory, its share of it where others hold the same, what is its alone."""


def main() -> int:
    """0 once it could be measured."""
    options = _options()
    with TemporaryDirectory(prefix="drumbeat-memory-") as root:
        fleet = Fleet(Layout.of(Path(root), hosts=1), _probing, bus=options.bus)
        with running(fleet):
            fleet.start(FIRST)
            fleet.wait_for("the host converges", lambda: _has_converged(fleet), 120.0)
            time.sleep(options.seconds)
            names = [fleet.layout.hosts[0].name, fleet.layout.balancers[0].name, "runner-1"]
            found = {name: memory(fleet.processes.named(f"agent-{name}").pid) for name in names}
    for name, held in found.items():
        print(
            f"{name:<12}" + "".join(f"{field.removesuffix('_mb'):>12} {value:.1f} MiB" for field, value in held.items())
        )
    if options.json:
        print(json.dumps({"agent_memory": found}))
    return 0


def _has_converged(fleet: Fleet) -> bool:
    try:
        return condition(fleet.summary(), "Ready") is not None
    except AskError:  # the repository has not been read yet
        return False


def memory(pid: int) -> dict[str, float]:
    """What a process holds, in MiB (Linux)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    said = dict(line.split(":", 1) for line in lines[1:])
    return {name: round(int(said[field].split()[0]) / 1024, 1) for field, name in FIELDS.items()}


def _probing(service: Document) -> None:
    """Three kinds of probe, each second."""
    tune(service)
    spec = service["spec"]
    http = spec["probes"][0]["http"]
    kinds = [{"http": http}, {"tcp": {"port": http["port"]}}, {"exec": {"command": ["/bin/true"]}}]
    spec["probes"] = [{**kind, "interval": "1s"} for kind in kinds]
    spec["rollout"]["downtime"] = "allowed"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent_memory", description=__doc__)
    parser.add_argument("--bus", choices=["http", "amqp"], default="http", help="over which they meet the controller")
    parser.add_argument("--json", action="store_true", help="end with one object on a line")
    parser.add_argument("--seconds", type=float, default=15.0, help="for which it probes before it is measured")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
