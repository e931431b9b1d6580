"""What becomes of a scene: statements about one journey's next step."""

from crds.status import Journey, Step
from reconcilers.journey import advance
from tests.support.worlds import Scene


def step_after(at: Scene) -> Step | None:
    """The step after all that can be concluded; None: arrived."""
    following = advance(at.journey, at.situation)
    return following.step if following else None


def stays(at: Scene) -> str:
    """The reason why the host stays at its step; fails if it moves."""
    following = advance(at.journey, at.situation)
    assert following is not None
    assert following.step is at.journey.step
    return following.reason


def fails(at: Scene) -> Journey:
    following = advance(at.journey, at.situation)
    assert following is not None
    assert following.step is Step.FAILED
    return following
