"""Folders whose entries outlive a loss of power."""

import os
from pathlib import Path


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
