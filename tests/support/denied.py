"""Files and folders that may not be read, also where root runs the tests."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_NOBODY = 65534


@contextmanager
def reachable() -> Iterator[Path]:
    """A folder that every user may walk through, unlike those that pytest makes."""
    with TemporaryDirectory(prefix="drumbeat-reachable-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def denied(path: Path, mode: int = 0) -> Iterator[None]:
    """Leave only these rights to a path below ``reachable``; root is somebody else for as long."""
    before, root = stat.S_IMODE(path.stat().st_mode), os.geteuid() == 0
    path.chmod(mode)
    if root:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(before)
