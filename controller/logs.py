"""The controller's logging: structlog, written as everything else is (see bus.logs)."""

from typing import TextIO

import structlog

from bus.logs import LogFormat, LogLevel
from bus.logs import configure_logging as configure_standard_logging


def configure_logging(stream: TextIO, level: LogLevel = "info", form: LogFormat = "auto") -> None:
    """Have everything logged to ``stream``; ``structlog.get_logger()`` writes the same way afterwards."""
    configure_standard_logging(stream, level, form)
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
