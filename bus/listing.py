"""Files and folders that may be absent: only what is not there is absent.

``exists`` and ``glob`` also pass over what may not be looked at, and over links that lead nowhere. Where absence means
that no rule holds, that would lift the rule.
"""

import os
from pathlib import Path


def is_absent(path: Path) -> bool:
    """Whether nothing of that name is there, no link either. Raises OSError if that cannot be found out."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    return False


def names_in(folder: Path) -> list[str] | None:
    """The names of what lies in a folder, sorted; None if it is absent. Raises OSError if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except FileNotFoundError:
        if is_absent(folder):
            return None
        raise
