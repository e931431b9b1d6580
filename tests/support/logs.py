"""What agents and the bus log, for tests that read it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bus.logs import fields_of


@contextmanager
def capture_logs(*names: str) -> Iterator[list[dict[str, Any]]]:
    """The events of these loggers while this lasts, as structlog's function of that name gives them."""
    logs: list[dict[str, Any]] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logs.append({"event": record.getMessage(), "log_level": record.levelname.lower(), **fields_of(record)})

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
