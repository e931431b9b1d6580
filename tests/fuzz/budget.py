"""How long a target is fuzzed, and what one input may cost.

A few seconds each in ``make test``; ``make fuzz`` sets FUZZ_EXAMPLES for a long run.
"""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))

fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


few = settings(fuzzed, max_examples=max(1, EXAMPLES // 5))
"""For what is less likely to find anything, or takes longer."""


@contextmanager
def bounded(seconds: float, mebibytes: float) -> Iterator[None]:
    """Fail if the block uses more processor time, or lifts the process's peak of memory by more."""
    time_before, peak_before = time.process_time(), _peak()
    yield
    used, grown = time.process_time() - time_before, _peak() - peak_before
    assert used <= seconds, f"one input took {used:.1f} s, more than {seconds:g} s"
    assert grown <= mebibytes, f"one input took {grown:.0f} MiB, more than {mebibytes:g} MiB"


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
