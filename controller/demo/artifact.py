"""Packs trading-api into archives, as a build server would: NAME-VERSION.tar.gz with one executable."""

import gzip
import hashlib
import io
import sys
import tarfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

EXECUTABLE = "trading-api"
_MAX_SHEBANG = 120


@dataclass(frozen=True)
class Artifact:
    """An archive and what its version file says of it."""

    path: Path
    version: str
    sha256: str


def build_artifact(folder: Path, version: str, broken: bool = False, interpreter: Path | None = None) -> Artifact:
    """Write ``trading-api-VERSION.tar.gz``, the same bytes for the same arguments.

    A ``broken`` build starts and says that it is healthy, but cannot answer ``/quote``. ``interpreter`` is the Python
    that runs it, the present one if left out.
    """
    script = service_script(version, broken, interpreter or Path(sys.executable).resolve())
    content = _compress(_tar(EXECUTABLE, script.encode()))
    path = folder / f"{EXECUTABLE}-{version}.tar.gz"
    path.write_bytes(content)
    return Artifact(path, version, hashlib.sha256(content).hexdigest())


def service_script(version: str, broken: bool, interpreter: Path) -> str:
    """The service's source with its version put in, as a script that runs by itself."""
    source = resources.files("controller.demo").joinpath("trading_api.py").read_text(encoding="utf-8")
    source = _put(source, 'VERSION = "0.0.0"', f'VERSION = "{version}"')
    if broken:
        source = _put(source, 'PRICE = "101.25"', 'PRICE = "n/a"')
    # -I and -S: nothing of the user's, no site packages; it starts in a third of the time.
    return f"#!{_shebang(interpreter)} -IS\n{source}"


def _put(source: str, old: str, new: str) -> str:
    if source.count(old) != 1:
        raise ValueError(f"trading_api.py must contain {old!r} exactly once")
    return source.replace(old, new)


def _shebang(interpreter: Path) -> str:
    """The kernel takes neither spaces nor long paths there."""
    path = str(interpreter)
    return path if len(path) <= _MAX_SHEBANG and " " not in path else "/usr/bin/env -S python3"


def _tar(name: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o755
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def _compress(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)
