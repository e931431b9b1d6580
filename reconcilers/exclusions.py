"""Exclusions: hosts and balancer nodes that people took out by command, and what that means for those under way.

An excluded host is acted on no more. One that is on its way stops where nothing is left half-way: before it is drained,
or out and in MAINT, before it would go online; one that goes online already finishes. What an excluded balancer node
says is not awaited and it is asked nothing; back again, it must confirm all that is asked of the others by then.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime

from crds.command import OperatorCommand
from crds.status import Journey, Mark, Step
from reconcilers.draft import Draft
from reconcilers.journey import moved
from reconcilers.marks import is_over, marked
from reconcilers.operators import Decision, Refused, mark_of, needs_reason
from reconcilers.target import PoolSpec, TargetSpec
from reconcilers.writes import AddEvent, DropExclusion, PutExclusion, PutJourney, Write

_STOPS = (Step.WAITING, Step.TESTING, Step.FAILED)
"""Steps at which an excluded host's journey ends: it was not touched yet, or is out and could go online."""


@dataclass(frozen=True)
class NodeCase:
    """A command about a node, with everything that it looks at."""

    command: OperatorCommand
    node: str
    targets: Iterable[TargetSpec]
    """As they are declared."""
    exclusions: Mapping[str, Mark]
    now: datetime

    def event(self, verb: str, message: str) -> AddEvent:
        """What the record says of it."""
        return AddEvent(verb, self.node, "Operator", message, actor=self.command.by)


def exclude(case: NodeCase) -> Decision:
    """Leave a host or a balancer node alone. Raises Refused."""
    needs_reason("exclude", case.command)
    mark, before = mark_of(case.command, case.now), case.exclusions.get(case.node)
    if before is not None and not is_over(before, case.now):
        if (before.by, before.reason) != (mark.by, mark.reason):
            raise Refused(f"{case.node} is excluded already {marked(before)}; include it first if yours is to stand")
        mark = mark.model_copy(update={"since": before.since})
    if last := _last_of(case):
        raise Refused(
            f"{case.node} is the last node of balancer {last} that is not excluded: nobody would take hosts out for "
            "customers; include another node first"
        )
    message = f"{case.node} is excluded {marked(mark)}"
    if mark == before:
        return Decision(message)
    return Decision(message, [PutExclusion(case.node, mark), case.event("NodeExcluded", marked(mark))])


def _last_of(case: NodeCase) -> str:
    """A balancer of which no other node would be left."""
    excluded = {*case.exclusions, case.node}
    for target in case.targets:
        for pool in target.pools:
            nodes = {node.name for node in pool.nodes}
            if case.node in nodes and nodes <= excluded:
                return pool.balancer
    return ""


def include(case: NodeCase) -> Decision:
    """Take an exclusion back. Raises Refused."""
    if case.command.until:
        raise Refused("include takes no --until; exclude does")
    before = case.exclusions.get(case.node)
    if before is None:
        return Decision(f"{case.node} is not excluded")
    told = case.command.reason or f"it was excluded {marked(before)}"
    return Decision(f"{case.node} counts again", [DropExclusion(case.node), case.event("NodeIncluded", told)])


def over(node: str, mark: Mark) -> list[Write]:
    """What is written when an exclusion's time has come."""
    return [DropExclusion(node), AddEvent("NodeIncluded", node, "TimeIsUp", f"it was excluded {marked(mark)}")]


def taken_out_again(target: str, journeys: Iterable[Journey], now: datetime) -> list[Write]:
    """A balancer node is back: hosts that are out on all others must be out there too, before they go on.

    Whoever has given way to another target goes on doing so.
    """
    writes, why = list[Write](), "a balancer node counts again, and must confirm that the host is out"
    for journey in journeys:
        if journey.step in (Step.DEPLOYING, Step.TESTING):
            again = moved(journey, Step.LEAVING, now, journey.elapsed).model_copy(update={"yields": journey.yields})
            writes += [PutJourney(again), AddEvent("HostMoved", f"{target}/{journey.host}", "Leaving", why)]
    return writes


def without(target: TargetSpec, excluded: Set[str]) -> TargetSpec:
    """The target without the balancer nodes that are excluded. The last one of a balancer stays, whoever it is."""
    if excluded.isdisjoint(target.balancer_nodes):
        return target
    return replace(target, pools=tuple(_pool_without(pool, excluded) for pool in target.pools))


def _pool_without(pool: PoolSpec, excluded: Set[str]) -> PoolSpec:
    left = tuple(node for node in pool.nodes if node.name not in excluded)
    return replace(pool, nodes=left or pool.nodes)


def set_apart(draft: Draft) -> None:
    """End the journeys of excluded hosts that have come to where nothing is left half-way."""
    for host, journey in list(draft.journeys.items()):
        if journey.step in _STOPS and draft.concerns(host) and (why := draft.facts(host).excluded):
            draft.put(host, None)
            draft.event("HostSetApart", f"{draft.target.name}/{host}", "Excluded", why)
