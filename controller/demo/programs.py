"""Programs that are not Python packages."""

import os
import shutil
from pathlib import Path

from controller.demo.processes import DemoError


def find_program(name: str) -> Path | None:
    """Where a program is; Debian keeps servers where users have no path to."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    return Path(found) if found else None


def need_programs() -> None:
    """Raise DemoError if one is missing."""
    missing = [name for name in ("git", "haproxy") if find_program(name) is None]
    if missing:
        raise DemoError(f"{' and '.join(missing)} not found; as root, run: apt-get install {' '.join(missing)}")
