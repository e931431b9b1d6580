"""Programs that are not Python packages."""

import os
import shutil
from pathlib import Path

from controller.demo.processes import DemoError


def find_program(name: str) -> Path | None:
    """Where a program is; Debian keeps servers where users have no path to."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
    return Path(found) if found else None


def need_program(name: str, package: str | None = None) -> Path:
    """Where a program is. Raises DemoError if it is missing, with Debian's package: of the same name unless given."""
    found = find_program(name)
    if found is None:
        raise DemoError(f"{name} is missing; as root, run: apt-get install {package or name}")
    return found
