"""One host's way through a rollout: from a step and the facts to the next step.

Each step asks something of nodes (see entries.py) and ends by evidence alone: an answer of every node concerned, read
under the assignment that asked. A failed host goes to FAILED with a reason that a person understands.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from crds.base import format_duration
from crds.messages import ServerReport, ServiceReport
from crds.service import Gate
from crds.status import Cause, Journey, Operation, Step
from reconcilers.entries import entries_for
from reconcilers.facts import HostFacts, maintenance_places, mismatch, online_places, persons_mark
from reconcilers.gates import MAX_ATTEMPTS, gates_at, operation_id
from reconcilers.retries import another_try, at_last, ended_in_failure, started_unhealthy, tail_of, with_tries
from reconcilers.target import TargetSpec
from reconcilers.tasks import said_by
from reconcilers.watched import watched_from

FETCH_PATIENCE = 60.0
"""Seconds that a host of a later batch may take to fetch its artifact before it is drained all the same."""


@dataclass(frozen=True)
class Situation:
    """What a step looks at beside its journey."""

    target: TargetSpec
    facts: HostFacts
    operations: Mapping[str, Operation]
    runners: Sequence[str]
    """Runners that report."""
    now: datetime
    watching_since: datetime
    """When this controller began to observe: time before that does not count."""
    unprepared: str = ""
    """In words, what has to be done before the release may be deployed anywhere; empty if it is done."""


def moved(journey: Journey, step: Step, now: datetime, elapsed: float, reason: str = "") -> Journey:
    """The journey at its next step."""
    failed = step is Step.FAILED
    return journey.model_copy(
        update={
            "step": step,
            "since": now,
            "elapsed": elapsed,
            "entered": elapsed,
            "accounted": now,
            "reason": reason,
            "cause": None,
            "failure": journey.failure if failed else "",
            "log_tail": journey.log_tail if failed else [],
            "out": _is_out(journey, step),
            "yields": journey.yields and _is_out(journey, step),
        }
    )


def only_aged(before: Journey | None, journey: Journey) -> bool:
    """Whether nothing differs but how long it has been on its way: no decision follows from that before it is due."""
    age = {"elapsed": journey.elapsed, "accounted": journey.accounted}
    return before is not None and before.model_copy(update=age) == journey


def _is_out(journey: Journey, step: Step) -> bool:
    if step in (Step.DEPLOYING, Step.TESTING):
        return True
    return journey.out if step is Step.FAILED else False


def elapsed_of(journey: Journey, now: datetime, watching_since: datetime) -> float:
    """Seconds of the journey that were watched: neither waiting for its turn nor the controller's absence counts."""
    if journey.step in (Step.WAITING, Step.FAILED):
        return journey.elapsed
    return journey.elapsed + (now - watched_from(journey.accounted, now, watching_since)).total_seconds()


def advance(journey: Journey, at: Situation) -> Journey | None:
    """The journey after everything that can be concluded now; None when the host has arrived.

    A step concludes nothing before all that it asks is asked: until then the answers were to another question.
    WAITING and FAILED do not move here: the batch starts the former, a new release the latter.
    """
    while not _asks_anew(journey, at):
        following = _next(journey, at)
        if following is None or following.step == journey.step:
            return following
        journey = following
    return journey


def _asks_anew(journey: Journey, at: Situation) -> bool:
    """What is fetched ahead does not matter: it changes nothing that a node sees."""
    asked = {key: entry.value for key, entry in at.facts.entries.items()}
    service = at.facts.assigned_service()
    fetches = service is not None and service.next is not None
    return entries_for(at.target, replace(at.facts, journey=journey), fetches) != asked


def _next(journey: Journey, at: Situation) -> Journey | None:
    handler = _STEPS.get(journey.step)
    if handler is None:
        return journey
    elapsed = elapsed_of(journey, at.now, at.watching_since)
    following = handler(journey, at, elapsed)
    if following is None or following.step != journey.step:
        return following
    if elapsed >= _deadline(journey, at.target):
        cause = Cause.SILENCE if at.facts.silent else Cause.DEADLINE
        return _failed(following, at, elapsed, cause, _deadline_reason(following, at))
    # What was watched is noted whenever there is something to note, so that a restart forgets little of it.
    noted = {"elapsed": elapsed, "accounted": at.now}
    return journey if following == journey else following.model_copy(update=noted)


def _deadline(journey: Journey, target: TargetSpec) -> float:
    """Elapsed seconds at which the host has failed; a soak has its own time, and then as long to be confirmed."""
    rollout = target.rollout
    return journey.entered + rollout.soak + rollout.deadline if journey.step is Step.SOAKING else rollout.deadline


