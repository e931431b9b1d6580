"""Another try on the same host: a deployment that failed begins anew there before the host counts as failed.

Only what fails while the host is out, before its gates, is tried again: a gate's verdict stands, and a host that
customers may reach already would have to be drained first. The journey and its time go on, so that its deadline holds
however many tries are left.
"""

from crds.messages import ServiceReport
from crds.status import Journey
from reconcilers.facts import HostFacts
from reconcilers.target import TargetSpec


def new_process(facts: HostFacts) -> int:
    """A number under which no process of the host was ever asked for: what fails by an old word is not meant."""
    assigned = facts.assigned_service()
    return max(facts.restart, assigned.restart if assigned else 0) + 1


def ended_in_failure(service: ServiceReport) -> str:
    """In words, why the release cannot run there by its agent's word; empty if it still may."""
    if service.state not in ("failed", "crashing"):
        return ""
    tail = f"; its log ends: {service.log_tail[-1]}" if service.log_tail else ""
    return f"{service.state}: {service.message or 'no reason given'}{tail}"


def started_unhealthy(journey: Journey, service: ServiceReport) -> str:
    """In words, why the process that the journey started is not healthy; empty if it is, or nobody knows yet."""
    ours = service.digest == journey.digest and service.restart >= journey.restart and service.identity is not None
    if not ours or service.identity == journey.before or service.healthy is not False:
        return ""
    return f"unhealthy: {service.message or 'no reason given'}"


def another_try(journey: Journey, target: TargetSpec, facts: HostFacts, why: str) -> Journey | None:
    """The journey with a fresh start of its process; None if there is no reason for one, or no try is left."""
    if not why or journey.tries >= target.rollout.retries:
        return None
    return journey.model_copy(
        update={
            "restart": new_process(facts),
            "tries": journey.tries + 1,
            "failure": why,
            "reason": why,
            "log_tail": tail_of(journey, facts),
        }
    )


def tail_of(journey: Journey, facts: HostFacts) -> list[str]:
    """The end of the log of the process that failed last, as far as anybody heard of it."""
    service = facts.believed_service()
    return list(service.log_tail) if service and service.log_tail else journey.log_tail


def with_tries(journey: Journey, target: TargetSpec, reason: str) -> str:
    """What the host waits for, and if it is not the first try, which one it is and why."""
    if not journey.tries:
        return reason
    return f"try {journey.tries + 1} of {target.rollout.retries + 1}: {reason}; the one before {journey.failure}"


def at_last(journey: Journey, why: str) -> str:
    """Why the host has failed, with the number of tries if there were several."""
    return f"{why}; tried {journey.tries + 1} times" if journey.tries else why
