"""Marks: what people decided and what stays until it is lifted, by a person or by its time."""

from datetime import datetime

from crds.status import Mark
from reconcilers.draft import Draft


def is_over(mark: Mark, now: datetime) -> bool:
    """The mark's time has come."""
    return mark.until is not None and mark.until <= now


def marked(mark: Mark) -> str:
    """By whom, since when, until when and why."""
    until = f", until {mark.until:%Y-%m-%d %H:%M} UTC" if mark.until else ""
    why = f" ({mark.reason})" if mark.reason else ""
    return f"by {mark.by} since {mark.since:%Y-%m-%d %H:%M} UTC{until}{why}"


def lift_pause(draft: Draft) -> None:
    """End a pause whose time has come."""
    pause = draft.status.pause
    if pause is not None and is_over(pause, draft.now):
        draft.status = draft.status.model_copy(update={"pause": None})
        draft.event("RolloutResumed", draft.target.name, "TimeIsUp", f"it was paused {marked(pause)}")


def break_glass(draft: Draft) -> None:
    """Put on record, once, that a version file lets its deployment pass freezes."""
    why = draft.target.break_glass
    if draft.status.break_glass != why:
        draft.status = draft.status.model_copy(update={"break_glass": why})
        if why:
            draft.event("GlassBroken", draft.target.name, "BreakGlass", why)
