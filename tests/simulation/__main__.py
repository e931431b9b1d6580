"""``python -m tests.simulation``: replay a run exactly, or try fresh seeds."""

import argparse
import logging
import sys
from pathlib import Path
from random import SystemRandom
from tempfile import TemporaryDirectory

import structlog

from tests.simulation.checkers import PromiseBroken
from tests.simulation.faults import ALL, CLONES, NONE, Faults
from tests.simulation.simulator import Outcomes, Simulation

FAST = Path("/dev/shm")
"""Memory, where the system has it: the journals of hundreds of agents are synced thousands of times."""


def simulate(seed: int, hosts: int, faults: Faults, faulty: float, calm: float = 3600.0, services: int = 2) -> Outcomes:
    """One run in a folder of its own. Raises PromiseBroken, with the trace's end in its notes."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with TemporaryDirectory(dir=FAST if FAST.is_dir() else None) as folder:
        simulation = Simulation(seed, hosts, Path(folder), faults, services)
        try:
            return simulation.run(faulty, calm)
        except PromiseBroken as broken:
            broken.add_note(f"replay: python -m tests.simulation --seed {seed} --hosts {hosts} --seconds {faulty:g}")
            broken.add_note("\n".join(simulation.outcomes.trace[-60:]))
            raise


def main() -> int:
    """Parse the arguments and run; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one; a fresh one if left out")
    parser.add_argument("--runs", type=int, default=1, help="so many seeds, one after another")
    parser.add_argument("--hosts", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=600.0, help="simulated time with faults")
    parser.add_argument(
        "--faults",
        default="all",
        help="all, none, clones (all and clones), or names with commas: lost,late,controller_crash",
    )
    parser.add_argument("--trace", action="store_true", help="print what happened")
    asked = parser.parse_args()
    faults = {"all": ALL, "none": NONE, "clones": CLONES}.get(asked.faults) or ALL.only(set(asked.faults.split(",")))
    first = asked.seed if asked.seed is not None else SystemRandom().getrandbits(32)
    for seed in range(first, first + asked.runs):
        try:
            outcomes = simulate(seed, asked.hosts, faults, asked.seconds)
        except PromiseBroken as broken:
            sys.stdout.write("\n".join([f"seed {seed}: {broken}", *broken.__notes__, ""]))
            return 1
        if asked.trace:
            sys.stdout.write("\n".join([*outcomes.trace, ""]))
        counted = f"{outcomes.journeys} journeys, {outcomes.commits} commits, {outcomes.controller_lives} controllers"
        ran = f"{outcomes.events} events in {outcomes.seconds:.0f} s"
        sys.stdout.write(f"seed {seed}: {ran}, {counted}, trace {outcomes.digest[:12]}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
