"""A strict YAML loader: one file, one document, plain data, and the place of every field.

It works on PyYAML's events, so that nothing is ever constructed but mappings, lists and scalars. What other programs
would read differently is refused (see scalars.py), and so is everything whose size on disk says nothing about its size
in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from controller.source.characters import HIDDEN, describe
from controller.source.decoding import Flaw, decode
from controller.source.problems import FieldPath, Problem, Severity, dotted
from controller.source.scalars import Scalar, resolve

MAX_DEPTH = 50
MAX_ALIASED = 1000
"""Values that aliases may add to what is written."""

Event = Any
"""One of PyYAML's events; its type stubs do not say which attributes each kind has."""

_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


@dataclass(frozen=True)
class Span:
    """Where something is written: lines and columns from 1, the end exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass
class Document:
    """What a file says. ``data`` is whole only if ``readable``; ``problems`` are those of YAML alone."""

    path: str
    text: str = ""
    data: Any = None
    readable: bool = False
    problems: list[Problem] = field(default_factory=list)
    keys: dict[FieldPath, Span] = field(default_factory=dict)
    values: dict[FieldPath, Span] = field(default_factory=dict)
    originals: dict[FieldPath, str] = field(default_factory=dict)
    """Unquoted scalars that are no text, as they are written: ``1.10`` where the value is 1.1."""

    def place(self, path: FieldPath, key: bool = False) -> tuple[int, int]:
        """Line and column of a field's value (``key``: of its name), or of the nearest field around it."""
        for length in range(len(path), -1, -1):
            at = path[:length]
            places = (self.keys, self.values) if key else (self.values, self.keys)
            for span in (spans.get(at) for spans in places):
                if span:
                    return span.line, span.column
            key = True
        return 1, 1

    def problem(
        self,
        path: FieldPath,
        message: str,
        hint: str,
        key: bool = False,
        severity: Severity = "error",
        target: str = "",
    ) -> Problem:
        """A problem at a field's value, or at its name if ``key``."""
        line, column = self.place(path, key)
        return Problem(severity, self.path, message, hint, line, column, dotted(path), target)


def load(path: str, raw: bytes) -> Document:
    """Read one file. Never raises for what the file contains: ``problems`` say what is wrong."""
    document = Document(path)
    try:
        document.text = decode(raw)
        events = yaml.parse(document.text, Loader=_LOADER)
        _Builder(document, events).build()
        document.readable = True
    except Flaw as flaw:
        document.problems.append(Problem("error", path, flaw.message, flaw.hint, flaw.line, flaw.column))
    except yaml.YAMLError as error:
        document.problems.append(_not_yaml(path, error))
    return document