def _deadline_reason(journey: Journey, at: Situation) -> str:
    deadline = format_duration(at.target.rollout.deadline)
    what = "not confirmed" if journey.step is Step.SOAKING else "not back online"
    because = at.facts.silence() if at.facts.silent else journey.reason or "no answer"
    return f"{what} within {deadline}: still {journey.step}, {because}"


def _failed(journey: Journey, at: Situation, elapsed: float, cause: Cause, reason: str) -> Journey:
    failed = moved(journey, Step.FAILED, at.now, elapsed, reason)
    return failed.model_copy(update={"cause": cause, "log_tail": tail_of(journey, at.facts)})


def _waits(journey: Journey, reason: str) -> Journey:
    return journey if journey.reason == reason else journey.model_copy(update={"reason": reason})


def _draining(journey: Journey, at: Situation, elapsed: float) -> Journey:
    places = [(node, pool.online) for node, pool in online_places(at.target)]
    waiting = _unconfirmed(at, places, lambda server: server.admin != "ready" and server.idle, "to drain")
    if not waiting or elapsed >= journey.entered + at.target.rollout.drain.timeout:
        return moved(journey, Step.LEAVING, at.now, elapsed)
    return _waits(journey, waiting)


def _leaving(journey: Journey, at: Situation, elapsed: float) -> Journey:
    places = [(node, pool.online) for node, pool in online_places(at.target)] + list(maintenance_places(at.target))
    waiting = _unconfirmed(at, places, _is_gone, "to let it go")
    waiting = waiting or at.unprepared
    return _waits(journey, waiting) if waiting else moved(journey, Step.DEPLOYING, at.now, elapsed)


def _is_gone(server: ServerReport) -> bool:
    return server.admin == "maint" and server.idle and server.old_workers == 0


def _deploying(journey: Journey, at: Situation, elapsed: float) -> Journey | None:
    service = at.facts.believed_service()
    if service is None:
        return _waits(journey, "waits for its agent to take the assignment")
    if at.target.release is None:
        return None if service.state == "absent" else _waits(journey, f"the service is {service.state}")
    failure = ended_in_failure(service)
    if again := another_try(journey, at.target, at.facts, failure or started_unhealthy(journey, service)):
        return again
    if failure:
        return _failed(journey, at, elapsed, Cause.DEPLOYMENT, at_last(journey, failure))
    waiting = _not_deployed(journey, at, service)
    if waiting:
        return _waits(journey, with_tries(journey, at.target, waiting))
    return moved(journey, Step.TESTING, at.now, elapsed)


def _not_deployed(journey: Journey, at: Situation, service: ServiceReport) -> str:
    """In words, what is missing; empty when the release runs as a new process and is healthy."""
    if service.digest != at.target.digest or service.healthy is not True or service.identity is None:
        return service.message or f"the service is {service.state}"
    same_process = journey.before_digest != at.target.digest and service.identity == journey.before
    return "the old process still runs" if same_process or service.restart < journey.restart else ""


def _testing(journey: Journey, at: Situation, elapsed: float) -> Journey:
    # A test that told nothing may have met a balancer that had not checked yet: the next one waits for its check.
    holds = _is_ready if journey.attempt else _is_routed
    waiting = _unconfirmed(at, list(maintenance_places(at.target)), holds, "to see it up")
    if waiting and gates_at(at.target, "maintenance"):
        return _waits(journey, waiting)
    verdict = _verdict("maintenance", journey, at, elapsed)
    if verdict is not None:
        return verdict
    if gates_at(at.target, "batch") and not journey.vouched:
        return journey if journey.tested else _tested(journey)
    mark = persons_mark(at.target, at.facts) or at.facts.excluded
    return _waits(journey, mark) if mark else _admitted(journey, at, elapsed)


def _tested(journey: Journey) -> Journey:
    """It waits for the rest of its batch, whose gates write over the reason (see batch_gates.py)."""
    return journey.model_copy(update={"tested": True, "reason": "waits for the rest of its batch"})


def _admitted(journey: Journey, at: Situation, elapsed: float) -> Journey:
    passed = [gate.name for when in ("maintenance", "batch") for gate in gates_at(at.target, when)]
    words = f"{journey.digest[:12]} has passed {', '.join(passed)}" if passed else ""
    return moved(journey, Step.ENABLING, at.now, elapsed, words)


def _verdict(when: Literal["maintenance", "online"], journey: Journey, at: Situation, elapsed: float) -> Journey | None:
    """What the host's gates of that time make of the journey; None: all have passed."""
    verdicts = (_gate_verdict(gate, journey, at, elapsed) for gate in gates_at(at.target, when))
    return next((verdict for verdict in verdicts if verdict is not None), None)


