"""What a failure means for the rollout: within the limits it goes on, beyond them it is held or rolled back.

Failed hosts and deadlines are looked at before success. Silence is not evidence against a release: hosts that were lost
on their way hold a rollout, and never roll it back.
"""

from typing import Literal, NamedTuple

from crds.status import Cause, Hold, Journey, Quarantine, Step
from reconcilers.deadlines import overdue
from reconcilers.draft import Draft
from reconcilers.rollback import cannot_roll_back, is_quarantined, quarantined, way_back
from reconcilers.sizes import limit_of
from reconcilers.stages import troubled


class Verdict(NamedTuple):
    """What is wrong with the rollout, and what the service's rollout says about that."""

    reason: str
    message: str
    then: Literal["hold", "rollback"]


def judge(draft: Draft) -> None:
    """Hold the rollout or put its release into quarantine, if too much has failed; hosts that only wait are let go.

    It is judged anew in each pass, so that a rollout which is held is rolled back once its service asks for that.
    """
    verdict = _failed_hosts(draft) or _failed_task(draft) or _missed_deadline(draft)
    if verdict and not is_quarantined(draft.target, draft.status):
        barred = cannot_roll_back(draft.target, draft.status) if verdict.then == "rollback" else ""
        if verdict.then == "rollback" and not barred:
            _quarantine(draft, verdict)
        elif draft.status.hold is None:
            _hold(draft, verdict.reason, f"{verdict.message}; {barred}" if barred else verdict.message)
    if draft.status.hold is not None or is_quarantined(draft.target, draft.status):
        for host in [host for host, journey in draft.journeys.items() if journey.step is Step.WAITING]:
            draft.put(host, None)


def _failed_hosts(draft: Draft) -> Verdict | None:
    failed = [journey for journey in draft.journeys.values() if journey.step is Step.FAILED]
    rollout, total = draft.target.rollout, len(draft.target.hosts)
    tolerated = limit_of(rollout.max_failed, total)
    if len(failed) <= tolerated:
        return None
    heard = [journey for journey in failed if journey.cause is not Cause.SILENCE]
    evident = len(heard) > tolerated
    first = min(heard if evident else failed, key=lambda journey: (journey.since, journey.host))
    message = f"{first.host}: {first.reason}"
    if tolerated:
        message += f"; {len(failed)} of {total} hosts have failed, and maxFailed tolerates {tolerated}"
    return Verdict(_reason(first), message, rollout.on_failure if evident else "hold")


def _failed_task(draft: Draft) -> Verdict | None:
    """A gate or a migration around the hosts that has not passed."""
    trouble = troubled(draft)
    if trouble is None:
        return None
    reason, message, evident = trouble
    return Verdict(reason, message, draft.target.rollout.on_failure if evident else "hold")


def _reason(first: Journey) -> str:
    return "GateFailed" if first.cause is Cause.GATE else "HostFailed"


def _missed_deadline(draft: Draft) -> Verdict | None:
    """A deadline of the batch or of the rollout that has passed."""
    late = overdue(draft)
    return Verdict(*late, draft.target.rollout.on_deadline) if late else None


def _hold(draft: Draft, reason: str, message: str) -> None:
    hold = Hold(digest=draft.target.digest, reason=reason, message=message, since=draft.now)
    draft.status = draft.status.model_copy(update={"hold": hold})
    draft.event("RolloutHeld", draft.target.name, reason, message)


def _quarantine(draft: Draft, verdict: Verdict) -> None:
    good = way_back(draft.status, draft.target.digest)
    version = draft.target.version
    bad = Quarantine(
        digest=draft.target.digest, version=version, reason=verdict.reason, message=verdict.message, since=draft.now
    )
    draft.status = quarantined(draft.status, bad)
    back = f"; back to version {good.release.version}" if good else ""
    draft.event("ReleaseQuarantined", draft.target.name, verdict.reason, f"version {version}: {verdict.message}{back}")
