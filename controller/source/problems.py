"""Problem: one thing that is wrong in desired state, located, with what to write instead."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from controller.source.characters import visible

Severity = Literal["error", "warning"]

FieldPath = tuple[str | int, ...]
"""Keys and indices from the document's root to a value."""


@dataclass(frozen=True)
class Problem:
    """One finding. Lines and columns count from 1; None where a finding is about a whole file."""

    severity: Severity
    path: str
    message: str
    hint: str = ""
    line: int | None = None
    column: int | None = None
    field: str = ""
    target: str = ""
    """``SERVICE@FLEET`` where it concerns that target alone."""

    def __str__(self) -> str:
        """As compilers write it, so that editors can jump there."""
        place = ":".join(str(part) for part in (visible(self.path), self.line, self.column) if part is not None)
        message = f"{self.field}: {self.message}" if self.field else self.message
        hint = f" ({self.hint})" if self.hint else ""
        return visible(f"{place}: {self.severity}: {message}{hint}")

    def as_json(self) -> dict[str, Any]:
        """For programs: every attribute that says something."""
        return {name: value for name, value in vars(self).items() if value not in (None, "")}


class Refused(Exception):
    """Desired state cannot be taken; ``problems`` say why."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Those that make a commit refused."""
    return [problem for problem in problems if problem.severity == "error"]


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By file, line and column, each once."""
    return sorted(dict.fromkeys(problems), key=lambda found: (found.path, found.line or 0, found.column or 0))


def dotted(path: FieldPath) -> str:
    """A field as people name it: ``spec.hosts[3].name``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