def _not_yaml(path: str, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    said = str(getattr(error, "problem", "") or "it cannot be parsed")
    hint = (
        "indent with spaces, not tabs" if "cannot start any token" in said else "check quotes, colons and indentation"
    )
    return Problem("error", path, f"this is not YAML: {said}", hint, line, column)


@dataclass(frozen=True)
class _Anchored:
    """What an alias may stand for, and how many values that is."""

    value: Any
    size: int


class _Builder:
    """Folds events into data. Recursion is bounded by MAX_DEPTH."""

    def __init__(self, document: Document, events: Iterator[Event]) -> None:
        self._document, self._events = document, events
        self._anchors: dict[str, _Anchored | None] = {}
        """None while the anchored value is still being read."""
        self._size = 0
        self._aliased = 0

    def build(self) -> None:
        """Read the only document. Raises Flaw, yaml.YAMLError."""
        next(self._events)
        if not isinstance(next(self._events), yaml.StreamEndEvent):
            self._document.data = self._node(next(self._events), ())
            self._end()
        if self._document.data is None:
            raise Flaw("the file is empty", "write a resource into it, or remove the file", 1, 1)

    def _end(self) -> None:
        next(self._events)
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            hint = "one file holds one resource; move it into a file of its own"
            raise _flaw(following, "a second document begins here", hint)

    def _node(self, event: Event, path: FieldPath) -> Any:
        if len(path) > MAX_DEPTH:
            raise _flaw(event, f"nested deeper than {MAX_DEPTH} levels", "nothing in desired state is; flatten it")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if event.tag is not None:
            self._complain(event, path, f"the tag {event.tag} is not allowed", "remove it, and quote what is text")
        return self._anchored(event, path) if event.anchor else self._value(event, path)

    def _value(self, event: Event, path: FieldPath) -> Any:
        self._size += 1
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, path)
        self._document.values[path] = _span(event, event)
        return self._scalar(event, path)

    def _anchored(self, event: Event, path: FieldPath) -> Any:
        if event.anchor in self._anchors:
            raise _flaw(event, f"the anchor &{event.anchor} is set twice", "give each anchor a name of its own")
        self._anchors[event.anchor] = None
        before = self._size
        value = self._value(event, path)
        self._anchors[event.anchor] = _Anchored(value, self._size - before)
        return value

    def _alias(self, event: Event, path: FieldPath) -> Any:
        if event.anchor not in self._anchors:
            raise _flaw(event, f"the alias *{event.anchor} has no anchor before it", "write the value out")
        anchored = self._anchors[event.anchor]
        if anchored is None:
            raise _flaw(event, f"the alias *{event.anchor} stands for what it is part of", "write the value out")
        self._size += anchored.size
        self._aliased += anchored.size
        if self._aliased > MAX_ALIASED:
            raise _flaw(event, f"aliases stand for more than {MAX_ALIASED:,} values", "write the values out")
        self._document.values[path] = _span(event, event)
        return anchored.value

    def _mapping(self, start: Event, path: FieldPath) -> dict[str, Any]:
        self._document.values[path] = _span(start, start)
        found: dict[str, Any] = {}
        at = path
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            fresh = key is not None and key not in found
            at = (*path, key or "") if fresh else (*path, f"{key or '?'} (again)")
            if key is not None and fresh:
                self._document.keys[at] = _span(event, event)
                found[key] = self._node(next(self._events), at)
            else:
                if key is not None:
                    self._duplicate(event, (*path, key))
                self._node(next(self._events), at)
        self._close(start, event, path, at)
        return found

    def _sequence(self, start: Event, path: FieldPath) -> list[Any]:
        self._document.values[path] = _span(start, start)
        found: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._node(event, (*path, len(found))))
        self._close(start, event, path, (*path, len(found) - 1))
        return found

    def _close(self, start: Event, end: Event, path: FieldPath, last: FieldPath) -> None:
        """A collection in block style ends with its last value: its end event lies after comments and empty lines."""
        span = _span(start, end)
        inner = self._document.values.get(last)
        if not start.flow_style and inner is not None:
            span = Span(span.line, span.column, inner.end_line, inner.end_column)
        self._document.values[path] = span

    def _key(self, event: Event, path: FieldPath) -> str | None:
        """The key's text; None for a key that is no text, after complaining."""
        if not isinstance(event, yaml.ScalarEvent):
            self._complain(event, path, "a key is not plain text", "write a name before the colon")
            self._node(event, (*path, "?"))
            return None
        if event.tag is not None:
            self._complain(event, path, f"the tag {event.tag} is not allowed", "remove it, and quote what is text")
        if event.value == "<<" and event.implicit[0]:
            self._complain(event, path, "merge keys are not read", "write the fields out")
            return None
        key = self._scalar(event, path)
        if isinstance(key, str):
            return key
        self._complain(event, path, f"the key {event.value or 'null'} is not text", f'write "{event.value}" in quotes')
        return None

    def _duplicate(self, event: Event, path: FieldPath) -> None:
        first = self._document.keys[path].line
        self._complain(event, path, f"written twice, first in line {first}", "remove one of them")

    def _scalar(self, event: Event, path: FieldPath) -> Scalar:
        text = str(event.value)
        hidden = HIDDEN.search(text)
        if hidden:
            self._complain(event, path, f"the text contains {describe(hidden.group())}", "remove it")
            return HIDDEN.sub("?", text)
        if not event.implicit[0]:
            return text
        try:
            value = resolve(text)
        except Flaw as flaw:
            self._complain(event, path, flaw.message, flaw.hint)
            return text
        if not isinstance(value, str):
            self._document.originals[path] = text
        return value

    def _complain(self, event: Event, path: FieldPath, message: str, hint: str) -> None:
        at = _span(event, event)
        problem = Problem("error", self._document.path, message, hint, at.line, at.column, dotted(path))
        self._document.problems.append(problem)


def _span(start: Event, end: Event) -> Span:
    first, last = start.start_mark, end.end_mark
    return Span(first.line + 1, first.column + 1, last.line + 1, last.column + 1)


def _flaw(event: Event, message: str, hint: str) -> Flaw:
    mark = event.start_mark
    return Flaw(message, hint, mark.line + 1, mark.column + 1)
