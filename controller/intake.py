"""Intake: what the bus brings becomes messages for the deciding thread, once its signature is verified."""

from collections.abc import Collection

import structlog

from bus.clock import Clock
from bus.envelope import Refused, open_report
from bus.keyring import KeyRing, NodeRole
from bus.keys import BadKey
from bus.port import ControllerBus, Received
from controller.mailbox import Mailbox, ReportArrived
from controller.metrics import Metrics
from crds.messages import Report

_SPAN = 60.0
"""Seconds in which the same refusal of the same node is logged once."""
_MOST = 1000
"""Refusals that are logged in that time: a broker that lies may invent a node's name for each message."""


class Refusals:
    """Counts what is refused by reason, and logs it, not too often; for the intake and for the bus itself."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics, self._clock = metrics, clock
        self._log = structlog.get_logger("controller.intake")
        self._logged: set[tuple[str, str]] = set()
        self._since = clock.monotonic()

    def __call__(self, node: str, reason: str, detail: str) -> None:
        """A message of ``node`` (empty if nobody knows whose) was refused."""
        self._metrics.refusals_total.labels(reason).inc()
        now = self._clock.monotonic()
        if now - self._since >= _SPAN:
            self._logged, self._since = set(), now
        if (node, reason) not in self._logged and len(self._logged) < _MOST:
            self._logged.add((node, reason))
            self._log.warning("report.refused", node=node, reason=reason, detail=detail)


class Intake:
    """Called by the bus, from its threads; nothing that a node sends makes it raise."""

    def __init__(self, ring: KeyRing, bus: ControllerBus, mailbox: Mailbox, refusals: Refusals) -> None:
        self._ring, self._bus, self._mailbox, self._refusals = ring, bus, mailbox, refusals

    def receive(self, received: Received) -> None:
        """Verify a report and hand it on; what is refused is counted by reason and not logged too often."""
        try:
            report = self._verified(received)
        except Refused as refused:
            self._refuse(received, refused.reason, refused.detail)
        except BadKey as error:
            self._refuse(received, "wrong_key", str(error))
        else:
            self._mailbox.put(ReportArrived(report, received))

    def _verified(self, received: Received) -> Report:
        """The report, if the node may say that. Raises Refused and BadKey."""
        entry, key = self._ring.entry(received.node), self._ring.public_key(received.node)
        if entry is not None and entry.disputed and not entry.revoked:
            raise Refused("disputed", entry.disputed)
        if entry is None or key is None:
            raise Refused("wrong_key", f"no valid key of node {received.node} is known; let it join anew")
        report = open_report(received.envelope, key, received.node)
        check_roles(report, entry.roles)
        return report

    def _refuse(self, received: Received, reason: str, detail: str) -> None:
        self._bus.settle([received])
        self._refusals(received.node, reason, detail)


def check_roles(report: Report, allowed: Collection[NodeRole]) -> None:
    """Raises Refused for a report that claims a role, or has an entry, that the node was not enrolled for."""
    shown = {
        "host": bool(report.services),
        "balancer": bool(report.pools) or report.balancer is not None,
        "runner": bool(report.operations),
    }
    beyond = sorted({*report.roles, *(role for role, has in shown.items() if has)} - set(allowed))
    if beyond:
        raise Refused(
            "wrong_role",
            f"{report.node} was enrolled as {', '.join(allowed)}, and reports as {', '.join(beyond)[:100]}; correct "
            f"its agent.yaml, or enrol it anew: drumbeat nodes rekey {report.node} --role ...",
        )
