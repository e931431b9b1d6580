"""Files that are whole after a crash, at any moment."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from bus.durable import sync_folder

SettingsPath = Annotated[
    Path, BeforeValidator(lambda value: Path(value) if isinstance(value, str) else value), Field(description="a path")
]
"""A path in the agent's settings; a relative one starts at the settings' folder."""


def write_durably(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``: after a crash it holds either all of the old or all of the new bytes.

    Raises OSError if the disk is full or refuses; the old content is then untouched.
    """
    replace_whole(path, content, durably=True)
    sync_folder(path.parent)


def replace_whole(path: Path, content: bytes, durably: bool = False) -> None:
    """Replace ``path`` so that every reader sees all of the old or all of the new bytes, at least while power lasts.

    Raises OSError; the old content is then untouched.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            if durably:
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
