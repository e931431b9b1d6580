"""What tests of the agent's roles share: steps kept in memory, and assignments."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.redaction import Redactor
from agent.secrets import Secrets
from crds.messages import Assignment, OperationSpec, PoolAssignment, ServerAssignment, ServerState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class MemorySteps:
    """A role's part of a journal; what is not JSON is refused, as the real one would."""

    def __init__(self) -> None:
        self._said = "{}"
        self.saves = 0

    def load(self) -> dict[str, Any]:
        steps: dict[str, Any] = json.loads(self._said)
        return steps

    def save(self, steps: dict[str, Any]) -> None:
        self._said = json.dumps(steps)
        self.saves += 1


def assignment(
    serial: int,
    pools: dict[str, PoolAssignment] | None = None,
    operations: dict[str, OperationSpec] | None = None,
    expires: datetime = NOON + timedelta(hours=1),
) -> Assignment:
    """The ``serial``-th assignment of a node."""
    return Assignment(
        node="node", term=1, serial=serial, expires=expires, pools=pools or {}, operations=operations or {}
    )


def servers(address: dict[str, str], close: bool = False, **states: ServerState) -> dict[str, ServerAssignment]:
    """Named servers: ``servers(addresses, vm1="drain")``."""
    return {
        name: ServerAssignment(state=state, address=address[name], close=close and state == "maint")
        for name, state in states.items()
    }


def without_secrets() -> Secrets:
    """Those of a node that has none."""
    return Secrets({}, Redactor(), no_command)


def no_command(*said: object, **named: object) -> bytes:
    """For nodes whose secrets come from no command."""
    raise AssertionError(f"nobody asks for {said} {named}")
