"""The option -o of commands that print text for people or JSON for programs."""

from enum import StrEnum
from typing import Annotated

import typer


class Text(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"


TextForm = Annotated[Text, typer.Option("--output", "-o", help="How results are printed.")]
