"""Bugs in what decides: reconcilers/, and the world that they look at."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

import controller.lives
import controller.revisions
import reconcilers.batch
import reconcilers.classify
import reconcilers.entries
import reconcilers.facts
import reconcilers.gates
import reconcilers.journey
import reconcilers.plan
import reconcilers.room
from controller.mailbox import RevisionRead
from controller.nodes import Node, Nodes
from controller.revisions import Revisions
from controller.saving import Saving
from controller.world import World
from crds.desired import DesiredState
from crds.messages import ServerReport
from crds.status import Counts, Journey, Operation, Step
from reconcilers.draft import Draft
from reconcilers.facts import HostFacts
from reconcilers.index import TargetIndex
from reconcilers.journey import Situation, moved
from reconcilers.room import Room
from reconcilers.target import PoolSpec, TargetSpec
from reconcilers.writes import DropOperation
from tests.simulation.faults import ALL, CLONES
from tests.simulation.planted import Bug

CUT_OFF = ALL.only({"silence", "late"})
ABSENT = replace(
    ALL.only({"controller_absent", "slow_install"}), controller_absent=60.0, slow_install=0.5, commit=200.0
)
SESSIONS = ALL.only({"busy", "reload", "late"})
OPERATORS = replace(ALL.only({"operators"}), operators=10.0)
HANDS = replace(ALL.only({"manual"}), manual=5.0)
LONG_CUT_OFF = replace(ALL.only({"silence"}), silence=100.0, silent_for=2000.0, commit=1500.0)


def budget_off_by_one(patch: pytest.MonkeyPatch) -> None:
    real = reconcilers.room.budget
    patch.setattr(reconcilers.room, "budget", lambda *args: real(*args) + 1)


def whatever_is_missing_already_is_not_counted(patch: pytest.MonkeyPatch) -> None:
    real = Room.__init__

    def begin(room: Room, draft: Draft) -> None:
        real(room, draft)
        room._unavailable, room._by_zone = 0, Counter()

    patch.setattr(Room, "__init__", begin)


def silent_hosts_count_as_available(patch: pytest.MonkeyPatch) -> None:
    real = reconcilers.classify.serves
    patch.setattr(reconcilers.classify, "serves", lambda target, facts: real(target, replace(facts, silent=False)))


def what_silent_nodes_said_last_counts_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Nodes, "obstacle", lambda _nodes, _node: "")
    patch.setattr(Node, "mute", property(lambda node: node.report is None))


def _facts_with(patch: pytest.MonkeyPatch, **known: object) -> None:
    """This is known of every host, whatever is true."""
    real = World.facts
    patch.setattr(World, "facts", lambda world, target, name: replace(real(world, target, name), **known))


def claims_forgotten(patch: pytest.MonkeyPatch) -> None:
    _facts_with(patch, claimed_by=None)


def the_next_batch_does_not_wait(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reconcilers.batch, "is_under_way", lambda _journeys: False)


def deployed_without_waiting(patch: pytest.MonkeyPatch) -> None:
    def leaving(journey: Journey, at: Situation, elapsed: float) -> Journey:
        return journey if at.unprepared else moved(journey, Step.DEPLOYING, at.now, elapsed)

    patch.setitem(reconcilers.journey._STEPS, Step.LEAVING, leaving)


def only_one_balancer_asked(patch: pytest.MonkeyPatch) -> None:
    real = reconcilers.journey.online_places

    def places(target: TargetSpec) -> Iterator[tuple[str, PoolSpec]]:
        return iter(list(real(target))[:1])

    patch.setattr(reconcilers.journey, "online_places", places)


def workers_from_before_a_reload_forgotten(patch: pytest.MonkeyPatch) -> None:
    def is_gone(server: ServerReport) -> bool:
        return server.admin == "maint" and server.idle

    patch.setattr(reconcilers.journey, "_is_gone", is_gone)


def gates_skipped(patch: pytest.MonkeyPatch) -> None:
    def testing(journey: Journey, at: Situation, elapsed: float) -> Journey:
        return moved(journey, Step.ENABLING, at.now, elapsed)

    patch.setitem(reconcilers.journey._STEPS, Step.TESTING, testing)


def gates_of_another_host_count(patch: pytest.MonkeyPatch) -> None:
    real = reconcilers.gates.operation_id

    def operation_id(target: TargetSpec, journey: Journey, gate: Any) -> str:
        return real(target, journey.model_copy(update={"host": "any"}), gate)

    patch.setattr(reconcilers.gates, "operation_id", operation_id)
    patch.setattr(reconcilers.journey, "operation_id", operation_id)


def no_verdict_passes(patch: pytest.MonkeyPatch) -> None:
    def another(journey: Journey, _reason: str) -> None:
        return None

    patch.setattr(reconcilers.journey, "_another_attempt", another)


def half_a_commit(patch: pytest.MonkeyPatch) -> None:
    real = controller.revisions.targets_of
    seen: dict[str, TargetSpec] = {}

    def targets_of(state: DesiredState) -> dict[str, TargetSpec]:
        found = real(state)
        return found | {"web@prod": seen.setdefault("web@prod", found["web@prod"])}

    patch.setattr(controller.revisions, "targets_of", targets_of)


def a_refused_commit_empties_what_is_in_force(patch: pytest.MonkeyPatch) -> None:
    real = Revisions._refuse

    def refuse(revisions: Revisions, read: RevisionRead, now: datetime) -> None:
        real(revisions, read, now)
        revisions._put_in_force({}, now)

    patch.setattr(Revisions, "_refuse", refuse)


def operations_without_a_verdict_left_behind(patch: pytest.MonkeyPatch) -> None:
    real = reconcilers.plan._request_operations

    def request(draft: Draft) -> None:
        begun = len(draft.writes)
        real(draft)
        kept = {name for name, each in draft.observed.operations.items() if _was_inconclusive(each)}
        forgotten = [write for write in draft.writes[begun:] if isinstance(write, DropOperation) and write.id in kept]
        draft.writes[begun:] = [write for write in draft.writes[begun:] if write not in forgotten]

    patch.setattr(reconcilers.plan, "_request_operations", request)


def _was_inconclusive(operation: Operation) -> bool:
    return operation.result is not None and operation.result.outcome == "inconclusive"


def success_between_two_batches(patch: pytest.MonkeyPatch) -> None:
    real = TargetIndex.counts

    def counts(index: TargetIndex) -> Counts:
        said = real(index)
        return said.model_copy(update={"current": said.total - said.excluded})

    patch.setattr(TargetIndex, "counts", counts)


def unknown_hosts_are_no_obstacle_to_success(patch: pytest.MonkeyPatch) -> None:
    real = TargetIndex.counts

    def counts(index: TargetIndex) -> Counts:
        said = real(index)
        return said.model_copy(update={"current": said.current + said.unknown, "unknown": 0})

    patch.setattr(TargetIndex, "counts", counts)


def silent_hosts_are_taken_out(patch: pytest.MonkeyPatch) -> None:
    real = reconcilers.entries._online_state

    def state(target: TargetSpec, facts: HostFacts, node: str, pool: PoolSpec) -> Any:
        return "maint" if facts.silent and facts.journey is None else real(target, facts, node, pool)

    patch.setattr(reconcilers.entries, "_online_state", state)


def the_time_of_a_lost_balancer_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reconcilers.plan, "_keep_time", lambda _draft: None)


def time_runs_from_the_start_of_a_step(patch: pytest.MonkeyPatch) -> None:
    def elapsed_of(journey: Journey, now: datetime, _watching_since: datetime) -> float:
        return journey.entered + (now - journey.since).total_seconds()

    patch.setattr(reconcilers.journey, "elapsed_of", elapsed_of)


def deadlines_run_from_the_start_of_the_journey(patch: pytest.MonkeyPatch) -> None:
    def elapsed_of(journey: Journey, now: datetime, _watching_since: datetime) -> float:
        return (now - journey.begun).total_seconds()

    patch.setattr(reconcilers.journey, "elapsed_of", elapsed_of)


def marks_of_people_ignored_by_the_controller(patch: pytest.MonkeyPatch) -> None:
    for module in (reconcilers.classify, reconcilers.journey):
        patch.setattr(module, "persons_mark", lambda _target, _facts: "")


def exclusions_forgotten(patch: pytest.MonkeyPatch) -> None:
    _facts_with(patch, excluded="")


def reports_of_services_ignored(patch: pytest.MonkeyPatch) -> None:
    _facts_with(patch, service=None)


def lost_assignments_are_not_repeated(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Saving, "repeat", lambda _saving, _node, _now: None)


def restarts_taken_for_clones(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(controller.lives, "_clash", lambda _own, _other, _now: "planted")


def clones_noticed_after_a_day(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(controller.lives, "LATEST", timedelta(days=1))


BUGS = [
    Bug(1, whatever_is_missing_already_is_not_counted, ALL.only({"late", "busy", "process_ends", "silence"})),
    Bug(1, budget_off_by_one, ALL.only({"late", "busy", "process_ends"})),
    Bug(1, silent_hosts_count_as_available, CUT_OFF),
    Bug(1, what_silent_nodes_said_last_counts_on, CUT_OFF),
    Bug(2, claims_forgotten),
    Bug(2, the_next_batch_does_not_wait),
    Bug(3, deployed_without_waiting, SESSIONS),
    Bug(3, only_one_balancer_asked, SESSIONS),
    Bug(3, workers_from_before_a_reload_forgotten, SESSIONS),
    Bug(4, gates_skipped),
    Bug(4, gates_of_another_host_count),
    Bug(4, no_verdict_passes),
    Bug(6, half_a_commit),
    Bug(6, a_refused_commit_empties_what_is_in_force),
    Bug(7, operations_without_a_verdict_left_behind),
    Bug(8, success_between_two_batches),
    Bug(8, unknown_hosts_are_no_obstacle_to_success, CUT_OFF),
    Bug(9, silent_hosts_are_taken_out, ALL.only({"silence", "late"}), also=(17,)),
    Bug(9, the_time_of_a_lost_balancer_counts, LONG_CUT_OFF, 6000.0),
    Bug(11, time_runs_from_the_start_of_a_step, ABSENT),
    Bug(11, deadlines_run_from_the_start_of_the_journey, ABSENT),
    Bug(13, marks_of_people_ignored_by_the_controller, HANDS),
    Bug(13, exclusions_forgotten, OPERATORS),
    Bug(17, reports_of_services_ignored),
    Bug(17, lost_assignments_are_not_repeated),
    Bug(18, restarts_taken_for_clones),
    Bug(18, clones_noticed_after_a_day, CLONES, 700.0, also=(17,)),
]
