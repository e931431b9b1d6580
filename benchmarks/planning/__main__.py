"""python -m benchmarks.planning [--full] [--json]: what decisions cost in a small and a large fleet, side by side."""

import argparse
import gc
import json
import statistics
import sys
import time
from typing import Any

from benchmarks.planning.drive import Drive

SMALL = 1_000
BATCH = 20
EVENTS = 100
"""Of one fleet, before it is the other's turn."""


def main() -> int:
    """0 if planning stays flat within a fifth and the rollout finishes."""
    options = _options()
    large = 100_000 if options.full else options.hosts
    found = _side_by_side(large, options.rounds)
    found |= _rollout(large, options.rollout or (10_000 if options.full else large // 10))
    _print(found)
    if options.json:
        print(json.dumps(found))
    return 0 if found["ratio"] <= 1.2 else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description="Measure the cost of decisions.")
    parser.add_argument("--json", action="store_true", help="end with one object on a line")
    parser.add_argument("--full", action="store_true", help="100,000 hosts, 300 services, a rollout of 10,000 hosts")
    parser.add_argument("--hosts", type=int, default=10_000, help="of the large fleet")
    parser.add_argument("--rollout", type=int, default=0, help="hosts of the rollout that is run to its end")
    parser.add_argument("--rounds", type=int, default=30, help=f"of {EVENTS} events in each fleet")
    return parser.parse_args()


def _side_by_side(large: int, rounds: int) -> dict[str, Any]:
    """The common service is on every host of both fleets, and goes by batches of the same size."""
    _talk(f"{SMALL} and {large} hosts ...")
    drives = [Drive(hosts, hosts, BATCH) for hosts in (SMALL, large)]
    versions, costs = [1, 1], [list[float](), list[float]()]
    gc.freeze()
    commits = []
    for _ in range(rounds):
        for place, drive in enumerate(drives):
            if drive.converged:
                versions[place] += 1
                cost = drive.commit(str(versions[place]))
                commits += [cost] if drive.hosts == large else []
            costs[place].append(sum(drive.step() for _ in range(EVENTS)) / EVENTS)
    ratio = statistics.median(costs[1][1:]) / statistics.median(costs[0][1:])
    return {
        "hosts": large,
        "services": len(drives[1].world.specs),
        "small_event_ms": round(statistics.median(costs[0][1:]) * 1000, 3),
        "large_event_ms": round(statistics.median(costs[1][1:]) * 1000, 3),
        "ratio": round(ratio, 2),
        "commit_seconds": round(commits[0], 2),
    }


def _rollout(hosts: int, common: int) -> dict[str, Any]:
    """A rollout to its end, in a fleet of that many hosts; a hundredth of its hosts go together."""
    _talk(f"a rollout of {common} hosts among {hosts} ...")
    drive = Drive(hosts, common, max(common // 100, 1))
    gc.freeze()
    begun, events, cpu = time.monotonic(), 0, drive.commit("2")
    while spent := drive.step():
        events, cpu = events + 1, cpu + spent
    if not drive.converged:
        raise SystemExit(f"the rollout has not finished: {drive.world.statuses}")
    return {
        "rollout_hosts": common,
        "rollout_events": events,
        "rollout_cpu_seconds": round(cpu, 1),
        "rollout_wall_seconds": round(time.monotonic() - begun, 1),
    }


def _print(found: dict[str, Any]) -> None:
    print(f"an event at {SMALL} hosts: {found['small_event_ms']} ms of CPU")
    print(f"an event at {found['hosts']} hosts, {found['services']} services: {found['large_event_ms']} ms")
    print(f"ratio: {found['ratio']} (at most 1.2)")
    print(f"a commit at {found['hosts']} hosts: {found['commit_seconds']} s of CPU, state files' reading left out")
    print(
        f"a rollout of {found['rollout_hosts']} hosts finished: {found['rollout_events']} events, "
        f"{found['rollout_cpu_seconds']} s of planning"
    )


def _talk(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
