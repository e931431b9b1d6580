"""What an operator asks of a rollout or a node, beside what the repository says: who, why, and until when."""

from typing import Annotated, Literal

from pydantic import Field

from crds.base import FileModel

RolloutVerb = Literal["pause", "resume", "abort", "retry", "undo", "skip", "restart", "approve"]
NodeVerb = Literal["exclude", "include"]

Words = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$", max_length=500)]
"""One line: it is shown on terminals and in logs."""


class OperatorCommand(FileModel):
    """The body of a command; which one it is, and of what, is in the path."""

    by: Annotated[Words, Field(min_length=1, max_length=100)] = Field(description="who asks for it")
    reason: Words = Field(default="", description="why; required where something is disrupted or silenced")
    until: Annotated[str, Field(max_length=40)] = Field(
        default="", description="when it ends by itself: a duration from now, as 2h, or a time, as 2026-12-01T08:00Z"
    )
