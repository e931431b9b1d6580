"""The benchmarks run: with a handful of nodes, whatever the figures are."""

import structlog

from benchmarks import verify_rate


def test_reports_are_verified_and_folded() -> None:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    rates = verify_rate.measure(nodes=3, rounds=2)
    assert all(rate > 0 for rate in rates.values()) and rates.keys() == {"short", "full"}
