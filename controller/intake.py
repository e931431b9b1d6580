"""Intake: what the bus brings becomes messages for the deciding thread, once its signature is verified."""

import structlog

from bus.clock import Clock
from bus.envelope import Refused, open_report
from bus.keyring import KeyRing
from bus.keys import BadKey
from bus.port import ControllerBus, Received
from controller.mailbox import Mailbox, ReportArrived
from controller.metrics import Metrics

_QUIET = 60.0
"""Seconds in which the same refusal of the same node is logged once."""


class Refusals:
    """Counts what is refused by reason, and logs it, not too often; for the intake and for the bus itself."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics, self._clock = metrics, clock
        self._log = structlog.get_logger("controller.intake")
        self._logged: dict[tuple[str, str], float] = {}

    def __call__(self, node: str, reason: str, detail: str) -> None:
        """A message of ``node`` (empty if nobody knows whose) was refused."""
        self._metrics.refusals_total.labels(reason).inc()
        now = self._clock.monotonic()
        if now - self._logged.get((node, reason), now - _QUIET) >= _QUIET:
            self._logged[node, reason] = now
            self._log.warning("report.refused", node=node, reason=reason, detail=detail)


class Intake:
    """Called by the bus, from its threads; nothing that a node sends makes it raise."""

    def __init__(self, ring: KeyRing, bus: ControllerBus, mailbox: Mailbox, refusals: Refusals) -> None:
        self._ring, self._bus, self._mailbox, self._refusals = ring, bus, mailbox, refusals

    def receive(self, received: Received) -> None:
        """Verify a report and hand it on; what is refused is counted by reason and not logged too often."""
        try:
            key = self._ring.public_key(received.node)
            if key is None:
                raise Refused("wrong_key", f"no valid key of node {received.node} is known; register it anew")
            report = open_report(received.envelope, key, received.node)
        except Refused as refused:
            self._refuse(received, refused.reason, refused.detail)
        except BadKey as error:
            self._refuse(received, "wrong_key", str(error))
        else:
            self._mailbox.put(ReportArrived(report, received))

    def _refuse(self, received: Received, reason: str, detail: str) -> None:
        self._bus.settle([received])
        self._refusals(received.node, reason, detail)