def _gate_verdict(gate: Gate, journey: Journey, at: Situation, elapsed: float) -> Journey | None:
    """What the gate makes of the journey; None: it has passed."""
    operation = at.operations.get(operation_id(at.target, journey, gate))
    result = operation.result if operation else None
    if operation is None or result is None or result.outcome is None:
        return _gate_runs(gate, journey, at, operation)
    if result.outcome == "passed":
        return None
    said = said_by(result)
    if result.outcome == "failed":
        return _failed(journey, at, elapsed, Cause.GATE, f"gate {gate.name} failed: {said}")
    if journey.attempt + 1 >= MAX_ATTEMPTS:
        return _failed(
            journey, at, elapsed, Cause.GATE, f"gate {gate.name} was inconclusive {MAX_ATTEMPTS} times: {said}"
        )
    return _another_attempt(journey, f"gate {gate.name} was inconclusive: {said}")


def _gate_runs(gate: Gate, journey: Journey, at: Situation, operation: Operation | None) -> Journey:
    if operation is None:
        runner = "runs" if at.runners else "waits for a runner: none reports"
        return _waits(journey, f"gate {gate.name} {runner}")
    if operation.node not in at.runners and at.runners:
        return _another_attempt(journey, f"gate {gate.name} goes to another runner: {operation.node} does not report")
    return _waits(journey, f"gate {gate.name} runs on {operation.node}")


def _another_attempt(journey: Journey, reason: str) -> Journey:
    return journey.model_copy(update={"attempt": journey.attempt + 1, "reason": reason})


def _enabling(journey: Journey, at: Situation, elapsed: float) -> Journey:
    places = [(node, pool.online) for node, pool in online_places(at.target)]
    waiting = _unconfirmed(at, places, _is_ready, "to see it up")
    if waiting:
        return _waits(journey, waiting)
    return moved(journey, Step.SOAKING, at.now, elapsed).model_copy(update={"attempt": 0})


def _is_routed(server: ServerReport) -> bool:
    return server.admin == "ready" and server.routed


def _is_ready(server: ServerReport) -> bool:
    return server.admin == "ready" and server.up


def _soaking(journey: Journey, at: Situation, elapsed: float) -> Journey | None:
    service = at.facts.believed_service()
    if service is None:
        return _waits(journey, at.facts.silence())
    if service.digest == journey.digest and service.healthy is False:
        words = f"unhealthy while it soaked: {service.message or service.state}"
        return _failed(journey, at, elapsed, Cause.HEALTH, words)
    verdict = _verdict("online", journey, at, elapsed)
    if verdict is not None:
        return verdict
    if elapsed < journey.entered + at.target.rollout.soak and not journey.skip:
        return _waits(journey, "soaks")
    if service.digest != journey.digest or service.healthy is not True:
        return _waits(journey, service.message or "its health on the release is not known")
    places = [(node, pool.online) for node, pool in online_places(at.target)]
    waiting = _unconfirmed(at, places, _is_ready, "to see it up")
    return _waits(journey, waiting) if waiting else None


_STEPS: dict[Step, Callable[[Journey, Situation, float], Journey | None]] = {
    Step.DRAINING: _draining,
    Step.LEAVING: _leaving,
    Step.DEPLOYING: _deploying,
    Step.TESTING: _testing,
    Step.ENABLING: _enabling,
    Step.SOAKING: _soaking,
}


def _unconfirmed(at: Situation, places: list[tuple[str, str]], holds: Callable[[ServerReport], bool], what: str) -> str:
    """In words, who has not confirmed; empty when every node has, under the assignment that asked."""
    if wrong := mismatch(at.target, at.facts):
        return wrong
    for node, pool in places:
        server = at.facts.believed_server(node, pool)
        if server is None:
            return f"waits for {node} {what} in {pool}: no answer yet"
        if not holds(server):
            return f"waits for {node} {what} in {pool}: {_words(server)}"
    return ""


def _words(server: ServerReport) -> str:
    sessions = f", {server.sessions} sessions" if server.sessions else ""
    workers = f", {server.old_workers} workers from before a reload" if server.old_workers else ""
    return f"{server.status or server.admin}{sessions}{workers}"


def wakes_at(journey: Journey, target: TargetSpec, now: datetime, watching_since: datetime) -> datetime | None:
    """When time alone would move the journey."""
    if journey.step is Step.WAITING:
        patience = watched_from(journey.begun, now, watching_since) + timedelta(seconds=FETCH_PATIENCE)
        return patience if patience > now else None
    if journey.step is Step.FAILED:
        return None
    elapsed = elapsed_of(journey, now, watching_since)
    limits = [_deadline(journey, target)]
    if journey.step is Step.DRAINING:
        limits.append(journey.entered + target.rollout.drain.timeout)
    if journey.step is Step.SOAKING:
        limits.append(journey.entered + target.rollout.soak)
    ahead = [limit - elapsed for limit in limits if limit > elapsed]
    # A microsecond more, so that rounding never wakes it just before its time.
    return now + timedelta(seconds=min(ahead), microseconds=1) if ahead else None
