"""What another release, or another try, means for a host that is already on its way."""

from datetime import datetime

from crds.status import Journey, Step
from reconcilers.facts import HostFacts
from reconcilers.retries import new_process
from reconcilers.target import TargetSpec


def retargeted(journey: Journey, target: TargetSpec, facts: HostFacts, now: datetime) -> Journey | None:
    """The journey towards the target's release; None: it ends here and the host is an ordinary one again."""
    return journey if journey.digest == target.digest else begun_again(journey, target, facts, now)


def begun_again(
    journey: Journey, target: TargetSpec, facts: HostFacts, now: datetime, batch: int = 1
) -> Journey | None:
    """The journey from where the host is now; None: it ends here and the host is an ordinary one again.

    A host that is out goes straight to the release. One that has been let in again, or was never taken out, ends its
    journey at this boundary. One that is being drained goes on: it would have to be drained once more. A failed host
    that another target has taken meanwhile waits for its turn like any other.
    """
    if journey.step is Step.WAITING or journey.step is Step.SOAKING:
        return None
    if journey.step is Step.FAILED and (facts.claimed_by or not journey.out):
        return None
    return journey.model_copy(
        update={
            "digest": target.digest,
            "step": Step.DRAINING if journey.step in (Step.DRAINING, Step.ENABLING) else Step.LEAVING,
            "batch": batch,
            "begun": now,
            "since": now,
            "accounted": now,
            "elapsed": 0.0,
            "entered": 0.0,
            "attempt": 0,
            "tries": 0,
            "failure": "",
            "log_tail": [],
            "tested": False,
            "vouched": False,
            "skip": False,
            "restart": facts.restart,
            "out": journey.out,
            "reason": "",
            "cause": None,
            "before": facts.service.identity if facts.service else None,
            "before_digest": facts.service.digest if facts.service else None,
        }
    )


def tried_again(journey: Journey, target: TargetSpec, facts: HostFacts, now: datetime, batch: int) -> Journey | None:
    """The same for a failed host of the same release: with a new process, so that it does not fail by its old word."""
    again = begun_again(journey, target, facts, now, batch)
    return again.model_copy(update={"restart": new_process(facts)}) if again else None
