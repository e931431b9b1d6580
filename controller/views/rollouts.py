"""Rollouts: how a target is converged to its release, with the journeys of its hosts."""

from datetime import datetime
from typing import TYPE_CHECKING

from controller.views.common import list_meta, selected
from controller.views.errors import NotFound
from controller.views.resources import (
    JourneyRow,
    OperationRow,
    RolloutList,
    RolloutResource,
    RolloutResourceSpec,
    RolloutResourceStatus,
)
from controller.views.selector import Matches
from controller.views.targets import target_meta
from crds.status import Journey, Operation, RolloutStatus
from reconcilers.conditions import headline, is_restarting

if TYPE_CHECKING:
    from controller.deciding import Deciding


def rollouts(deciding: "Deciding", matches: Matches, now: datetime) -> RolloutList:
    """All rollouts whose labels match: one of each target that was ever planned."""
    items = selected(sorted(deciding.world.statuses), lambda name: _resource(deciding, name, now), matches)
    return RolloutList(metadata=list_meta(deciding, now), items=items)


def rollout(deciding: "Deciding", name: str, now: datetime) -> RolloutResource:
    """The rollout of one target. Raises NotFound."""
    if name not in deciding.world.statuses:
        raise NotFound("rollout", name, deciding.world.statuses)
    return _resource(deciding, name, now)


def _resource(deciding: "Deciding", name: str, now: datetime) -> RolloutResource:
    status, target = deciding.world.statuses[name], deciding.world.specs.get(name)
    return RolloutResource(
        metadata=target_meta(status, status.version, now),
        spec=RolloutResourceSpec(
            revision=status.revision,
            version=status.version,
            digest=status.digest,
            rollout=target.rollout if target else None,
        ),
        status=_status(deciding, status),
    )


def _status(deciding: "Deciding", status: RolloutStatus) -> RolloutResourceStatus:
    journeys = deciding.world.journeys.get(status.target, {})
    operations = deciding.world.operations.of(status.target)
    return RolloutResourceStatus(
        headline=headline(status),
        restarting=is_restarting(status),
        batch=status.batch,
        started=status.started,
        finished=status.finished,
        hold=status.hold,
        quarantine=status.quarantine,
        good_version=status.good.release.version if status.good else "",
        counts=status.counts,
        conditions=status.conditions,
        journeys=[_journey(journeys[host]) for host in sorted(journeys)],
        operations=[_operation(operations[identity]) for identity in sorted(operations)],
        tasks=status.tasks,
        approval=status.approval,
        no_return=status.no_return,
        next_wake=deciding.queue.wake_at(status.target),
    )


def _journey(journey: Journey) -> JourneyRow:
    return JourneyRow(
        host=journey.host,
        batch=journey.batch,
        step=journey.step,
        begun=journey.begun,
        since=journey.since,
        attempt=journey.attempt,
        out=journey.out,
        reason=journey.reason,
    )


def _operation(operation: Operation) -> OperationRow:
    result = operation.result
    return OperationRow(
        id=operation.id,
        name=operation.spec.name,
        host=operation.host,
        node=operation.node,
        state=result.state if result else "requested",
        outcome=result.outcome if result else None,
        message=result.message if result else "",
        log_tail=result.log_tail if result else [],
    )
