"""Logging for both ends: structlog, as text on a terminal and as JSON otherwise; times in UTC."""

import logging
import os
import re
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

LogFormat = Literal["auto", "text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_OURS = ("agent", "bus", "controller", "reconcilers")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


def configure_logging(
    stream: TextIO, level: LogLevel = "info", form: LogFormat = "auto", hide: Callable[[str], str] = str
) -> FilteringBoundLogger:
    """Have everything logged to ``stream``, libraries from warnings upwards; returns a logger to pass on.

    ``structlog.get_logger()`` writes the same way afterwards. ``auto`` is text on a terminal, and one JSON
    object a line otherwise. A password in a URL is never written, nor what ``hide`` takes out of a text.
    """
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    as_text = form == "text" or (form == "auto" and stream.isatty())
    _send_to(
        stream, level, [*common, structlog.stdlib.ExtraAdder()], _as_text(stream, hide) if as_text else _as_json(hide)
    )
    structlog.configure(
        processors=[*common, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    logger: FilteringBoundLogger = structlog.get_logger("controller")
    return logger


def _send_to(stream: TextIO, level: LogLevel, of_libraries: list[Processor], render: list[Processor]) -> None:
    handler = logging.StreamHandler(stream)
    last = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=of_libraries, processors=last))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # What ends a connection is said once, by whoever keeps it up.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())


def _as_text(stream: TextIO, hide: Callable[[str], str]) -> list[Processor]:
    colors = stream.isatty() and not os.environ.get("NO_COLOR")
    # A traceback with the values of variables would show secrets.
    plain = structlog.dev.plain_traceback
    render = structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time", exception_formatter=plain)
    return [structlog.processors.format_exc_info, hiding(hide), render]


def _as_json(hide: Callable[[str], str]) -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        hiding(hide),
        structlog.processors.JSONRenderer(),
    ]


def hiding(hide: Callable[[str], str] = str) -> Processor:
    """Replaces the user and password of every URL in the event by ``***``, and whatever ``hide`` replaces."""

    def process(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in event.items():
            event[key] = _clean(value, hide)
        return event

    return process


def _clean(value: Any, hide: Callable[[str], str]) -> Any:
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
            return _clean(str(value), hide)  # a path or an error, which the renderer would write as a text
