"""python -m benchmarks [--json] [--sizes 8,32,100] [--rounds 3]: Drumbeat beside a bare script, on this machine.

The contestants take turns. The seconds of a size are those of the round with the median ratio, since what else the
machine does shows in each single one; the requests are those of all rounds.
"""

import argparse
import json
import statistics
import sys
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.contestants import Measured, bare, drumbeat, idle_cpu_percent
from controller.demo.load import Tally
from controller.demo.processes import DemoError, tail
from controller.demo.programs import need_program


@dataclass(frozen=True)
class Pair:
    """Both contestants at one size."""

    hosts: int
    drumbeat: Measured
    bare: Measured

    @property
    def ratio(self) -> float:
        """How many times as long Drumbeat took."""
        return self.drumbeat.seconds / self.bare.seconds


def main() -> int:
    """0 if everything could be measured and no request failed."""
    options = _options()
    try:
        need_program("haproxy")
        rounds = [_measure(hosts, options.rounds) for hosts in options.sizes]
        idle = idle_cpu_percent(options.sizes[-1], options.idle) if options.idle else None
    except DemoError as error:
        _explain(error)
        return 1
    pairs = [_shown(pairs) for pairs in rounds]
    drain = statistics.median(pair.drumbeat.first_drain_seconds for pair in rounds[0])
    _print_table(pairs, drain, idle)
    if options.json:
        print(json.dumps(_as_json(pairs, drain, idle)))
    failed = sum(pair.drumbeat.tally.failed + pair.bare.tally.failed for pair in pairs)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the figures in the README.")
    parser.add_argument("--json", action="store_true", help="end with one object on a line")
    parser.add_argument("--sizes", type=_sizes, default=[8, 32, 100], help="numbers of hosts, such as 8,32,100")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds for which idleness is measured; 0: not")
    parser.add_argument("--rounds", type=_rounds, default=3, help="of both contestants at each size")
    return parser.parse_args()


def _rounds(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least one")
    return int(text)


def _sizes(text: str) -> list[int]:
    sizes = sorted({int(part) for part in text.split(",")})
    if sizes[0] < 4 or sizes[-1] > 1000:
        raise argparse.ArgumentTypeError("from 4 hosts, below which a quarter is none, to 1000")
    return sizes


def _measure(hosts: int, rounds: int) -> list[Pair]:
    pairs = []
    for number in range(1, rounds + 1):
        by_hand = bare(hosts)
        ours = drumbeat(hosts)
        pairs.append(Pair(hosts, ours, by_hand))
        took = f"the bare script took {by_hand.seconds:.2f}s, Drumbeat {ours.seconds:.2f}s"
        _talk(f"{hosts} hosts, round {number} of {rounds}: {took}")
    return pairs


def _shown(pairs: list[Pair]) -> Pair:
    """The round with the median ratio (of an even number, the slower of the two), with the requests of all rounds."""
    middle = sorted(pairs, key=lambda pair: pair.ratio)[len(pairs) // 2]
    return Pair(
        middle.hosts,
        replace(middle.drumbeat, tally=_sum([pair.drumbeat.tally for pair in pairs])),
        replace(middle.bare, tally=_sum([pair.bare.tally for pair in pairs])),
    )


def _sum(tallies: list[Tally]) -> Tally:
    return Tally(sum(each.requests for each in tallies), sum(each.failed for each in tallies))


def _as_json(pairs: list[Pair], drain: float, idle: float | None) -> dict[str, Any]:
    return {
        "rolling": {str(pair.hosts): _rolling(pair) for pair in pairs},
        "commit_to_first_drain_seconds": round(drain, 3),
        "idle_cpu_percent": None if idle is None else round(idle, 2),
    }


def _rolling(pair: Pair) -> dict[str, Any]:
    ours, theirs = pair.drumbeat, pair.bare
    return {
        "drumbeat_seconds": round(ours.seconds, 2),
        "bare_seconds": round(theirs.seconds, 2),
        "ratio": round(pair.ratio, 2),
        "requests_total": ours.tally.requests,
        "requests_failed": ours.tally.failed,
        "bare_requests_total": theirs.tally.requests,
        "bare_requests_failed": theirs.tally.failed,
        "controller_cpu_seconds": round(ours.controller_cpu_seconds, 2),
        "controller_rss_mb": ours.controller_rss_mb,
    }


def _print_table(pairs: list[Pair], drain: float, idle: float | None) -> None:
    print(f"{'hosts':>5} {'Drumbeat':>9} {'bare':>8} {'ratio':>6} {'failed of requests':>20} {'CPU':>7} {'RSS':>8}")
    for pair in pairs:
        ours = pair.drumbeat
        requests = f"{ours.tally.failed} of {ours.tally.requests}"
        print(
            f"{pair.hosts:>5} {ours.seconds:>8.2f}s {pair.bare.seconds:>7.2f}s {pair.ratio:>6.2f} {requests:>20} "
            f"{ours.controller_cpu_seconds:>6.2f}s {ours.controller_rss_mb:>5.0f} MB"
        )
    print(f"from commit to first drain, {pairs[0].hosts} hosts: {drain:.3f}s")
    if idle is not None:
        print(f"an idle controller with {pairs[-1].hosts} hosts: {idle:.2f}% of a core")


def _explain(error: DemoError) -> None:
    _talk(f"error: {error}")
    if error.log is not None:
        _talk("\n".join(tail(error.log)))


def _talk(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
