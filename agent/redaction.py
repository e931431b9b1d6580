"""Taking secrets out of whatever leaves the node: messages, ends of logs, the agent's own log."""

import base64
import json
import re
from collections.abc import Iterator
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

from pydantic import BaseModel

from crds.messages import Report

M = TypeVar("M", bound=BaseModel)

HIDDEN = "***"
SHORTEST = 6
"""Characters. What is shorter would be found, and hidden, in words that have nothing to do with it."""
_REMEMBERED = 256
"""Values. A secret that changes with each start must not fill the memory."""
_WORDS = ("message", "log_tail", "problem", "status")
"""Fields of a report that are words for people; all others have names, numbers and states."""


class Redactor:
    """Knows the values that this agent has handed out or used, and hides them. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._values: dict[str, None] = {}
        self._forms: tuple[str, ...] = ()

    def learn(self, value: str) -> None:
        """From now on hide this value, as it is and as it is commonly encoded."""
        with self._lock:
            newest = value not in self._values
            self._values.pop(value, None)
            self._values[value] = None
            if newest:
                self._values = dict.fromkeys(list(self._values)[-_REMEMBERED:])
                forms = {form for known in self._values for form in _forms(known)}
                self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))

    def hide(self, text: str) -> str:
        """The text with ``***`` in place of every value. Hide before cutting: half of a value is not found."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return text

    def hide_in_report(self, report: Report) -> Report:
        """The report with nothing secret in what it says in words."""
        return self._cleaned(report) if self._forms else report

    def _cleaned(self, model: M) -> M:
        return model.model_copy(update={name: self._without(name, value) for name, value in model})

    def _without(self, name: str, value: Any) -> Any:
        if isinstance(value, BaseModel):
            return self._cleaned(value)
        if isinstance(value, dict):
            return {key: self._without("", each) for key, each in value.items()}
        if name in _WORDS:
            return self.hide(value) if isinstance(value, str) else [self.hide(line) for line in value]
        return value


def _forms(value: str) -> Iterator[str]:
    """How a value looks in a text: whole or line by line, in JSON, in Python, in a URL, in base64."""
    for part in {value, *value.splitlines()}:
        if len(part.strip()) >= SHORTEST:
            yield from _forms_of_part(part.strip() if part != value else part)


def _forms_of_part(part: str) -> Iterator[str]:
    yield part
    yield json.dumps(part)[1:-1]
    yield json.dumps(part, ensure_ascii=False)[1:-1]
    yield repr(part)[1:-1]
    for quoted in (quote(part), quote(part, safe=""), quote_plus(part)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield _within_base64(encode(bytes(before) + part.encode()).decode(), before, len(part.encode()))


def _within_base64(encoded: str, before: int, size: int) -> str:
    """The characters that depend on the value alone, if ``before`` bytes (modulo 3) stand before it, such as a user."""
    begin, end = -(-before * 8 // 6), (before + size) * 8 // 6
    return encoded[begin:end]
