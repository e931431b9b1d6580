"""python -m benchmarks.verify_rate [--json]: signed reports that one core verifies and folds into the world.

The path is the controller's own: Intake, Mailbox, Deciding with its store on disk. Nothing travels here;
benchmarks.fleet_load adds the bus. Counted is the process's CPU time, so that others on the machine do not show.
"""

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

import structlog
from prometheus_client import CollectorRegistry

from bus.clock import SystemClock
from bus.envelope import seal_assignment, seal_report
from bus.keyring import KeyRing, NodeEntry
from bus.keys import SigningKey, generate_key, generate_token, hash_token, public_text
from bus.port import Received
from controller.deciding import Deciding
from controller.intake import Intake, Refusals
from controller.mailbox import Mailbox
from controller.metrics import Metrics
from controller.store import Store
from crds.messages import ProcessIdentity, Report, ServiceReport, Stamp

NODE_TIMEOUT = 90.0
AT_ONCE = 100
"""Reports in the mailbox when the deciding thread looks; a transaction each time. A busy controller finds more."""
KINDS = ("short", "full")


class NoBus:
    """Where nothing is to be sent."""

    def start(self, receive: Callable[[Received], None]) -> None: ...
    def publish(self, node: str, envelope: bytes) -> None: ...
    def settle(self, received: list[Received]) -> None: ...
    def stop(self) -> None: ...


class Desk:
    """Everything in the controller that a report passes, and the nodes whose reports are believed."""

    def __init__(self, folder: Path, nodes: int) -> None:
        ring, bus, clock, metrics = KeyRing(folder), NoBus(), SystemClock(), Metrics(CollectorRegistry())
        self.signers = {f"node-{number}": _enrolled(ring, f"node-{number}") for number in range(nodes)}
        self._mailbox = Mailbox()
        self._intake = Intake(ring, bus, self._mailbox, Refusals(metrics, clock))
        seal, store = partial(seal_assignment, signer=generate_key()), Store.open(folder / "drumbeat.db")
        self._deciding = Deciding(store, bus, seal, clock, Random(1), metrics, NODE_TIMEOUT, ring)
        self._deciding.step([])
        self.metrics = metrics

    def take(self, reports: Sequence[Received]) -> None:
        """As the bus hands them over, and the deciding thread finds them."""
        for first in range(0, len(reports), AT_ONCE):
            for report in reports[first : first + AT_ONCE]:
                self._intake.receive(report)
            self._deciding.step(self._mailbox.drain(0))

    def taken(self, kind: str) -> float:
        """How many were news."""
        return self.metrics.registry.get_sample_value("drumbeat_reports_total", {"kind": kind}) or 0.0


def measure(nodes: int, rounds: int) -> dict[str, float]:
    """Reports a second of CPU time, by kind."""
    with tempfile.TemporaryDirectory(prefix="drumbeat-verify-") as folder:
        desk = Desk(Path(folder), nodes)
        desk.take(_round(desk, 1, full=True))
        short = [report for seq in range(2, 2 + rounds) for report in _round(desk, seq, full=False)]
        full = [report for seq in range(2 + rounds, 2 + 2 * rounds) for report in _round(desk, seq, full=True)]
        rates = {kind: len(reports) / _cpu(desk, reports) for kind, reports in zip(KINDS, (short, full), strict=True)}
        assert desk.taken("short") == len(short) and desk.taken("full") == len(full) + nodes, "some were not believed"
    return rates


def _cpu(desk: Desk, reports: Sequence[Received]) -> float:
    begun = time.process_time()
    desk.take(reports)
    return time.process_time() - begun


def _enrolled(ring: KeyRing, node: str) -> SigningKey:
    key = generate_key()
    token = hash_token(generate_token())
    ring.register(node, NodeEntry(public_key=public_text(key.public_key), token_hash=token, roles=["host"]))
    return key


def _round(desk: Desk, seq: int, full: bool) -> list[Received]:
    """One report of each node."""
    return [
        Received(node, seal_report(_report(node, seq, full), signer), None) for node, signer in desk.signers.items()
    ]


def _report(node: str, seq: int, full: bool) -> Report:
    """A full one is of a host with three services."""
    return Report(
        node=node,
        incarnation="20260101T000000000000-00000000",
        life="0123456789abcdef",
        seq=seq,
        full=full,
        full_seq=seq if full else 1,
        taken=Stamp(0, 0),
        agent_version="1.0.0",
        platform="linux",
        roles=["host"],
        services={f"service-{number}@prod": _service(seq) for number in range(3)} if full else {},
    )


def _service(seq: int) -> ServiceReport:
    identity = ProcessIdentity(boot="b" * 36, pid=seq, started="4567", executable="/usr/bin/service")
    return ServiceReport(
        read=Stamp(0, 0), state="running", digest="a" * 64, version="1.2.3", healthy=True, identity=identity
    )


def main() -> int:
    """0 once it could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify_rate", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one object on a line")
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=20, help="reports of each node and kind")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    rates = measure(options.nodes, options.rounds)
    for kind, rate in rates.items():
        print(f"{kind:<6} reports verified and folded, per second of one core: {rate:>7,.0f}")
    if options.json:
        print(json.dumps({"verified_and_folded_per_second": {kind: round(rate) for kind, rate in rates.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
