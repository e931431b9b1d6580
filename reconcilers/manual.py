"""Manual steps: batches after which a person must say go."""

from collections.abc import Mapping

from crds.status import Journey, RolloutStatus, Step
from reconcilers.target import TargetSpec


def awaits_go(target: TargetSpec, status: RolloutStatus, journeys: Mapping[str, Journey]) -> bool:
    """The batch that was the last to finish is one after which a person must say go, and nobody has.

    Only for a release that is new here: hosts that come back, or have drifted, run what was let pass before.
    """
    is_step = status.batch in target.rollout.pause_after and status.go < status.batch
    is_new = status.succeeded_digest != target.digest
    return is_step and is_new and all(journey.step is Step.FAILED for journey in journeys.values())
