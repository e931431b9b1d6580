"""Options that several commands share, and how they fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer

from controller.cli.client import DEFAULT_SERVER, AskError
from controller.cli.tables import talk
from crds.base import parse_duration

FAILED = 1
REFUSED = 3
"""Of ``plan``: the commit would be refused; 2 is wrong use, or says that something happens or differs."""
TIMED_OUT = 124
INTERRUPTED = 130


def duration(text: str) -> float:
    """Seconds of a duration on the command line, such as 90s. Raises typer.BadParameter."""
    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def validity(text: str) -> float:
    """Seconds for which something is to be good: a duration of which something is left once it is written down.

    Raises typer.BadParameter.
    """
    seconds = duration(text)
    if seconds < 1:
        raise typer.BadParameter(f"{text!r} is no time at all; write at least 1s")
    return seconds


class Form(StrEnum):
    """How results are printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


Server = Annotated[str, typer.Option("--server", envvar="DRUMBEAT_SERVER", help="The controller's URL.")]
Output = Annotated[Form, typer.Option("--output", "-o", help="How results are printed.")]
Selector = Annotated[
    str, typer.Option("--selector", "-l", help="Only what has these labels: service=api,fleet!=staging.")
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on and print what changes, until interrupted.")]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", parser=duration, metavar="DURATION", help="Give up after this, as 90s or 10m; 0s: never."
    ),
]
SERVER = DEFAULT_SERVER


@contextmanager
def explained() -> Iterator[None]:
    """End the command with one clear line where the controller does not answer, and quietly on an interrupt."""
    try:
        yield
    except AskError as error:
        talk(f"error: {error}")
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(INTERRUPTED) from interrupt
