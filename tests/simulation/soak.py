"""``python -m tests.simulation.soak``: runs seeds on every core until so many hosts have made their journeys.

Each run is one line of the output file, so that a soak that was interrupted goes on where it was.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.simulation.checkers import PromiseBroken
from tests.simulation.faults import named
from tests.simulation.run import Run

MILLION = 1_000_000
_GROUPS = ("some", "some", "some", "all", "clones", "persons")
"""From which the seed chooses what goes wrong."""


@dataclass
class Sum:
    """What all runs came to."""

    seeds: int = 0
    journeys: int = 0
    seconds: float = 0.0
    """Of a core."""
    broken: int = 0

    def add(self, line: dict[str, Any]) -> None:
        """One run more."""
        self.seeds += 1
        self.journeys += line["journeys"]
        self.seconds += line["seconds"]
        self.broken += line["broken"] is not None

    def __str__(self) -> str:
        rate = self.journeys / self.seconds if self.seconds else 0.0
        return (
            f"{self.seeds} seeds, {self.journeys} journeys, {rate:.1f} journeys a second and core, "
            f"{self.broken} broken promises"
        )


def run_of(seed: int) -> Run:
    """What the seed stands for: a fleet, its services, and what goes wrong."""
    dice = Random(f"{seed} soak")
    hosts, services = dice.choice([4, 8, 8, 12, 20]), dice.choice([1, 2, 2, 3, 5])
    return Run(seed, hosts, services, named(dice.choice(_GROUPS), seed), dice.choice([300.0, 600.0, 1200.0]))


def one(seed: int) -> dict[str, Any]:
    """A run, as a line of the output."""
    run, begun = run_of(seed), time.process_time()
    line: dict[str, Any] = {"seed": seed, "journeys": 0, "broken": None, "replay": str(run)}
    try:
        outcomes = run.simulate()
    except PromiseBroken as broken:
        line |= {"broken": broken.promise, "what": str(broken)}
    else:
        line |= {"journeys": outcomes.journeys, "trace": outcomes.digest[:12]}
    return line | {"seconds": round(time.process_time() - begun, 2)}


def soak(path: Path, journeys: int, first: int, cores: int, run: Callable[[int], dict[str, Any]] = one) -> Sum:
    """Run seeds from ``first`` on that the file does not have yet, until it has so many journeys."""
    known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    total, fresh = Sum(), _seeds(first, {line["seed"] for line in known})
    for line in known:
        total.add(line)
    with ProcessPoolExecutor(cores) as pool, path.open("a") as file:
        running: set[Future[dict[str, Any]]] = set()
        while total.journeys < journeys:
            running |= {pool.submit(run, next(fresh)) for _ in range(2 * cores - len(running))}
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(line := future.result())
                file.write(f"{json.dumps(line)}\n")
                file.flush()
                _tell(line, total)
        for future in running:
            future.cancel()
    return total


def _seeds(first: int, known: set[int]) -> Iterator[int]:
    while True:
        if first not in known:
            yield first
        first += 1


def _tell(line: dict[str, Any], total: Sum) -> None:
    if line["broken"] is not None:
        sys.stdout.write(f"{line['what']}\n  {line['replay']}\n")
    if total.seeds % 20 == 0:
        sys.stdout.write(f"{total}\n")
    sys.stdout.flush()


def main() -> int:
    """Parse the arguments and soak; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.soak", description=__doc__)
    parser.add_argument("--journeys", type=int, default=MILLION)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("soak.jsonl"), help="one line a run; a soak goes on from it")
    asked = parser.parse_args()
    total = soak(asked.out, asked.journeys, asked.first, asked.cores)
    sys.stdout.write(f"{total}\n")
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main())
