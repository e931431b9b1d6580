"""Logging for both ends: as text on a terminal and as JSON otherwise; times in UTC.

It is the standard library's, since an agent stays small. What belongs to an event goes beside its text:
``logger.info("the controller is back", extra={"after_seconds": 3})``.
"""

import json
import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

LogFormat = Literal["auto", "text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
Hide = Callable[[str], str]

_OURS = ("agent", "bus", "controller", "reconcilers")
_PASSWORD = re.compile(r"(?<=://)[^/\s]+@")
_OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_COLORS = {"debug": "32", "info": "32", "warning": "33", "error": "31", "critical": "31"}


def configure_logging(stream: TextIO, level: LogLevel = "info", form: LogFormat = "auto", hide: Hide = str) -> None:
    """Have everything logged to ``stream``, libraries from warnings upwards.

    ``auto`` is text on a terminal, and one JSON object a line otherwise. A password in a URL is never written, nor
    what ``hide`` takes out of a text.
    """
    as_text = form == "text" or (form == "auto" and stream.isatty())
    colors = stream.isatty() and not os.environ.get("NO_COLOR")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Text(hide, colors) if as_text else _Json(hide))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # What ends a connection is said once, by whoever keeps it up.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What was given beside the text of an event."""
    return {key: value for key, value in vars(record).items() if key not in _OF_EVERY_RECORD}


class _Json(logging.Formatter):
    """One object: time, level, logger and message, what belongs to the event, and the traceback of an exception."""

    def __init__(self, hide: Hide) -> None:
        super().__init__()
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.event(record))

    def event(self, record: logging.LogRecord) -> dict[str, Any]:
        """The record, with nothing in it that must not be written."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return {key: _clean(value, self._hide) for key, value in said.items()}


class _Text(_Json):
    """One line, and the lines of a traceback."""

    def __init__(self, hide: Hide, colors: bool) -> None:
        super().__init__(hide)
        self._colors = colors

    def format(self, record: logging.LogRecord) -> str:
        said = self.event(record)
        time, level, logger, message = (said.pop(key) for key in ("time", "level", "logger", "message"))
        trace = said.pop("exception", "")
        fields = "".join(f" {key}={_readable(value)}" for key, value in said.items())
        level = self._color(_COLORS.get(level, "0"), f"{level:<7}")
        line = f"{time} {level} {self._color('1', message)}{fields} {self._color('2', f'[{logger}]')}"
        return f"{line}\n{trace}" if trace else line

    def _color(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colors else text


def _readable(value: Any) -> str:
    plain = isinstance(value, str) and value.isprintable() and value and " " not in value
    return value if plain else repr(value)


def _clean(value: Any, hide: Hide) -> Any:
    """Also what is inside: the problems of a refused commit are a list."""
    match value:
        case str():
            return hide(_PASSWORD.sub("***@", value) if "://" in value else value)
        case list() | tuple():
            return [_clean(each, hide) for each in value]
        case dict():
            return {key: _clean(each, hide) for key, each in value.items()}
        case None | bool() | int() | float():
            return value
        case _:
            return _clean(str(value), hide)  # a path or an error, which JSON has no form for
