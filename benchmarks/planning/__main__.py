"""python -m benchmarks.planning [--full] [--json]: what decisions cost in a small and a large fleet, side by side."""

import argparse
import gc
import json
import statistics
import sys
import time
from typing import Any

from benchmarks.planning.drive import Drive
from benchmarks.planning.estate import EVERYWHERE, PART, Size

SMALL = 1_000
BATCH = 20
"""Hosts that go together, in both fleets."""
EVENTS = 100
"""Of one fleet, before it is the other's turn."""
MOST = 1.2
"""Ratio of the costs of an event."""


def main() -> int:
    """0 if planning stays flat within a fifth and the rollout finishes."""
    options = _options()
    hosts = 100_000 if options.full else options.hosts
    _talk(f"fleets of {SMALL} and {hosts} hosts ...")
    small, large = (Drive(Size(size, 10, BATCH, max(size // 1000, 1))) for size in (SMALL, hosts))
    gc.freeze()
    found = {"hosts": hosts, "services": len(large.world.specs)}
    found |= _rollout(large) | _side_by_side(small, large, options.rounds)
    _print(found)
    if options.json:
        print(json.dumps(found))
    return 0 if found["ratio"] <= MOST else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description="Measure the cost of decisions.")
    parser.add_argument("--json", action="store_true", help="end with one object on a line")
    parser.add_argument("--full", action="store_true", help="100,000 hosts, 300 services, a rollout of 10,000 hosts")
    parser.add_argument("--hosts", type=int, default=5_000, help="of the large fleet")
    parser.add_argument("--rounds", type=int, default=20, help=f"of {EVENTS} events in each fleet")
    return parser.parse_args()


def _side_by_side(small: Drive, large: Drive, rounds: int) -> dict[str, Any]:
    """The service on every host goes to one version after another, by batches of the same size in both fleets."""
    commits: dict[Drive, list[float]] = {small: [small.commit(EVERYWHERE)], large: [large.commit(EVERYWHERE)]}
    costs: dict[Drive, list[float]] = {small: [], large: []}
    for _ in range(rounds):
        for drive in (small, large):
            if drive.converged(EVERYWHERE):
                commits[drive].append(drive.commit(EVERYWHERE))
            costs[drive].append(sum(drive.step() for _ in range(EVENTS)) / EVENTS)
    ratios = [many / few for few, many in zip(costs[small], costs[large], strict=True)]
    return {
        "small_event_ms": round(statistics.median(costs[small]) * 1000, 3),
        "large_event_ms": round(statistics.median(costs[large]) * 1000, 3),
        "ratio": round(statistics.median(ratios), 2),
        "commit_seconds": round(commits[large][0], 2),
    }


def _rollout(drive: Drive) -> dict[str, Any]:
    """The service on a tenth of the hosts goes to another version, to the end."""
    _talk("a rollout of a tenth of them ...")
    begun, events, cpu = time.monotonic(), 0, drive.commit(PART)
    while not drive.converged(PART):
        spent = drive.step()
        if not spent:
            raise SystemExit(f"the rollout has come to a halt: {drive.world.statuses[f'{PART}@prod']}")
        events, cpu = events + 1, cpu + spent
    return {
        "rollout_hosts": len(drive.world.specs[f"{PART}@prod"].hosts),
        "rollout_events": events,
        "rollout_cpu_seconds": round(cpu, 1),
        "rollout_wall_seconds": round(time.monotonic() - begun, 1),
    }


def _print(found: dict[str, Any]) -> None:
    print(f"an event at {SMALL} hosts: {found['small_event_ms']} ms of CPU")
    print(f"an event at {found['hosts']} hosts, {found['services']} services: {found['large_event_ms']} ms")
    print(f"ratio: {found['ratio']} (at most {MOST})")
    print(f"a commit at {found['hosts']} hosts: {found['commit_seconds']} s of CPU, state files' reading left out")
    print(
        f"a rollout of {found['rollout_hosts']} hosts finished: {found['rollout_events']} events, "
        f"{found['rollout_cpu_seconds']} s of planning"
    )


def _talk(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
