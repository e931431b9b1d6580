"""``python -m tests.simulation``: replay a run exactly, or try fresh seeds."""

import argparse
import sys
from dataclasses import replace
from random import SystemRandom

from tests.simulation.checkers import PromiseBroken
from tests.simulation.faults import GROUPS, named
from tests.simulation.run import Run
from tests.simulation.shrink import shrink

_SHOWN = 60
"""Lines at the end of a trace that are printed when a promise is broken."""


def main() -> int:
    """Parse the arguments and run; 1 if a promise was broken."""
    asked = _arguments()
    first = asked.seed if asked.seed is not None else SystemRandom().getrandbits(32)
    for seed in range(first, first + asked.runs):
        run = Run(seed, asked.hosts, asked.services, named(asked.faults, seed), asked.seconds)
        try:
            outcomes = run.simulate()
        except PromiseBroken as broken:
            _say(f"seed {seed}: {broken}", *run.told(_SHOWN))
            if asked.shrink:
                _shrink(run, broken)
            return 1
        _say(*(outcomes.trace if asked.trace else []))
        counted = f"{outcomes.journeys} journeys, {outcomes.commits} commits, {outcomes.controller_lives} controllers"
        ran = f"{outcomes.events} events in {outcomes.seconds:.0f} s"
        _say(f"seed {seed}: {ran}, {counted}, trace {outcomes.digest[:12]}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one; a fresh one if left out")
    parser.add_argument("--runs", type=int, default=1, help="so many seeds, one after another")
    parser.add_argument("--hosts", type=int, default=12)
    parser.add_argument("--services", type=int, default=2, help="how many services run on every host")
    parser.add_argument("--seconds", type=float, default=600.0, help="simulated time with faults")
    parser.add_argument(
        "--faults",
        type=_faults,
        default="all",
        help=f"{', '.join(GROUPS)}; some: a third of all, as the seed says; or kinds with commas: lost,reload",
    )
    parser.add_argument("--trace", action="store_true", help="print what happened")
    parser.add_argument(
        "--shrink",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="look for the shortest list of faults that still breaks the promise",
    )
    return parser.parse_args()


def _faults(text: str) -> str:
    try:
        named(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _shrink(run: Run, broken: PromiseBroken) -> None:
    if run.broke_at is not None:
        run = replace(run, faulty=min(run.faulty, 2 * run.broke_at + 60))  # without some faults it may come later
    _say(f"looking for the shortest list of the {len(run.faults.kinds)} kinds of faults that still breaks it ...")
    shortest = run.having(shrink(run.faults, broken.promise, lambda faults: run.having(faults).broken()))
    _say(f"shortest list: {', '.join(sorted(shortest.faults.kinds)) or 'no fault at all'}", f"replay: {shortest}")


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
