"""The gates' scripts, as they would lie on a runner."""

import sys
from importlib import resources
from pathlib import Path

SMOKE = "smoke-test"


def write_scripts(folder: Path) -> None:
    """Put the scripts there, executable, run by this Python."""
    folder.mkdir(parents=True)
    source = resources.files("controller.demo").joinpath("smoke_test.py").read_text(encoding="utf-8")
    path = folder / SMOKE
    path.write_text(f"#!{Path(sys.executable).resolve()} -IS\n{source}", encoding="utf-8")
    path.chmod(0o755)
