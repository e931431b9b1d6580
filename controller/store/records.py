"""What is kept beside the resources of crds/: revisions, and all that a starting controller reads."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import Field

from crds.base import WireModel
from crds.messages import Report
from crds.status import Journey, Mark, Operation, RolloutStatus
from reconcilers.fragments import Entry


class Revision(WireModel):
    """A git commit that was looked at, and what came of it."""

    id: str = Field(description="the commit")
    state: Literal["accepted", "refused"]
    at: datetime = Field(description="when it was looked at")
    problems: list[str] = Field(
        default_factory=list, description="why it was refused, a line each, with file and field"
    )


@dataclass(frozen=True)
class Loaded:
    """Everything that a controller starts from."""

    statuses: dict[str, RolloutStatus] = field(default_factory=dict)
    """By target."""
    journeys: dict[str, dict[str, Journey]] = field(default_factory=dict)
    """By target and host."""
    entries: dict[str, dict[str, dict[str, Entry]]] = field(default_factory=dict)
    """By node, target and key."""
    serials: dict[str, int] = field(default_factory=dict)
    """The newest serial of each node's assignments."""
    reports: dict[str, Report] = field(default_factory=dict)
    """The newest full report of each node."""
    operations: dict[str, Operation] = field(default_factory=dict)
    """By id."""
    exclusions: dict[str, Mark] = field(default_factory=dict)
    """By node."""
    resource_version: int = 0
    """Grows by one with each transaction."""
    revision: Revision | None = None
    """The last good one: it is in force, also while a newer one is refused."""
    refused: Revision | None = None
    """A newer one that was refused, if nothing was accepted since."""
