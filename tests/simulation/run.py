"""A run: everything that decides what happens in it, and the command that repeats it."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from tests.simulation.checkers import PromiseBroken
from tests.simulation.faults import GROUPS, Faults
from tests.simulation.simulator import Outcomes, Simulation

FAST = Path("/dev/shm")
"""Memory, where the system has it: the journals of hundreds of agents are synced thousands of times."""


def quiet() -> None:
    """Have what is simulated log nothing."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("agent").setLevel(logging.CRITICAL)


@dataclass
class Run:
    """One seed under certain faults; ``str`` of it is the command that repeats it."""

    seed: int
    hosts: int
    services: int
    faults: Faults
    faulty: float
    """Simulated seconds with faults."""
    calm: float = 3600.0
    """Within so many seconds without, everything must have converged."""
    trace: list[str] = field(default_factory=list)
    broke_at: float | None = None
    """Seconds with faults after which a promise was broken; None if none was, or after the faults."""

    def __str__(self) -> str:
        named = next((name for name, group in GROUPS.items() if group == self.faults), None)
        faults = named or ",".join(sorted(self.faults.kinds)) or "none"
        size = f"--hosts {self.hosts} --services {self.services} --seconds {self.faulty:g}"
        return f"python -m tests.simulation --seed {self.seed} {size} --faults {faults}"

    def having(self, faults: Faults) -> "Run":
        """The same with other faults."""
        return replace(self, faults=faults, trace=[], broke_at=None)

    def simulate(self) -> Outcomes:
        """Run it, in a folder of its own. Raises PromiseBroken; then ``trace`` is what happened until then."""
        quiet()
        with TemporaryDirectory(dir=FAST if FAST.is_dir() else None) as folder:
            simulation = Simulation(self.seed, self.hosts, Path(folder), self.faults, self.services)
            self.trace = simulation.outcomes.trace
            try:
                return simulation.run(self.faulty, self.calm)
            except PromiseBroken:
                left = simulation.faulty_left
                self.broke_at = self.faulty - left if left > 0 else None
                raise

    def broken(self) -> int | None:
        """The promise that this run breaks, if any."""
        try:
            self.simulate()
        except PromiseBroken as broken:
            return broken.promise
        return None

    def told(self, lines: int) -> list[str]:
        """The end of the trace, its lines numbered, and how to see it again."""
        first = max(len(self.trace) - lines, 0)
        numbered = [f"{number:6} {line}" for number, line in enumerate(self.trace[first:], first + 1)]
        return [*numbered, f"broken after step {len(self.trace)} of the trace", f"replay: {self}"]


def simulate(seed: int, hosts: int, faults: Faults, faulty: float, calm: float = 3600.0, services: int = 2) -> Outcomes:
    """One run. Raises PromiseBroken, with the command that repeats it and the trace's end in its notes."""
    run = Run(seed, hosts, services, faults, faulty, calm)
    try:
        return run.simulate()
    except PromiseBroken as broken:
        broken.add_note("\n".join(run.told(60)))
        raise
