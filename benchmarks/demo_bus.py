"""python -m benchmarks.demo_bus [--rounds 5] [--hosts 8] [--json]: the demo's rollout over RabbitMQ against HTTP.

Both in each round, one after the other and in turn the first, so that what else happens on the machine hits both. The
figure is the median of the rounds' ratios.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contestants import stage
from benchmarks.setting import FIRST, RATE, SECOND
from controller.demo.fleet import Bus, Fleet, running
from controller.demo.processes import DemoError, tail
from controller.demo.rollout import converged, follow, measured_rollout

MOST = 1.2
"""What the ratio should not exceed."""


@dataclass(frozen=True)
class Round:
    """Seconds from the commit until every host ran the version, healthy and online."""

    http: float
    amqp: float

    @property
    def ratio(self) -> float:
        """How many times as long it took over RabbitMQ."""
        return self.amqp / self.http


def rollout_seconds(bus: Bus, hosts: int) -> float:
    """The demo's fleet, service and customers, and its first rollout. Raises DemoError."""
    with stage(hosts) as layout, running(Fleet(layout, bus=bus)) as fleet:
        fleet.start(FIRST)
        follow(fleet, converged(FIRST))
        fleet.admit_customers(RATE)
        seconds = measured_rollout(fleet, SECOND, tell=lambda _: None, show=None).seconds
        failed = fleet.dismiss_customers().failed
    if failed:
        raise DemoError(f"{failed} requests failed during the rollout over {bus}")
    return seconds


def measure(rounds: int, hosts: int) -> list[Round]:
    """So many rounds. Raises DemoError."""
    found = []
    for number in range(rounds):
        order: tuple[Bus, Bus] = ("http", "amqp") if number % 2 == 0 else ("amqp", "http")
        seconds = {bus: rollout_seconds(bus, hosts) for bus in order}
        found.append(Round(seconds["http"], seconds["amqp"]))
        print(f"{number + 1}: {found[-1].http:.2f}s http, {found[-1].amqp:.2f}s amqp", file=sys.stderr, flush=True)
    return found


def median_ratio(rounds: Sequence[Round]) -> float:
    """Of all rounds."""
    return statistics.median(each.ratio for each in rounds)


def main() -> int:
    """0 if every rollout could be measured and no request failed, whatever the ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo_bus", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one object on a line")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hosts", type=int, default=8)
    options = parser.parse_args()
    try:
        rounds = measure(options.rounds, options.hosts)
    except DemoError as error:
        print(f"error: {error}", *(tail(error.log) if error.log else []), sep="\n", file=sys.stderr)
        return 1
    http, amqp = (statistics.median(getattr(each, bus) for each in rounds) for bus in ("http", "amqp"))
    ratio = median_ratio(rounds)
    print(f"rollout over {options.hosts} hosts, medians of {len(rounds)}: http {http:.2f}s, amqp {amqp:.2f}s")
    print(f"amqp against http: {ratio:.2f} times (at most {MOST})")
    if options.json:
        ratios = [round(each.ratio, 3) for each in rounds]
        figures = {"http_seconds": round(http, 2), "amqp_seconds": round(amqp, 2), "ratio": round(ratio, 3)}
        print(json.dumps({"demo_bus": {**figures, "ratios": ratios}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
