"""What outlives a loss of power: content that is written in place, and folders' entries."""

import os
from pathlib import Path


def sync_data(handle: int) -> None:
    """Put what was written in place on disk, and of the rest only what is needed to read it. Raises OSError."""
    getattr(os, "fdatasync", os.fsync)(handle)


def sync_folder(folder: Path) -> None:
    """Put the folder's entries on disk: a file that was made, renamed or removed there stays so. Raises OSError.

    Windows offers no such call, and its file systems journal renames.
    """
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
