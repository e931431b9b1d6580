"""Conditions: the one answer to "is it there?" and "why is it not moving?"."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from crds.status import Condition, RolloutStatus


def set_condition(
    status: RolloutStatus,
    kind: str,
    value: Literal["True", "False", "Unknown"],
    reason: str,
    message: str,
    now: datetime,
) -> RolloutStatus:
    """The status with this condition; the transition time moves only when the value does."""
    before = find(status.conditions, kind)
    condition = Condition(
        type=kind,
        status=value,
        reason=reason,
        message=message,
        last_transition_time=before.last_transition_time if before and before.status == value else now,
        observed_generation=status.generation,
    )
    others = [other for other in status.conditions if other.type != kind]
    return status.model_copy(update={"conditions": sorted([*others, condition], key=lambda each: each.type)})


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of that type."""
    return next((condition for condition in conditions if condition.type == kind), None)


def is_restarting(status: RolloutStatus) -> bool:
    """The rollout under way began with a person's restart: hosts run the release already, in an older process.

    The number of a restart is the second in which it was asked for, or higher; what began later has another cause.
    """
    if status.finished is not None or status.started is None or status.succeeded_digest != status.digest:
        return False
    return status.restart >= int(status.started.timestamp())


def headline(status: RolloutStatus) -> str:
    """One word for people: Stalled before Reconciling before Ready."""
    for kind in ("Stalled", "Reconciling", "Ready"):
        condition = find(status.conditions, kind)
        if condition and condition.status == "True":
            return kind if kind != "Stalled" else f"Stalled({condition.reason})"
    return "Unknown"
