"""What can be wrong with a question; the API answers it with the status, the CLI prints it."""

import difflib
from collections.abc import Iterable


class QuestionError(Exception):
    """The question cannot be answered as it was put."""

    status = 400

    def __init__(self, error: str, hint: str = "") -> None:
        super().__init__(error)
        self.error, self.hint = error, hint


class NotFound(QuestionError):
    """There is no such resource; the hint names the nearest one, or how to see them all."""

    status = 404

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"'drumbeat get {kind}s' lists them"
        super().__init__(f"no {kind} {name!r}", hint)


class NotReady(QuestionError):
    """It cannot be answered yet."""

    status = 503
