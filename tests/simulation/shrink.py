"""Shrinking: the shortest list of kinds of faults that still breaks a promise."""

from collections.abc import Callable

from tests.simulation.faults import Faults


def shrink(faults: Faults, promise: int, broken_by: Callable[[Faults], int | None], most: int = 60) -> Faults:
    """Leave out whatever kinds can be left out so that the same promise is still broken.

    ``broken_by`` runs the same seed with these faults, and says which promise was broken. Halves are tried first, then
    quarters, down to single kinds, until none can be left out; after ``most`` runs it ends with what it has.
    """
    kinds, size, runs = sorted(faults.kinds), max(len(faults.kinds) // 2, 1), 0
    while runs < most:
        shorter = False
        for start in range(0, len(kinds), size):
            without = kinds[:start] + kinds[start + size :]
            if runs == most or len(without) == len(kinds):
                break
            runs += 1
            if broken_by(faults.only(without)) == promise:
                kinds, shorter = without, True
                break
        if not shorter and size == 1:
            break
        size = size if shorter else max(size // 2, 1)
    return faults.only(kinds)
