"""Releases of trading-api for tests on a whole fleet: each start is written down by the service itself."""

import sys
from pathlib import Path

from controller.demo.artifact import EXECUTABLE, service_script
from tests.support.artifacts import tar_gz

STARTS = "STARTS"
"""In the service's environment: the file to which each start adds a line, VERSION and process id."""
LAST_WORDS = "no licence for this machine"

_FIRST = "    options = Options(sys.argv[1:])\n"
_NOTE = f"""\
    with open(os.environ["{STARTS}"], "a") as starts:
        starts.write(f"{{VERSION}} {{os.getpid()}}\\n")
"""
_CRASH = f'    sys.exit("{LAST_WORDS}")\n'


def build_release(folder: Path, version: str, crashing: bool = False, broken: bool = False) -> Path:
    """Write its archive; a ``crashing`` one ends at once, with LAST_WORDS, a ``broken`` one fails its smoke test."""
    script = service_script(version, broken=broken, interpreter=Path(sys.executable).resolve())
    assert script.count(_FIRST) == 1
    script = script.replace(_FIRST, _NOTE + (_CRASH if crashing else _FIRST))
    path = folder / f"{EXECUTABLE}-{version}.tar.gz"
    tar_gz({EXECUTABLE: script}, path)
    return path
