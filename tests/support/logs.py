"""What agents and the bus log, for tests that read it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message"}


@contextmanager
def capture_logs(*names: str) -> Iterator[list[dict[str, Any]]]:
    """The events of these loggers while this lasts, as structlog's function of that name gives them."""
    logs: list[dict[str, Any]] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = {key: value for key, value in vars(record).items() if key not in _OF_EVERY_RECORD}
            logs.append({"event": record.getMessage(), "log_level": record.levelname.lower(), **fields})

    keeping = Keeping()
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).addHandler(keeping)
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield logs
    finally:
        for name, level in before.items():
            logging.getLogger(name).removeHandler(keeping)
            logging.getLogger(name).setLevel(level)
