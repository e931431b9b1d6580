"""Measuring: a test that is made several times, and judged by all of them together."""

from collections.abc import Callable
from dataclasses import replace

from agent.drivers.contracts import Outcome
from crds.messages import OperationSpec


def measure(spec: OperationSpec, once: Callable[[], Outcome], sleep: Callable[[float], None]) -> Outcome:
    """Measure until ``count`` measurements have told something, each ``interval`` after the one before.

    More failures than ``failure_limit`` fail at once. As many that told nothing as ``count`` make it inconclusive: a
    query may find nothing at first, but not for ever.
    """
    passed = failed = blank = 0
    while True:
        outcome = once()
        passed += outcome.outcome == "passed"
        failed += outcome.outcome == "failed"
        blank += outcome.outcome == "inconclusive"
        verdict = _verdict(spec, passed, failed, blank)
        if verdict:
            return replace(outcome, outcome=verdict, message=_words(spec, outcome, passed, failed, blank))
        sleep(spec.interval)


def _verdict(spec: OperationSpec, passed: int, failed: int, blank: int) -> str:
    if failed > spec.failure_limit:
        return "failed"
    if passed + failed >= spec.count:
        return "passed"
    return "inconclusive" if blank >= spec.count else ""


def _words(spec: OperationSpec, last: Outcome, passed: int, failed: int, blank: int) -> str:
    if spec.count == 1:
        return last.message
    told = f"{passed} of {passed + failed + blank} measurements passed, {failed} failed, {blank} told nothing"
    return f"{told}; the last: {last.message or last.outcome}"
